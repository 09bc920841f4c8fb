//! Owners, modes, times and extended attributes, as far as the caller may set them.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use container_fs::{Dir, Root};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::options::Owners;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::entry::Metadata;
use crate::layer::time::Timestamp;

/// Attributes that overlayfs reads: in a layer they would redirect or hide what they please.
const FORGED: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Sets metadata by one rule, and remembers what it had to leave out.
pub(super) struct Policy {
    owners: Owners,
    skipped: Vec<PathBuf>,
}

impl Policy {
    pub(super) fn new(owners: Owners) -> Self {
        Self { owners, skipped: Vec::new() }
    }

    pub(super) fn skip(&mut self, path: &Path) {
        self.skipped.push(path.to_path_buf());
    }

    pub(super) fn into_skipped(self) -> Vec<PathBuf> {
        self.skipped
    }

    /// An open regular file: owner first, since changing it clears set-id bits and capabilities;
    /// mode after the attributes, which an ordinary user can't set on a read-only file.
    pub(super) fn set_file(&mut self, file: &File, path: &Path, meta: &Metadata) -> Result<()> {
        let failed = |step: &'static str| move |e: Errno| Error::os(step, path, e);
        if self.owners == Owners::Keep {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(failed("fchown"))?;
        }
        self.set_xattrs(path, meta, |name, value| {
            rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
        })?;
        rustix::fs::fchmod(file, bits(meta.mode)).map_err(failed("fchmod"))?;
        rustix::fs::futimens(file, &times(meta.mtime)).map_err(failed("futimens"))
    }

    /// A link, pipe or device; a link has no mode of its own.
    pub(super) fn set_entry(
        &mut self,
        dir: &Dir,
        name: &OsStr,
        path: &Path,
        meta: &Metadata,
        has_mode: bool,
    ) -> Result<()> {
        let failed = |step: &'static str| move |e| Error::fs(step, path, e);
        if self.owners == Owners::Keep {
            dir.set_owner(name, meta.uid, meta.gid).map_err(failed("chown"))?;
        }
        if has_mode {
            dir.set_mode(name, meta.mode).map_err(failed("chmod"))?;
        }
        let errno =
            |e: container_fs::Error| Errno::from_raw_os_error(e.raw_os_error().unwrap_or(5));
        self.set_xattrs(path, meta, |key, value| dir.set_xattr(name, key, value).map_err(errno))?;
        dir.set_mtime(name, meta.mtime.seconds, meta.mtime.nanos).map_err(failed("utimensat"))
    }

    /// A directory; its mode last, after which it may be closed to its owner.
    pub(super) fn set_dir(&mut self, dir: &Dir, path: &Path, meta: &Metadata) -> Result<()> {
        let failed = |step: &'static str| move |e: Errno| Error::os(step, path, e);
        if self.owners == Owners::Keep {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            rustix::fs::chownat(dir, c".", Some(uid), Some(gid), AtFlags::empty())
                .map_err(failed("fchownat"))?;
        }
        if !meta.xattrs.is_empty() {
            let readable = reopen(dir).map_err(failed("open directory"))?;
            self.set_xattrs(path, meta, |name, value| {
                rustix::fs::fsetxattr(&readable, name, value, XattrFlags::empty())
            })?;
        }
        rustix::fs::utimensat(dir, c".", &times(meta.mtime), AtFlags::empty())
            .map_err(failed("utimensat"))?;
        rustix::fs::chmodat(dir, c".", bits(meta.mode), AtFlags::empty())
            .map_err(failed("fchmodat"))
    }

    fn set_xattrs(
        &mut self,
        path: &Path,
        meta: &Metadata,
        set: impl Fn(&OsStr, &[u8]) -> rustix::io::Result<()>,
    ) -> Result<()> {
        let mut left_out = false;
        for (name, value) in &meta.xattrs {
            match set(name, value) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP)
                    if self.owners == Owners::Current =>
                {
                    left_out = true;
                }
                Err(errno) => {
                    let step = format!("setxattr {}", name.to_string_lossy());
                    return Err(Error::os(step, path, errno));
                }
            }
        }
        if left_out {
            self.skip(path);
        }
        Ok(())
    }
}

/// Refuses attributes with which a layer would speak to overlayfs.
pub(super) fn check_xattrs(path: &Path, meta: &Metadata) -> Result<()> {
    let forged = |name: &OsStr| FORGED.iter().any(|prefix| name.as_bytes().starts_with(prefix));
    match meta.xattrs.keys().find(|name| forged(name)) {
        None => Ok(()),
        Some(name) => {
            let reason = format!("the attribute {} is overlayfs's own", name.to_string_lossy());
            Err(Error::new(ErrorKind::InvalidPath, "apply entry", path.to_string_lossy(), reason))
        }
    }
}

/// The metadata of a file or directory of a layer below, overlayfs's own attributes left out.
pub(super) fn read(root: &Root, path: &Path) -> Result<Metadata> {
    let failed = |e| Error::fs("read metadata", path, e);
    let (found, xattrs) = match root.parent(path) {
        Ok((dir, name)) => {
            (dir.metadata(&name).map_err(failed)?, dir.xattrs(&name).map_err(failed)?)
        }
        // The root has no name; its attributes are few and not worth an extra way to read them.
        Err(_) if path.as_os_str().is_empty() => {
            (root.open_dir("").and_then(|dir| dir.self_metadata()).map_err(failed)?, vec![])
        }
        Err(error) => return Err(failed(error)),
    };
    let mut metadata = Metadata::new(found.mode).owner(found.uid, found.gid);
    metadata.mtime = Timestamp { seconds: found.mtime, nanos: found.mtime_nsec };
    let own = |name: &OsStr| FORGED.iter().any(|prefix| name.as_bytes().starts_with(prefix));
    metadata.xattrs = xattrs.into_iter().filter(|(name, _)| !own(name)).collect();
    Ok(metadata)
}

fn bits(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}

fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
    }
}

fn reopen(dir: &Dir) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir.as_fd(), c".", flags, Mode::empty())
}
