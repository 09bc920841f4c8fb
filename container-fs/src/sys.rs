//! Small helpers over system calls that several modules need.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{FileType, Metadata};

/// Flags to name a directory without opening it for reading.
pub(crate) const DIR_PATH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Flags to open a directory for listing.
pub(crate) const DIR_READ: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The kernel's own name for an open file. Through it, calls that take a path act on exactly the
/// opened file, also where the descriptor is `O_PATH` and the `f…` form of the call refuses it.
pub(crate) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/thread-self/fd/{}", fd.as_raw_fd())
}

/// The names and types in a directory, without `.` and `..`, in the order of the file system.
pub(crate) fn list(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<(OsString, FileType)>> {
    let fd = rustix::fs::openat(dir, c".", DIR_READ, Mode::empty())?;
    list_opened(&fd)
}

/// As [`list`], for a descriptor that is open for reading and at its start.
pub(crate) fn list_opened(fd: &OwnedFd) -> rustix::io::Result<Vec<(OsString, FileType)>> {
    let mut entries = Vec::new();
    let mut buffer = vec![MaybeUninit::uninit(); 16 * 1024];
    let mut raw = RawDir::new(fd, &mut buffer);
    while let Some(entry) = raw.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let file_type = match FileType::from_raw(entry.file_type()) {
            Some(known) => known,
            None => match Metadata::at(std::os::fd::AsFd::as_fd(fd), entry.file_name()) {
                Ok(metadata) => metadata.file_type,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            },
        };
        entries.push((OsString::from_vec(name.to_vec()), file_type));
    }
    Ok(entries)
}

/// The value of an extended attribute, `None` where it, or the support for it, is absent.
pub(crate) fn get_xattr(fd: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<Option<Vec<u8>>> {
    let path = proc_path(fd);
    let mut value = vec![0; 256];
    loop {
        match rustix::fs::getxattr(path.as_str(), name, value.as_mut_slice()) {
            Ok(len) => {
                value.truncate(len);
                return Ok(Some(value));
            }
            Err(Errno::RANGE) => {
                let needed = rustix::fs::getxattr_query(path.as_str(), name)?;
                value.resize(needed.max(1), 0);
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// All extended attributes of a file, sorted by name.
pub(crate) fn list_xattrs(fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<(OsString, Vec<u8>)>> {
    let path = proc_path(fd);
    let mut buffer = vec![0; 512];
    let len = loop {
        match rustix::fs::listxattr(path.as_str(), buffer.as_mut_slice()) {
            Ok(len) => break len,
            Err(Errno::RANGE) => {
                let needed = rustix::fs::listxattr_query(path.as_str())?;
                buffer.resize(needed.max(1), 0);
            }
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
        }
    };
    let mut found = Vec::new();
    for name in buffer[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        if let Some(value) = get_xattr(fd, name)? {
            found.push((name.to_owned(), value));
        }
    }
    found.sort();
    Ok(found)
}

/// Has the calling thread `capability` in its effective set?
pub(crate) fn has_capability(capability: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

/// Is the calling thread in the machine's first user namespace? Its inode number is fixed
/// (`PROC_USER_INIT_INO`).
pub(crate) fn in_initial_user_namespace() -> bool {
    rustix::fs::stat(c"/proc/thread-self/ns/user").is_ok_and(|stat| stat.st_ino == 0xEFFF_FFFD)
}

/// The running kernel's version as (major, minor); (0, 0) if it can't be read.
pub(crate) fn kernel_version() -> (u32, u32) {
    let uname = rustix::system::uname();
    parse_version(uname.release().to_str().unwrap_or(""))
}

fn parse_version(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// A small text file of `/proc` or `/sys`, trimmed; `None` if it can't be read.
pub(crate) fn read_setting(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(1 << 20).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

/// Refuses what no system call takes: the empty path and the NUL byte.
pub(crate) fn check_path(step: &'static str, path: &OsStr) -> Result<()> {
    let reason = match path.as_bytes() {
        b"" => "the path is empty",
        bytes if bytes.contains(&0) => "the path has a NUL byte in it",
        _ => return Ok(()),
    };
    Err(Error::refused(ErrorKind::InvalidPath, step, path, reason))
}

/// Refuses what is not the name of one entry: empty, `.`, `..`, with `/` or NUL in it.
pub(crate) fn check_name(step: &'static str, name: &OsStr) -> Result<()> {
    let reason = match name.as_bytes() {
        b"" => "the name is empty",
        b"." | b".." => "the name stands for a directory itself, not for an entry in one",
        bytes if bytes.contains(&b'/') => "the name has a slash in it",
        bytes if bytes.contains(&0) => "the name has a NUL byte in it",
        _ => return Ok(()),
    };
    Err(Error::refused(ErrorKind::InvalidPath, step, name, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions() {
        assert_eq!(parse_version("6.18.44-fc-v657"), (6, 18));
        assert_eq!(parse_version("6.1.0-32-amd64"), (6, 1));
        assert_eq!(parse_version("5.4"), (5, 4));
        assert_eq!(parse_version(""), (0, 0));
    }

    #[test]
    fn names_of_one_entry() {
        for bad in ["", ".", "..", "a/b", "/", "a\0b"] {
            let error = check_name("test", OsStr::new(bad)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{bad:?}");
        }
        for good in ["a", "...", ".a", "a:b,c\\d\n"] {
            check_name("test", OsStr::new(good)).unwrap();
        }
    }
}
