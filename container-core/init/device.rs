//! Directories, device nodes and links (mknod(2)).

use crate::kernel::{
    self, AT_EMPTY_PATH, EEXIST, EINVAL, Errno, O_NOFOLLOW, O_PATH, RESOLVE_NO_SYMLINKS, Text, sys,
};
use crate::machine::Machine;
use crate::raw::nr;
use crate::target::Target;
use crate::wire::{Op, code};

/// In a node's `x`, above the mode.
const STRICT: u64 = 1 << 32;

pub fn perform(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    match op.code {
        code::MKDIR => sys!(nr::MKDIRAT, machine.slot(op.a)?, machine.text(op.s).0, op.x).map(drop),
        code::MKNOD => {
            sys!(nr::MKNODAT, machine.slot(op.a)?, machine.text(op.s).0, op.x, op.y).map(drop)
        }
        code::SYMLINK => {
            let (target, name) = (machine.text(op.t), machine.text(op.s));
            sys!(nr::SYMLINKAT, target.0, machine.slot(op.a)?, name.0).map(drop)
        }
        code::DEVICE_NODE => in_parent(machine, op, op.x & STRICT != 0, node),
        code::DEVICE_LINK => in_parent(machine, op, true, link),
        _ => Err(EINVAL),
    }
}

/// Works in the directory that the operation's path leads to.
fn in_parent(
    machine: &mut Machine,
    op: &Op,
    strict: bool,
    work: fn(&mut Machine, &Op, i32, Text) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let root = machine.slot(op.a)?;
    let target = Target { root, path: op.s, strict, make: 0, mode: 0 };
    let (parent, name) = target.open_parent(machine)?;
    let done = work(machine, op, parent, name);
    kernel::close(parent);
    done
}

/// Makes a node, or finds it there: what is there must be the same.
fn node(machine: &mut Machine, op: &Op, parent: i32, name: Text) -> Result<(), Errno> {
    let mode = op.x & !STRICT;
    machine.detail = "mknodat";
    let made = match sys!(nr::MKNODAT, parent, name.0, mode, op.y) {
        Ok(_) => true,
        Err(EEXIST) => false,
        Err(errno) => return Err(errno),
    };
    machine.detail = "openat2";
    let node = kernel::open_in(parent, name, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
    let node = if made { node? } else { node.map_err(|_| EEXIST)? };
    machine.detail = if made { "statx" } else { "something else is there" };
    let fifo = mode & 0o17_0000 == 0o1_0000;
    let same = kernel::stat(node).is_ok_and(|found| {
        u64::from(found.kind()) == mode & 0o17_0000 && (fifo || found.device() == op.y)
    });
    let done = if !same {
        Err(EEXIST)
    } else if made && (op.b != 0 || op.c != 0) {
        machine.detail = "fchownat";
        sys!(nr::FCHOWNAT, node, Text::EMPTY.0, op.b, op.c, AT_EMPTY_PATH).map(drop)
    } else {
        Ok(())
    };
    kernel::close(node);
    done
}

/// Makes a link where nothing is.
fn link(machine: &mut Machine, op: &Op, parent: i32, name: Text) -> Result<(), Errno> {
    machine.detail = "symlinkat";
    match sys!(nr::SYMLINKAT, machine.text(op.t).0, parent, name.0) {
        Ok(_) | Err(EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}
