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
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::handle::Inner;
use crate::error::{Error, Result};

/// The companions of one container.
#[derive(Debug)]
pub(crate) struct Companions {
    members: Mutex<Vec<Arc<Inner>>>,
    /// Readable when a member has ended, also one that came while a waiter
    /// was polling; nothing needs to be drained, so no waiter takes it away
    /// from another.
    ended: Epoll,
}

impl Companions {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let ended = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|error| Error::os("epoll_create1", "", error))?;
        Ok(Arc::new(Self { members: Mutex::new(Vec::new()), ended }))
    }

    /// One more, to be reaped while somebody waits for the leader.
    pub(super) fn add(&self, member: Arc<Inner>) -> Result<()> {
        self.reap();
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        self.ended
            .add(member.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 0))
            .map_err(|error| Error::os("epoll_ctl", "pidfd", error))?;
        members.push(member);
        Ok(())
    }

    /// Reaps those that have ended.
    fn reap(&self) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| {
            let runs = matches!(member.reap(), Ok(None));
            if !runs {
                let _ = self.ended.delete(member.as_fd());
            }
            runs
        });
    }

    /// Waits until `leader` has ended or the time has passed, reaping
    /// companions meanwhile.
    pub(super) fn wait_for(&self, leader: &Inner, timeout: Option<Duration>) -> Result<()> {
        let deadline = deadline(timeout);
        loop {
            self.reap();
            let mut fds =
                [leader.as_fd(), self.ended.0.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
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

/// When the time has passed; never, if that is beyond what the clock can tell.
pub(super) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(timeout?)
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
