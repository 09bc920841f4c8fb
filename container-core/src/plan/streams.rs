//! The standard streams, the terminal and the passed descriptors of a plan.

use std::ffi::CString;

use super::assemble::Assembly;
use super::compile::Scope;
use super::op::{Op, Slot};
use super::supervise::supervised;
use super::validate::absolute;
use super::wire::target;
use crate::error::{Error, Result};
use crate::mount::Source;
use crate::process::{Description, Stdio};
use crate::user::User;

/// The standard streams to open for each process; a terminal replaces all.
pub(super) fn streams(description: &Description) -> [Stdio; 3] {
    if description.terminal.is_some() {
        return [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit];
    }
    let streams = description.streams.clone();
    if description.supervision.is_some() { supervised(streams) } else { streams }
}

/// How many of them get a slot.
pub(super) fn count_slots(streams: &[Stdio; 3]) -> u32 {
    streams.iter().filter(|stream| has_slot(stream)).count() as u32
}

fn has_slot(stream: &Stdio) -> bool {
    !matches!(stream, Stdio::Inherit)
}

impl Scope<'_> {
    /// Puts the standard streams and passed descriptors in their places.
    pub(super) fn add_streams(&self, assembly: &mut Assembly) -> Result<Option<Slot>> {
        let streams = streams(self.description);
        // Before the terminal is opened, which takes the lowest free number.
        for (index, passed) in self.description.passed.iter().enumerate() {
            let slot = assembly.slot_of(passed).ok_or_else(|| {
                Error::invalid("make plan", "passed descriptor", "a descriptor without a slot")
            })?;
            let op = Op::Dup { slot, to: 3 + index as u32 };
            assembly.push(op, "a descriptor passed on purpose");
        }
        let mut terminal = None;
        if let Some(size) = self.description.terminal {
            let path = self.multiplexer()?;
            let out = assembly.slot();
            let owner = self.user.map_or(0, User::uid);
            assembly.push(
                Op::OpenPty { path, rows: size.rows, columns: size.columns, owner, out },
                "a terminal of the container's own; its master goes to the parent",
            );
            self.add_console(assembly, out)?;
            for to in 0..3 {
                assembly.push(Op::Dup { slot: out, to }, "the terminal is the standard stream");
            }
            terminal = Some(out);
        }
        let mut slot = 0;
        for (to, stream) in streams.iter().enumerate() {
            if has_slot(stream) {
                let op = Op::Dup { slot: Slot(slot), to: to as u32 };
                assembly.push(op, "the standard stream as described");
                slot += 1;
            }
        }
        Ok(terminal)
    }

    /// The terminal as `/dev/console`, where `/dev` is the container's own.
    fn add_console(&self, assembly: &mut Assembly, terminal: Slot) -> Result<()> {
        let own = self.description.mounts.iter().rev().find(|mount| mount.target() == "/dev");
        let own = own.is_some_and(|mount| mount.source.kind().is_some());
        if !own || self.description.rootfs.is_none() {
            return Ok(());
        }
        let (root, tree, place) = (assembly.slot(), assembly.slot(), assembly.slot());
        let flags = (libc::O_PATH | libc::O_DIRECTORY) as u64;
        let slash = CString::from(c"/");
        let why = "the new root, to resolve the target in";
        assembly.push(Op::OpenPath { path: slash, flags, out: root }, why);
        let why = "the terminal's own node, by its descriptor";
        assembly.push(Op::OpenTreeOf { slot: terminal, out: tree }, why);
        let (path, mode) = (CString::from(c"dev/console"), 0o600);
        let make = target::FILE | target::NO_SYMLINKS;
        let why = "where programs look for the console";
        assembly.push(Op::Target { root, path: path.clone(), make, mode, out: place }, why);
        let why = "the console is the container's terminal";
        assembly.push(Op::MoveMount { mount: tree, target: place, path }, why);
        assembly.push(Op::Close(root), "done with it");
        [place, tree, root].into_iter().for_each(|slot| assembly.reuse(slot));
        Ok(())
    }

    /// Where the pty multiplexer is: in the mounted devpts, if there is one.
    fn multiplexer(&self) -> Result<CString> {
        let devpts = self.description.mounts.iter().rev().find(
            |mount| matches!(&mount.source, Source::FileSystem { kind, .. } if kind == "devpts"),
        );
        match devpts {
            Some(mount) => absolute("check terminal", &mount.target.join("ptmx")),
            None if self.description.enter.is_some() => Ok(CString::from(c"/dev/pts/ptmx")),
            None if self.description.rootfs.is_none() => Ok(CString::from(c"/dev/ptmx")),
            None => Err(Error::invalid("check terminal", "", "a terminal needs a devpts mount")
                .hint("add Mount::devpts(\"/dev/pts\")")),
        }
    }
}
