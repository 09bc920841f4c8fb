//! Refusing mounts and devices that can't be, before anything is touched.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::super::validate::{absolute, c_string, inside};
use super::layers;
use super::root::attach_at;
use crate::error::{Error, ErrorKind, Result};
use crate::mount::{Device, DeviceKind, FileSystemOptions, Mount, NOSYMFOLLOW, Rootfs, Source};
use crate::process::Description;

/// Checks everything about mounts, devices and masked paths.
pub(in crate::plan) fn check(description: &Description) -> Result<()> {
    if let Some(rootfs) = &description.rootfs {
        check_root(description, rootfs)?;
    }
    for mount in &description.mounts {
        check_mount(mount)?;
    }
    for device in &description.devices {
        check_device(description, device)?;
    }
    if description.default_devices && description.rootfs.is_none() {
        return Err(devices_need_root(""));
    }
    for path in description.masked.iter().chain(&description.read_only) {
        if is_root(path.as_path(), "check path")? {
            let reason = "the root itself can't be covered";
            return Err(Error::invalid("check path", path.to_string_lossy(), reason)
                .hint("Rootfs::read_only makes the root read-only"));
        }
    }
    check_label(description.mount_label.as_deref())
}

fn is_root(path: &std::path::Path, step: &'static str) -> Result<bool> {
    Ok(inside(step, path)?.as_bytes() == b".")
}

fn check_root(description: &Description, rootfs: &Rootfs) -> Result<()> {
    let step = "check rootfs";
    check_source(step, &rootfs.source, true)?;
    match attach_at(description, rootfs) {
        Some(path) => absolute(step, path).map(drop),
        None if description.stops_before_pivot => {
            let reason = "hooks before the switch need a path at which the root is";
            Err(Error::invalid(step, "", reason).hint("give one by Rootfs::attached_at"))
        }
        None => Ok(()),
    }
}

fn check_mount(mount: &Mount) -> Result<()> {
    let step = "check mount";
    let target = mount.target.to_string_lossy();
    let wrong = |reason: &'static str| Err(Error::invalid(step, target.clone(), reason));
    if let Some(key) = &mount.misplaced {
        let object = format!("{target}: {}", key.to_string_lossy());
        let reason = "a bind or detached mount takes no file system options";
        return Err(Error::invalid(step, object, reason));
    }
    if is_root(&mount.target, step)? {
        return wrong("the root itself is given by rootfs");
    }
    if mount.id_map.is_some() && !matches!(mount.source, Source::Bind { .. }) {
        return wrong("only a bind mount can be id-mapped: it shows files that are there");
    }
    let tmpfs = mount.source.kind().is_some_and(|kind| kind == "tmpfs");
    if mount.copy_up && !tmpfs {
        return wrong("only a tmpfs can start as a copy of what it covers");
    }
    if mount.mode_of_target && mount.source.kind().is_none() {
        return wrong("only a new file system can take the permissions of what it covers");
    }
    if (mount.tree.set | mount.top.set) & NOSYMFOLLOW != 0 {
        since(step, &format!("{target}: nosymfollow"), (5, 14))?;
    }
    check_source(step, &mount.source, false)
}

/// A feature of kernels from this version on.
fn since(step: &'static str, object: &str, (major, minor): (u32, u32)) -> Result<()> {
    let running = crate::probe::kernel_version();
    if running >= (major, minor) || running == (0, 0) {
        return Ok(());
    }
    let reason = format!("needs Linux {major}.{minor}; this is {}.{}", running.0, running.1);
    Err(Error::with(ErrorKind::Unsupported, step, object, reason))
}

fn check_source(step: &'static str, source: &Source, directory: bool) -> Result<()> {
    match source {
        Source::Bind { path, .. } => {
            absolute(step, path)?;
            let found = std::fs::metadata(path)
                .map_err(|error| Error::os(step, path.to_string_lossy(), error))?;
            if directory && !found.is_dir() {
                return Err(Error::invalid(step, path.to_string_lossy(), "not a directory"));
            }
        }
        Source::FileSystem { kind, options } => {
            c_string(step, kind)?;
            let split = layers::split(kind, options);
            if matches!(split, Cow::Owned(_)) {
                since(step, "overlay lowerdir of more than 255 bytes", (6, 7))?;
            }
            check_options(step, &split)?;
        }
        Source::Dev { options } | Source::Cgroup { options } => check_options(step, options)?,
        Source::Detached(_) => {}
    }
    Ok(())
}

fn check_options(step: &'static str, options: &FileSystemOptions) -> Result<()> {
    for (key, value) in options {
        c_string(step, key)?;
        let Some(value) = value else { continue };
        c_string(step, value)?;
        if value.len() > layers::MAX_OPTION {
            let object = format!("{}={}", key.to_string_lossy(), value.to_string_lossy());
            let reason = format!("fsconfig takes values of at most {} bytes", layers::MAX_OPTION);
            return Err(Error::invalid(step, object, reason));
        }
    }
    Ok(())
}

fn check_device(description: &Description, device: &Device) -> Result<()> {
    let step = "check device";
    let shown = device.path.to_string_lossy();
    if is_root(&device.path, step)? {
        return Err(Error::invalid(step, shown, "the root itself is no device"));
    }
    if description.rootfs.is_none() {
        return Err(devices_need_root(&shown));
    }
    // The kernel's MINORBITS is 20, and the major number has the other 12.
    let fits = device.major < 1 << 12 && device.minor < 1 << 20;
    if device.kind != DeviceKind::Fifo && !fits {
        let object = format!("{shown} {}:{}", device.major, device.minor);
        let reason = "a major number is at most 4095, a minor number at most 1048575";
        return Err(Error::invalid(step, object, reason));
    }
    Ok(())
}

fn devices_need_root(path: &str) -> Error {
    let reason = "needs a root of its own: it would be made on the host";
    Error::invalid("check device", path, reason).hint("add ProcessBuilder::rootfs")
}

fn check_label(label: Option<&OsStr>) -> Result<()> {
    let Some(label) = label else {
        return Ok(());
    };
    let step = "check mount label";
    let shown = label.to_string_lossy();
    c_string(step, label)?;
    if label.is_empty() || label.len() > 255 {
        let reason = format!("{} bytes; a label has 1 to 255", label.as_bytes().len());
        return Err(Error::invalid(step, shown, reason));
    }
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        let reason = "SELinux is not in use: selinuxfs is not mounted at /sys/fs/selinux";
        return Err(Error::with(ErrorKind::Unsupported, step, shown, reason)
            .hint("leave the label away on this machine"));
    }
    Ok(())
}
