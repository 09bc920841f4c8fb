//! A container's state directory: reading, replacing, locking, removing.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Error, ErrorKind, Result};

/// How much of a file is read at most.
const MAX_FILE: u64 = 32 << 20;
/// How long a lock is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
const LOCK_POLL: Duration = Duration::from_millis(2);

/// An open directory and the path it was opened by.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    pub(super) path: PathBuf,
}

/// Holding it keeps all others from changing the container.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

impl Directory {
    /// Opens a directory that must be the caller's own, and nobody else's to write in.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let fd = nix::fcntl::open(path, FLAGS, Mode::empty())
            .map_err(|error| Error::os("open", path.to_string_lossy(), error))?;
        Self { fd, path: path.to_owned() }.checked()
    }

    /// Opens the directory of this name in it; not through a symlink.
    pub(super) fn child(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        let fd = openat(&self.fd, name, FLAGS | OFlag::O_NOFOLLOW, Mode::empty())
            .map_err(|error| Error::os("open", path.to_string_lossy(), error))?;
        Self { fd, path }.checked()
    }

    /// Makes a directory of this name, mode 0700, and opens it.
    pub(super) fn make_child(&self, name: &str) -> Result<Self> {
        mkdirat(&self.fd, name, Mode::S_IRWXU)
            .map_err(|error| Error::os("mkdir", self.path.join(name).to_string_lossy(), error))?;
        self.child(name)
    }

    fn checked(self) -> Result<Self> {
        let stat = nix::sys::stat::fstat(&self.fd)
            .map_err(|error| Error::os("fstat", self.path.to_string_lossy(), error))?;
        let reason = if stat.st_uid != nix::unistd::geteuid().as_raw() {
            "it belongs to another user"
        } else if stat.st_mode & 0o022 != 0 {
            "others may write in it"
        } else {
            return Ok(self);
        };
        let path = self.path.to_string_lossy();
        Err(Error::with(ErrorKind::PermissionDenied, "open state directory", path, reason)
            .hint("use a directory of your own, mode 0700"))
    }

    pub(super) fn names(&self) -> Result<Vec<String>> {
        let failed = |error| Error::os("readdir", self.path.to_string_lossy(), error);
        let mut dir = Dir::openat(&self.fd, ".", FLAGS, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn stat(&self, name: &str) -> Option<FileStat> {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|error| Error::os("open", path.to_string_lossy(), error))?;
        let mut bytes = Vec::new();
        File::from(file)
            .take(MAX_FILE)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::os("read", path.to_string_lossy(), error))?;
        Ok(bytes)
    }

    /// Replaces a file at once. Not forced to the disk: what it tells is about processes, which no
    /// failure of the machine survives.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let temporary = format!(".{name}.{}", std::process::id());
        let path = self.path.join(name);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_CLOEXEC;
        let file = openat(&self.fd, &*temporary, flags | OFlag::O_NOFOLLOW, MODE)
            .map_err(|error| Error::os("create", path.to_string_lossy(), error))?;
        let written = File::from(file)
            .write_all(bytes)
            .map_err(|error| Error::os("write", path.to_string_lossy(), error))
            .and_then(|()| {
                renameat(&self.fd, &*temporary, &self.fd, name)
                    .map_err(|error| Error::os("rename", path.to_string_lossy(), error))
            });
        if written.is_err() {
            let _ = self.unlink(&temporary);
        }
        written
    }

    /// Removes a file; one that is not there is fine.
    pub(super) fn unlink(&self, name: &str) -> Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(Error::os("unlink", self.path.join(name).to_string_lossy(), error)),
        }
    }

    /// Removes the directory of this name with the files in it.
    pub(super) fn remove_child(&self, name: &str) -> Result<()> {
        let child = self.child(name)?;
        // The state goes first and the directory last: an interrupted removal leaves a directory
        // that is told as damaged, never a container.
        for name in ["state.json", "config.json"].into_iter() {
            child.unlink(name)?;
        }
        for name in child.names()? {
            child.unlink(&name)?;
        }
        unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir)
            .map_err(|error| Error::os("rmdir", child.path.to_string_lossy(), error))
    }

    /// Locks out whoever else would change something.
    pub(super) fn lock(&self) -> Result<Lock> {
        let path = self.path.join("lock");
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let file = openat(&self.fd, "lock", flags, MODE)
            .map_err(|error| Error::os("open", path.to_string_lossy(), error))?;
        let mut file = File::from(file);
        let start = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => return self.still_there(locked, &path),
                Err((unlocked, Errno::EAGAIN)) => file = unlocked,
                Err((unlocked, Errno::EINTR)) => file = unlocked,
                Err((_, error)) => return Err(Error::os("flock", path.to_string_lossy(), error)),
            }
            if start.elapsed() > LOCK_PATIENCE {
                let reason = "another process has been changing this container for 30 seconds";
                let path = path.to_string_lossy();
                return Err(Error::with(ErrorKind::Busy, "flock", path, reason));
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// Who waited for a lock may find the container gone, or another of its name in its place.
    fn still_there(&self, locked: Flock<File>, path: &Path) -> Result<Lock> {
        let same = match (nix::sys::stat::fstat(locked.as_fd()), self.stat("lock")) {
            (Ok(ours), Some(there)) => ours.st_ino == there.st_ino,
            _ => false,
        };
        if same && std::fs::symlink_metadata(&self.path).is_ok() {
            return Ok(Lock { _file: locked });
        }
        let path = path.to_string_lossy();
        Err(Error::with(ErrorKind::NotFound, "flock", path, "the container was deleted meanwhile"))
    }
}

const FLAGS: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
