//! A copy of a directory of the root in a file system that will cover it:
//! files, directories, links and nodes with modes, owners, times and extended
//! attributes. All of it by descriptor, without following a symlink.

use crate::kernel::{
    self, AT_EMPTY_PATH, EINVAL, ELOOP, ENOENT, ENOTDIR, EPERM, Errno, O_CLOEXEC, O_CREAT,
    O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY, RESOLVE_IN_ROOT, Stat, Text, sys,
};
use crate::machine::Machine;
use crate::raw::nr;
use crate::wire::Op;

/// Directories in directories; each takes some of the stack.
const MAX_DEPTH: u32 = 64;
const O_NONBLOCK: usize = 0o4000;
const AT_SYMLINK_NOFOLLOW: usize = 0x100;
const HERE: Text = Text(c".".as_ptr().cast());

/// Copies what is at the path, if it is a directory, to the slot's mount.
pub fn perform(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    machine.detail = "openat2";
    let (root, flags) = (machine.slot(op.a)?, O_DIRECTORY | O_CLOEXEC);
    let from = match kernel::open_in(root, machine.text(op.s), flags, RESOLVE_IN_ROOT) {
        Err(ENOENT | ENOTDIR) => return Ok(()),
        other => other?,
    };
    let to = open_at(machine.slot(op.b)?, HERE, O_DIRECTORY)?;
    let done = if op.c == 1 {
        directory(machine, from, to, MAX_DEPTH)
    } else {
        let mode = kernel::stat(from)?.mode & 0o7777;
        machine.detail = "fchmod";
        sys!(nr::FCHMOD, to, mode).map(drop)
    };
    kernel::close(from);
    kernel::close(to);
    done
}

fn open_at(directory: i32, name: Text, flags: usize) -> Result<i32, Errno> {
    sys!(nr::OPENAT, directory, name.0, flags | O_NOFOLLOW | O_CLOEXEC, 0).map(|fd| fd as i32)
}

/// Copies the entries of a directory, then what is said about it.
fn directory(machine: &mut Machine, from: i32, to: i32, depth: u32) -> Result<(), Errno> {
    #[repr(C, align(8))]
    struct Entries([u8; 1024]);
    if depth == 0 {
        machine.detail = "more than 64 directories in each other";
        return Err(ELOOP);
    }
    let mut entries = Entries([0; 1024]);
    loop {
        machine.detail = "getdents64";
        let length = sys!(nr::GETDENTS64, from, entries.0.as_mut_ptr(), entries.0.len())?;
        if length == 0 {
            break;
        }
        let mut rest = entries.0.get(..length).unwrap_or(&[]);
        // struct linux_dirent64: inode, offset, length of the record, type, name.
        while let (Some(low), Some(high)) = (rest.get(16), rest.get(17)) {
            let record = u16::from_le_bytes([*low, *high]) as usize;
            let name = rest.get(19..).unwrap_or(&[]);
            let dots = matches!(name, [b'.', 0, ..] | [b'.', b'.', 0, ..]);
            if !dots && !name.is_empty() {
                let name = Text(name.as_ptr());
                if let Err(errno) = entry(machine, from, to, name, depth) {
                    say_where(machine, name);
                    return Err(errno);
                }
            }
            rest = rest.get(record.max(19)..).unwrap_or(&[]);
        }
    }
    machine.detail = "statx";
    let stat = kernel::stat(from)?;
    describe(machine, from, to, &stat)
}

/// Keeps the name of what could not be copied, for the failure's text.
fn say_where(machine: &mut Machine, name: Text) {
    if machine.log_length == 0 {
        let text = b" ".iter().chain(name.bytes());
        let mut length = 0;
        for (to, from) in machine.log.iter_mut().zip(text) {
            *to = *from;
            length += 1;
        }
        machine.log_length = length;
    }
}

fn entry(machine: &mut Machine, from: i32, to: i32, name: Text, depth: u32) -> Result<(), Errno> {
    machine.detail = "openat";
    let source = open_at(from, name, O_PATH)?;
    let stat = kernel::stat(source);
    let done = match stat {
        Err(errno) => Err(errno),
        Ok(stat) => match stat.kind() {
            0o4_0000 => subdirectory(machine, from, to, name, depth),
            0o10_0000 => file(machine, from, to, name, &stat),
            0o12_0000 => link(machine, source, to, name, &stat),
            _ => node(machine, to, name, &stat),
        },
    };
    kernel::close(source);
    done
}

fn subdirectory(
    machine: &mut Machine,
    from: i32,
    to: i32,
    name: Text,
    depth: u32,
) -> Result<(), Errno> {
    machine.detail = "mkdirat";
    sys!(nr::MKDIRAT, to, name.0, 0o700)?;
    machine.detail = "openat";
    let source = open_at(from, name, O_DIRECTORY)?;
    let copy = open_at(to, name, O_DIRECTORY);
    let done = match copy {
        Ok(copy) => {
            let done = directory(machine, source, copy, depth - 1);
            kernel::close(copy);
            done
        }
        Err(errno) => Err(errno),
    };
    kernel::close(source);
    done
}

fn file(machine: &mut Machine, from: i32, to: i32, name: Text, stat: &Stat) -> Result<(), Errno> {
    machine.detail = "openat";
    let source = open_at(from, name, O_NONBLOCK)?;
    machine.detail = "openat O_CREAT";
    let flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC;
    let copy = sys!(nr::OPENAT, to, name.0, flags, 0o600).map(|fd| fd as i32);
    let done = match copy {
        Ok(copy) => {
            let done =
                content(machine, source, copy).and_then(|()| describe(machine, source, copy, stat));
            kernel::close(copy);
            done
        }
        Err(errno) => Err(errno),
    };
    kernel::close(source);
    done
}

fn content(machine: &mut Machine, from: i32, to: i32) -> Result<(), Errno> {
    const MOST: usize = 0x7fff_f000;
    machine.detail = "sendfile";
    while sys!(nr::SENDFILE, to, from, 0, MOST)? > 0 {}
    Ok(())
}

/// Extended attributes, owner, mode and times, in the order in which one does
/// not undo the other.
fn describe(machine: &mut Machine, from: i32, to: i32, stat: &Stat) -> Result<(), Errno> {
    machine.detail = "fchown";
    owner(sys!(nr::FCHOWNAT, to, Text::EMPTY.0, stat.uid, stat.gid, AT_EMPTY_PATH))?;
    machine.detail = "fchmod";
    sys!(nr::FCHMOD, to, stat.mode & 0o7777)?;
    attributes(from, to);
    machine.detail = "utimensat";
    sys!(nr::UTIMENSAT, to, 0, stat.times.as_ptr(), 0).map(drop)
}

/// An owner that is not mapped in the user namespace can't be given.
fn owner(changed: Result<usize, Errno>) -> Result<(), Errno> {
    match changed {
        Ok(_) | Err(EINVAL | EPERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Copies the extended attributes that the new file system takes: which these
/// are differs from kernel to kernel.
#[inline(never)]
fn attributes(from: i32, to: i32) {
    let mut names = [0u8; 1024];
    let length = sys!(nr::FLISTXATTR, from, names.as_mut_ptr(), names.len()).unwrap_or(0);
    let mut rest = names.get(..length).unwrap_or(&[]);
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let mut value = [0u8; 4096];
        let (name, room) = (rest.as_ptr(), value.len());
        if let Ok(size) = sys!(nr::FGETXATTR, from, name, value.as_mut_ptr(), room) {
            let _ = sys!(nr::FSETXATTR, to, name, value.as_ptr(), size, 0);
        }
        rest = rest.get(end + 1..).unwrap_or(&[]);
    }
}

#[inline(never)]
fn link(machine: &mut Machine, source: i32, to: i32, name: Text, stat: &Stat) -> Result<(), Errno> {
    let mut text = [0u8; 4097];
    machine.detail = "readlinkat";
    // One byte stays zero.
    sys!(nr::READLINKAT, source, Text::EMPTY.0, text.as_mut_ptr(), text.len() - 1)?;
    machine.detail = "symlinkat";
    sys!(nr::SYMLINKAT, text.as_ptr(), to, name.0)?;
    describe_name(machine, to, name, stat)
}

/// A pipe, a socket, or a device where these can be made.
fn node(machine: &mut Machine, to: i32, name: Text, stat: &Stat) -> Result<(), Errno> {
    machine.detail = "mknodat";
    match sys!(nr::MKNODAT, to, name.0, stat.mode, stat.device()) {
        Err(EPERM) => return Ok(()),
        other => other?,
    };
    describe_name(machine, to, name, stat)
}

fn describe_name(machine: &mut Machine, to: i32, name: Text, stat: &Stat) -> Result<(), Errno> {
    machine.detail = "fchownat";
    owner(sys!(nr::FCHOWNAT, to, name.0, stat.uid, stat.gid, AT_SYMLINK_NOFOLLOW))?;
    machine.detail = "utimensat";
    sys!(nr::UTIMENSAT, to, name.0, stat.times.as_ptr(), AT_SYMLINK_NOFOLLOW).map(drop)
}
