//! The loop between a user's terminal and a container's.

mod carry;
mod far;
mod pending;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::detach::{DetachKeys, Detector};
use super::window::WindowSize;
use crate::error::{Error, Result};
use crate::supervisor::Attachment;
use far::{Far, WeakFar};
use pending::Pending;

/// What is read at a time, and held at most in each direction. A pipe that is
/// ready for writing takes it without blocking (`PIPE_BUF`, pipe(7)).
const CHUNK: usize = 4096;

/// Why a [`Relay`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayEnd {
    /// Every process has closed the terminal: reading it answers `EIO`. Of an
    /// attachment: the supervisor is gone without a word.
    HungUp,
    /// The program has ended, as its supervisor says.
    Exited(ExitStatus),
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

/// Carries bytes between a user's terminal (or pipes) and a container's, on
/// the calling thread, until there is a reason to end. The container's end is
/// the master of its terminal, or an [`Attachment`] to its supervisor.
///
/// The input's end is passed on: to a terminal as its end-of-file character,
/// as nothing else can tell it there; output goes on. Neither side can block the
/// other: each is read only while what came before has been written, and the
/// input's and output's own flags (they may be shared with the shell) stay as
/// they are. Reading needs no [raw mode](super::RawMode), but without it keys
/// arrive line by line.
#[derive(Debug)]
pub struct Relay {
    far: Far,
    input: Option<File>,
    output: File,
    errors: File,
    until: Option<OwnedFd>,
    detector: Detector,
    sends_eof: bool,
    stop: Arc<EventFd>,
    to_far: Pending,
    to_output: Pending,
    to_errors: Pending,
    /// The input is to be closed when all of it is on its way.
    closes_input: bool,
    lost: u64,
    /// The last byte passed on, to know what an end-of-file character means.
    last_typed: u8,
}

/// Changes a [`Relay`] from another thread, or from this one before it runs.
/// It keeps neither the relay nor the terminal open.
#[derive(Debug, Clone)]
pub struct RelayHandle {
    far: WeakFar,
    stop: Arc<EventFd>,
}

impl RelayHandle {
    /// Passes the user's window size on: to be called when `SIGWINCH` has
    /// come. Does nothing once the relay is gone.
    ///
    /// # Errors
    ///
    /// Those of [`set_window_size`](super::set_window_size) or
    /// [`Attachment::resize`].
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        self.far.resize(size)
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
        Self::with(Far::Master(Arc::new(master.into())), input.as_fd(), [output.as_fd(); 2])
    }

    /// A relay between a supervised container and the user's `input`, `output`
    /// and `errors`, of which it keeps duplicates.
    ///
    /// # Errors
    ///
    /// Failing duplication.
    pub fn attached(
        attachment: Attachment,
        input: impl AsFd,
        output: impl AsFd,
        errors: impl AsFd,
    ) -> Result<Self> {
        let far = Far::Attached(Arc::new(attachment));
        Self::with(far, input.as_fd(), [output.as_fd(), errors.as_fd()])
    }

    fn with(far: Far, input: BorrowedFd<'_>, outputs: [BorrowedFd<'_>; 2]) -> Result<Self> {
        let stop = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|error| Error::os("eventfd", "", error))?;
        let [output, errors] = outputs;
        Ok(Self {
            far,
            input: Some(duplicate(input)?.into()),
            output: duplicate(output)?.into(),
            errors: duplicate(errors)?.into(),
            until: None,
            detector: Detector::new(DetachKeys::default()),
            sends_eof: true,
            stop: Arc::new(stop),
            to_far: Pending::default(),
            to_output: Pending::default(),
            to_errors: Pending::default(),
            closes_input: false,
            lost: 0,
            last_typed: b'\n',
        })
    }

    /// The keys that end it, in place of ctrl-p, ctrl-q.
    #[must_use]
    pub fn detach_keys(mut self, keys: DetachKeys) -> Self {
        self.detector = Detector::new(keys);
        self
    }

    /// Whether the input's end is passed on; to a terminal as its end-of-file
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
        RelayHandle { far: self.far.downgrade(), stop: Arc::clone(&self.stop) }
    }

    /// Bytes of output that a supervisor could not wait for this relay to take
    /// ([`Event::Lost`](crate::supervisor::Event::Lost)).
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The master back, after a detach for example; `None` of a relay that is
    /// [attached](Self::attached).
    ///
    /// # Errors
    ///
    /// While a handle resizes it on another thread it has to be duplicated,
    /// which may fail.
    pub fn into_master(self) -> Result<Option<File>> {
        match self.far {
            Far::Master(master) => Arc::try_unwrap(master)
                .or_else(|shared| Ok(duplicate(shared.as_fd())?.into()))
                .map(Some),
            Far::Attached(_) => Ok(None),
        }
    }

    /// Carries bytes until there is a reason to end; may be called again after
    /// a detach.
    ///
    /// # Errors
    ///
    /// Reading or writing failed for another reason than an end.
    pub fn run(&mut self) -> Result<RelayEnd> {
        let before = self.far.make_nonblocking()?;
        let ended = self.carry();
        let restored = before.map_or(Ok(()), |before| self.far.set_flags(before));
        let ended = ended?;
        restored.map(|()| ended)
    }
}

fn duplicate(descriptor: BorrowedFd<'_>) -> Result<OwnedFd> {
    descriptor
        .try_clone_to_owned()
        .map_err(|error| Error::os("fcntl F_DUPFD_CLOEXEC", "relay", error))
}
