//! Terminals: window sizes, raw mode, console sockets and the loop between a
//! user's terminal and a container's.
//!
//! A process with a *terminal* has job control, line editing and a window
//! size. In a container it is a **pseudoterminal** ([pty(7)]): a pair of
//! devices, of which the process has the *slave* as its standard streams, and
//! whoever holds the *master* is the person at the keyboard. The container's
//! own [devpts](crate::Mount::devpts) makes the pair, the
//! [tiny init](crate#how-a-process-is-made) hands the master out
//! ([`Process::take_terminal`](crate::Process::take_terminal)).
//!
//! What is left to do for the holder of the master:
//!
//! | | |
//! |---|---|
//! | put the user's own terminal aside, so that every key goes through | [`RawMode`] |
//! | carry bytes both ways until the end or the detach keys | [`Relay`], [`DetachKeys`] |
//! | tell the size, at first and when the window changes (`SIGWINCH`) | [`window_size`], [`set_window_size`] |
//! | give the master to the program that asked for the container | [`ConsoleSocket`], [`ConsoleListener`] |
//!
//! Nothing here installs a signal handler, starts a thread, or changes a
//! terminal behind the caller's back.
//!
//! ```no_run
//! use container_core::terminal::{self, RawMode, Relay, RelayEnd};
//! use container_core::Container;
//!
//! # fn main() -> Result<(), container_core::Error> {
//! let size = terminal::window_size(std::io::stdin())?;
//! let mut container =
//!     Container::builder("/srv/rootfs").command("/bin/sh").terminal(size).start()?;
//! if let Some(master) = container.take_terminal() {
//!     let raw = RawMode::enter(std::io::stdin())?;
//!     let mut relay = Relay::new(master, std::io::stdin(), std::io::stdout())?;
//!     let end = relay.run()?;
//!     raw.restore()?;
//!     assert_ne!(end, RelayEnd::Stopped);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [pty(7)]: https://man7.org/linux/man-pages/man7/pty.7.html

mod console;
mod detach;
mod raw_mode;
mod relay;
pub(crate) mod socket_path;
mod window;

pub use console::{ConsoleListener, ConsoleSocket};
pub use detach::{DetachKeys, Detector};
pub use raw_mode::RawMode;
pub use relay::{Relay, RelayEnd, RelayHandle};
pub use window::{WindowSize, set_window_size, window_size};
