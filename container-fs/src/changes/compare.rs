//! Are two entries the same?

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Mode, OFlags};

use crate::metadata::{FileType, Metadata};
use crate::sys;

/// An entry of an open directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) dir: BorrowedFd<'a>,
    pub(super) name: &'a OsStr,
    pub(super) metadata: &'a Metadata,
}

impl Entry<'_> {
    fn open(&self, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(self.dir, self.name, flags, Mode::empty())
    }

    fn read(&self) -> rustix::io::Result<File> {
        self.open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map(File::from)
    }

    fn xattrs(&self) -> rustix::io::Result<Vec<(OsString, Vec<u8>)>> {
        xattrs(self.open(OFlags::PATH)?.as_fd())
    }

    fn target(&self) -> rustix::io::Result<Vec<u8>> {
        rustix::fs::readlinkat(self.dir, self.name, Vec::new()).map(|target| target.into_bytes())
    }
}

/// The attributes that belong to the file, not to overlay or to the host's policy.
pub(super) fn xattrs(fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut xattrs = sys::list_xattrs(fd)?;
    xattrs.retain(|(name, _)| {
        let name = name.as_bytes();
        !name.starts_with(b"trusted.overlay.")
            && !name.starts_with(b"user.overlay.")
            && name != b"security.selinux"
    });
    Ok(xattrs)
}

/// Do mode and owner agree? All that can be said of a directory without its attributes.
pub(super) fn same_ownership(a: &Metadata, b: &Metadata) -> bool {
    (a.mode, a.uid, a.gid) == (b.mode, b.uid, b.gid)
}

/// Do two entries of one type, not directories, agree in everything? Content last.
pub(super) fn same_entry(a: &Entry<'_>, b: &Entry<'_>) -> rustix::io::Result<bool> {
    let (x, y) = (a.metadata, b.metadata);
    if x.same_file(y) {
        return Ok(true);
    }
    if !same_ownership(x, y)
        || (x.mtime, x.mtime_nsec, x.size, x.rdev) != (y.mtime, y.mtime_nsec, y.size, y.rdev)
        || a.xattrs()? != b.xattrs()?
    {
        return Ok(false);
    }
    match x.file_type {
        FileType::Symlink => Ok(a.target()? == b.target()?),
        FileType::Regular => same_content(a.read()?, b.read()?),
        _ => Ok(true),
    }
}

fn same_content(mut a: File, mut b: File) -> rustix::io::Result<bool> {
    let failed = |error: std::io::Error| {
        rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
    };
    let (mut left, mut right) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let len = a.read(&mut left).map_err(failed)?;
        if len == 0 {
            return b.read(&mut right[..1]).map(|len| len == 0).map_err(failed);
        }
        match b.read_exact(&mut right[..len]) {
            Ok(()) if left[..len] == right[..len] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
    }
}
