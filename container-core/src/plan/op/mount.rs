//! Operations on mounts and files.

use super::super::encode::Encoder;
use super::super::wire::{self, code};
use super::{Op, op, shown};
use crate::mount::{Propagation, attribute_names};

impl Op {
    pub(super) fn encode_mount(&self, to: &mut Encoder) -> Option<wire::Op> {
        Some(match self {
            Self::Propagation { flags, recursive } => {
                wire::Op { a: u32::from(!*recursive), x: *flags, ..op(code::PROPAGATION) }
            }
            Self::OpenTree { path, recursive, out } => wire::Op {
                a: wire::CWD,
                b: out.0,
                x: OPEN_TREE_CLONE | if *recursive { AT_RECURSIVE } else { 0 },
                s: to.text(path),
                ..op(code::OPEN_TREE)
            },
            Self::OpenTreeOf { slot, out } => wire::Op {
                a: slot.0,
                b: out.0,
                x: OPEN_TREE_CLONE,
                s: to.text(c""),
                ..op(code::OPEN_TREE)
            },
            Self::MountSetattr { slot, set, clear, propagation, recursive } => wire::Op {
                a: slot.0,
                b: if *recursive { wire::setattr::RECURSIVE } else { 0 },
                c: *propagation,
                x: *set,
                y: *clear,
                ..op(code::MOUNT_SETATTR)
            },
            Self::FsOpen { kind, out } => {
                wire::Op { b: out.0, s: to.text(kind), ..op(code::FS_OPEN) }
            }
            Self::FsSet { context, key, value } => {
                wire::Op { a: context.0, s: to.text(key), t: to.text(value), ..op(code::FS_SET) }
            }
            Self::FsFlag { context, key } => {
                wire::Op { a: context.0, s: to.text(key), ..op(code::FS_FLAG) }
            }
            Self::FsCreate { context } => wire::Op { a: context.0, ..op(code::FS_CREATE) },
            Self::FsMount { context, attributes, out } => {
                wire::Op { a: context.0, b: out.0, x: *attributes, ..op(code::FS_MOUNT) }
            }
            Self::AttachRoot(slot) => wire::Op { a: slot.0, ..op(code::ATTACH_ROOT) },
            Self::AttachAt { mount, path } => {
                wire::Op { a: mount.0, s: to.text(path), ..op(code::ATTACH_AT) }
            }
            Self::Target { root, path, make, mode, out } => wire::Op {
                a: root.0,
                b: out.0,
                c: *make,
                x: u64::from(*mode),
                s: to.text(path),
                ..op(code::TARGET)
            },
            Self::MoveMount { mount, target, .. } => {
                wire::Op { a: mount.0, b: target.0, ..op(code::MOVE_MOUNT) }
            }
            Self::Mask { root, path, null } => {
                wire::Op { a: root.0, b: null.0, s: to.text(path), ..op(code::MASK) }
            }
            Self::ReadOnly { root, path } => {
                wire::Op { a: root.0, s: to.text(path), ..op(code::READ_ONLY) }
            }
            Self::PivotRoot(slot) => wire::Op { a: slot.0, ..op(code::PIVOT_ROOT) },
            Self::Chroot { root, move_there } => {
                wire::Op { a: root.0, b: u32::from(*move_there), ..op(code::CHROOT) }
            }
            Self::Unmount(path) => wire::Op { s: to.text(path), ..op(code::UNMOUNT) },
            _ => return None,
        })
    }

    /// The call and its object.
    pub(super) fn name_mount(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::Propagation { flags, recursive } => {
                let name = Propagation::flag_name(*flags);
                let extent = if *recursive { ", recursive" } else { "" };
                ("mount_setattr", format!("/ {name}{extent}"))
            }
            Self::OpenTree { path, .. } => ("open_tree", shown(path)),
            Self::OpenTreeOf { .. } => ("open_tree", "descriptor".into()),
            Self::MountSetattr { set, clear, propagation, recursive, .. } => {
                let attributes = attribute_names(*set, *clear);
                let propagation = Propagation::flag_name(u64::from(*propagation));
                let extent = if *recursive { "recursive" } else { "" };
                let parts = [attributes.as_str(), propagation, extent];
                let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                ("mount_setattr", parts.join(","))
            }
            Self::FsOpen { kind, .. } => ("fsopen", shown(kind)),
            Self::FsSet { key, value, .. } => {
                ("fsconfig", format!("{}={}", shown(key), shown(value)))
            }
            Self::FsFlag { key, .. } => ("fsconfig", shown(key)),
            Self::FsCreate { .. } => ("fsconfig", "create".into()),
            Self::FsMount { attributes, .. } => ("fsmount", attribute_names(*attributes, 0)),
            Self::AttachRoot(_) => ("move_mount", "/".into()),
            Self::AttachAt { path, .. } => ("move_mount", shown(path)),
            Self::Target { path, .. } => ("openat2", format!("/{}", shown(path))),
            Self::MoveMount { path, .. } => ("move_mount", format!("/{}", shown(path))),
            Self::Mask { path, .. } => ("mask", format!("/{}", shown(path))),
            Self::ReadOnly { path, .. } => ("make read-only", format!("/{}", shown(path))),
            Self::PivotRoot(_) => ("pivot_root", ".".into()),
            Self::Chroot { .. } => ("chroot", ".".into()),
            Self::Unmount(path) => ("umount2", shown(path)),
            _ => return None,
        })
    }
}

const OPEN_TREE_CLONE: u64 = 1;
const AT_RECURSIVE: u64 = 0x8000;
