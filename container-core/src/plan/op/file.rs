//! Operations on files and devices.

use std::fmt;

use super::super::encode::Encoder;
use super::super::wire::{self, code};
use super::{DeviceNumber, Op, op, shown};

/// In [`code::DEVICE_NODE`]'s `x`, above the mode.
const STRICT: u64 = 1 << 32;

impl Op {
    pub(super) fn encode_file(&self, to: &mut Encoder) -> Option<wire::Op> {
        Some(match self {
            Self::Mkdir { dir, name, mode } => {
                wire::Op { a: dir.0, x: u64::from(*mode), s: to.text(name), ..op(code::MKDIR) }
            }
            Self::Mknod { dir, name, mode, device: (major, minor) } => wire::Op {
                a: dir.0,
                x: u64::from(*mode),
                y: libc::makedev(*major, *minor),
                s: to.text(name),
                ..op(code::MKNOD)
            },
            Self::Symlink { dir, name, target } => {
                wire::Op { a: dir.0, s: to.text(name), t: to.text(target), ..op(code::SYMLINK) }
            }
            Self::CheckDevice { slot, device } => wire::Op {
                a: slot.0,
                c: u32::from(device.block),
                x: u64::from(device.major),
                y: u64::from(device.minor),
                ..op(code::CHECK_DEVICE)
            },
            Self::CopyUp { root, path, to: slot, contents } => wire::Op {
                a: root.0,
                b: slot.0,
                c: u32::from(*contents),
                s: to.text(path),
                ..op(code::COPY_UP)
            },
            Self::DeviceNode { root, path, mode, device, uid, gid, strict } => wire::Op {
                a: root.0,
                b: *uid,
                c: *gid,
                x: u64::from(*mode) | if *strict { STRICT } else { 0 },
                y: libc::makedev(device.major, device.minor),
                s: to.text(path),
                ..op(code::DEVICE_NODE)
            },
            Self::DeviceLink { root, path, target } => wire::Op {
                a: root.0,
                s: to.text(path),
                t: to.text(target),
                ..op(code::DEVICE_LINK)
            },
            Self::Sysctl { path, value } => {
                wire::Op { s: to.text(path), t: to.raw(value), ..op(code::SYSCTL) }
            }
            _ => return None,
        })
    }

    /// The call and its object.
    pub(super) fn name_file(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::Mkdir { name, .. } => ("mkdirat", shown(name)),
            Self::Mknod { name, device: (major, minor), .. } => {
                ("mknodat", format!("{} {major}:{minor}", shown(name)))
            }
            Self::Symlink { name, target, .. } => {
                ("symlinkat", format!("{} -> {}", shown(name), shown(target)))
            }
            Self::CheckDevice { device, .. } => ("check device", device.to_string()),
            Self::CopyUp { path, contents: true, .. } => ("copy up", format!("/{}", shown(path))),
            Self::CopyUp { path, .. } => ("fchmod as", format!("/{}", shown(path))),
            Self::DeviceNode { path, mode, device, .. } => {
                ("mknodat", format!("/{} {device} {:04o}", shown(path), mode & 0o7777))
            }
            Self::DeviceLink { path, target, .. } => {
                ("symlinkat", format!("/{} -> {}", shown(path), shown(target)))
            }
            Self::Sysctl { path, value } => {
                ("write", format!("/proc/sys/{} {}", shown(path), String::from_utf8_lossy(value)))
            }
            _ => return None,
        })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.block { 'b' } else { 'c' };
        write!(f, "{letter} {}:{}", self.major, self.minor)
    }
}
