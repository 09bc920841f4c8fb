//! [`Watch`]: being told that a cgroup ran out of memory, or has no processes any more.
//!
//! v2 announces changes of `memory.events` and `cgroup.events` to inotify(7). v1 signals an
//! eventfd(2) that was registered in `cgroup.event_control`. A [`Watch`] is one descriptor
//! for both, readable when there may be news.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::controller::{Controller, Version};
use super::dir;
use super::events::value_of;
use super::group::{Cgroup, Node};
use crate::error::{Error, ErrorKind, Result};

/// What a [`Watch`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CgroupEvent {
    /// The memory limit was met and nothing could be reclaimed.
    OutOfMemory {
        /// Processes killed for it since the last such event; 0 where the killer is turned off.
        kills: u64,
    },
    /// The last process of the cgroup and of those below ended (v2).
    Emptied,
    /// The cgroup has been removed.
    Removed,
}

/// Tells what happens to a cgroup. See [`Cgroup::watch`].
///
/// The descriptor is readable when [`next`](Self::next) should be asked (with a time of zero),
/// for poll(2) or an event loop; it may find that nothing of note happened. Drop it to stop.
#[derive(Debug)]
pub struct Watch {
    cgroup: Cgroup,
    epoll: Epoll,
    eventfd: Option<EventFd>,
    inotify: Option<Inotify>,
    kills: u64,
    ooms: u64,
    populated: bool,
    removed: bool,
    ready: Vec<CgroupEvent>,
}

impl Cgroup {
    /// Watches the cgroup from now on: lack of memory, its last process's end, its removal.
    ///
    /// Lack of memory is told for cgroups with the memory controller, the end of the last
    /// process for those that span v2.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for a cgroup that has neither, else the failing call.
    ///
    /// ```no_run
    /// use container_core::cgroup::{CgroupEvent, Hierarchy};
    ///
    /// let mut watch = Hierarchy::discover()?.open("/container-7")?.watch()?;
    /// while let Some(event) = watch.next(None)? {
    ///     println!("{event:?}");
    ///     if event == CgroupEvent::Removed {
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), container_core::Error>(())
    /// ```
    pub fn watch(&self) -> Result<Watch> {
        let failed = |step| move |e: Errno| Error::os(step, self.path(), e);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("epoll_create1"))?;
        let mut eventfd = None;
        let mut inotify = None;
        match self.node_of(Controller::Memory) {
            Some((node, Version::V1)) => eventfd = Some(self.register_oom(node)?),
            Some((node, Version::V2)) => self.add_file(&mut inotify, node, "memory.events")?,
            None => {}
        }
        if let Some(node) = self.v2() {
            self.add_file(&mut inotify, node, "cgroup.events")?;
        }
        let fds = [eventfd.as_ref().map(AsFd::as_fd), inotify.as_ref().map(AsFd::as_fd)];
        let mut any = false;
        for fd in fds.into_iter().flatten() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, fd.as_raw_fd() as u64);
            epoll.add(fd, event).map_err(failed("epoll_ctl"))?;
            any = true;
        }
        if !any {
            let reason = "it spans no hierarchy that tells of events: memory on v1, or v2";
            return Err(Error::with(ErrorKind::Unsupported, "watch cgroup", self.path(), reason));
        }
        let (kills, ooms) = self.oom_counts();
        let populated = self.is_populated()?;
        Ok(Watch {
            cgroup: self.clone(),
            epoll,
            eventfd,
            inotify,
            kills,
            ooms,
            populated,
            removed: false,
            ready: Vec::new(),
        })
    }

    fn register_oom(&self, node: &Node) -> Result<EventFd> {
        let failed = |step, e: io::Error| Error::os(step, self.directory_of(node), e);
        let eventfd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|e| failed("eventfd", e.into()))?;
        let control = dir::open(node.fd(), "memory.oom_control", nix::fcntl::OFlag::O_RDONLY)
            .map_err(|e| failed("open memory.oom_control", e))?;
        let request = format!("{} {}", eventfd.as_fd().as_raw_fd(), control.as_raw_fd());
        dir::write(node.fd(), "cgroup.event_control", &request)
            .map_err(|e| failed("write cgroup.event_control", e))?;
        Ok(eventfd)
    }

    fn add_file(&self, inotify: &mut Option<Inotify>, node: &Node, file: &str) -> Result<()> {
        // On v2 a cgroup may be without the controller.
        if !dir::exists(node.fd(), file) {
            return Ok(());
        }
        let failed = |step| move |e: Errno| Error::os(step, self.directory_of(node), e);
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let instance = match inotify {
            Some(instance) => instance,
            None => inotify.insert(Inotify::init(flags).map_err(failed("inotify_init1"))?),
        };
        let path = format!("/proc/self/fd/{}/{file}", node.fd().as_raw_fd());
        let what = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_DELETE_SELF;
        instance.add_watch(path.as_str(), what).map_err(failed("inotify_add_watch"))?;
        Ok(())
    }

    /// How many were killed, and how often memory lacked.
    fn oom_counts(&self) -> (u64, u64) {
        let Some((node, version)) = self.node_of(Controller::Memory) else {
            return (0, 0);
        };
        let file = match version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = dir::read(node.fd(), file).unwrap_or_default();
        let count = |key| value_of(&text, key).unwrap_or(0);
        (count("oom_kill"), count("oom"))
    }

    fn is_removed(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| !dir::exists(self.hierarchy.root_fd(node.mount), self.path.relative()))
    }
}

impl Watch {
    /// The next event; `None` when the time has passed without one. `None` as time waits for ever.
    ///
    /// After [`CgroupEvent::Removed`] nothing more comes.
    ///
    /// # Errors
    ///
    /// When waiting or reading fails.
    pub fn next(&mut self, time: Option<Duration>) -> Result<Option<CgroupEvent>> {
        let deadline = time.map(|time| Instant::now() + time);
        loop {
            if !self.ready.is_empty() {
                return Ok(Some(self.ready.remove(0)));
            }
            if self.removed {
                return Ok(None);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let woken = self.wait(left)?;
            self.collect()?;
            if !woken && self.ready.is_empty() && left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
        }
    }

    /// Waits for news, at most a second: the removal of a v1 cgroup wakes nobody reliably.
    fn wait(&self, left: Option<Duration>) -> Result<bool> {
        let left = left.unwrap_or(GLANCE).min(GLANCE);
        let milliseconds = left.as_millis().min(1000) as u16 + u16::from(!left.is_zero());
        let mut events = [EpollEvent::empty(); 2];
        match self.epoll.wait(&mut events, EpollTimeout::from(milliseconds)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::EINTR) => Ok(true),
            Err(e) => Err(Error::os("epoll_wait", self.cgroup.path(), e)),
        }
    }

    /// Empties the descriptors and compares what is with what was.
    fn collect(&mut self) -> Result<()> {
        let mut signalled = false;
        if let Some(eventfd) = &self.eventfd {
            match eventfd.read() {
                Ok(_) => signalled = true,
                Err(Errno::EAGAIN) => {}
                Err(e) => return Err(Error::os("read eventfd", self.cgroup.path(), e)),
            }
        }
        if let Some(inotify) = &self.inotify {
            match inotify.read_events() {
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(e) => return Err(Error::os("read inotify", self.cgroup.path(), e)),
            }
        }
        if self.cgroup.is_removed() {
            self.removed = true;
            self.ready.push(CgroupEvent::Removed);
            return Ok(());
        }
        let (kills, ooms) = self.cgroup.oom_counts();
        // v1 signals before it kills: the count may follow, and is then told with the next event.
        if signalled || kills > self.kills || ooms > self.ooms {
            let kills_now = kills.saturating_sub(self.kills);
            self.ready.push(CgroupEvent::OutOfMemory { kills: kills_now });
        }
        (self.kills, self.ooms) = (kills, ooms);
        if self.inotify.is_some() {
            let populated = self.cgroup.is_populated()?;
            if self.populated && !populated {
                self.ready.push(CgroupEvent::Emptied);
            }
            self.populated = populated;
        }
        Ok(())
    }
}

const GLANCE: Duration = Duration::from_secs(1);

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
