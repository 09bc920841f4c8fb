//! How many rows and columns a terminal has.

use std::os::fd::AsFd;

use crate::error::{Error, Result};
use crate::sys;

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines of text; the default is 24.
    pub rows: u16,
    /// Characters in a line; the default is 80.
    pub columns: u16,
}

impl Default for WindowSize {
    fn default() -> Self {
        Self { rows: 24, columns: 80 }
    }
}

/// The size of a terminal, asked at either end of it (`TIOCGWINSZ`,
/// [ioctl_tty(2)]). Both numbers are 0 where nobody has set one.
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is no terminal.
///
/// [ioctl_tty(2)]: https://man7.org/linux/man-pages/man2/ioctl_tty.2.html
pub fn window_size(terminal: impl AsFd) -> Result<WindowSize> {
    let found = sys::window_size(terminal.as_fd());
    let (rows, columns) = found.map_err(|error| no_terminal("ioctl TIOCGWINSZ", error))?;
    Ok(WindowSize { rows, columns })
}

/// Sets the size of a terminal, at either end of it (`TIOCSWINSZ`). If it
/// differs from what it was, the kernel tells the terminal's foreground
/// processes by `SIGWINCH`.
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is no terminal.
pub fn set_window_size(terminal: impl AsFd, size: WindowSize) -> Result<()> {
    sys::set_window_size(terminal.as_fd(), size.rows, size.columns)
        .map_err(|error| no_terminal("ioctl TIOCSWINSZ", error))
}

/// `ENOTTY` is the caller's mistake; anything else is the kernel's word.
pub(super) fn no_terminal(step: &'static str, error: std::io::Error) -> Error {
    if error.raw_os_error() == Some(libc::ENOTTY) {
        return Error::invalid(step, "", "the descriptor is no terminal");
    }
    Error::os(step, "terminal", error)
}
