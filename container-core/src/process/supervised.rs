//! A supervisor as the host meets it: a child of the host that makes the
//! container's process, which is the host's grandchild.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::handle::ExitStatus;
use crate::error::Result;
use crate::supervisor::status_in;

/// The supervisor of a process. It is what ends, and is reaped, last; by then
/// the status is in its directory.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) pidfd: OwnedFd,
    pub(super) directory: Arc<OwnedFd>,
}

impl Supervisor {
    /// What it has written down, once it has ended.
    pub(super) fn status(&self) -> Result<Option<ExitStatus>> {
        status_in(&self.directory)
    }
}

/// How long a supervisor may take to end after its container.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for a supervisor whose container was killed; it is killed too if it
/// does not end by itself, and reaped.
pub(super) fn end(supervisor: &OwnedFd) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(supervisor.as_fd(), PollFlags::POLLIN)];
    while poll(&mut fds, patience) == Err(nix::errno::Errno::EINTR) {}
    let _ = crate::sys::signal_pidfd(supervisor.as_fd(), libc::SIGKILL);
    let _ = crate::sys::wait_pidfd(supervisor.as_fd(), libc::WEXITED);
}
