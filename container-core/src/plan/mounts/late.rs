//! File systems in memory that are read-only in the end: what they are to hold
//! (copies, devices, mount targets) has to be made in them first.

use super::super::assemble::Assembly;
use super::super::op::Op;
use super::super::op::Slot;
use super::super::validate::inside;
use super::super::wire::target;
use super::{Context, make_read_only};
use crate::error::Result;
use crate::mount::{Mount, RDONLY};

/// Whether things are made in it before it becomes read-only.
pub(super) fn is_filled(mount: &Mount) -> bool {
    mount.source.kind().is_some_and(|kind| kind == "tmpfs")
}

pub(super) fn add(assembly: &mut Assembly, context: &Context<'_>, root: Slot) -> Result<()> {
    let mounts = &context.mounts;
    for (index, mount) in mounts.iter().enumerate() {
        let read_only = mount.tree.then(mount.top).set & RDONLY != 0;
        let covered = mounts.iter().skip(index + 1).any(|later| later.target == mount.target);
        if !read_only || !is_filled(mount) || covered {
            continue;
        }
        let path = inside("check mount", &mount.target)?;
        let strict = if mount.strict { target::NO_SYMLINKS } else { 0 };
        if context.description.terminal.is_some() && path.as_bytes() == b"dev" {
            let (path, out) = (c"dev/console".into(), assembly.slot());
            let make = target::FILE | target::NO_SYMLINKS;
            let why = "the place of the console, while it can be made";
            assembly.push(Op::Target { root, path, make, mode: 0o600, out }, why);
            assembly.push(Op::Close(out), "done with it");
            assembly.reuse(out);
        }
        let out = assembly.slot();
        let why = "the file system, now that it holds what it should";
        assembly.push(Op::Target { root, path, make: strict, mode: 0, out }, why);
        make_read_only(assembly, out, "nothing more is made in it");
        assembly.push(Op::Close(out), "done with it");
        assembly.reuse(out);
    }
    Ok(())
}
