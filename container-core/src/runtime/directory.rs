//! A container's state directory: reading, replacing, locking, removing.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{FileStat, Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Error, ErrorKind, Result};

/// How much of a file is read at most.
const MAX_FILE: u64 = 32 << 20;
/// How much most have: read at once.
const USUAL_FILE: usize = 16 << 10;
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

    /// Makes a directory, mode 0700, under a name that no container can have, and opens it:
    /// [`publish`](Self::publish) shows it to others.
    pub(super) fn make_draft(&self) -> Result<(String, Self)> {
        let name = hidden_name("new");
        mkdirat(&self.fd, &*name, Mode::S_IRWXU)
            .map_err(|error| Error::os("mkdir", self.path.join(&name).to_string_lossy(), error))?;
        let draft = self.child(&name)?;
        Ok((name, draft))
    }

    /// Gives a draft, which is whole by now, its name.
    pub(super) fn publish(&self, draft: &str, directory: &mut Self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        let flags = RenameFlags::RENAME_NOREPLACE;
        renameat2(&self.fd, draft, &self.fd, name, flags)
            .map_err(|error| Error::os("rename", path.to_string_lossy(), error))?;
        directory.path = path;
        Ok(())
    }

    /// Whether this is still the directory of that name in `root`.
    pub(super) fn is_child(&self, root: &Self, name: &str) -> bool {
        match (nix::sys::stat::fstat(&self.fd), root.stat(name)) {
            (Ok(ours), Some(there)) => (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        }
    }

    /// Removes what creators and deleters that were killed have left under hidden names. Young
    /// ones are passed over: they may be at work.
    pub(super) fn sweep(&self) -> Result<()> {
        for name in self.names()?.iter().filter(|name| name.starts_with(HIDDEN)) {
            let old = self.stat(name).is_some_and(|found| {
                let changed = UNIX_EPOCH + Duration::from_secs(found.st_mtime.unsigned_abs());
                changed.elapsed().is_ok_and(|age| age > DRAFT_AGE)
            });
            if old && self.child(name).is_ok_and(|draft| draft.make_lock().is_ok()) {
                self.empty_and_remove(name)?;
            }
        }
        Ok(())
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
        let mut bytes = Vec::with_capacity(USUAL_FILE);
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

    /// Writes a file into a directory that nobody else sees.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = || self.path.join(name).to_string_lossy().into_owned();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = openat(&self.fd, name, flags, MODE)
            .map_err(|error| Error::os("create", path(), error))?;
        File::from(file).write_all(bytes).map_err(|error| Error::os("write", path(), error))
    }

    /// Removes a file; one that is not there is fine.
    pub(super) fn unlink(&self, name: &str) -> Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(Error::os("unlink", self.path.join(name).to_string_lossy(), error)),
        }
    }

    /// Removes the directory of this name with the files in it: for others at once.
    pub(super) fn remove_child(&self, name: &str) -> Result<()> {
        let hidden = hidden_name("old");
        renameat(&self.fd, name, &self.fd, &*hidden)
            .map_err(|error| Error::os("rename", self.path.join(name).to_string_lossy(), error))?;
        self.empty_and_remove(&hidden).inspect_err(|_| {
            // What holds something that is not ours stays in sight.
            let _ = renameat(&self.fd, &*hidden, &self.fd, name);
        })
    }

    pub(super) fn empty_and_remove(&self, name: &str) -> Result<()> {
        let child = self.child(name)?;
        for name in child.names()? {
            child.unlink(&name)?;
        }
        unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir)
            .map_err(|error| Error::os("rmdir", child.path.to_string_lossy(), error))
    }

    /// Locks out whoever else would change something.
    ///
    /// The file is made with the directory, and not here: else one who comes too late would put
    /// it into a directory that is being removed.
    pub(super) fn lock(&self) -> Result<Lock> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match self.try_lock(OFlag::empty()) {
                Err(error) if error.kind() == ErrorKind::Busy && Instant::now() < deadline => {
                    std::thread::sleep(LOCK_POLL);
                }
                other => return other,
            }
        }
    }

    /// Keeps a pause and the birth of a process apart: one of the former, or many of the latter.
    ///
    /// Not the lock of changes: a hook of the start, which holds that, may execute something.
    pub(super) fn lock_births(&self, kind: FlockArg) -> Result<Flock<File>> {
        let path = self.path.to_string_lossy();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut file = openat(&self.fd, ".", flags, Mode::empty())
            .map(File::from)
            .map_err(|error| Error::os("open", path.clone(), error))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            file = match Flock::lock(file, kind) {
                Ok(locked) => return Ok(locked),
                Err((file, Errno::EAGAIN | Errno::EINTR)) if Instant::now() < deadline => file,
                Err((_, error)) => return Err(Error::os("flock", path, error)),
            };
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// The first lock of a draft, and of a directory that may lack the file.
    pub(super) fn make_lock(&self) -> Result<Lock> {
        self.try_lock(OFlag::O_CREAT)
    }

    fn try_lock(&self, make: OFlag) -> Result<Lock> {
        let path = self.path.join(LOCK_FILE);
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | make;
        let file = openat(&self.fd, LOCK_FILE, flags, MODE).map_err(|error| match error {
            Errno::ENOENT => self.deleted(),
            error => Error::os("open", path.to_string_lossy(), error),
        })?;
        match Flock::lock(File::from(file), FlockArg::LockExclusiveNonblock) {
            Ok(locked) => self.still_there(locked),
            Err((_, Errno::EAGAIN | Errno::EINTR)) => {
                let reason = "another process is changing this container";
                Err(Error::with(ErrorKind::Busy, "flock", path.to_string_lossy(), reason))
            }
            Err((_, error)) => Err(Error::os("flock", path.to_string_lossy(), error)),
        }
    }

    /// Who waited for a lock may find the container gone.
    fn still_there(&self, locked: Flock<File>) -> Result<Lock> {
        match (nix::sys::stat::fstat(locked.as_fd()), self.stat(LOCK_FILE)) {
            (Ok(ours), Some(there)) if ours.st_ino == there.st_ino => Ok(Lock { _file: locked }),
            _ => Err(self.deleted()),
        }
    }

    fn deleted(&self) -> Error {
        let reason = "the container was deleted meanwhile";
        Error::with(ErrorKind::NotFound, "flock", self.path.to_string_lossy(), reason)
    }
}

/// What the names of directories begin with that are no containers; no id does.
const HIDDEN: char = '#';
/// How old one of these is at least when it is taken for left behind.
const DRAFT_AGE: Duration = Duration::from_secs(60);
const LOCK_FILE: &str = "lock";

fn hidden_name(kind: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{HIDDEN}{kind}.{}.{next}", std::process::id())
}

const FLAGS: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
