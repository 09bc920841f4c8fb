//! Processes that were executed inside a container, seen by its owner.
//!
//! The kernel lets PID 1 of a pid namespace end only when every process in it
//! has been reaped (pid_namespaces(7)). A process that entered from outside is
//! *our* child, so we must reap it, or waiting for the container would never
//! return. The container's handle therefore knows its companions, and reaps
//! them while it waits; their own handles still get the status.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::handle::Inner;
use crate::error::{Error, Result};

/// The companions of one container.
#[derive(Debug)]
pub(crate) struct Companions {
    members: Mutex<Vec<Arc<Inner>>>,
    /// Tells a waiter that there is one more.
    joined: EventFd,
}

impl Companions {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let joined = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|error| Error::os("eventfd", "", error))?;
        Ok(Arc::new(Self { members: Mutex::new(Vec::new()), joined }))
    }

    pub(super) fn add(&self, member: Arc<Inner>) {
        self.reap();
        self.members.lock().unwrap_or_else(PoisonError::into_inner).push(member);
        let _ = self.joined.write(1);
    }

    /// Reaps those that have ended.
    fn reap(&self) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| matches!(member.reap(), Ok(None)));
    }

    /// Waits until `leader` has ended or the time has passed, reaping
    /// companions meanwhile.
    pub(super) fn wait_for(&self, leader: &Inner, timeout: Option<Duration>) -> Result<()> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            self.reap();
            let _ = self.joined.read();
            let members: Vec<Arc<Inner>> =
                self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let watched = [leader.as_fd(), self.joined.as_fd()]
                .into_iter()
                .chain(members.iter().map(|member| member.as_fd()));
            let mut fds: Vec<PollFd<'_>> =
                watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            match poll(&mut fds, poll_timeout(left)) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(Error::os("poll", "pidfd", error)),
            }
            let ended = fds[0].revents().is_some_and(|events| !events.is_empty());
            if ended || left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
        }
    }
}

/// Rounded up to milliseconds, so that a wait never turns into a busy loop.
pub(super) fn poll_timeout(left: Option<Duration>) -> PollTimeout {
    left.map_or(PollTimeout::NONE, |left| {
        if left.is_zero() {
            return PollTimeout::ZERO;
        }
        PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
    })
}
