//! The mount part of a plan: root, mounts, masks, pivot.

use std::collections::VecDeque;
use std::ffi::{CString, OsString};
use std::os::fd::AsFd;

use super::assemble::Assembly;
use super::op::{Op, Slot};
use super::validate::{absolute, c_string, inside};
use super::wire::target;
use crate::error::{Error, Result};
use crate::mount::{ATIME, Mount, NOATIME, NODEV, Propagation, RDONLY, Source};
use crate::process::Description;

/// The character devices that every container has, and their numbers
/// (`Documentation/admin-guide/devices.txt`).
const DEVICES: [(&str, (u32, u32)); 6] = [
    ("null", (1, 3)),
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];

const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Adds the operations from private mounts to the pivot.
pub(super) fn add(
    assembly: &mut Assembly,
    description: &Description,
    can_mknod: bool,
) -> Result<()> {
    let mut shared = open_shared(assembly, description)?;
    assembly
        .push(Op::Propagation(Propagation::Slave.flag()), "no mount made here shows on the host");
    let changes = description.rootfs.is_some()
        || !description.mounts.is_empty()
        || !description.masked.is_empty()
        || !description.read_only.is_empty();
    if !changes {
        return Ok(());
    }
    assembly.push(Op::Umask(0), "modes below are meant as written");
    let root = add_root(assembly, description)?;
    for mount in &description.mounts {
        let opened = if is_shared_bind(mount) { shared.pop_front() } else { None };
        add_mount(assembly, mount, opened, root, can_mknod)?;
    }
    add_masks(assembly, description, root)?;
    let Some(rootfs) = &description.rootfs else {
        assembly.push(Op::Close(root), "done with it");
        assembly.reuse(root);
        return Ok(());
    };
    if rootfs.read_only {
        assembly.push(
            Op::MountSetattr {
                slot: root,
                set: RDONLY,
                clear: 0,
                propagation: 0,
                recursive: false,
            },
            "the root is read-only, now that every mount target is there",
        );
    }
    assembly.push(
        Op::PivotRoot(root),
        "the new root takes the old one's place, and the host's tree is let go",
    );
    assembly.reuse(root);
    Ok(())
}

fn is_shared_bind(mount: &Mount) -> bool {
    mount.propagation == Some(Propagation::Shared) && matches!(mount.source, Source::Bind { .. })
}

/// The sources that stay peers of the host's mounts are taken while these
/// still are.
fn open_shared(assembly: &mut Assembly, description: &Description) -> Result<VecDeque<Slot>> {
    let mounts = description.mounts.iter().filter(|mount| is_shared_bind(mount));
    mounts.map(|mount| add_source(assembly, "check mount", &mount.source, 0, mount.why)).collect()
}

fn add_root(assembly: &mut Assembly, description: &Description) -> Result<Slot> {
    let Some(rootfs) = &description.rootfs else {
        let out = assembly.slot();
        let flags = (libc::O_PATH | libc::O_DIRECTORY) as u64;
        let path = CString::from(c"/");
        assembly.push(Op::OpenPath { path, flags, out }, "targets are resolved from here");
        return Ok(out);
    };
    let why = "the container's root";
    let root = add_source(assembly, "check rootfs", &rootfs.source, 0, why)?;
    if is_attached(&rootfs.source) {
        let propagation = Propagation::Private.flag() as u32;
        assembly.push(
            Op::MountSetattr { slot: root, set: 0, clear: 0, propagation, recursive: true },
            "what the host mounts below it later does not show inside",
        );
    }
    assembly.push(
        Op::AttachRoot(root),
        "attached on top of the old root, the new one can be mounted on and pivoted to",
    );
    Ok(root)
}

/// The operations that end with the source's mount in a slot.
fn add_source(
    assembly: &mut Assembly,
    step: &'static str,
    source: &Source,
    attributes: u64,
    why: &'static str,
) -> Result<Slot> {
    match source {
        Source::Bind { path, recursive } => {
            let out = assembly.slot();
            let path = absolute(step, path)?;
            assembly.push(Op::OpenTree { path, recursive: *recursive, out }, why);
            Ok(out)
        }
        Source::FileSystem { kind, options } => {
            let kind = c_string(step, kind)?;
            add_file_system(assembly, step, kind, options, attributes, why)
        }
        Source::Dev { options } => {
            add_file_system(assembly, step, CString::from(c"tmpfs"), options, attributes, why)
        }
        Source::Detached(mount) => assembly
            .slot_of(mount)
            .ok_or_else(|| Error::invalid(step, "", "a detached mount without a slot")),
    }
}

fn add_file_system(
    assembly: &mut Assembly,
    step: &'static str,
    kind: CString,
    options: &[(OsString, Option<OsString>)],
    attributes: u64,
    why: &'static str,
) -> Result<Slot> {
    let (context, out) = (assembly.slot(), assembly.slot());
    assembly.push(Op::FsOpen { kind, out: context }, why);
    for (key, value) in options {
        let key = c_string(step, key)?;
        let op = match value {
            Some(value) => Op::FsSet { context, key, value: c_string(step, value)? },
            None => Op::FsFlag { context, key },
        };
        assembly.push(op, "an option of this file system");
    }
    assembly.push(Op::FsCreate { context }, "it comes to be, with these options");
    assembly.push(Op::FsMount { context, attributes, out }, "a mount of it, attached nowhere yet");
    assembly.reuse(context);
    Ok(out)
}

/// Whether the source is a mount that may have peers on the host.
fn is_attached(source: &Source) -> bool {
    matches!(source, Source::Bind { .. } | Source::Detached(_))
}

fn add_mount(
    assembly: &mut Assembly,
    mount: &Mount,
    opened: Option<Slot>,
    root: Slot,
    can_mknod: bool,
) -> Result<()> {
    let step = "check mount";
    let path = inside(step, &mount.target)?;
    let is_dev = matches!(mount.source, Source::Dev { .. });
    // Devices must open in /dev.
    let attributes = if is_dev { mount.attributes & !NODEV } else { mount.attributes };
    let slot = match opened {
        Some(slot) => slot,
        None => add_source(assembly, step, &mount.source, attributes, mount.why)?,
    };
    let attached = is_attached(&mount.source);
    let set = if attached { attributes } else { 0 };
    if attached || mount.propagation.is_some() {
        let recursive = matches!(mount.source, Source::Bind { recursive: true, .. });
        // The access time is one setting of several values: the old one goes.
        let clear = if set & NOATIME != 0 { ATIME } else { 0 };
        let propagation = mount.propagation.unwrap_or(Propagation::Private).flag() as u32;
        assembly.push(
            Op::MountSetattr { slot, set, clear, propagation, recursive },
            "its attributes, set before anyone can reach it",
        );
    }
    if is_dev && can_mknod {
        add_device_nodes(assembly, slot)?;
    }
    if is_dev {
        add_device_links(assembly, slot)?;
    }
    let make = if makes_directory(&mount.source)? { target::DIRECTORY } else { target::FILE };
    let strict = if mount.strict { target::NO_SYMLINKS } else { 0 };
    place(assembly, slot, root, path.clone(), make | strict);
    if is_dev && !can_mknod {
        add_device_binds(assembly, root, &path)?;
    }
    Ok(())
}

/// Resolves the target inside the root and puts the mount there.
fn place(assembly: &mut Assembly, mount: Slot, root: Slot, path: CString, make: u32) {
    let out = assembly.slot();
    let mode = if make & target::FILE != 0 { 0o644 } else { 0o755 };
    assembly.push(
        Op::Target { root, path: path.clone(), make, mode, out },
        "the target, resolved inside the root and made if missing",
    );
    assembly.push(
        Op::MoveMount { mount, target: out, path },
        "by descriptor: what the root holds can't lead it elsewhere",
    );
    assembly.reuse(mount);
    assembly.reuse(out);
}

fn makes_directory(source: &Source) -> Result<bool> {
    match source {
        Source::Bind { path, .. } => std::fs::metadata(path)
            .map(|found| found.is_dir())
            .map_err(|error| Error::os("check mount", path.to_string_lossy(), error)),
        Source::Detached(mount) => {
            let stat = nix::sys::stat::fstat(mount.as_fd())
                .map_err(|error| Error::os("fstat", "detached mount", error))?;
            Ok(stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
        }
        Source::FileSystem { .. } | Source::Dev { .. } => Ok(true),
    }
}

fn add_device_nodes(assembly: &mut Assembly, dir: Slot) -> Result<()> {
    for (name, device) in DEVICES {
        let name = c_string("device", name.as_ref())?;
        let mode = libc::S_IFCHR | 0o666;
        assembly.push(Op::Mknod { dir, name, mode, device }, "a device that every program expects");
    }
    Ok(())
}

fn add_device_links(assembly: &mut Assembly, dir: Slot) -> Result<()> {
    for (name, to) in DEVICE_LINKS {
        let (name, target) = (c_string("link", name.as_ref())?, c_string("link", to.as_ref())?);
        assembly.push(Op::Symlink { dir, name, target }, "a name that every program expects");
    }
    Ok(())
}

/// Where `mknod` is forbidden (in a user namespace), the host's own devices.
fn add_device_binds(assembly: &mut Assembly, root: Slot, dev: &CString) -> Result<()> {
    for (name, device) in DEVICES {
        let host = c_string("device", format!("/dev/{name}").as_ref())?;
        let inside = format!("{}/{name}", dev.to_string_lossy());
        let out = assembly.slot();
        let why = "mknod is not for user namespaces: the host's device";
        assembly.push(Op::OpenTree { path: host, recursive: false, out }, why);
        assembly.push(
            Op::CheckDevice { slot: out, device },
            "nothing that took the device's place on the host",
        );
        let make = target::FILE | target::NO_SYMLINKS;
        place(assembly, out, root, c_string("device", inside.as_ref())?, make);
    }
    Ok(())
}

fn add_masks(assembly: &mut Assembly, description: &Description, root: Slot) -> Result<()> {
    for path in &description.read_only {
        let path = inside("check path", path)?;
        assembly
            .push(Op::ReadOnly { root, path }, "settings of the whole machine: not to be changed");
    }
    if description.masked.is_empty() {
        return Ok(());
    }
    let null = assembly.slot();
    let path = CString::from(c"/dev/null");
    assembly.push(
        Op::OpenPath { path, flags: libc::O_PATH as u64, out: null },
        "the cover of masked files, taken from the host's side",
    );
    assembly
        .push(Op::CheckDevice { slot: null, device: (1, 3) }, "it must be the null device itself");
    for path in &description.masked {
        let path = inside("check path", path)?;
        assembly.push(Op::Mask { root, path, null }, "tells or does things that concern the host");
    }
    assembly.push(Op::Close(null), "done with it");
    assembly.reuse(null);
    Ok(())
}
