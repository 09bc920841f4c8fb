//! Being told what happens to a container: lack of memory, and the end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::stored::StoredContainer;
use crate::cgroup::{CgroupEvent, Watch};
use crate::error::{Error, ErrorKind, Result};

/// How long is slept at most before looking again.
const GLANCE: Duration = Duration::from_secs(1);

/// What [`Events`] tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContainerEvent {
    /// Its memory limit was met and nothing could be reclaimed.
    OutOfMemory {
        /// Processes killed for it since the last such event.
        kills: u64,
    },
    /// Its first process has ended; [`StoredContainer::wait`] tells how. The last event.
    Ended,
}

/// Tells what happens to a container. See [`StoredContainer::events`].
///
/// The descriptor is readable when [`next`](Self::next) should be asked, with a time of zero, for
/// poll(2) or an event loop.
#[derive(Debug)]
pub struct Events {
    epoll: Epoll,
    watch: Option<Watch>,
    /// None if it had ended before.
    process: Option<OwnedFd>,
    over: bool,
}

impl StoredContainer {
    /// Tells from now on what happens to it, in any process. Without a cgroup, or one that counts
    /// memory, that is its end only.
    ///
    /// # Errors
    ///
    /// Those of reading the state and of opening what is watched.
    ///
    /// ```no_run
    /// use container_core::runtime::Runtime;
    ///
    /// let web = Runtime::open("/run/containers")?.load("web")?;
    /// let mut events = web.events()?;
    /// while let Some(event) = events.next(None)? {
    ///     println!("{event:?}");
    /// }
    /// # Ok::<(), container_core::Error>(())
    /// ```
    pub fn events(&self) -> Result<Events> {
        let record = self.record()?;
        let process = record.living().map_or(Ok(None), |process| process.open())?;
        let watch = match self.cgroup_of(&record)?.map(|cgroup| cgroup.watch()) {
            Some(Err(error)) if error.kind() == ErrorKind::Unsupported => None,
            other => other.transpose()?,
        };
        let failed = |step| move |error: Errno| Error::os(step, "events", error);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("epoll_create1"))?;
        let sources = [process.as_ref().map(AsFd::as_fd), watch.as_ref().map(AsFd::as_fd)];
        for source in sources.into_iter().flatten() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
            epoll.add(source, event).map_err(failed("epoll_ctl"))?;
        }
        Ok(Events { epoll, watch, process, over: false })
    }
}

impl Events {
    /// The next event; `None` when the time has passed without one, and after the last one. `None`
    /// as time waits for ever.
    ///
    /// # Errors
    ///
    /// When waiting or reading fails.
    pub fn next(&mut self, time: Option<Duration>) -> Result<Option<ContainerEvent>> {
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        while !self.over {
            // Before the end: who died of it is told why first.
            let ended = self.has_ended();
            if let Some(event) = self.out_of_memory()? {
                return Ok(Some(event));
            }
            if ended {
                self.over = true;
                return Ok(Some(ContainerEvent::Ended));
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let pause = left.unwrap_or(GLANCE).min(GLANCE).as_millis() as u16 + 1;
            match self.epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::from(pause)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(Error::os("epoll_wait", "events", error)),
            }
        }
        Ok(None)
    }

    fn out_of_memory(&mut self) -> Result<Option<ContainerEvent>> {
        while let Some(watch) = &mut self.watch {
            match watch.next(Some(Duration::ZERO))? {
                Some(CgroupEvent::OutOfMemory { kills }) => {
                    return Ok(Some(ContainerEvent::OutOfMemory { kills }));
                }
                Some(CgroupEvent::Removed) => self.watch = None,
                Some(_) => {}
                None => break,
            }
        }
        Ok(None)
    }

    fn has_ended(&self) -> bool {
        let Some(process) = &self.process else {
            return true;
        };
        let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
