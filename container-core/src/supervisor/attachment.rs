//! Attaching to a container that a supervisor keeps.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use super::exit::socket;
use super::wire::{self, hello, to_client, to_supervisor, welcome};
use crate::error::{Error, ErrorKind, Result};
use crate::terminal::{WindowSize, socket_path};

/// A standard stream that output came from; a terminal's is [`Stdout`](Self::Stdout).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What an [`Attachment`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The container has written something: up to 8 KiB, cut anywhere.
    Output {
        /// Where.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
    },
    /// This client read so slowly that so many bytes of output passed it by.
    Lost(u64),
    /// The program has ended; nothing follows.
    Ended(ExitStatus),
    /// The supervisor is gone without a word; nothing follows.
    Gone,
}

/// A connection to a supervised container, one of several that it may have.
/// Dropping it detaches: the container runs on, its input stays open.
///
/// The descriptor ([`AsFd`]) is readable when [`next`](Self::next) does not
/// block. Methods take `&self`: one thread may read while another writes.
#[derive(Debug)]
pub struct Attachment {
    socket: OwnedFd,
    flags: u8,
    process: u32,
    supervisor: u32,
}

impl Attachment {
    /// Attaches to the container whose supervision has this directory; its
    /// output comes from now on.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if there is none or it has ended,
    /// [`WrongState`](ErrorKind::WrongState) if its supervisor was killed,
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) for another's.
    pub fn connect(directory: impl AsRef<Path>) -> Result<Self> {
        Self::with(directory.as_ref(), hello::OUTPUT)
    }

    /// Likewise; first comes what is left of earlier output, up to 64 KiB.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_with_tail(directory: impl AsRef<Path>) -> Result<Self> {
        Self::with(directory.as_ref(), hello::OUTPUT | hello::TAIL)
    }

    /// Likewise, without any output: to send input or signals.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_without_output(directory: impl AsRef<Path>) -> Result<Self> {
        Self::with(directory.as_ref(), 0)
    }

    fn with(directory: &Path, flags: u8) -> Result<Self> {
        let path = socket(directory);
        let connected = socket_path::connect_packets(&path).map_err(|error| {
            if error.raw_os_error() != Some(libc::ECONNREFUSED) {
                return error.hint("a container that has ended can't be attached to");
            }
            let object = path.to_string_lossy().into_owned();
            Error::with(ErrorKind::WrongState, "connect", object, "its supervisor was killed")
        })?;
        let mut attachment = Self { socket: connected, flags: 0, process: 0, supervisor: 0 };
        let message = attachment.receive(MsgFlags::empty())?.unwrap_or_default();
        let number =
            |at: usize| Some(u32::from_le_bytes(message.get(at..at + 4)?.try_into().ok()?));
        match (message.first(), message.get(1), message.get(2), number(3), number(7)) {
            (
                Some(&to_client::WELCOME),
                Some(&wire::VERSION),
                Some(&flags),
                Some(process),
                Some(supervisor),
            ) => {
                (attachment.flags, attachment.process) = (flags, process);
                attachment.supervisor = supervisor;
            }
            (None, ..) => {
                let reason = "it ends just now";
                let object = path.to_string_lossy().into_owned();
                return Err(Error::with(ErrorKind::NotFound, "attach", object, reason));
            }
            _ => {
                let object = path.to_string_lossy().into_owned();
                let reason = "the other end is not a supervisor that this library knows";
                return Err(Error::with(ErrorKind::WrongState, "attach", object, reason));
            }
        }
        attachment.send(&[to_supervisor::HELLO, flags])?;
        Ok(attachment)
    }

    /// The container's first process, as the creator's pid namespace numbers
    /// it; it is that process as long as the attachment has not told its end.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process
    }

    /// The supervisor's process id.
    #[must_use]
    pub fn supervisor(&self) -> u32 {
        self.supervisor
    }

    /// Whether it has a terminal.
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        self.flags & welcome::TERMINAL != 0
    }

    /// Whether input goes anywhere.
    #[must_use]
    pub fn has_input(&self) -> bool {
        self.flags & welcome::INPUT != 0
    }

    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// Failing to receive.
    #[allow(clippy::should_implement_trait)] // an iterator could not fail
    pub fn next(&self) -> Result<Event> {
        loop {
            if let Some(event) = event(self.receive(MsgFlags::empty())?.unwrap_or_default()) {
                return Ok(event);
            }
        }
    }

    /// The next event if there is one.
    ///
    /// # Errors
    ///
    /// Failing to receive.
    pub fn try_next(&self) -> Result<Option<Event>> {
        while let Some(message) = self.receive(MsgFlags::MSG_DONTWAIT)? {
            if let Some(event) = event(message) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Sends input; waits while the container reads none and its buffers are
    /// full. Input to a container that has none goes nowhere.
    ///
    /// # Errors
    ///
    /// [`WrongState`](ErrorKind::WrongState) when the container has ended.
    pub fn write(&self, input: &[u8]) -> Result<()> {
        for chunk in input.chunks(wire::CHUNK) {
            self.send(&with_kind(to_supervisor::INPUT, chunk))?;
        }
        Ok(())
    }

    /// Sends what fits of the input without waiting, and tells how many bytes
    /// that was: 0 if none, or 8192 at most. Poll for writing in between.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn try_write(&self, input: &[u8]) -> Result<usize> {
        let chunk = input.get(..wire::CHUNK).unwrap_or(input);
        if chunk.is_empty() {
            return Ok(0);
        }
        let message = with_kind(to_supervisor::INPUT, chunk);
        let sent = self.send_with(&message, MsgFlags::MSG_DONTWAIT)?;
        Ok(if sent { chunk.len() } else { 0 })
    }

    /// Ends the input, for everybody; a terminal gets its end-of-file
    /// character.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn close_input(&self) -> Result<()> {
        self.send(&[to_supervisor::CLOSE_INPUT])
    }

    /// Sets the size of its terminal, if it has one.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        let ([a, b], [c, d]) = (size.rows.to_le_bytes(), size.columns.to_le_bytes());
        self.send(&[to_supervisor::RESIZE, a, b, c, d])
    }

    /// Sends a signal by number to the container's first process, which the
    /// supervisor has as its child: it can't reach another.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) beyond 1 to 64, and as
    /// [`write`](Self::write).
    pub fn signal(&self, signal: i32) -> Result<()> {
        match u8::try_from(signal) {
            Ok(signal @ 1..=64) => self.send(&[to_supervisor::SIGNAL, signal]),
            _ => Err(Error::invalid("check signal", signal.to_string(), "out of 1 to 64")),
        }
    }

    /// Has the log opened anew by its name, after somebody moved it away.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn reopen_log(&self) -> Result<()> {
        self.send(&[to_supervisor::REOPEN_LOG])
    }

    /// Leaves the container to itself; what dropping does.
    pub fn detach(self) {}

    /// One whole message; empty at the end, `None` if it would have to wait.
    fn receive(&self, flags: MsgFlags) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; wire::MAX_MESSAGE];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, flags) {
                Err(Errno::EINTR) => {}
                // It ended with something of ours unread.
                Err(Errno::ECONNRESET) => return Ok(Some(Vec::new())),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(Error::os("recv", "attach.sock", error)),
                Ok(length) => {
                    buffer.truncate(length);
                    return Ok(Some(buffer));
                }
            }
        }
    }

    fn send(&self, message: &[u8]) -> Result<()> {
        self.send_with(message, MsgFlags::empty()).map(drop)
    }

    /// False if it would have to wait.
    fn send_with(&self, message: &[u8], flags: MsgFlags) -> Result<bool> {
        loop {
            match send(self.socket.as_raw_fd(), message, flags | MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EPIPE | Errno::ECONNRESET) => {
                    let reason = "the container has ended, or its supervisor was killed";
                    return Err(Error::with(ErrorKind::WrongState, "send", "attach.sock", reason));
                }
                Err(error) => return Err(Error::os("send", "attach.sock", error)),
                Ok(_) => return Ok(true),
            }
        }
    }
}

impl AsFd for Attachment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a message says; `None` for one of a later version.
fn event(mut message: Vec<u8>) -> Option<Event> {
    let kind = message.first().copied();
    Some(match (kind, message.get(1..).unwrap_or_default()) {
        (None, _) => Event::Gone,
        (Some(kind @ (to_client::STDOUT | to_client::STDERR)), _) => {
            let out = kind == to_client::STDOUT;
            let stream = if out { Stream::Stdout } else { Stream::Stderr };
            message.drain(..1);
            Event::Output { stream, bytes: message }
        }
        (Some(to_client::LOST), count) => Event::Lost(u64::from_le_bytes(count.try_into().ok()?)),
        (Some(to_client::EXIT), status) => {
            let status = i32::from_le_bytes(status.try_into().ok()?);
            Event::Ended(ExitStatus::from_raw(status))
        }
        (Some(_), _) => return None,
    })
}

fn with_kind(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(bytes.len() + 1);
    message.push(kind);
    message.extend_from_slice(bytes);
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_understood() {
        let output = |stream, bytes: &[u8]| Event::Output { stream, bytes: bytes.to_vec() };
        assert_eq!(event(vec![2, b'a', b'b']), Some(output(Stream::Stdout, b"ab")));
        assert_eq!(event(vec![3]), Some(output(Stream::Stderr, b"")));
        assert_eq!(event(vec![4, 0, 1, 0, 0, 0, 0, 0, 0]), Some(Event::Lost(256)));
        assert_eq!(event(vec![5, 0, 3, 0, 0]), Some(Event::Ended(ExitStatus::from_raw(768))));
        assert_eq!(event(Vec::new()), Some(Event::Gone));
        for of_a_later_version in [vec![4, 1], vec![5], vec![0], vec![99, 1]] {
            assert_eq!(event(of_a_later_version), None);
        }
    }

    proptest! {
        #[test]
        fn no_message_is_trouble(message in proptest::collection::vec(any::<u8>(), 0..64)) {
            let kind = message.first().copied();
            let event = event(message);
            prop_assert_eq!(event == Some(Event::Gone), kind.is_none());
        }
    }

    /// Something else listens there.
    #[test]
    fn what_is_no_supervisor_is_refused() {
        let dir = testkit::TempDir::new();
        let listener = socket_path::bind_packets(&dir.join("attach.sock")).unwrap();
        for (greeting, kind) in [
            (&b"hello"[..], ErrorKind::WrongState),
            (&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0], ErrorKind::WrongState),
            (&[1, 1, 0, 0, 0, 0, 0], ErrorKind::WrongState),
            (&[], ErrorKind::NotFound),
        ] {
            let fake = std::thread::spawn({
                let listener = listener.try_clone().unwrap();
                move || {
                    let client = nix::sys::socket::accept(listener.as_raw_fd()).unwrap();
                    let client = crate::sys::adopt(client);
                    if !greeting.is_empty() {
                        send(client.as_raw_fd(), greeting, MsgFlags::empty()).unwrap();
                    }
                }
            });
            let error = Attachment::connect(dir.path()).unwrap_err();
            assert_eq!(error.kind(), kind, "{greeting:?}: {error}");
            fake.join().unwrap();
        }
        drop(listener);
        let error = Attachment::connect(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
    }
}
