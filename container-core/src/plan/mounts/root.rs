//! The root: taken, attached, entered.

use std::ffi::CString;
use std::path::Path;

use super::super::assemble::Assembly;
use super::super::op::{Op, Slot};
use super::super::validate::absolute;
use super::{Context, make_read_only, source};
use crate::error::{Error, Result};
use crate::mount::{Attributes, Propagation, Rootfs, Source};
use crate::process::Description;

/// The root in a slot, attached so that it can be mounted on.
pub(super) fn add(assembly: &mut Assembly, context: &Context<'_>) -> Result<Slot> {
    let Some(rootfs) = &context.description.rootfs else {
        let out = assembly.slot();
        let flags = (libc::O_PATH | libc::O_DIRECTORY) as u64;
        let path = CString::from(c"/");
        assembly.push(Op::OpenPath { path, flags, out }, "targets are resolved from here");
        return Ok(out);
    };
    let why = "the container's root";
    let root = match context.prepared.of_root() {
        Some(at) => assembly.prepared(at),
        None => source::open(assembly, context, "check rootfs", &rootfs.source, why)?,
    };
    if source::is_attached(&rootfs.source) {
        let Attributes { set, clear } = Attributes::default();
        let (propagation, why) = match rootfs.propagation {
            Some((Propagation::Slave | Propagation::Shared, _)) => {
                (Propagation::Slave, "what the host mounts below it later shows inside")
            }
            _ => (Propagation::Private, "what the host mounts below it later does not show inside"),
        };
        let propagation = propagation.flag() as u32;
        assembly
            .push(Op::MountSetattr { slot: root, set, clear, propagation, recursive: true }, why);
    }
    match attach_at(context.description, rootfs) {
        Some(path) => assembly.push(
            Op::AttachAt { mount: root, path: absolute("check rootfs", path)? },
            "attached where hooks look for it, the root can be mounted on",
        ),
        None => assembly.push(
            Op::AttachRoot(root),
            "attached on top of the old root, the new one can be mounted on and pivoted to",
        ),
    }
    Ok(root)
}

/// Where the root is attached, if not on top of the old one.
pub(super) fn attach_at<'a>(description: &Description, rootfs: &'a Rootfs) -> Option<&'a Path> {
    let own = match &rootfs.source {
        Source::Bind { path, .. } if description.stops_before_pivot => Some(path.as_path()),
        _ => None,
    };
    rootfs.attach_at.as_deref().or(own)
}

/// The end of the mount part: the root is switched.
pub(super) fn enter(assembly: &mut Assembly, description: &Description, root: Slot) -> Result<()> {
    let Some(rootfs) = &description.rootfs else {
        assembly.push(Op::Close(root), "done with it");
        assembly.reuse(root);
        return Ok(());
    };
    if rootfs.read_only {
        let why = "the root is read-only, now that every mount target is there";
        make_read_only(assembly, root, why);
    }
    if rootfs.no_pivot {
        let below = match &rootfs.source {
            Source::Bind { path, .. } => Some(path.as_path()),
            _ => None,
        };
        for path in host_kernel_mounts(below)? {
            let why = "the host's processes and settings are not left behind the new root";
            assembly.push(Op::Unmount(path), why);
        }
        let move_there = attach_at(description, rootfs).is_some();
        assembly.push(
            Op::Chroot { root, move_there },
            "on top of the old root, which can't be left where pivot_root is impossible",
        );
    } else {
        assembly.push(
            Op::PivotRoot(root),
            "the new root takes the old one's place, and the host's tree is let go",
        );
    }
    assembly.reuse(root);
    let late = match rootfs.propagation {
        Some((propagation, true)) => Some((propagation, true)),
        Some((propagation @ (Propagation::Shared | Propagation::Unbindable), false)) => {
            Some((propagation, false))
        }
        _ => None,
    };
    if let Some((propagation, recursive)) = late {
        let flags = propagation.flag();
        assembly.push(Op::Propagation { flags, recursive }, "the root's propagation as described");
    }
    Ok(())
}

/// Where procfs and sysfs are mounted on the host, the innermost first, but
/// for those in the new root.
fn host_kernel_mounts(root: Option<&Path>) -> Result<Vec<CString>> {
    let path = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(path).map_err(|error| Error::os("read", path, error))?;
    let mounts = text.lines().rev().filter_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let kind = kind.split(' ').next()?;
        let point = fields.split(' ').nth(4)?;
        let host = root.is_none_or(|root| !Path::new(point).starts_with(root));
        (matches!(kind, "proc" | "sysfs") && host).then(|| unescaped(point))
    });
    mounts.map(|point| absolute("check rootfs", Path::new(&point))).collect()
}

/// mountinfo writes blanks and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}
