//! Console sockets: how a runtime gives the master of a container's terminal
//! to the program that asked for it (`--console-socket` of the OCI runtimes'
//! command lines).
//!
//! One message on a stream socket: the terminal's name as its bytes, the
//! master as its only descriptor (`SCM_RIGHTS`, unix(7)).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::socket_path;
use crate::error::{Error, ErrorKind, Result};

/// The longest name that receivers take.
const MAX_NAME: usize = 4096;

/// The runtime's end: connected to the socket whose path it was given.
///
/// ```no_run
/// # use container_core::{Container, WindowSize, terminal::ConsoleSocket};
/// # fn main() -> Result<(), container_core::Error> {
/// // Before anything is made, so that a wrong path is told in time.
/// let socket = ConsoleSocket::connect("/run/caller/console.sock")?;
/// let container =
///     Container::builder("/srv/rootfs").command("sh").terminal(WindowSize::default()).create()?;
/// let mut container = container.start()?;
/// if let Some(master) = container.take_terminal() {
///     socket.send(&master, "/dev/pts/0")?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ConsoleSocket {
    stream: UnixStream,
}

impl ConsoleSocket {
    /// Connects to the socket at `path`, which may be of any length.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if there is none,
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is no path, and
    /// those of [connect(2)](https://man7.org/linux/man-pages/man2/connect.2.html).
    pub fn connect(path: impl AsRef<Path>) -> Result<Self> {
        socket_path::connect(path.as_ref()).map(Self::from)
    }

    /// The other end: a new socket at `path`; see [`ConsoleListener`].
    ///
    /// # Errors
    ///
    /// Those of [`ConsoleListener::bind`].
    pub fn listen(path: impl AsRef<Path>) -> Result<ConsoleListener> {
        ConsoleListener::bind(path)
    }

    /// Sends the master; `name` is shown by some receivers, most send
    /// `/dev/ptmx` or the slave's path. The caller's descriptor stays open:
    /// drop it, or the terminal outlives its receiver.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an empty name or one of
    /// more than 4096 bytes, and those of sending.
    pub fn send(&self, master: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
        let name = name.as_ref().as_bytes();
        if name.is_empty() || name.len() > MAX_NAME {
            let object = String::from_utf8_lossy(name);
            return Err(Error::invalid("check terminal name", object, "1 to 4096 bytes"));
        }
        let rights = [master.as_fd().as_raw_fd()];
        let message = [ControlMessage::ScmRights(&rights)];
        let part = [IoSlice::new(name)];
        let sent = loop {
            let flags = MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.stream.as_raw_fd(), &part, &message, flags, None) {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        match sent.map_err(|error| Error::os("sendmsg", "console socket", error))? {
            sent if sent == name.len() => Ok(()),
            sent => {
                let reason = format!("{sent} bytes of the name's {} went out", name.len());
                Err(Error::with(ErrorKind::LimitReached, "sendmsg", "console socket", reason))
            }
        }
    }
}

impl From<UnixStream> for ConsoleSocket {
    fn from(stream: UnixStream) -> Self {
        Self { stream }
    }
}

impl AsFd for ConsoleSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The caller's end: a socket, open to its owner alone, that a runtime
/// connects to. The file is removed on drop. Readable when a runtime has
/// connected.
#[derive(Debug)]
pub struct ConsoleListener {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleListener {
    /// A new socket at `path`, which may be of any length.
    ///
    /// # Errors
    ///
    /// [`Os`](ErrorKind::Os) with `EADDRINUSE` if something is there, and
    /// those of [bind(2)](https://man7.org/linux/man-pages/man2/bind.2.html).
    pub fn bind(path: impl AsRef<Path>) -> Result<Self> {
        let path = std::path::absolute(path.as_ref())
            .map_err(|error| Error::os("bind", path.as_ref().to_string_lossy(), error))?;
        Ok(Self { listener: socket_path::bind(&path)?, path })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for one runtime and takes the master from it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if anything but the master of
    /// one terminal came.
    pub fn receive(&self) -> Result<File> {
        self.receive_by(None).map(|(_, master)| master)
    }

    /// Likewise, with the name that the runtime gave it.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_named(&self) -> Result<(OsString, File)> {
        self.receive_by(None)
    }

    /// Likewise, but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn receive_timeout(&self, timeout: Duration) -> Result<(OsString, File)> {
        self.receive_by(Instant::now().checked_add(timeout))
    }

    fn receive_by(&self, end: Option<Instant>) -> Result<(OsString, File)> {
        wait_readable(self.listener.as_fd(), end)?;
        let (stream, _) =
            self.listener.accept().map_err(|error| Error::os("accept", "console", error))?;
        wait_readable(stream.as_fd(), end)?;
        receive_master(&stream)
    }
}

impl AsFd for ConsoleListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for ConsoleListener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn wait_readable(fd: BorrowedFd<'_>, end: Option<Instant>) -> Result<()> {
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(Error::os("poll", "console socket", error)),
            Ok(0) if left.is_some_and(|left| left.as_millis() == 0) => {
                let reason = "no runtime sent a terminal";
                return Err(Error::with(ErrorKind::TimedOut, "poll", "console socket", reason));
            }
            Ok(0) => {}
            Ok(_) => return Ok(()),
        }
    }
}

fn receive_master(stream: &UnixStream) -> Result<(OsString, File)> {
    let mut name = vec![0; MAX_NAME];
    // Room for all that one message can bring, so that none gets lost open.
    const SCM_MAX_FD: usize = 253;
    let mut space = nix::cmsg_space!([RawFd; SCM_MAX_FD]);
    let failed = |error: Errno| Error::os("recvmsg", "console socket", error);
    let (length, mut descriptors) = loop {
        let mut parts = [IoSliceMut::new(&mut name)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed(error)),
            Ok(received) => {
                let mut descriptors: Vec<OwnedFd> = Vec::new();
                for message in received.cmsgs().map_err(failed)? {
                    if let ControlMessageOwned::ScmRights(numbers) = message {
                        descriptors.extend(numbers.into_iter().map(crate::sys::adopt));
                    }
                }
                break (received.bytes, descriptors);
            }
        }
    };
    name.truncate(length);
    let name = OsString::from_vec(name);
    let wrong = |reason: String| Error::invalid("recvmsg", name.to_string_lossy(), reason);
    let count = descriptors.len();
    let Some(master) = descriptors.pop().filter(|_| count == 1) else {
        return Err(wrong(format!("{count} descriptors came with it, not one")));
    };
    if !crate::sys::is_pty_master(master.as_fd()) {
        return Err(wrong("what came is not the master of a terminal".into()));
    }
    Ok((name, master.into()))
}
