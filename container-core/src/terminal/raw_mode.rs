//! The user's terminal put aside while another is shown on it.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::window::no_terminal;
use crate::error::{Error, Result};

/// A terminal in raw mode for as long as this value lives: no echo, no line
/// editing, no signals by keys, no translation of line ends ([cfmakeraw(3)]),
/// so that every key reaches the terminal at the other end, which does all of
/// that itself.
///
/// Dropping it brings the settings back, on every path out of a function, a
/// panic's too. What ends the process without unwinding (`exit`, a signal)
/// does not: catch `SIGTERM` and `SIGHUP` and return. Of a process in the
/// background, the kernel demands that it comes to the foreground first
/// (`SIGTTOU`, [termios(3)]).
///
/// [cfmakeraw(3)]: https://man7.org/linux/man-pages/man3/cfmakeraw.3.html
/// [termios(3)]: https://man7.org/linux/man-pages/man3/termios.3.html
#[derive(Debug)]
#[must_use = "dropping it ends raw mode"]
pub struct RawMode {
    terminal: OwnedFd,
    before: Option<Termios>,
}

impl RawMode {
    /// Puts `terminal` in raw mode; the value keeps a duplicate of the
    /// descriptor.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is no terminal;
    /// its settings are as they were then.
    pub fn enter(terminal: impl AsFd) -> Result<Self> {
        let terminal = terminal
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::os("fcntl F_DUPFD_CLOEXEC", "terminal", error))?;
        let before =
            tcgetattr(&terminal).map_err(|error| no_terminal("tcgetattr", error.into()))?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // From here on every way out restores: the call may do half of it.
        let guard = Self { terminal, before: Some(before) };
        guard.set(&raw)?;
        Ok(guard)
    }

    /// Brings the settings back now; what dropping does, with the error.
    ///
    /// # Errors
    ///
    /// The terminal has gone.
    pub fn restore(mut self) -> Result<()> {
        self.before.take().map_or(Ok(()), |before| self.set(&before))
    }

    fn set(&self, to: &Termios) -> Result<()> {
        loop {
            match tcsetattr(&self.terminal, SetArg::TCSANOW, to) {
                Err(Errno::EINTR) => {}
                other => {
                    return other.map_err(|error| Error::os("tcsetattr", "terminal", error));
                }
            }
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = self.set(&before);
        }
    }
}
