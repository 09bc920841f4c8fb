//! Processes that were executed inside a container, seen by its owner.
//!
//! The kernel lets PID 1 of a pid namespace end only when every process in it
//! has been reaped (pid_namespaces(7)). A process that entered from outside is
//! *our* child, so we must reap it, or waiting for the container would never
//! return. The container's handle therefore knows its companions, and reaps
//! them while it waits; their own handles still get the status.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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

/// Number and start time of a process.
type Leader = (u32, u64);

/// Companions whose leader several handles of this process may stand for.
#[derive(Debug)]
struct Known {
    leader: Leader,
    companions: Weak<Companions>,
    /// While one of them lives, or is not reaped, whose own handle is gone.
    kept: Option<Arc<Companions>>,
}

static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

impl Companions {
    /// Those whose leader has this number and start time, in all of this process.
    pub(crate) fn of(leader: Leader) -> Result<Arc<Self>> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain_mut(|one| {
            one.kept.take_if(|kept| kept.is_empty());
            one.companions.strong_count() > 0
        });
        let found = known.iter().find(|one| one.leader == leader);
        if let Some(companions) = found.and_then(|one| one.companions.upgrade()) {
            return Ok(companions);
        }
        let fresh = Self::new()?;
        known.push(Known { leader, companions: Arc::downgrade(&fresh), kept: None });
        Ok(fresh)
    }

    /// One of them has lost its handle: whoever waits for the leader has to reap it.
    pub(super) fn keep(self: &Arc<Self>) {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let own = known.iter_mut().find(|one| one.companions.as_ptr() == Arc::as_ptr(self));
        if let Some(own) = own {
            own.kept = Some(Arc::clone(self));
        }
    }

    fn is_empty(&self) -> bool {
        self.reap();
        self.members.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

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
        self.wait_for_end(leader.as_fd(), timeout).map(drop)
    }

    /// Likewise of a process that is known by its pidfd only; whether it has ended.
    pub(crate) fn wait_for_end(
        &self,
        leader: BorrowedFd<'_>,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        let deadline = deadline(timeout);
        loop {
            self.reap();
            let mut fds =
                [leader, self.ended.0.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            match poll(&mut fds, poll_timeout(left)) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(Error::os("poll", "pidfd", error)),
            }
            let ended = fds[0].revents().is_some_and(|events| !events.is_empty());
            if ended || left.is_some_and(|left| left.is_zero()) {
                return Ok(ended);
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
