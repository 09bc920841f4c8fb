//! The container's end of a relay: its terminal, or its supervisor.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitStatus;
use std::sync::{Arc, Weak};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{SpecialCharacterIndices, tcgetattr};

use super::CHUNK;
use super::pending::is_later;
use crate::error::{Error, Result};
use crate::supervisor::{Attachment, Event, Stream};
use crate::terminal::window::{WindowSize, set_window_size};

/// Shared with handles, which do not keep it open.
#[derive(Debug)]
pub(super) enum Far {
    Master(Arc<File>),
    Attached(Arc<Attachment>),
}

/// The same, for a handle.
#[derive(Debug, Clone)]
pub(super) enum WeakFar {
    Master(Weak<File>),
    Attached(Weak<Attachment>),
}

/// What a read gave.
#[derive(Debug)]
pub(super) enum Got {
    Output(Stream, Vec<u8>),
    Lost(u64),
    Later,
    End(Option<ExitStatus>),
}

impl Far {
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Master(master) => master.as_fd(),
            Self::Attached(attachment) => attachment.as_fd(),
        }
    }

    pub(super) fn downgrade(&self) -> WeakFar {
        match self {
            Self::Master(master) => WeakFar::Master(Arc::downgrade(master)),
            Self::Attached(attachment) => WeakFar::Attached(Arc::downgrade(attachment)),
        }
    }

    /// Reads once, without waiting.
    pub(super) fn read(&self) -> Result<Got> {
        let master = match self {
            Self::Master(master) => master,
            Self::Attached(attachment) => {
                return Ok(match attachment.try_next()? {
                    Some(Event::Output { stream, bytes }) => Got::Output(stream, bytes),
                    Some(Event::Lost(count)) => Got::Lost(count),
                    Some(Event::Ended(status)) => Got::End(Some(status)),
                    Some(Event::Gone) => Got::End(None),
                    None => Got::Later,
                });
            }
        };
        let mut buffer = vec![0; CHUNK];
        match (&**master).read(&mut buffer) {
            Ok(0) => Ok(Got::End(None)),
            Ok(read) => {
                buffer.truncate(read);
                Ok(Got::Output(Stream::Stdout, buffer))
            }
            Err(error) if is_later(&error) => Ok(Got::Later),
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(Got::End(None)),
            Err(error) => Err(Error::os("read", "terminal", error)),
        }
    }

    /// How the end of the input is said; `None` where it is not bytes that say
    /// it. `mid_line` is true if the last byte was no end of a line.
    pub(super) fn end_of_input(&self, mid_line: bool) -> Option<Vec<u8>> {
        const CTRL_D: u8 = 4;
        let character = match self {
            Self::Attached(attachment) if !attachment.has_terminal() => return None,
            // The program may have changed it, which can't be seen from here.
            Self::Attached(_) => CTRL_D,
            Self::Master(master) => tcgetattr(&**master).map_or(CTRL_D, |termios| {
                termios.control_chars[SpecialCharacterIndices::VEOF as usize]
            }),
        };
        Some(vec![character; if mid_line { 2 } else { 1 }])
    }

    /// Closes the input, once all of it is on its way.
    pub(super) fn close_input(&self) {
        if let Self::Attached(attachment) = self {
            // Whoever has gone reads no more anyway.
            let _ = attachment.close_input();
        }
    }

    /// While it runs, a write to the terminal must not wait: it may be larger
    /// than what there is room for.
    pub(super) fn make_nonblocking(&self) -> Result<Option<OFlag>> {
        let Self::Master(master) = self else { return Ok(None) };
        let before = fcntl(&**master, FcntlArg::F_GETFL)
            .map_err(|error| Error::os("fcntl F_GETFL", "terminal", error))?;
        let before = OFlag::from_bits_retain(before);
        self.set_flags(before | OFlag::O_NONBLOCK)?;
        Ok(Some(before))
    }

    pub(super) fn set_flags(&self, flags: OFlag) -> Result<()> {
        fcntl(self.as_fd(), FcntlArg::F_SETFL(flags))
            .map(drop)
            .map_err(|error| Error::os("fcntl F_SETFL", "terminal", error))
    }
}

impl WeakFar {
    /// Does nothing once the relay is gone.
    pub(super) fn resize(&self, size: WindowSize) -> Result<()> {
        match self {
            Self::Master(master) => {
                master.upgrade().map_or(Ok(()), |master| set_window_size(&*master, size))
            }
            Self::Attached(attachment) => {
                attachment.upgrade().map_or(Ok(()), |attachment| attachment.resize(size))
            }
        }
    }
}
