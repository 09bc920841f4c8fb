//! The few file operations on a cgroup's directory, all relative to its descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, unlinkat};

const DIRECTORY: OFlag =
    OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens a directory below `at` without following a link at its end.
pub(super) fn open_dir(at: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    Ok(openat(at, name, DIRECTORY, Mode::empty())?)
}

/// Opens a file of the directory.
pub(super) fn open(at: BorrowedFd<'_>, name: &str, flags: OFlag) -> io::Result<File> {
    Ok(openat(at, name, flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?.into())
}

pub(super) fn read(at: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    read_open(&mut open(at, name, OFlag::O_RDONLY)?)
}

/// Reads all of an open file of the kernel, from its start.
pub(super) fn read_open(file: &mut File) -> io::Result<String> {
    let mut buffer = vec![0; 1024];
    let mut length = 0;
    loop {
        match file.read_at(&mut buffer[length..], length as u64) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if length == buffer.len() {
            buffer.resize(length * 4, 0);
        }
    }
    buffer.truncate(length);
    String::from_utf8(buffer).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Writes the value in one call, as the kernel's files want it.
pub(super) fn write(at: BorrowedFd<'_>, name: &str, value: &str) -> io::Result<()> {
    write_open(&mut open(at, name, OFlag::O_WRONLY)?, value)
}

pub(super) fn write_open(file: &mut File, value: &str) -> io::Result<()> {
    match file.write(value.as_bytes()) {
        Ok(n) if n == value.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(e) => Err(e),
    }
}

pub(super) fn exists(at: BorrowedFd<'_>, name: &str) -> bool {
    access(at, name, AccessFlags::F_OK).is_ok()
}

pub(super) fn writable(at: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    access(at, name, AccessFlags::W_OK)
}

fn access(at: BorrowedFd<'_>, name: &str, mode: AccessFlags) -> io::Result<()> {
    Ok(faccessat(at, name, mode, AtFlags::AT_EACCESS)?)
}

pub(super) fn make_dir(at: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(mkdirat(at, name, Mode::from_bits_truncate(0o755))?)
}

pub(super) fn remove_dir(at: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(unlinkat(at, name, UnlinkatFlags::RemoveDir)?)
}

/// The names of the directories inside, unsorted.
pub(super) fn subdirectories(at: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let listing = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut names = Vec::new();
    for entry in Dir::openat(at, ".", listing, Mode::empty())?.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if entry.file_type() == Some(Type::Directory)
            && name != b"."
            && name != b".."
            && let Some(name) = OsStr::from_bytes(name).to_str()
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// A directory reached by an absolute path, as a mount point is.
pub(super) fn open_root(path: &std::path::Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(path, flags, Mode::empty())?)
}

/// Reads a text of /proc, whatever bytes are in it.
pub(super) fn read_proc(path: &str) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(4096);
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
