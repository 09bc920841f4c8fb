//! Mount operations, all of the descriptor-based API (fsopen(2),
//! open_tree(2), move_mount(2), mount_setattr(2)): a target is resolved once,
//! inside the root, and what is mounted lands on that very descriptor.

use crate::kernel::{
    self, AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, EINVAL, ENOENT, EPERM, Errno, O_CLOEXEC,
    O_NOFOLLOW, O_PATH, RESOLVE_IN_ROOT, Text, sys,
};
use crate::machine::Machine;
use crate::raw::{nr, nr_all};
use crate::target::Target;
use crate::wire::{Op, code, setattr, target};

const OPEN_TREE_CLONE: usize = 1;
const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;
const MOVE_MOUNT_T_SYMLINKS: usize = 0x10;
const MOVE_MOUNT_T_EMPTY_PATH: usize = 0x40;
const FSCONFIG_SET_FLAG: usize = 0;
const FSCONFIG_SET_STRING: usize = 1;
const FSCONFIG_CMD_CREATE: usize = 6;
const MNT_DETACH: usize = 2;
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;
const MOUNT_ATTR_NOEXEC: u64 = 8;

pub fn perform(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    match op.code {
        code::PROPAGATION => set_attributes(
            AT_FDCWD,
            c"/",
            op.a == 0,
            Attributes { propagation: op.x, ..Attributes::default() },
        ),
        code::OPEN_TREE => {
            let base = machine.slot_or_cwd(op.a)?;
            let empty = if op.s.len == 0 { AT_EMPTY_PATH } else { 0 };
            let flags = op.x as usize | O_CLOEXEC | empty;
            let tree = sys!(nr_all::OPEN_TREE, base, machine.text(op.s).0, flags)?;
            machine.fill(op.b, tree as i32)
        }
        code::MOUNT_SETATTR => {
            let attributes = Attributes { set: op.x, clear: op.y, propagation: u64::from(op.c) };
            let recursive = op.b & setattr::RECURSIVE != 0;
            set_attributes(machine.slot(op.a)?, c"", recursive, attributes)
        }
        code::FS_OPEN..=code::FS_MOUNT => file_system(machine, op),
        code::ATTACH_ROOT => {
            let tree = machine.slot(op.a)?;
            let flags = MOVE_MOUNT_F_EMPTY_PATH;
            sys!(nr_all::MOVE_MOUNT, tree, Text::EMPTY.0, AT_FDCWD, c"/".as_ptr(), flags).map(drop)
        }
        code::TARGET => {
            let wanted = Target {
                root: machine.slot(op.a)?,
                path: op.s,
                strict: op.c & target::NO_SYMLINKS != 0,
                make: op.c,
                mode: op.x,
            };
            let fd = wanted.open(machine)?;
            machine.fill(op.b, fd)
        }
        code::MOVE_MOUNT => {
            move_onto(machine.slot(op.a)?, machine.slot(op.b)?)?;
            machine.release(op.a);
            machine.release(op.b);
            Ok(())
        }
        code::MASK => mask(machine, op),
        code::READ_ONLY => read_only(machine, op),
        code::PIVOT_ROOT => pivot_root(machine, op),
        code::ATTACH_AT => {
            let (tree, path) = (machine.slot(op.a)?, machine.text(op.s).0);
            let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;
            sys!(nr_all::MOVE_MOUNT, tree, Text::EMPTY.0, AT_FDCWD, path, flags).map(drop)
        }
        code::CHROOT => chroot(machine, op),
        code::UNMOUNT => unmount(machine, op),
        _ => Err(EINVAL),
    }
}

/// `struct mount_attr` without the user namespace.
#[derive(Default)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
}

fn set_attributes(
    fd: i32,
    path: &core::ffi::CStr,
    recursive: bool,
    attributes: Attributes,
) -> Result<(), Errno> {
    let value = [attributes.set, attributes.clear, attributes.propagation, 0];
    let flags =
        if recursive { AT_RECURSIVE } else { 0 } | if path.is_empty() { AT_EMPTY_PATH } else { 0 };
    let size = size_of_val(&value);
    sys!(nr_all::MOUNT_SETATTR, fd, path.as_ptr(), flags, value.as_ptr(), size).map(drop)
}

fn move_onto(mount: i32, target: i32) -> Result<(), Errno> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    sys!(nr_all::MOVE_MOUNT, mount, Text::EMPTY.0, target, Text::EMPTY.0, flags).map(drop)
}

fn file_system(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    const FSOPEN_CLOEXEC: usize = 1;
    const FSMOUNT_CLOEXEC: usize = 1;
    if op.code == code::FS_OPEN {
        let context = sys!(nr_all::FSOPEN, machine.text(op.s).0, FSOPEN_CLOEXEC)?;
        return machine.fill(op.b, context as i32);
    }
    let context = machine.slot(op.a)?;
    let result = match op.code {
        code::FS_SET => {
            let (key, value) = (machine.text(op.s), machine.text(op.t));
            sys!(nr_all::FSCONFIG, context, FSCONFIG_SET_STRING, key.0, value.0, 0)
        }
        code::FS_FLAG => {
            sys!(nr_all::FSCONFIG, context, FSCONFIG_SET_FLAG, machine.text(op.s).0, 0, 0)
        }
        code::FS_CREATE => sys!(nr_all::FSCONFIG, context, FSCONFIG_CMD_CREATE, 0, 0, 0),
        _ => sys!(nr_all::FSMOUNT, context, FSMOUNT_CLOEXEC, op.x),
    };
    if result.is_err() {
        keep_log(machine, context);
    }
    let value = result?;
    if op.code == code::FS_MOUNT {
        machine.release(op.a);
        machine.fill(op.b, value as i32)?;
    }
    Ok(())
}

/// Keeps the kernel's explanation: each read of the context gives a message.
fn keep_log(machine: &mut Machine, context: i32) {
    if let Ok(length) = kernel::read(context, &mut machine.log) {
        machine.log_length = length;
    }
}

/// Hides a path: a directory under an empty read-only tmpfs, anything else
/// under `/dev/null`, whose descriptor was checked to be the device. What does
/// not exist needs no mask.
fn mask(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    let null = machine.slot(op.b)?;
    machine.detail = "openat2";
    let Some(target) = existing(machine, op)? else {
        return Ok(());
    };
    machine.detail = "statx";
    let cover = if kernel::stat(target)?.is_directory() {
        empty_directory(machine)?
    } else {
        machine.detail = "open_tree of the null device";
        let flags = OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH;
        sys!(nr_all::OPEN_TREE, null, Text::EMPTY.0, flags)? as i32
    };
    machine.detail = "move_mount";
    let moved = move_onto(cover, target);
    kernel::close(cover);
    kernel::close(target);
    moved
}

fn empty_directory(machine: &mut Machine) -> Result<i32, Errno> {
    machine.detail = "fsopen tmpfs";
    let context = sys!(nr_all::FSOPEN, c"tmpfs".as_ptr(), 1)? as i32;
    machine.detail = "fsmount tmpfs";
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let mount = sys!(nr_all::FSCONFIG, context, FSCONFIG_CMD_CREATE, 0, 0, 0)
        .and_then(|_| sys!(nr_all::FSMOUNT, context, 1, attributes));
    kernel::close(context);
    mount.map(|fd| fd as i32)
}

fn read_only(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    machine.detail = "openat2";
    let Some(target) = existing(machine, op)? else {
        return Ok(());
    };
    machine.detail = "open_tree";
    let flags = OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE;
    let tree = sys!(nr_all::OPEN_TREE, target, Text::EMPTY.0, flags)? as i32;
    machine.detail = "mount_setattr";
    let attributes = Attributes { set: MOUNT_ATTR_RDONLY, ..Attributes::default() };
    set_attributes(tree, c"", true, attributes)?;
    machine.detail = "move_mount";
    let moved = move_onto(tree, target);
    kernel::close(tree);
    kernel::close(target);
    moved
}

fn existing(machine: &Machine, op: &Op) -> Result<Option<i32>, Errno> {
    let root = machine.slot(op.a)?;
    match kernel::open_in(root, machine.text(op.s), O_PATH, RESOLVE_IN_ROOT) {
        Ok(fd) => Ok(Some(fd)),
        Err(ENOENT | kernel::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Makes the slot's mount the root and lets go of the old one: with both
/// arguments `.`, the old root lies on top and is unmounted (pivot_root(2)).
fn pivot_root(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    let here = c".".as_ptr();
    machine.detail = "fchdir";
    sys!(nr::FCHDIR, machine.slot(op.a)?)?;
    machine.detail = "pivot_root";
    sys!(nr::PIVOT_ROOT, here, here)?;
    machine.detail = "umount2";
    sys!(nr::UMOUNT2, here, MNT_DETACH)?;
    machine.detail = "chdir";
    sys!(nr::CHDIR, c"/".as_ptr())?;
    machine.release(op.a);
    Ok(())
}

/// Makes the slot's mount, on top of the old root, the root of this process:
/// the way where pivot_root(2) is impossible.
fn chroot(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    let root = machine.slot(op.a)?;
    machine.detail = "fchdir";
    sys!(nr::FCHDIR, root)?;
    if op.b == 1 {
        machine.detail = "move_mount";
        let flags = MOVE_MOUNT_F_EMPTY_PATH;
        sys!(nr_all::MOVE_MOUNT, root, Text::EMPTY.0, AT_FDCWD, c"/".as_ptr(), flags)?;
    }
    machine.detail = "chroot";
    sys!(nr::CHROOT, c".".as_ptr())?;
    machine.detail = "chdir";
    sys!(nr::CHDIR, c"/".as_ptr())?;
    machine.release(op.a);
    Ok(())
}

/// Takes a mount of the host's out of this namespace, or covers it where it
/// is locked (`mount_namespaces(7)`).
fn unmount(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    const UMOUNT_NOFOLLOW: usize = 8;
    let path = machine.text(op.s);
    match sys!(nr::UMOUNT2, path.0, MNT_DETACH | UMOUNT_NOFOLLOW) {
        Err(EINVAL | EPERM) => {}
        other => return other.map(drop),
    }
    machine.detail = "open";
    let target = kernel::open(path, O_PATH | O_NOFOLLOW)?;
    let cover = empty_directory(machine)?;
    machine.detail = "move_mount";
    let moved = move_onto(cover, target);
    kernel::close(cover);
    kernel::close(target);
    moved
}
