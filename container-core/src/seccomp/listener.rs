//! Answering system calls in place of the kernel.
//!
//! A filter's [`Action::Notify`](super::Action::Notify) stops the calling
//! thread and tells a supervisor, who holds the filter's *listener*, a
//! descriptor ([seccomp_unotify(2)]). The supervisor sees the call's number and
//! arguments, does what it likes (such as mounting or making a device on behalf
//! of a container that may not), and answers with a value, an errno, or "go
//! on".
//!
//! A [`Listener`] is that descriptor in the caller's own hands. Or the
//! supervisor is another program, an *agent* at a Unix socket: then a
//! [`SeccompListener`] tells where, and [`forward`] hands the descriptor over in
//! the way that the OCI specification says.
//!
//! The arguments are registers. What they point to may change at any time
//! while it is read, so a decision to *go on* by such contents is no security
//! boundary.
//!
//! ```no_run
//! use container_core::ProcessBuilder;
//! use container_core::seccomp::{Action, Filter, Response, Rule};
//!
//! # fn main() -> Result<(), container_core::Error> {
//! let filter = Filter::new(Action::Allow).rule(Rule::new(["mkdir"], Action::Notify));
//! let process = ProcessBuilder::new("/bin/mkdir")
//!     .arg("/tmp/new")
//!     .no_new_privileges(true)
//!     .seccomp(filter.compile()?)
//!     .spawn()?;
//! let listener = process.take_seccomp_listener().expect("the filter notifies");
//! while let Some(notification) = listener.receive()? {
//!     listener.respond(&notification, Response::Errno(libc::EROFS))?;
//! }
//! # process.wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! [seccomp_unotify(2)]: https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::architecture::Architecture;
use super::notify_calls::{self as calls, RawNotification};
use super::target::{Target, X32_BIT};
use crate::error::{Error, ErrorKind, Result};

mod agent;

pub(crate) use agent::process_state;
pub use agent::{SeccompListener, forward};

/// A system call that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// Which notification it is; unique for its listener.
    pub id: u64,
    /// The calling thread, as the caller's pid namespace numbers it; 0 if it
    /// isn't visible there.
    pub pid: u32,
    /// The number of the system call.
    pub number: u32,
    /// The calling convention, if it is one that has a filter here.
    pub architecture: Option<Architecture>,
    /// Where the program is.
    pub instruction_pointer: u64,
    /// The argument registers.
    pub arguments: [u64; 6],
}

impl Notification {
    fn new(raw: &RawNotification) -> Self {
        let number = raw.number as u32;
        let architecture = Architecture::ALL.iter().copied().find(|architecture| {
            let same = Target::of(*architecture).is_some_and(|t| t.audit_arch == raw.arch);
            let x32 = *architecture == Architecture::X32;
            let mine = raw.arch != 0xc000_003e || x32 == (number >= X32_BIT);
            same && mine
        });
        Self {
            id: raw.id,
            pid: raw.pid,
            number,
            architecture,
            instruction_pointer: raw.instruction_pointer,
            arguments: raw.arguments,
        }
    }
}

/// What the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// It succeeded with this value.
    Value(i64),
    /// It failed with this errno, 1 to 4095.
    Errno(i32),
    /// The kernel runs it after all (Linux 5.5).
    Continue,
}

/// The descriptor of a filter that notifies.
///
/// It is readable ([`AsFd`]) while a notification waits, so it fits any event
/// loop. When it is closed, calls that notify answer `ENOSYS`.
#[derive(Debug)]
pub struct Listener {
    descriptor: OwnedFd,
}

impl Listener {
    /// The next notification; blocks until there is one. `None` when no process
    /// is left under the filter.
    ///
    /// Several threads may receive from one listener; which of them gets a
    /// notification is the kernel's choice.
    ///
    /// # Errors
    ///
    /// Those of [poll(2)](https://man7.org/linux/man-pages/man2/poll.2.html) and
    /// of `SECCOMP_IOCTL_NOTIF_RECV`.
    pub fn receive(&self) -> Result<Option<Notification>> {
        loop {
            let mut fds = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                other => other.map_err(|error| Error::os("poll", "seccomp listener", error))?,
            };
            let events = fds[0].revents().unwrap_or(PollFlags::empty());
            if !events.contains(PollFlags::POLLIN) {
                return Ok(None);
            }
            match calls::receive(self.descriptor.as_fd()) {
                Ok(raw) => return Ok(Some(Notification::new(&raw))),
                // The caller died meanwhile, or a signal came.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => {}
                Err(error) => return Err(failed("SECCOMP_IOCTL_NOTIF_RECV", "", error)),
            }
        }
    }

    /// Answers.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if the caller has died or was
    /// interrupted by a signal meanwhile, which a supervisor has to expect;
    /// [`WrongState`](crate::ErrorKind::WrongState) if it was answered before;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an errno out of 1 to 4095.
    pub fn respond(&self, to: &Notification, response: Response) -> Result<()> {
        let (value, error, flags) = match response {
            Response::Value(value) => (value, 0, 0),
            Response::Errno(errno @ 1..=4095) => (0, -errno, 0),
            Response::Errno(errno) => {
                let reason = "an errno is 1 to 4095";
                return Err(Error::invalid("seccomp response", errno.to_string(), reason));
            }
            Response::Continue => (0, 0, calls::CONTINUE),
        };
        let sent = calls::send(self.descriptor.as_fd(), to.id, value, error, flags);
        sent.map_err(|error| match error.raw_os_error() {
            Some(libc::EINPROGRESS) => {
                let Object(call) = to.into();
                Error::with(ErrorKind::WrongState, "seccomp response", call, "answered before")
            }
            _ => failed("SECCOMP_IOCTL_NOTIF_SEND", to, error),
        })
    }

    /// Whether the caller still waits for the answer. To be asked after
    /// opening anything by its process id, which may be another's by then.
    ///
    /// # Errors
    ///
    /// Those of `SECCOMP_IOCTL_NOTIF_ID_VALID`.
    pub fn is_valid(&self, notification: &Notification) -> Result<bool> {
        match calls::is_valid(self.descriptor.as_fd(), notification.id) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(failed("SECCOMP_IOCTL_NOTIF_ID_VALID", notification, error)),
        }
    }

    /// Puts a copy of a descriptor into the waiting process, close-on-exec if
    /// wanted; returns its number there (Linux 5.9).
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) as [`respond`](Self::respond);
    /// [`LimitReached`](crate::ErrorKind::LimitReached) if the process may not have
    /// more descriptors.
    pub fn add_descriptor(
        &self,
        to: &Notification,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> Result<i32> {
        self.add(to, descriptor, close_on_exec, 0)
    }

    /// Likewise, and answers with the number in the same step (Linux 5.14):
    /// what a supervisor does that opens a file for its caller.
    ///
    /// # Errors
    ///
    /// Those of [`add_descriptor`](Self::add_descriptor).
    pub fn respond_with_descriptor(
        &self,
        to: &Notification,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> Result<i32> {
        self.add(to, descriptor, close_on_exec, calls::ADD_AND_SEND)
    }

    fn add(
        &self,
        to: &Notification,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
        flags: u32,
    ) -> Result<i32> {
        let mode = if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 };
        let source = descriptor.as_raw_fd() as u32;
        calls::add(self.descriptor.as_fd(), to.id, source, flags, mode)
            .map_err(|error| failed("SECCOMP_IOCTL_NOTIF_ADDFD", to, error))
    }
}

fn failed(call: &'static str, notification: impl Into<Object>, error: std::io::Error) -> Error {
    let Object(object) = notification.into();
    let unknown = matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL));
    let failed = Error::os(call, object, error);
    if unknown {
        failed.hint("not a seccomp listener, or the kernel is too old for this")
    } else {
        failed
    }
}

struct Object(String);

impl From<&str> for Object {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&Notification> for Object {
    fn from(notification: &Notification) -> Self {
        Self(format!("call {} of {}", notification.number, notification.pid))
    }
}

/// A descriptor that came from elsewhere, as over an agent's socket.
impl From<OwnedFd> for Listener {
    fn from(descriptor: OwnedFd) -> Self {
        Self { descriptor }
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> Self {
        listener.descriptor
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
