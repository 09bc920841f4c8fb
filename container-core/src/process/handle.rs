//! A process that was made: waiting, signals, streams.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use std::process::{ExitStatus, Output};

use super::clone::Born;
use super::companions::{Companions, deadline, poll_timeout};
use super::spawn;
use super::supervised::Supervisor;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::seccomp::Listener;
use crate::supervisor::Opened;
use crate::sys;
use crate::terminal::{WindowSize, set_window_size};

/// The caller's ends of the standard streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) ours: [Option<OwnedFd>; 3],
    pub(super) terminal: Option<OwnedFd>,
    pub(super) listener: Mutex<Option<OwnedFd>>,
}

/// The process itself: shared by its handle and by a container it was executed
/// in.
#[derive(Debug)]
pub(crate) struct Inner {
    pid: u32,
    pidfd: OwnedFd,
    /// Who keeps its status: it is the supervisor's child, not ours.
    supervisor: Option<Supervisor>,
    status: Mutex<Option<ExitStatus>>,
}

impl Inner {
    fn known(&self) -> Option<ExitStatus> {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps it if it has ended; one thread at a time.
    pub(super) fn reap(&self) -> Result<Option<ExitStatus>> {
        let mut known = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some() {
            return Ok(*known);
        }
        if let Some(supervisor) = &self.supervisor {
            *known = self.status_by(supervisor)?;
            return Ok(*known);
        }
        let found = match sys::wait_pidfd(self.as_fd(), libc::WEXITED | libc::WNOHANG) {
            Ok(found) => found,
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                let found = sys::exit_status_of(self.as_fd());
                if found.is_none() && self.is_readable() {
                    return Err(self.lost());
                }
                found
            }
            Err(error) => return Err(Error::os("waitid", self.pid.to_string(), error)),
        };
        *known = found.map(ExitStatus::from_raw);
        Ok(*known)
    }

    /// Reaps the supervisor if it has ended, and reads what it has left.
    fn status_by(&self, supervisor: &Supervisor) -> Result<Option<ExitStatus>> {
        match sys::wait_pidfd(self.as_fd(), libc::WEXITED | libc::WNOHANG) {
            Ok(None) => return Ok(None),
            Ok(Some(_)) => {}
            // Reaped by somebody else, or still there.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                if !self.is_readable() {
                    return Ok(None);
                }
            }
            Err(error) => return Err(Error::os("waitid", self.pid.to_string(), error)),
        }
        supervisor.status()?.map(Some).ok_or_else(|| {
            let reason = "its supervisor has ended without writing the status down";
            Error::with(ErrorKind::NotFound, "wait", self.pid.to_string(), reason)
                .hint("it was killed, or the container never started")
        })
    }

    fn lost(&self) -> Error {
        let reason = "somebody else reaped it, and the kernel keeps no status";
        Error::with(ErrorKind::NotFound, "waitid", self.pid.to_string(), reason)
            .hint("don't ignore SIGCHLD nor wait for all children, or use Linux 6.15")
    }

    fn is_readable(&self) -> bool {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    fn wait_readable(&self, timeout: Option<Duration>) -> Result<()> {
        let deadline = deadline(timeout);
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, poll_timeout(left)) {
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(Error::os("poll", "pidfd", error)),
                Ok(0) if left.is_some_and(|left| !left.is_zero()) => {}
                Ok(_) => return Ok(()),
            }
        }
    }
}

impl AsFd for Inner {
    /// What tells of the end, and by then of the status.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.supervisor.as_ref().map_or(self.pidfd.as_fd(), |supervisor| supervisor.pidfd.as_fd())
    }
}

/// What a created process waits with.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) control: UnixStream,
    pub(super) plan: Plan,
    pub(super) files: Option<Opened>,
}

/// A running (or ended, or created) process, owned by a pidfd.
///
/// Dropping it kills the process and reaps it, unless [`detach`](Self::detach)
/// was called; where it is PID 1 of a new pid namespace, everything in the
/// namespace goes with it. The descriptor ([`AsFd`]) becomes readable when the
/// process ends ([pidfd_open(2)]), so it fits any event loop.
///
/// [pidfd_open(2)]: https://man7.org/linux/man-pages/man2/pidfd_open.2.html
#[derive(Debug)]
#[must_use = "dropping a process kills it"]
pub struct Process {
    inner: Arc<Inner>,
    streams: Streams,
    /// While created and not started.
    waiting: Mutex<Option<Waiting>>,
    /// Of a container: processes executed inside, to be reaped before it ends.
    companions: Option<Arc<Companions>>,
    /// Those that it is one of itself.
    among: Option<Arc<Companions>>,
    detached: bool,
}

impl Process {
    pub(super) fn new(
        born: Born,
        supervisor: Option<Supervisor>,
        streams: Streams,
        waiting: Option<Waiting>,
    ) -> Self {
        let (Born { pid, pidfd }, waiting) = (born, Mutex::new(waiting));
        let inner = Arc::new(Inner { pid, pidfd, supervisor, status: Mutex::new(None) });
        Self { inner, streams, waiting, companions: None, among: None, detached: false }
    }

    /// Makes it the leader of these companions.
    pub(crate) fn lead(&mut self, companions: Arc<Companions>) {
        self.companions = Some(companions);
    }

    /// Makes it one of them.
    pub(super) fn join(&mut self, companions: &Arc<Companions>) -> Result<()> {
        companions.add(Arc::clone(&self.inner))?;
        self.among = Some(Arc::clone(companions));
        Ok(())
    }

    /// The process id, as the caller's pid namespace numbers it. It is the
    /// process's own until [`wait`](Self::wait) has returned.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.inner.pid
    }

    /// The descriptor of the process itself, whoever waits for it.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.inner.pidfd.as_fd()
    }

    /// Whether its number is still its own: for an ended process of a
    /// supervisor's that may not be so.
    pub(crate) fn is_there(&self) -> bool {
        let mut fds = [PollFd::new(self.pidfd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready == 0)
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.detached
    }

    /// Runs the program of a process that was created to wait for it.
    pub(crate) fn start(&self) -> Result<()> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        match waiting {
            Some(waiting) => {
                // Without its listener it must not go on.
                let listener = spawn::start(waiting, self.inner.pid).inspect_err(|_| {
                    let _ = self.kill();
                })?;
                if listener.is_some() {
                    *self.streams.listener.lock().unwrap_or_else(PoisonError::into_inner) =
                        listener;
                }
                Ok(())
            }
            None => Err(Error::with(ErrorKind::WrongState, "start", "", "it was started before")),
        }
    }

    /// Waits for the end. Any number of threads may wait; each gets the status.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the program ignores `SIGCHLD` or reaps
    /// children that aren't its own (`waitpid(-1)`) on a kernel before 6.15,
    /// which forgets the status then.
    pub fn wait(&self) -> Result<ExitStatus> {
        let inner = &self.inner;
        if let Some(status) = inner.known() {
            return Ok(status);
        }
        match &self.companions {
            Some(companions) => companions.wait_for(inner, None)?,
            // Without reaping, so that no waiter comes too late.
            None => match sys::wait_pidfd(inner.as_fd(), libc::WEXITED | libc::WNOWAIT) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                    inner.wait_readable(None)?;
                }
                Err(error) => return Err(Error::os("waitid", inner.pid.to_string(), error)),
            },
        }
        inner.reap()?.ok_or_else(|| inner.lost())
    }

    /// The status if it has ended.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<Option<ExitStatus>> {
        if let Some(companions) = &self.companions
            && self.inner.known().is_none()
        {
            companions.wait_for(&self.inner, Some(Duration::ZERO))?;
        }
        self.inner.reap()
    }

    /// Waits for the end, but not longer; `None` if the time passed first.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<ExitStatus>> {
        if self.inner.known().is_none() {
            match &self.companions {
                Some(companions) => companions.wait_for(&self.inner, Some(timeout))?,
                None => self.inner.wait_readable(Some(timeout))?,
            }
        }
        self.inner.reap()
    }

    /// Sends a signal by number, such as 15 for `SIGTERM`; it can't reach
    /// another process that got the same number later.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] once it has been waited for; until then a signal
    /// to an ended process goes nowhere.
    pub fn signal(&self, signal: i32) -> Result<()> {
        sys::signal_pidfd(self.pidfd(), signal)
            .map_err(|error| Error::os("pidfd_send_signal", format!("signal {signal}"), error))
    }

    /// Sends `SIGKILL`.
    ///
    /// # Errors
    ///
    /// As [`signal`](Self::signal).
    pub fn kill(&self) -> Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Our end of standard input, if it is a pipe; once.
    #[must_use]
    pub fn take_stdin(&mut self) -> Option<PipeWriter> {
        self.streams.ours[0].take().map(PipeWriter::from)
    }

    /// Our end of standard output, if it is a pipe; once.
    #[must_use]
    pub fn take_stdout(&mut self) -> Option<PipeReader> {
        self.streams.ours[1].take().map(PipeReader::from)
    }

    /// Our end of standard error, if it is a pipe; once.
    #[must_use]
    pub fn take_stderr(&mut self) -> Option<PipeReader> {
        self.streams.ours[2].take().map(PipeReader::from)
    }

    /// The master of its terminal, for reading and writing; once. When the
    /// last process has closed the terminal, reading answers `EIO` in place of
    /// an end of file ([pty(7)]).
    ///
    /// [pty(7)]: https://man7.org/linux/man-pages/man7/pty.7.html
    #[must_use]
    pub fn take_terminal(&mut self) -> Option<File> {
        self.streams.terminal.take().map(File::from)
    }

    /// Sets the size of its terminal, while this value has it: whoever
    /// [took](Self::take_terminal) the terminal uses
    /// [`set_window_size`](crate::terminal::set_window_size) on it, or a
    /// [`RelayHandle`](crate::terminal::RelayHandle). The foreground process
    /// gets `SIGWINCH` if the size is new.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongState`] without a terminal, or when it was taken.
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        let Some(terminal) = &self.streams.terminal else {
            let reason = "it has no terminal, or somebody took it";
            return Err(Error::with(ErrorKind::WrongState, "resize", "terminal", reason)
                .hint("use terminal::set_window_size on what take_terminal gave"));
        };
        set_window_size(terminal, size)
    }

    /// The listener of its filter, if that [notifies] and no
    /// [agent](crate::ProcessBuilder::seccomp_listener) was named; once. While
    /// somebody keeps the listener and nobody answers, the process waits; when
    /// it is dropped, the calls that notify answer `ENOSYS`.
    ///
    /// [notifies]: crate::seccomp::Action::Notify
    #[must_use]
    pub fn take_seccomp_listener(&self) -> Option<Listener> {
        let mut listener = self.streams.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.take().map(Listener::from)
    }

    /// Lets it live on when this value is dropped. The caller's process stays
    /// its parent: unless somebody waits for it, it stays a zombie at its end.
    pub fn detach(mut self) -> u32 {
        self.detached = true;
        self.inner.pid
    }

    /// Likewise, and stays a handle that can wait.
    pub(crate) fn let_live(&mut self) {
        self.detached = true;
    }

    /// Closes standard input, reads standard output and error to their ends,
    /// and waits.
    ///
    /// # Errors
    ///
    /// Those of reading, and of [`wait`](Self::wait).
    pub fn wait_with_output(mut self) -> Result<Output> {
        self.collect_output()
    }

    pub(crate) fn collect_output(&mut self) -> Result<Output> {
        drop(self.take_stdin());
        let (stdout, stderr) = (self.take_stdout(), self.take_stderr());
        let (stdout, stderr) = read_both(stdout, stderr)
            .map_err(|error| Error::os("read", "standard output and error", error))?;
        Ok(Output { status: self.wait()?, stdout, stderr })
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// How long dropping waits for a killed process.
const DROP_PATIENCE: Duration = Duration::from_secs(10);

impl Drop for Process {
    fn drop(&mut self) {
        if self.inner.known().is_some() {
            return;
        }
        if self.detached {
            if let Some(companions) = &self.among {
                companions.keep();
            }
            return;
        }
        if self.kill().is_ok() {
            // Death may be held up: by a freezer of cgroup v1 that someone
            // else holds, or by a device that does not answer.
            let _ = self.wait_timeout(DROP_PATIENCE);
        } else {
            let _ = self.try_wait();
        }
    }
}

/// Reads two pipes to their ends without either blocking the other.
pub(super) fn read_both(
    first: Option<PipeReader>,
    second: Option<PipeReader>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut pipes = [first, second];
    let mut contents = [Vec::new(), Vec::new()];
    let mut buffer = vec![0; 64 << 10];
    while pipes.iter().any(Option::is_some) {
        let open: Vec<usize> = (0..2).filter(|index| pipes[*index].is_some()).collect();
        let mut fds: Vec<PollFd<'_>> = pipes
            .iter()
            .flatten()
            .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other.map_err(io::Error::from)?,
        };
        let ready: Vec<bool> =
            fds.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty())).collect();
        for (index, ready) in open.into_iter().zip(ready) {
            if !ready {
                continue;
            }
            let Some(pipe) = &mut pipes[index] else {
                continue;
            };
            match pipe.read(&mut buffer) {
                Ok(0) => pipes[index] = None,
                Ok(read) => contents[index].extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    let [first, second] = contents;
    Ok((first, second))
}
