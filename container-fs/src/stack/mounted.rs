//! What a mounted stack is to its owner.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount};

use crate::error::{Error, Result};
use crate::sys;

/// A mounted stack that stands nowhere yet: the descriptor is the only way to it, and the mount
/// goes with the last descriptor.
#[derive(Debug)]
#[must_use = "the mount goes when this is dropped"]
pub struct Mounted {
    fd: OwnedFd,
}

impl AsFd for Mounted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Mounted> for OwnedFd {
    fn from(mounted: Mounted) -> Self {
        mounted.fd
    }
}

impl Mounted {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The descriptor: an `O_PATH` descriptor of the root of the tree, for `move_mount(2)`, or
    /// for `openat(2)` to reach into the tree without mounting it anywhere.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Attaches the mount to the directory `target` of the caller's mount namespace. Links in
    /// this path are followed as usual: it is the caller's own, not a container's.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) and
    /// [`NotADirectory`](crate::ErrorKind::NotADirectory) for the target, whatever
    /// `move_mount(2)` answers. The mount is gone then.
    pub fn attach(self, target: impl AsRef<Path>) -> Result<Attached> {
        let target = target.as_ref();
        sys::check_path("open mount point", target.as_os_str())?;
        let at = rustix::fs::openat(CWD, target, sys::DIR_PATH, Mode::empty())
            .map_err(|errno| Error::os("open mount point", target, errno))?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.fd, c"", &at, c"", flags)
            .map_err(|errno| Error::os("move_mount", target, errno))?;
        Ok(Attached { fd: Some(self.fd), path: target.to_owned() })
    }
}

/// A stack attached to a directory; detached when dropped.
#[derive(Debug)]
#[must_use = "the mount is detached when this is dropped"]
pub struct Attached {
    /// `None` once it is not to be detached any more.
    fd: Option<OwnedFd>,
    path: PathBuf,
}

impl Attached {
    /// Where it was attached.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Detaches the mount: at once from the tree of files, in truth when its last user is gone.
    ///
    /// # Errors
    ///
    /// What `umount2(2)` answers. That somebody else detached it is none.
    pub fn detach(mut self) -> Result<()> {
        self.detach_now()
    }

    /// Leaves the mount where it is, and gives the path.
    #[must_use]
    pub fn leave(mut self) -> PathBuf {
        self.fd = None;
        std::mem::take(&mut self.path)
    }

    /// By descriptor, so that it is this mount and no other that was put over or under it.
    fn detach_now(&mut self) -> Result<()> {
        let Some(fd) = self.fd.take() else {
            return Ok(());
        };
        match rustix::mount::unmount(sys::proc_path(fd.as_fd()), UnmountFlags::DETACH) {
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(Error::os("umount2 MNT_DETACH", &self.path, errno)),
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // A destructor has nobody to tell; `detach` has.
        let _ = self.detach_now();
    }
}
