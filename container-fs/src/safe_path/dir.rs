//! Operations on the entries of one open directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, makedev,
};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{FileType, Metadata};
use crate::sys;

/// An open directory. Every method takes the name of **one entry** (no slash, not `.` or `..`)
/// and acts on that entry itself: symbolic links are never followed, so nothing outside the
/// directory can be reached, whatever else happens to the tree meanwhile.
///
/// Got from [`Root::open_dir`](super::Root::open_dir) or [`Root::parent`](super::Root::parent).
/// Keep it while working on one directory: the path is resolved once.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

/// One entry of a directory listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct DirEntry {
    /// The name in its directory.
    pub name: OsString,
    /// The type of the entry itself.
    pub file_type: FileType,
}

/// The special files that [`Dir::create_node`] makes; see `mknod(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Node {
    /// A named pipe.
    Fifo,
    /// A character device with its major and minor number; needs `CAP_MKNOD`, but for 0:0.
    CharDevice(u32, u32),
    /// A block device with its major and minor number; needs `CAP_MKNOD`.
    BlockDevice(u32, u32),
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.fd
    }
}

impl Dir {
    pub(crate) fn from_owned(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Wraps an open directory; `O_PATH` is enough.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotADirectory`] for anything else.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let metadata =
            Metadata::of(fd.as_fd()).map_err(|errno| Error::os("statx", "directory fd", errno))?;
        if !metadata.is_dir() {
            let what = "the descriptor is not one of a directory";
            return Err(Error::refused(ErrorKind::NotADirectory, "open", "directory fd", what));
        }
        Ok(Self { fd })
    }

    /// Opens the subdirectory `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotADirectory`] where anything else stands there, a link too.
    pub fn open_dir(&self, name: impl AsRef<OsStr>) -> Result<Dir> {
        let flags = sys::DIR_PATH | OFlags::NOFOLLOW;
        let open = |name: &OsStr| rustix::fs::openat(&self.fd, name, flags, Mode::empty());
        self.call("openat", name.as_ref(), open).map(Self::from_owned)
    }

    /// Opens the ordinary file `name` for reading.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Symlink`] for a link; [`ErrorKind::Unsupported`] for a pipe, socket or
    /// device (opening one may block or act); [`ErrorKind::IsADirectory`].
    pub fn open_file(&self, name: impl AsRef<OsStr>) -> Result<File> {
        let name = name.as_ref();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |name: &OsStr| rustix::fs::openat(&self.fd, name, flags, Mode::empty());
        reopen_regular(self.call("openat", name, open)?, name)
    }

    /// Creates the ordinary file `name` for writing, with exactly the permission bits `mode`
    /// whatever the process's umask. Truncates nothing: a taken name is an error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`].
    pub fn create_file(&self, name: impl AsRef<OsStr>, mode: u32) -> Result<File> {
        let name = name.as_ref();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let fd = self.call("openat O_CREAT|O_EXCL", name, |name| {
            rustix::fs::openat(&self.fd, name, flags | OFlags::NOFOLLOW, private)
        })?;
        rustix::fs::fchmod(&fd, bits(mode)).map_err(|errno| Error::os("fchmod", name, errno))?;
        Ok(File::from(fd))
    }

    /// Creates the directory `name`, with exactly the permission bits `mode`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`].
    pub fn create_dir(&self, name: impl AsRef<OsStr>, mode: u32) -> Result<Dir> {
        let name = name.as_ref();
        self.call("mkdirat", name, |name| rustix::fs::mkdirat(&self.fd, name, Mode::RWXU))?;
        let dir = self.open_dir(name)?;
        // To the open directory, and to no link. Whoever may rename in this directory may have put
        // another directory of theirs here since; the kernel has no call that makes and opens one.
        rustix::fs::chmodat(&dir.fd, c".", bits(mode), AtFlags::empty())
            .map_err(|errno| Error::os("fchmodat", name, errno))?;
        Ok(dir)
    }

    /// Creates the symbolic link `name`. The target is stored as it is and not looked at.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`].
    pub fn symlink(&self, target: impl AsRef<Path>, name: impl AsRef<OsStr>) -> Result<()> {
        let target = target.as_ref();
        sys::check_path("symlinkat target", target.as_os_str())?;
        let link = |name: &OsStr| rustix::fs::symlinkat(target, &self.fd, name);
        self.call("symlinkat", name.as_ref(), link)
    }

    /// Gives the file `original` in the directory `from` the further name `name` here. A
    /// symbolic link is linked itself, not its target.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CrossDevice`] for a file of another mount.
    pub fn hard_link(
        &self,
        from: &Dir,
        original: impl AsRef<OsStr>,
        name: impl AsRef<OsStr>,
    ) -> Result<()> {
        let original = original.as_ref();
        sys::check_name("linkat", original)?;
        self.call("linkat", name.as_ref(), |name| {
            rustix::fs::linkat(&from.fd, original, &self.fd, name, AtFlags::empty())
        })
    }

    /// Creates a pipe or device, with exactly the permission bits `mode`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] for a device without `CAP_MKNOD` in the machine's first
    /// user namespace.
    pub fn create_node(&self, name: impl AsRef<OsStr>, node: Node, mode: u32) -> Result<()> {
        let name = name.as_ref();
        let (file_type, device) = match node {
            Node::Fifo => (rustix::fs::FileType::Fifo, 0),
            Node::CharDevice(major, minor) => {
                (rustix::fs::FileType::CharacterDevice, makedev(major, minor))
            }
            Node::BlockDevice(major, minor) => {
                (rustix::fs::FileType::BlockDevice, makedev(major, minor))
            }
        };
        self.call("mknodat", name, |name| {
            rustix::fs::mknodat(&self.fd, name, file_type, Mode::empty(), device)
        })?;
        self.set_mode(name, mode)
    }

    /// Removes the entry `name`, which is not a directory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::IsADirectory`] for a directory.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> Result<()> {
        let unlink = |name: &OsStr| rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
        self.call("unlinkat", name.as_ref(), unlink)
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DirectoryNotEmpty`], [`ErrorKind::NotADirectory`].
    pub fn remove_dir(&self, name: impl AsRef<OsStr>) -> Result<()> {
        let unlink = |name: &OsStr| rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR);
        self.call("unlinkat AT_REMOVEDIR", name.as_ref(), unlink)
    }

    /// Removes the entry `name` and all below it: [`remove_tree`](crate::remove_tree).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Incomplete`] with every failure; it goes on past them.
    pub fn remove_tree(&self, name: impl AsRef<OsStr>) -> Result<()> {
        crate::remove_tree(self, name)
    }

    /// Moves the entry `name` to `new_name` in `to`, replacing what stands there as
    /// `rename(2)` does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CrossDevice`] between mounts.
    pub fn rename(
        &self,
        name: impl AsRef<OsStr>,
        to: &Dir,
        new_name: impl AsRef<OsStr>,
    ) -> Result<()> {
        let new_name = new_name.as_ref();
        sys::check_name("renameat", new_name)?;
        let rename = |name: &OsStr| rustix::fs::renameat(&self.fd, name, &to.fd, new_name);
        self.call("renameat", name.as_ref(), rename)
    }

    /// The status of the entry `name` itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub fn metadata(&self, name: impl AsRef<OsStr>) -> Result<Metadata> {
        self.call("statx", name.as_ref(), |name| Metadata::at(self.fd.as_fd(), name))
    }

    /// The status of this directory.
    ///
    /// # Errors
    ///
    /// Only what `statx(2)` may answer for an open descriptor.
    pub fn self_metadata(&self) -> Result<Metadata> {
        Metadata::of(self.fd.as_fd()).map_err(|errno| Error::os("statx", ".", errno))
    }

    /// The target of the symbolic link `name`.
    ///
    /// # Errors
    ///
    /// EINVAL ([`ErrorKind::Os`]) for anything but a link.
    pub fn read_link(&self, name: impl AsRef<OsStr>) -> Result<OsString> {
        use std::os::unix::ffi::OsStringExt as _;
        let read = |name: &OsStr| rustix::fs::readlinkat(&self.fd, name, Vec::new());
        let target = self.call("readlinkat", name.as_ref(), read)?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// The entries, sorted by name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] where the directory can't be read.
    pub fn entries(&self) -> Result<Vec<DirEntry>> {
        let mut entries: Vec<DirEntry> = sys::list(self.fd.as_fd())
            .map_err(|errno| Error::os("getdents64", ".", errno))?
            .into_iter()
            .map(|(name, file_type)| DirEntry { name, file_type })
            .collect();
        entries.sort();
        Ok(entries)
    }

    /// Sets owner and group of the entry `name`; of a link, its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without `CAP_CHOWN`; [`ErrorKind::InvalidPath`] never for
    /// the ids: `u32::MAX`, which the kernel reads as "leave it", is refused as EINVAL.
    pub fn set_owner(&self, name: impl AsRef<OsStr>, uid: u32, gid: u32) -> Result<()> {
        self.call("fchownat", name.as_ref(), |name| {
            if uid == u32::MAX || gid == u32::MAX {
                return Err(Errno::INVAL);
            }
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&self.fd, name, Some(uid), Some(gid), flags)
        })
    }

    /// Sets the permission, set-id and sticky bits of the entry `name`. Needs `/proc`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Symlink`] for a link, which has no mode of its own.
    pub fn set_mode(&self, name: impl AsRef<OsStr>, mode: u32) -> Result<()> {
        self.call("chmod", name.as_ref(), |name| {
            let fd = self.open_any(name)?;
            if Metadata::of(fd.as_fd())?.file_type == FileType::Symlink {
                return Err(Errno::LOOP);
            }
            rustix::fs::chmod(sys::proc_path(fd.as_fd()), bits(mode))
        })
    }

    /// Sets the time of last change (and of last access, to the same) of the entry `name`; of a
    /// link, its own. Seconds since 1970, and nanoseconds below a thousand million.
    ///
    /// # Errors
    ///
    /// EINVAL ([`ErrorKind::Os`]) for nanoseconds out of range.
    pub fn set_mtime(&self, name: impl AsRef<OsStr>, seconds: i64, nanos: u32) -> Result<()> {
        self.call("utimensat", name.as_ref(), |name| {
            if nanos > 999_999_999 {
                return Err(Errno::INVAL);
            }
            let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Sets the time of last change of this directory itself, leaving that of last access.
    ///
    /// # Errors
    ///
    /// As [`set_mtime`](Self::set_mtime).
    pub fn set_self_mtime(&self, seconds: i64, nanos: u32) -> Result<()> {
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let time = Timespec { tv_sec: seconds, tv_nsec: nanos.min(999_999_999).into() };
        let times = Timestamps { last_access: omit, last_modification: time };
        rustix::fs::utimensat(&self.fd, c".", &times, AtFlags::empty())
            .map_err(|errno| Error::os("utimensat", ".", errno))
    }

    /// Sets an extended attribute of the entry `name`; of a link, its own. Needs `/proc`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the file system has none, [`ErrorKind::PermissionDenied`]
    /// for `trusted.*` and `security.*` without the capability and for `user.*` on a link.
    pub fn set_xattr(
        &self,
        name: impl AsRef<OsStr>,
        key: impl AsRef<OsStr>,
        value: &[u8],
    ) -> Result<()> {
        let key = key.as_ref();
        sys::check_path("setxattr", key)?;
        self.call("setxattr", name.as_ref(), |name| {
            let fd = self.open_any(name)?;
            rustix::fs::setxattr(sys::proc_path(fd.as_fd()), key, value, XattrFlags::empty())
        })
    }

    /// The extended attributes of the entry `name`, sorted by key. Needs `/proc`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]. A file system without attributes gives an empty list.
    pub fn xattrs(&self, name: impl AsRef<OsStr>) -> Result<Vec<(OsString, Vec<u8>)>> {
        self.call("listxattr", name.as_ref(), |name| sys::list_xattrs(self.open_any(name)?.as_fd()))
    }

    /// The entry itself, of whatever type, without opening it in the device's or pipe's sense.
    fn open_any(&self, name: &OsStr) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, name, flags, Mode::empty())
    }

    /// Checks the name, calls, and puts step and name on the error.
    fn call<T>(
        &self,
        step: &'static str,
        name: &OsStr,
        call: impl FnOnce(&OsStr) -> rustix::io::Result<T>,
    ) -> Result<T> {
        sys::check_name(step, name)?;
        call(name).map_err(|errno| Error::os(step, name, errno))
    }
}

fn bits(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}

/// From an `O_PATH` descriptor to a readable file, only if it is an ordinary one.
pub(super) fn reopen_regular(fd: OwnedFd, name: &OsStr) -> Result<File> {
    let failed = |step| move |errno| Error::os(step, name, errno);
    match Metadata::of(fd.as_fd()).map_err(failed("statx"))?.file_type {
        FileType::Regular => {}
        FileType::Directory => return Err(Error::os("open", name, Errno::ISDIR)),
        FileType::Symlink => return Err(Error::os("open", name, Errno::LOOP)),
        _ => {
            let what = "it is a pipe, socket or device; only ordinary files are opened";
            return Err(Error::refused(ErrorKind::Unsupported, "open", name, what));
        }
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(sys::proc_path(fd.as_fd()), flags, Mode::empty())
        .map(File::from)
        .map_err(failed("open"))
}
