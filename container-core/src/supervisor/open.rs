//! What the supervisor is born with: its directory, the room for the exit
//! status, the socket, the log.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Supervision, wire};
use crate::error::{Error, ErrorKind, Result};
use crate::terminal::socket_path;

/// The open files; unless [kept](Self::keep), dropping this removes those that
/// were made.
#[derive(Debug)]
pub(crate) struct Opened {
    directory: Arc<OwnedFd>,
    descriptors: Vec<Arc<OwnedFd>>,
    /// What to remove: a name in the directory behind the descriptor.
    made: Vec<(Arc<OwnedFd>, PathBuf)>,
    made_directory: Option<PathBuf>,
}

impl Opened {
    /// Makes and opens everything; nothing is left if it fails.
    pub(crate) fn new(supervision: &Supervision) -> Result<Self> {
        let path = &supervision.directory;
        let (directory, made_directory) = open_directory(path)?;
        let mut opened = Self {
            directory: Arc::new(directory),
            descriptors: Vec::new(),
            made: Vec::new(),
            made_directory,
        };
        opened.refuse_used(path)?;
        let exit_file = opened.make_exit_file(path)?;
        let name = |name: &std::ffi::CStr| PathBuf::from(OsStr::from_bytes(name.to_bytes()));
        let listener = socket_path::bind_packets(&path.join(name(wire::SOCKET)))?;
        opened.made.push((Arc::clone(&opened.directory), name(wire::SOCKET)));
        let directory = Arc::clone(&opened.directory);
        opened.descriptors = vec![directory, Arc::new(exit_file), Arc::new(listener)];
        if let Some(log) = &supervision.log {
            opened.open_log(path, &log.path)?;
        }
        Ok(opened)
    }

    /// How many descriptors there are for a supervision.
    pub(crate) fn count(supervision: &Supervision) -> u32 {
        if supervision.has_log() { 5 } else { 3 }
    }

    /// Directory, exit file, listener; log file and its directory.
    pub(crate) fn descriptors(&self) -> &[Arc<OwnedFd>] {
        &self.descriptors
    }

    pub(crate) fn directory(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.directory)
    }

    /// They belong to the supervisor now.
    pub(crate) fn keep(mut self) {
        self.made.clear();
        self.made_directory = None;
    }

    /// A directory that another container has, or had, is not to be mixed with
    /// a new one's.
    fn refuse_used(&self, path: &Path) -> Result<()> {
        for name in [wire::EXIT_FILE, wire::EXIT_FILE_NEW, wire::SOCKET] {
            let found = fstatat(&self.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW);
            let shown = || path.join(OsStr::from_bytes(name.to_bytes())).display().to_string();
            match found {
                Err(Errno::ENOENT) => {}
                Err(error) => return Err(Error::os("fstatat", shown(), error)),
                Ok(_) => {
                    let reason = "another container's supervisor has, or had, this directory";
                    let kind = ErrorKind::AlreadyExists;
                    return Err(Error::with(kind, "check supervision", shown(), reason)
                        .hint("give each container a directory of its own, or clear this one"));
                }
            }
        }
        Ok(())
    }

    /// With its blocks, so that a disk that fills up later does not matter.
    fn make_exit_file(&mut self, path: &Path) -> Result<OwnedFd> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let name = OsStr::from_bytes(wire::EXIT_FILE_NEW.to_bytes());
        let failed =
            |step, error: std::io::Error| Error::os(step, path.join(name).to_string_lossy(), error);
        let file = openat(&self.directory, wire::EXIT_FILE_NEW, flags, private())
            .map_err(|error| failed("openat", error.into()))?;
        self.made.push((Arc::clone(&self.directory), name.into()));
        let mut file = File::from(file);
        file.write_all(&[b'\n'; wire::EXIT_FILE_SIZE]).map_err(|error| failed("write", error))?;
        Ok(file.into())
    }

    fn open_log(&mut self, directory: &Path, log: &Path) -> Result<()> {
        let whole = directory.join(log);
        let failed = |step: &'static str, error| Error::os(step, whole.to_string_lossy(), error);
        let inside = log.parent() == Some(Path::new(""));
        let parent = if inside {
            Arc::clone(&self.directory)
        } else {
            let parent = whole.parent().unwrap_or(Path::new("/"));
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let opened = nix::fcntl::open(parent, flags, Mode::empty());
            Arc::new(opened.map_err(|error| failed("open directory of", error))?)
        };
        let name = log.file_name().unwrap_or_default();
        let append = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC;
        let file = match openat(&parent, name, append | OFlag::O_CREAT | OFlag::O_EXCL, private()) {
            Ok(file) => {
                self.made.push((Arc::clone(&parent), name.into()));
                file
            }
            Err(Errno::EEXIST) => openat(&parent, name, append, Mode::empty())
                .map_err(|error| failed("open", error))?,
            Err(error) => return Err(failed("open", error)),
        };
        let found = fstat(&file).map_err(|error| failed("fstat", error))?;
        if !is_regular(&found) {
            let shown = whole.to_string_lossy();
            return Err(Error::invalid("check log", shown, "not a regular file"));
        }
        self.descriptors.extend([Arc::new(file), parent]);
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let made = !self.made.is_empty();
        for (directory, name) in self.made.drain(..) {
            let _ = unlinkat(&*directory, &name, UnlinkatFlags::NoRemoveDir);
        }
        if made {
            // Of a container that was killed before it ran.
            let _ = unlinkat(&*self.directory, wire::EXIT_FILE, UnlinkatFlags::NoRemoveDir);
        }
        if let Some(directory) = &self.made_directory {
            let _ = std::fs::remove_dir(directory);
        }
    }
}

fn private() -> Mode {
    Mode::from_bits_truncate(0o600)
}

fn is_regular(found: &FileStat) -> bool {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

/// Opens the directory; its path if it was made.
fn open_directory(path: &Path) -> Result<(OwnedFd, Option<PathBuf>)> {
    use std::os::unix::fs::DirBuilderExt;
    let failed = |step, error| Error::os(step, path.to_string_lossy(), error);
    let made = match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Some(path.to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
        Err(error) => return Err(failed("mkdir", error)),
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::open(path, flags, Mode::empty());
    opened.map(|directory| (directory, made)).map_err(|error| failed("open", error.into()))
}
