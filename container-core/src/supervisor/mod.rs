//! Containers that outlive the program that made them, with their output, exit
//! status and terminal kept: the small supervisor.
//!
//! Whoever makes a process is its parent: the one the kernel tells the exit
//! status, and the holder of the other ends of its standard streams. If that
//! program ends, the status is lost, and the container dies of its next line
//! of output. So container engines put a small long-lived process between the
//! two: podman has `conmon`, containerd its *shim*, one per container. This is
//! that process, as part of the library: not a program to install, but a mode
//! of the [tiny init](crate#how-a-process-is-made).
//!
//! ```text
//! creator ──clone──► supervisor ──clone3(NEW…)──► container's first process
//! (may end)          │ session of its own, subreaper, no memory but its own
//!                    ├─ stdout, stderr, terminal ◄── output
//!                    ├─ log file, rotated
//!                    ├─ attach.sock ◄── clients: output, input, window size
//!                    └─ exit: status and time, when it is over
//! ```
//!
//! It is a process of some 100 kB, single-threaded, without an allocator. It
//! ends when the container has ended and its output is written down.
//!
//! ```no_run
//! use container_core::Container;
//! use container_core::supervisor::{self, Attachment, Event, Log, Supervision};
//!
//! # fn main() -> Result<(), container_core::Error> {
//! let directory = std::path::Path::new("/run/engine/web");
//! let supervision = Supervision::new(directory).log(Log::cri("log").rotate(1 << 20, 3));
//! let container = Container::builder("/srv/rootfs")
//!     .command("/bin/server")
//!     .supervised(supervision)
//!     .start()?;
//! container.detach();
//!
//! // From here on in any process of the same user, also after this one's end:
//! let attachment = Attachment::connect(directory)?;
//! while let Event::Output { bytes, .. } = attachment.next()? {
//!     println!("{}", String::from_utf8_lossy(&bytes));
//! }
//! println!("{}", supervisor::wait(directory)?.status);
//! # Ok(())
//! # }
//! ```
//!
//! # The directory
//!
//! Each container has one of its own, which only its user should be able to
//! search (it is made with mode 0700 where it does not exist).
//!
//! | file | |
//! |---|---|
//! | `attach.sock` | while it runs: see [`Attachment`]; removed at the end |
//! | `exit` | after the end: see [`Exit`]; appears whole, also on a full disk |
//! | `exit.new` | the room for it until then |
//!
//! # Rules
//!
//! - A client that attaches gets all output from then on. One that reads
//!   nothing for 250 ms while 48 KiB wait for it is passed over: the container
//!   does not wait for it any more, and it is told [how much it
//!   missed](Event::Lost), until it has caught up.
//! - At most 32 clients are attached at a time; more wait in line.
//! - A disk that is full loses log lines, whole ones, counted in
//!   [`Exit::log_lost`]; the container goes on.
//! - Input of all clients comes together, each message in one piece. While the
//!   container reads none, its clients wait, 8 KiB at least after the first.
//! - `SIGHUP`, `SIGINT`, `SIGQUIT`, `SIGTERM`, `SIGUSR1`, `SIGUSR2` to the
//!   supervisor are passed on to the container; it takes no others.
//! - If the supervisor is killed, the kernel kills the container's first
//!   process (`PR_SET_PDEATHSIG`), unless a set-user-ID program gave that up.
//! - If the creator dies before the start, both end and leave no `exit`.
//! - Only its own user's processes can attach, by the mode of `attach.sock`.
//!
//! A container with [limits of its own](crate::ContainerBuilder::resources)
//! leaves its cgroup behind when it was detached: remove it after the end.

mod attachment;
mod exit;
mod open;

#[allow(missing_docs, dead_code, unreachable_pub)]
#[path = "../../init/attach.rs"]
mod wire;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub use attachment::{Attachment, Event, Stream};
pub(crate) use exit::status_in;
pub use exit::{Exit, exit_status, wait, wait_timeout};
pub(crate) use open::Opened;

/// Asks for a supervisor: where it keeps what belongs to the container.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "hand it to ContainerBuilder::supervised"]
pub struct Supervision {
    pub(crate) directory: PathBuf,
    pub(crate) log: Option<Log>,
}

impl Supervision {
    /// In this directory, which is made if only its last component is missing
    /// (mode 0700). A relative path is the caller's.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), log: None }
    }

    /// Writes output down too; without, only those see it who are attached.
    pub fn log(mut self, log: Log) -> Self {
        self.log = Some(log);
        self
    }

    /// Refuses what can't be, before anything is touched.
    pub(crate) fn check(&self) -> Result<()> {
        let step = "check supervision";
        if self.directory.as_os_str().is_empty() {
            return Err(Error::invalid(step, "", "an empty path"));
        }
        let Some(log) = &self.log else { return Ok(()) };
        let shown = || log.path.to_string_lossy().into_owned();
        if log.path.file_name().is_none() {
            return Err(Error::invalid("check log", shown(), "not the path of a file"));
        }
        let inside = log.path.parent() == Some(Path::new(""));
        let own = [wire::EXIT_FILE, wire::EXIT_FILE_NEW, wire::SOCKET];
        if inside
            && own.iter().any(|name| name.to_bytes() == log.path.as_os_str().as_encoded_bytes())
        {
            return Err(Error::invalid("check log", shown(), "a file of the supervisor's own"));
        }
        if !(1..=wire::MAX_LOGS as u32).contains(&log.files) {
            let reason = format!("{} files; 1 to {} can be kept", log.files, wire::MAX_LOGS);
            return Err(Error::invalid("check log", shown(), reason));
        }
        if log.max_size == Some(0) {
            return Err(Error::invalid("check log", shown(), "a size limit of 0"));
        }
        Ok(())
    }

    pub(crate) fn has_log(&self) -> bool {
        self.log.is_some()
    }
}

/// A log file of a container's output, appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "hand it to Supervision::log"]
pub struct Log {
    path: PathBuf,
    cri: bool,
    max_size: Option<u64>,
    files: u32,
}

impl Log {
    /// In the log format of the Kubernetes container runtime interface:
    /// `2016-10-06T00:17:09.669794202Z stdout F line`, where `P` in place of
    /// `F` marks a part of a line that goes on in the next entry. A relative
    /// path is one in the supervision's directory.
    pub fn cri(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), cri: true, max_size: None, files: 1 }
    }

    /// As it comes, both streams in one. A relative path is one in the
    /// supervision's directory.
    pub fn raw(path: impl Into<PathBuf>) -> Self {
        Self { cri: false, ..Self::cri(path) }
    }

    /// Starts a new file before one grows beyond `max_size` bytes, and keeps
    /// `files` of them, the current one included: `log`, `log.1`, … (1 to 16).
    /// Without, it grows on.
    pub fn rotate(mut self, max_size: u64, files: u32) -> Self {
        (self.max_size, self.files) = (Some(max_size), files);
        self
    }

    pub(crate) fn is_cri(&self) -> bool {
        self.cri
    }

    pub(crate) fn max_size(&self) -> u64 {
        self.max_size.unwrap_or(0)
    }

    /// The current file's name and those it is rotated to.
    pub(crate) fn names(&self) -> Vec<std::ffi::OsString> {
        let name = self.path.file_name().unwrap_or_default();
        let numbered = (1..self.files).map(|number| {
            let mut numbered = name.to_owned();
            numbered.push(format!(".{number}"));
            numbered
        });
        std::iter::once(name.to_owned()).chain(numbered).collect()
    }
}
