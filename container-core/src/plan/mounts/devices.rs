//! Device nodes: the default ones and those described.

use std::ffi::CString;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::super::assemble::Assembly;
use super::super::op::{DeviceNumber, Op, Slot};
use super::super::validate::{absolute, c_string, inside};
use super::super::wire::target;
use super::{Context, place};
use crate::error::{Error, ErrorKind, Result};
use crate::mount::{Device, DeviceKind};

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

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

const EXPECTED: &str = "a device that every program expects";
const NO_MKNOD: &str = "mknod is not for user namespaces: the host's device";

fn character((major, minor): (u32, u32)) -> DeviceNumber {
    DeviceNumber { block: false, major, minor }
}

/// What a new `/dev` holds from the start, made while it is in a slot.
pub(super) fn fill_dev(assembly: &mut Assembly, dir: Slot, can_mknod: bool) -> Result<()> {
    for (name, device) in DEVICES.into_iter().filter(|_| can_mknod) {
        let name = c_string("device", name.as_ref())?;
        let mode = libc::S_IFCHR | 0o666;
        assembly.push(Op::Mknod { dir, name, mode, device }, EXPECTED);
    }
    for (name, to) in LINKS {
        let (name, target) = (c_string("link", name.as_ref())?, c_string("link", to.as_ref())?);
        assembly.push(Op::Symlink { dir, name, target }, "a name that every program expects");
    }
    Ok(())
}

/// Where `mknod` is forbidden (in a user namespace), the host's own devices.
pub(super) fn bind_defaults(assembly: &mut Assembly, root: Slot, dev: &CString) -> Result<()> {
    for (name, device) in DEVICES {
        let inside = format!("{}/{name}", dev.to_string_lossy());
        let host = PathBuf::from(format!("/dev/{name}"));
        bind(assembly, root, &host, character(device), c_string("device", inside.as_ref())?)?;
    }
    Ok(())
}

/// The devices described, and the default ones where `/dev` is not
/// [`Mount::dev`](crate::Mount::dev).
pub(super) fn add(assembly: &mut Assembly, context: &Context<'_>, root: Slot) -> Result<()> {
    let description = context.description;
    if description.default_devices {
        for (name, (major, minor)) in DEVICES {
            let path = PathBuf::from(format!("/dev/{name}"));
            let given = description.devices.iter().any(|device| device.path == path);
            if !given {
                let device = Device::character(path, major, minor);
                add_one(assembly, context, root, &device, EXPECTED)?;
            }
        }
        for (name, to) in LINKS {
            let path = c_string("link", format!("dev/{name}").as_ref())?;
            let target = c_string("link", to.as_ref())?;
            let why = "a name that every program expects";
            assembly.push(Op::DeviceLink { root, path, target }, why);
        }
    }
    for device in &description.devices {
        add_one(assembly, context, root, device, "a device as described")?;
    }
    Ok(())
}

fn add_one(
    assembly: &mut Assembly,
    context: &Context<'_>,
    root: Slot,
    device: &Device,
    why: &'static str,
) -> Result<()> {
    let path = inside("check device", &device.path)?;
    let number = DeviceNumber {
        block: device.kind == DeviceKind::Block,
        major: device.major,
        minor: device.minor,
    };
    if context.can_mknod || device.kind == DeviceKind::Fifo {
        let mode = device.kind.mode_bits() | device.mode;
        let (uid, gid) = (device.uid, device.gid);
        let strict = device.path.starts_with("/dev");
        let op = Op::DeviceNode { root, path, mode, device: number, uid, gid, strict };
        assembly.push(op, why);
        return Ok(());
    }
    bind(assembly, root, &node_of_host(device)?, number, path)
}

fn bind(
    assembly: &mut Assembly,
    root: Slot,
    host: &Path,
    device: DeviceNumber,
    path: CString,
) -> Result<()> {
    let out = assembly.slot();
    let host = absolute("check device", host)?;
    assembly.push(Op::OpenTree { path: host, recursive: false, out }, NO_MKNOD);
    assembly.push(
        Op::CheckDevice { slot: out, device },
        "nothing that took the device's place on the host",
    );
    let strict = if path.as_bytes().starts_with(b"dev/") { target::NO_SYMLINKS } else { 0 };
    place(assembly, out, root, path, target::FILE | strict);
    Ok(())
}

/// The host's node of the same kind and numbers: at the same path, else where
/// the kernel itself would name it.
fn node_of_host(device: &Device) -> Result<PathBuf> {
    let same = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| {
            let kind = found.file_type();
            let kind = match device.kind {
                DeviceKind::Block => kind.is_block_device(),
                _ => kind.is_char_device(),
            };
            kind && found.rdev() == libc::makedev(device.major, device.minor)
        })
    };
    if same(&device.path) {
        return Ok(device.path.clone());
    }
    let class = if device.kind == DeviceKind::Block { "block" } else { "char" };
    let (major, minor) = (device.major, device.minor);
    let uevent = std::fs::read_to_string(format!("/sys/dev/{class}/{major}:{minor}/uevent"));
    let named = uevent.ok().and_then(|text| {
        let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
        Some(Path::new("/dev").join(name))
    });
    named.filter(|path| same(path)).ok_or_else(|| {
        let object = format!("{} {} {major}:{minor}", device.path.display(), device.kind.letter());
        let reason = "the host has no node of this device to bind";
        Error::with(ErrorKind::NotFound, "check device", object, reason)
            .hint("in a user namespace no device can be made")
    })
}
