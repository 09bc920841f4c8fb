//! The system calls that make an overlay.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use super::check::{Place, Places};
use super::data::{self, Settings, VALUE_MAX};
use super::namespace::{Scratch, in_own_mount_namespace};
use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// How this kernel is told the layers of an overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    /// `lowerdir+` with a descriptor each, Linux 6.13.
    Descriptors,
    /// `lowerdir+` with a path each, Linux 6.7.
    Paths,
    /// One string for all, to `mount(2)`.
    Data,
}

/// Finds the interface out by trying, once per process.
pub(crate) fn interface() -> Result<Interface> {
    static FOUND: OnceLock<Interface> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(*found);
    }
    let found = try_interface()?;
    Ok(*FOUND.get_or_init(|| found))
}

fn try_interface() -> Result<Interface> {
    let context = open_context()?;
    let root = rustix::fs::openat(CWD, c"/", sys::DIR_PATH, Mode::empty())
        .map_err(|errno| Error::os("open", "/", errno))?;
    if fsconfig_set_fd(&context, c"lowerdir+", &root).is_ok() {
        return Ok(Interface::Descriptors);
    }
    // A file system that is not yet converted to this interface swallows any option.
    let swallows = fsconfig_set_string(&context, c"no-such-option", c"").is_ok();
    if !swallows && fsconfig_set_string(&context, c"lowerdir+", c"/").is_ok() {
        return Ok(Interface::Paths);
    }
    Ok(Interface::Data)
}

/// Does `lowerdir+` exist? Without the privilege to try, by the kernel's version.
pub(super) fn takes_single_layers() -> bool {
    match interface() {
        Ok(interface) => interface != Interface::Data,
        Err(_) => sys::kernel_version() >= (6, 7),
    }
}

pub(super) fn mount(places: &Places, settings: &Settings, interface: Interface) -> Result<OwnedFd> {
    if interface == Interface::Data {
        return in_own_mount_namespace(|scratch| mount_by_data(places, settings, scratch));
    }
    if places.is_single() {
        return in_own_mount_namespace(|scratch| {
            let places = with_empty_layer(places, scratch)?;
            mount_by_context(&places, settings, interface)
        });
    }
    mount_by_context(places, settings, interface)
}

fn open_context() -> Result<OwnedFd> {
    fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| {
        let error = Error::os("fsopen", "overlay", errno);
        match errno {
            Errno::PERM => error.with_hint(
                "mount as root, or let a process in a user namespace of its own mount with \
                 Stack::options",
            ),
            Errno::NODEV => error.with_hint("load the module: modprobe overlay"),
            Errno::NOSYS => error.with_hint("run on Linux 5.2 or newer"),
            _ => error,
        }
    })
}

fn mount_by_context(places: &Places, settings: &Settings, interface: Interface) -> Result<OwnedFd> {
    let context = open_context()?;
    let options = settings.options();
    for option in &options {
        let result = match &option.value {
            Some(value) => fsconfig_set_string(&context, option.key, value.as_os_str()),
            None => fsconfig_set_flag(&context, option.key),
        };
        result.map_err(|errno| explain(&context, Error::os("fsconfig", option.key, errno)))?;
    }
    for place in &places.lower {
        set_place(&context, "lowerdir+", "fsconfig lowerdir+", place, interface)?;
    }
    if let Some((upper, work)) = &places.writable {
        set_place(&context, "upperdir", "fsconfig upperdir", upper, interface)?;
        set_place(&context, "workdir", "fsconfig workdir", work, interface)?;
    }
    let top = &places.lower[0].path;
    fsconfig_create(&context).map_err(|errno| {
        explain(&context, refine(Error::os("fsconfig create overlay", top, errno), errno))
    })?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .map_err(|errno| explain(&context, Error::os("fsmount overlay", top, errno)))
}

/// By descriptor where the kernel takes it, so that it is the very directory that was checked.
fn set_place(
    context: &OwnedFd,
    key: &'static str,
    step: &'static str,
    place: &Place,
    interface: Interface,
) -> Result<()> {
    let result = match interface {
        Interface::Descriptors => match fsconfig_set_fd(context, key, &place.fd) {
            // Some kernels between refuse descriptors that are O_PATH.
            Err(Errno::BADF) => fsconfig_set_string(context, key, short_name(place)),
            result => result,
        },
        Interface::Paths | Interface::Data => fsconfig_set_string(context, key, short_name(place)),
    };
    result.map_err(|errno| explain(context, Error::os(step, &place.path, errno)))
}

/// The path, where it fits into a value and has nothing in it that would be unescaped.
fn short_name(place: &Place) -> OsString {
    let path = place.path.as_os_str();
    if path.len() > VALUE_MAX || path.as_bytes().contains(&b'\\') {
        return sys::proc_path(place.fd.as_fd()).into();
    }
    path.to_owned()
}

/// In the calling thread's own mount namespace, where the checked descriptors are foreign: the
/// directories are opened again.
fn mount_by_data(places: &Places, settings: &Settings, scratch: &Scratch) -> Result<OwnedFd> {
    let places =
        if places.is_single() { with_empty_layer(places, scratch)? } else { reopened(places)? };
    let data = match data::mount_data(&places.names(), settings) {
        Err(error) if error.kind() == ErrorKind::TooLong => {
            scratch.enter_descriptors()?;
            let numbers = places.names_by(|place| place.fd.as_raw_fd().to_string().into());
            data::mount_data(&numbers, settings)?
        }
        result => result?,
    };
    let target = scratch.target();
    let top = &places.lower[0].path;
    rustix::mount::mount(c"overlay", target, c"overlay", MountFlags::empty(), data.as_c_str())
        .map_err(|errno| refine(Error::os("mount overlay", top, errno), errno))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    scratch.open_target(flags).map_err(|errno| Error::os("open_tree overlay", top, errno))
}

fn reopened(places: &Places) -> Result<Places> {
    let lower = places.lower.iter().map(Place::reopened).collect::<Result<_>>()?;
    let writable = match &places.writable {
        Some((upper, work)) => Some((upper.reopened()?, work.reopened()?)),
        None => None,
    };
    Ok(Places { lower, writable })
}

/// Overlayfs wants two directories: puts an empty one below.
fn with_empty_layer(places: &Places, scratch: &Scratch) -> Result<Places> {
    let mut places = reopened(places)?;
    places.lower.push(scratch.empty_layer()?);
    Ok(places)
}

fn refine(error: Error, errno: Errno) -> Error {
    match errno {
        Errno::LOOP => error
            .with_kind(ErrorKind::OverlappingLayers)
            .with_hint("give each layer, upper and work a directory apart"),
        Errno::BUSY => error.with_hint("the upper or work directory is in use by another mount"),
        Errno::INVAL => error.with_hint(
            "the kernel log may say more; after a volatile mount, the upper directory is not \
             mounted again",
        ),
        _ => error,
    }
}

/// Adds what the kernel wrote into the context's own log.
fn explain(context: &OwnedFd, error: Error) -> Error {
    let mut buffer = [0; 512];
    let mut lines = Vec::new();
    while let Ok(len @ 1..) = rustix::io::read(context, &mut buffer) {
        lines.push(String::from_utf8_lossy(&buffer[..len]).trim().to_owned());
    }
    if lines.is_empty() { error } else { error.with_reason(lines.join(", ")) }
}
