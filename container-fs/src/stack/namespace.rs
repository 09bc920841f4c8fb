//! A thread with a mount namespace of its own, to mount what can only be mounted by path.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsmount, fsopen, mount_change, move_mount, open_tree,
};
use rustix::thread::UnshareFlags;

use super::check::Place;
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::sys;

/// A tmpfs that only the thread sees, with a place to mount on and an empty directory.
#[derive(Debug)]
pub(super) struct Scratch {
    tmpfs: OwnedFd,
}

/// Runs `work` on a thread made for it, in a mount namespace of its own, and ends the thread.
/// Neither the caller's namespace nor its working directory changes; what was mounted is gone
/// with the thread, but for what `work` returns a clone of.
pub(super) fn in_own_mount_namespace<T: Send>(
    work: impl FnOnce(&Scratch) -> Result<T> + Send,
) -> Result<T> {
    let run = || work(&Scratch::new()?);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("mount".into())
            .spawn_scoped(scope, run)
            .map_err(|error| {
                let errno = rustix::io::Errno::from_io_error(&error);
                Error::os("clone", "mount thread", errno.unwrap_or(rustix::io::Errno::AGAIN))
            })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Scratch {
    /// Changes the namespace of the calling thread.
    fn new() -> Result<Self> {
        // Takes CLONE_FS along: the working directory is the thread's own from here on.
        #[expect(deprecated, reason = "only CLONE_FILES, which is not set, makes it unsafe")]
        rustix::thread::unshare(UnshareFlags::NEWNS)
            .map_err(|errno| Error::os("unshare", "mount namespace", errno))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change(c"/", private).map_err(|errno| Error::os("mount private", "/", errno))?;
        let failed = |step| move |errno| Error::os(step, "tmpfs", errno);
        let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
        fsconfig_create(&context).map_err(failed("fsconfig create"))?;
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        let tmpfs = fsmount(&context, flags, MountAttrFlags::empty()).map_err(failed("fsmount"))?;
        // Over the root: paths go on starting below it, and no directory is needed for it.
        move_mount(&tmpfs, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(failed("move_mount"))?;
        for name in [c"target", c"empty"] {
            rustix::fs::mkdirat(&tmpfs, name, Mode::from_raw_mode(0o755))
                .map_err(failed("mkdirat"))?;
        }
        Ok(Self { tmpfs })
    }

    /// The path to mount on.
    pub(super) fn target(&self) -> String {
        format!("{}/target", sys::proc_path(self.tmpfs.as_fd()))
    }

    /// The tree that was mounted on [`target`](Self::target).
    pub(super) fn open_target(&self, flags: OpenTreeFlags) -> rustix::io::Result<OwnedFd> {
        open_tree(&self.tmpfs, c"target", flags)
    }

    /// An empty directory to serve as a layer.
    pub(super) fn empty_layer(&self) -> Result<Place> {
        let failed = |errno| Error::os("open empty layer", "tmpfs", errno);
        let fd = rustix::fs::openat(&self.tmpfs, c"empty", sys::DIR_PATH, Mode::empty())
            .map_err(failed)?;
        let metadata = Metadata::of(fd.as_fd()).map_err(failed)?;
        let path = PathBuf::from(sys::proc_path(fd.as_fd()));
        Ok(Place { path, fd, metadata })
    }

    /// Makes the names of all open descriptors relative paths, the shortest there are. Changes
    /// the working directory of this thread alone.
    pub(super) fn enter_descriptors(&self) -> Result<()> {
        let path = c"/proc/thread-self/fd";
        rustix::process::chdir(path)
            .map_err(|errno| Error::os("chdir", "/proc/thread-self/fd", errno))
    }
}
