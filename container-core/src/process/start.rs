//! Starting a container that another process created.
//!
//! The init of such a container waits on a listening unix socket in the
//! container's state directory. Whoever connects and says go gets its records
//! until the end of file that tells of the exec, as the creator would have.
//!
//! ```text
//! creator                 init                      starter
//! listen, spawn ────────► set up
//!         ◄─ created ──── close control socket
//! (may end)               accept4, SO_PEERCRED ◄─── connect
//!                         read GO ◄──────────────── GO
//!                         accepted ───────────────► keep reading
//!                         execve: end of file ────► started
//! ```
//!
//! The socket's directory has to be closed to other users (mode 0700): that is
//! what protects it. The init also refuses a starter whose user is not the
//! creator's, which keeps those out that are mapped in the container.
//!
//! ```
//! use container_core::process::start;
//! use container_core::ProcessBuilder;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let state = std::env::temp_dir().join(format!("start-doc-{}", std::process::id()));
//! # std::fs::create_dir(&state)?;
//! # std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
//! let plan = ProcessBuilder::new("/bin/true").wait_on_socket(start::listen(&state)?).plan()?;
//! let process = plan.spawn()?;
//! let words = serde_json::to_string(&plan.start_words())?;
//! drop(plan);
//!
//! // In another process, which has read the words back:
//! start::start_over(&start::connect(&state)?, &serde_json::from_str(&words)?)?;
//! assert!(process.wait()?.success());
//! # std::fs::remove_dir_all(&state)?;
//! # Ok(())
//! # }
//! ```

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::launch::{GO, send_blocking};
use super::receive::{Receiver, Teller};
use crate::error::{Error, ErrorKind, Result};
use crate::seccomp::Listener;

pub use crate::plan::StartWords;

/// The byte that ends a waiting init (`init/start.rs`).
const END: &[u8] = &[2];
/// How long it may take.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Name of the socket in its directory.
const SOCKET: &str = "start.sock";

/// A short path of the socket, whatever the directory's length: a socket's
/// address has 108 bytes (unix(7)).
fn within<T>(
    directory: &Path,
    step: &'static str,
    act: impl FnOnce(&Path) -> std::io::Result<T>,
) -> Result<T> {
    use nix::fcntl::{OFlag, open};
    use std::os::fd::AsRawFd;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = open(directory, flags, nix::sys::stat::Mode::empty())
        .map_err(|error| Error::os("open", directory.to_string_lossy(), error))?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
    act(Path::new(&path))
        .map_err(|error| Error::os(step, directory.join(SOCKET).to_string_lossy(), error))
}

/// The listening socket for
/// [`wait_on_socket`](super::ProcessBuilder::wait_on_socket), `start.sock` in
/// `directory`, which only the caller's user may search.
///
/// # Errors
///
/// `EADDRINUSE` where the file is there already; others of opening the
/// directory and making the file.
pub fn listen(directory: &Path) -> Result<OwnedFd> {
    within(directory, "bind", |path| UnixListener::bind(path)).map(OwnedFd::from)
}

/// Connects to the created process whose socket lies in `directory`.
///
/// # Errors
///
/// [`WrongState`](ErrorKind::WrongState) if no process waits there,
/// [`NotFound`](ErrorKind::NotFound) if there is no socket.
pub fn connect(directory: &Path) -> Result<UnixStream> {
    within(directory, "connect", |path| UnixStream::connect(path)).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => {
                let object = directory.join(SOCKET).to_string_lossy().into_owned();
                Error::with(ErrorKind::WrongState, "connect", object, "nobody waits for the start")
                    .hint("it was started before, or has ended")
            }
            _ => error,
        }
    })
}

/// Ends the created process at the other end, also where its number is not
/// known; returns when it has ended or taken no order.
pub(crate) fn end(stream: &UnixStream) {
    send_blocking(stream, END);
    let mut byte = [0; 1];
    let _ = stream.set_read_timeout(Some(END_PATIENCE));
    // The connection ends with the process.
    let _ = (&*stream).read(&mut byte);
}

/// Lets the created process at the other end run its program; returns when it
/// has been executed. `words` is what the creator kept of the plan. If its
/// filter [notifies](crate::seccomp::Action::Notify), nobody will answer; see
/// [`start_over_with`].
///
/// # Errors
///
/// The failing operation, in the words of the plan;
/// [`WrongState`](ErrorKind::WrongState) if it was started by someone else.
pub fn start_over(stream: &UnixStream, words: &StartWords) -> Result<()> {
    start_over_with(stream, words, |_| Ok(()))
}

/// Likewise; `take` gets the listener of a filter that notifies, while the
/// process may already wait for an answer: for an agent it calls
/// [`forward`](crate::seccomp::listener::forward).
///
/// # Errors
///
/// Those of [`start_over`], and that of `take`, upon which the caller has to
/// kill the process.
pub fn start_over_with(
    stream: &UnixStream,
    words: &StartWords,
    mut take: impl FnMut(Listener) -> Result<()>,
) -> Result<()> {
    send_blocking(stream, GO);
    let receiver = Receiver::with(Teller::Words(words), stream, Some(0));
    if receiver.taker(&mut take).run(false)? {
        return Ok(());
    }
    let reason = "the process took no order to start";
    Err(Error::with(ErrorKind::WrongState, "start", "", reason)
        .hint("it was started before, has ended, or was created by another user"))
}
