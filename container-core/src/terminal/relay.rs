//! The loop between a user's terminal and the master of a container's.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::termios::{SpecialCharacterIndices, tcgetattr};

use super::detach::{DetachKeys, Detector};
use super::window::{WindowSize, set_window_size};
use crate::error::{Error, Result};

/// What is read at a time, and held at most in each direction. A pipe that is
/// ready for writing takes it without blocking (`PIPE_BUF`, pipe(7)).
const CHUNK: usize = 4096;

/// Why a [`Relay`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayEnd {
    /// Every process has closed the terminal: reading it answers `EIO`.
    HungUp,
    /// The detach keys were typed; the terminal is as it was.
    Detached,
    /// The descriptor given to [`Relay::until`] became readable, and all that
    /// was written before that has been relayed.
    Ended,
    /// [`RelayHandle::stop`] was called.
    Stopped,
    /// Nobody reads the output any more (`EPIPE`).
    OutputClosed,
}

/// Carries bytes between a user's terminal (or pipes) and the master of a
/// container's, on the calling thread, until there is a reason to end.
///
/// The input's end is passed on as the terminal's end-of-file character, as
/// nothing else can tell it there; output goes on. Neither side can block the
/// other: each is read only while what came before has been written, and the
/// input's and output's own flags (they may be shared with the shell) stay as
/// they are. Reading needs no [raw mode](super::RawMode), but without it keys
/// arrive line by line.
#[derive(Debug)]
pub struct Relay {
    /// Shared with handles, which do not keep it open.
    master: Arc<File>,
    input: Option<File>,
    output: File,
    until: Option<OwnedFd>,
    detector: Detector,
    sends_eof: bool,
    stop: Arc<EventFd>,
    to_master: Pending,
    to_output: Pending,
    /// The last byte passed on, to know what an end-of-file character means.
    last_typed: u8,
}

/// Bytes on their way.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    done: usize,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.is_empty() {
            self.bytes.clear();
            self.done = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes once; an error that means "later" is none.
    fn write_to(&mut self, mut to: &File) -> io::Result<()> {
        let end = self.bytes.len().min(self.done + CHUNK);
        match to.write(&self.bytes[self.done..end]) {
            Ok(written) => self.done += written,
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Changes a [`Relay`] from another thread, or from this one before it runs.
/// It keeps neither the relay nor the terminal open.
#[derive(Debug, Clone)]
pub struct RelayHandle {
    master: Weak<File>,
    stop: Arc<EventFd>,
}

impl RelayHandle {
    /// Passes the user's window size on: to be called when `SIGWINCH` has
    /// come. Does nothing once the relay is gone.
    ///
    /// # Errors
    ///
    /// Those of [`set_window_size`].
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        self.master.upgrade().map_or(Ok(()), |master| set_window_size(&*master, size))
    }

    /// Ends the relay: [`Relay::run`] returns [`RelayEnd::Stopped`] now, or as
    /// soon as it is called.
    pub fn stop(&self) {
        // Full means that it was stopped more often than can be counted.
        let _ = self.stop.write(1);
    }
}

impl Relay {
    /// A relay between `master` and the user's `input` and `output`, of which
    /// it keeps duplicates.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if `master` is not the master
    /// of a terminal; failing duplication.
    pub fn new(master: impl Into<OwnedFd>, input: impl AsFd, output: impl AsFd) -> Result<Self> {
        let master: OwnedFd = master.into();
        if !crate::sys::is_pty_master(master.as_fd()) {
            return Err(Error::invalid("check relay", "", "not the master of a terminal"));
        }
        let stop = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|error| Error::os("eventfd", "", error))?;
        Ok(Self {
            master: Arc::new(master.into()),
            input: Some(duplicate(input.as_fd())?.into()),
            output: duplicate(output.as_fd())?.into(),
            until: None,
            detector: Detector::new(DetachKeys::default()),
            sends_eof: true,
            stop: Arc::new(stop),
            to_master: Pending::default(),
            to_output: Pending::default(),
            last_typed: b'\n',
        })
    }

    /// The keys that end it, in place of ctrl-p, ctrl-q.
    #[must_use]
    pub fn detach_keys(mut self, keys: DetachKeys) -> Self {
        self.detector = Detector::new(keys);
        self
    }

    /// Whether the input's end is passed on as the terminal's end-of-file
    /// character (twice in the middle of a line, where one only ends the
    /// line). On unless said otherwise.
    #[must_use]
    pub fn sends_eof(mut self, on: bool) -> Self {
        self.sends_eof = on;
        self
    }

    /// Ends when `descriptor` becomes readable too: a
    /// [`Process`](crate::Process)'s, so that a process left in the background
    /// with the terminal open does not hold the relay up. A duplicate is kept.
    ///
    /// # Errors
    ///
    /// Failing duplication.
    pub fn until(mut self, descriptor: impl AsFd) -> Result<Self> {
        self.until = Some(duplicate(descriptor.as_fd())?);
        Ok(self)
    }

    /// The means to resize and to stop it while it runs.
    #[must_use]
    pub fn handle(&self) -> RelayHandle {
        RelayHandle { master: Arc::downgrade(&self.master), stop: Arc::clone(&self.stop) }
    }

    /// The master back, after a detach for example.
    ///
    /// # Errors
    ///
    /// While a handle resizes it on another thread it has to be duplicated,
    /// which may fail.
    pub fn into_master(self) -> Result<File> {
        Arc::try_unwrap(self.master).or_else(|shared| Ok(duplicate(shared.as_fd())?.into()))
    }

    /// Carries bytes until there is a reason to end; may be called again after
    /// a detach.
    ///
    /// # Errors
    ///
    /// Reading or writing failed for another reason than an end.
    pub fn run(&mut self) -> Result<RelayEnd> {
        let before = fcntl(&self.master, FcntlArg::F_GETFL)
            .map_err(|error| Error::os("fcntl F_GETFL", "terminal", error))?;
        let before = OFlag::from_bits_retain(before);
        // A write may be larger than what the terminal has room for.
        set_flags(&self.master, before | OFlag::O_NONBLOCK)?;
        let ended = self.carry();
        let restored = set_flags(&self.master, before);
        let ended = ended?;
        restored.map(|()| ended)
    }

    fn carry(&mut self) -> Result<RelayEnd> {
        let mut ending = false;
        loop {
            if ending && self.to_output.is_empty() {
                match self.read_master()? {
                    Got::Bytes => {}
                    Got::Later | Got::End => return Ok(RelayEnd::Ended),
                }
            }
            for (source, events) in self.wait(ending)? {
                match source {
                    Source::Stop => {
                        let _ = self.stop.read();
                        return Ok(RelayEnd::Stopped);
                    }
                    Source::Until => ending = true,
                    Source::Output if !self.write_output()? => return Ok(RelayEnd::OutputClosed),
                    Source::Input if self.read_input()? => return Ok(RelayEnd::Detached),
                    Source::Output | Source::Input => {}
                    Source::Master => {
                        self.write_master(events.contains(PollFlags::POLLHUP))?;
                        if self.to_output.is_empty() && matches!(self.read_master()?, Got::End) {
                            return Ok(if ending { RelayEnd::Ended } else { RelayEnd::HungUp });
                        }
                    }
                }
            }
        }
    }

    /// Sleeps until something can be done. A descriptor of which nothing is
    /// wanted is left out, or its hang-up would wake for ever.
    fn wait(&self, ending: bool) -> Result<Vec<(Source, PollFlags)>> {
        let (no_output, no_input) = (self.to_output.is_empty(), self.to_master.is_empty());
        let mut wanted = vec![(Source::Stop, PollFd::new(self.stop.as_fd(), PollFlags::POLLIN))];
        let mut want = |source, fd, events: PollFlags| {
            if !events.is_empty() {
                wanted.push((source, PollFd::new(fd, events)));
            }
        };
        let if_so = |on: bool, events| if on { events } else { PollFlags::empty() };
        let master = if_so(no_output, PollFlags::POLLIN) | if_so(!no_input, PollFlags::POLLOUT);
        want(Source::Master, self.master.as_fd(), master);
        want(Source::Output, self.output.as_fd(), if_so(!no_output, PollFlags::POLLOUT));
        if let Some(input) = &self.input {
            want(Source::Input, input.as_fd(), if_so(no_input && !ending, PollFlags::POLLIN));
        }
        if let Some(until) = &self.until {
            want(Source::Until, until.as_fd(), if_so(!ending, PollFlags::POLLIN));
        }
        let (sources, mut fds): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(error) => return Err(Error::os("poll", "terminal", error)),
        }
        let happened = |fd: &PollFd<'_>| fd.revents().unwrap_or(PollFlags::POLLERR);
        let all = sources.into_iter().zip(fds.iter().map(happened));
        Ok(all.filter(|(_, events)| !events.is_empty()).collect())
    }

    fn read_master(&mut self) -> Result<Got> {
        let mut buffer = [0; CHUNK];
        match (&*self.master).read(&mut buffer) {
            Ok(0) => Ok(Got::End),
            Ok(read) => {
                self.to_output.add(&buffer[..read]);
                Ok(Got::Bytes)
            }
            Err(error) if is_later(&error) => Ok(Got::Later),
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(Got::End),
            Err(error) => Err(Error::os("read", "terminal", error)),
        }
    }

    /// Writes what was typed; nobody is there to read it after a hang-up.
    fn write_master(&mut self, hung_up: bool) -> Result<()> {
        let written = self.to_master.write_to(&self.master);
        if hung_up || is_gone(&written) {
            self.to_master = Pending::default();
            return Ok(());
        }
        written.map_err(|error| Error::os("write", "terminal", error))
    }

    /// False if nobody reads it.
    fn write_output(&mut self) -> Result<bool> {
        let written = self.to_output.write_to(&self.output);
        if is_gone(&written) {
            return Ok(false);
        }
        written.map(|()| true).map_err(|error| Error::os("write", "output", error))
    }

    /// True if the detach keys are complete.
    fn read_input(&mut self) -> Result<bool> {
        let Some(mut input) = self.input.as_ref() else {
            return Ok(false);
        };
        let mut buffer = [0; CHUNK];
        let mut through = Vec::new();
        let detached = match input.read(&mut buffer) {
            Err(error) if is_later(&error) => return Ok(false),
            Ok(read) if read > 0 => self.detector.feed(&buffer[..read], &mut through),
            Err(error) if error.raw_os_error() != Some(libc::EIO) => {
                return Err(Error::os("read", "input", error));
            }
            Ok(_) | Err(_) => {
                self.input = None;
                self.detector.finish(&mut through);
                if self.sends_eof {
                    let last = through.last().copied().unwrap_or(self.last_typed);
                    let times = if matches!(last, b'\n' | b'\r') { 1 } else { 2 };
                    through.extend(std::iter::repeat_n(end_of_file(&self.master), times));
                }
                false
            }
        };
        self.last_typed = through.last().copied().unwrap_or(self.last_typed);
        self.to_master.add(&through);
        if detached {
            // What was typed before the keys should not wait for a next run.
            self.write_master(false)?;
        }
        Ok(detached)
    }
}

/// What happens to a relay, by descriptor.
#[derive(Debug, Clone, Copy)]
enum Source {
    Stop,
    Until,
    Input,
    Output,
    Master,
}

/// What a read gave.
#[derive(Debug)]
enum Got {
    Bytes,
    Later,
    End,
}

fn is_gone(written: &io::Result<()>) -> bool {
    let errno = written.as_ref().err().and_then(io::Error::raw_os_error);
    matches!(errno, Some(libc::EPIPE | libc::EIO))
}

fn set_flags(file: &File, flags: OFlag) -> Result<()> {
    fcntl(file, FcntlArg::F_SETFL(flags))
        .map(drop)
        .map_err(|error| Error::os("fcntl F_SETFL", "terminal", error))
}

fn duplicate(descriptor: BorrowedFd<'_>) -> Result<OwnedFd> {
    descriptor
        .try_clone_to_owned()
        .map_err(|error| Error::os("fcntl F_DUPFD_CLOEXEC", "relay", error))
}

/// The terminal's end-of-file character, ctrl-d unless a program changed it.
fn end_of_file(master: &File) -> u8 {
    const CTRL_D: u8 = 4;
    tcgetattr(master)
        .map_or(CTRL_D, |termios| termios.control_chars[SpecialCharacterIndices::VEOF as usize])
}
