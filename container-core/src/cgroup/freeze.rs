//! Stopping and continuing all processes of a cgroup, with confirmation.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::controller::{Controller, Version};
use super::dir;
use super::events::Events;
use super::group::{Cgroup, Node};
use crate::error::{Error, ErrorKind, Result};

const FREEZE_TIME: Duration = Duration::from_secs(5);
/// After this long a thaw that shows no effect is checked for a frozen ancestor.
const THAW_GLANCE: Duration = Duration::from_millis(20);

impl Cgroup {
    /// Stops every process in the cgroup and below, and returns when all have stopped.
    ///
    /// Waits up to five seconds: a process in an uninterruptible wait can hold it up. On failure the cgroup
    /// is thawed again. On v2 it writes `cgroup.freeze` and waits for `cgroup.events`; on v1 it
    /// writes `freezer.state` until the kernel answers `FROZEN`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::InvalidInput`] for the root and for a cgroup
    /// that holds the caller; [`ErrorKind::Unsupported`] without a v1 freezer on v1, or on v2 before Linux 5.2.
    pub fn freeze(&self) -> Result<()> {
        self.refuse_own("freeze cgroup")?;
        self.freeze_within(FREEZE_TIME)
    }

    /// Lets the processes go on, and returns when they do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongState`] when an ancestor is frozen, which keeps this one frozen.
    pub fn thaw(&self) -> Result<()> {
        let (node, version) = self.freezer()?;
        match version {
            Version::V2 => self.thaw_v2(node)?,
            Version::V1 => self.thaw_v1(node)?,
        }
        self.thaw_second_freezer()
    }

    /// Whether the processes are stopped, by this cgroup's freezer or an ancestor's.
    ///
    /// # Errors
    ///
    /// As [`freeze`](Self::freeze).
    pub fn is_frozen(&self) -> Result<bool> {
        let (node, version) = self.freezer()?;
        let frozen = match version {
            Version::V2 => {
                Events::open(node.fd()).and_then(|mut e| Ok(e.get("frozen")? == Some(1)))
            }
            Version::V1 => dir::read(node.fd(), "freezer.state").map(|s| s.trim() == "FROZEN"),
        };
        frozen.map_err(|e| Error::os("read freezer state", self.directory_of(node), e))
    }

    pub(super) fn freeze_within(&self, limit: Duration) -> Result<()> {
        let (node, version) = self.freezer()?;
        let deadline = Instant::now() + limit;
        let frozen = match version {
            Version::V2 => self.freeze_v2(node, deadline),
            Version::V1 => self.freeze_v1(node, deadline),
        };
        if let Ok(true) = frozen {
            return Ok(());
        }
        // Half frozen is the worst state to leave behind; what matters is the first failure.
        let _ = match version {
            Version::V2 => dir::write(node.fd(), "cgroup.freeze", "0"),
            Version::V1 => dir::write(node.fd(), "freezer.state", "THAWED"),
        };
        let reason = format!("not all processes stopped within {limit:?}");
        Err(match frozen {
            Err(e) => e,
            Ok(_) => {
                Error::with(ErrorKind::TimedOut, "freeze cgroup", self.directory_of(node), reason)
                    .hint("a process in an uninterruptible wait stops only after it; try again")
            }
        })
    }

    fn freeze_v2(&self, node: &Node, deadline: Instant) -> Result<bool> {
        let failed = |step, e: io::Error| Error::os(step, self.directory_of(node), e);
        let mut events = Events::open(node.fd()).map_err(|e| failed("open cgroup.events", e))?;
        dir::write(node.fd(), "cgroup.freeze", "1")
            .map_err(|e| failed("write cgroup.freeze = 1", e))?;
        let frozen = events.wait_for("frozen", 1, deadline);
        if !frozen.map_err(|e| failed("wait for cgroup.events", e))? {
            return Ok(false);
        }
        // A cgroup with processes of its own says so when these have stopped, whatever the
        // children still do.
        descendants_frozen(node.fd(), deadline).map_err(|e| failed("wait for cgroup.events", e))
    }

    fn freeze_v1(&self, node: &Node, deadline: Instant) -> Result<bool> {
        let failed = |step, e: io::Error| Error::os(step, self.directory_of(node), e);
        let mut pause = Duration::from_micros(50);
        loop {
            // Written anew each time: a task that was forked meanwhile is only then told.
            dir::write(node.fd(), "freezer.state", "FROZEN")
                .map_err(|e| failed("write freezer.state = FROZEN", e))?;
            let state = dir::read(node.fd(), "freezer.state")
                .map_err(|e| failed("read freezer.state", e))?;
            if state.trim() == "FROZEN" {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    fn thaw_v2(&self, node: &Node) -> Result<()> {
        let failed = |step, e: io::Error| Error::os(step, self.directory_of(node), e);
        let mut events = Events::open(node.fd()).map_err(|e| failed("open cgroup.events", e))?;
        dir::write(node.fd(), "cgroup.freeze", "0")
            .map_err(|e| failed("write cgroup.freeze = 0", e))?;
        let mut wait = |time| {
            events
                .wait_for("frozen", 0, Instant::now() + time)
                .map_err(|e| failed("wait for cgroup.events", e))
        };
        if wait(THAW_GLANCE)? {
            return Ok(());
        }
        let root = self.hierarchy.root_fd(node.mount);
        let frozen_ancestor =
            self.path.prefixes().filter(|p| *p != self.path.relative()).find(|p| {
                dir::read(root, &format!("{p}/cgroup.freeze")).is_ok_and(|s| s.trim() == "1")
            });
        if let Some(ancestor) = frozen_ancestor {
            return Err(self
                .still_frozen(node)
                .hint(format!("thaw its ancestor /{ancestor} first")));
        }
        if wait(FREEZE_TIME)? { Ok(()) } else { Err(self.still_frozen(node)) }
    }

    fn thaw_v1(&self, node: &Node) -> Result<()> {
        let failed = |step, e: io::Error| Error::os(step, self.directory_of(node), e);
        dir::write(node.fd(), "freezer.state", "THAWED")
            .map_err(|e| failed("write freezer.state = THAWED", e))?;
        let state =
            dir::read(node.fd(), "freezer.state").map_err(|e| failed("read freezer.state", e))?;
        if state.trim() == "THAWED" {
            return Ok(());
        }
        Err(self.still_frozen(node).hint("thaw its frozen ancestor first"))
    }

    fn still_frozen(&self, node: &Node) -> Error {
        Error::with(
            ErrorKind::WrongState,
            "thaw cgroup",
            self.directory_of(node),
            "its processes stay frozen",
        )
    }

    /// A hybrid cgroup made by another program may be frozen by v1 although v2 could.
    pub(super) fn thaw_second_freezer(&self) -> Result<()> {
        let Some(node) = self.v1_freezer() else {
            return Ok(());
        };
        match dir::read(node.fd(), "freezer.state") {
            Ok(state) if state.trim() != "THAWED" => self.thaw_v1(node),
            _ => Ok(()),
        }
    }

    pub(super) fn v1_freezer(&self) -> Option<&Node> {
        let mount = self.hierarchy.index_of_v1(Controller::Freezer)?;
        self.nodes.iter().find(|node| node.mount == mount)
    }

    /// The node whose file stops processes.
    fn freezer(&self) -> Result<(&Node, Version)> {
        let based = |node: &Node| !self.hierarchy.mounts()[node.mount].base.is_empty();
        if self.path.is_root() && !self.nodes.iter().any(based) {
            return Err(Error::invalid(
                "freeze cgroup",
                "/",
                "the root cannot be frozen or thawed",
            ));
        }
        if let Some(node) = self.v2().filter(|node| dir::exists(node.fd(), "cgroup.freeze")) {
            return Ok((node, Version::V2));
        }
        self.v1_freezer().map(|node| (node, Version::V1)).ok_or_else(|| {
            Error::with(
                ErrorKind::Unsupported,
                "freeze cgroup",
                self.path(),
                format!("no freezer here; the layout is {}", self.hierarchy.layout()),
            )
            .hint(
                "v2: Linux 5.2 or newer; v1: mount -t cgroup -o freezer cgroup \
                 /sys/fs/cgroup/freezer, then create the cgroup",
            )
        })
    }
}

/// Waits until every cgroup below has stopped; one removed meanwhile does not count.
fn descendants_frozen(parent: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    let gone = |e: &io::Error| matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV));
    for name in dir::subdirectories(parent)? {
        let frozen = dir::open_dir(parent, &name).and_then(|child| {
            Ok(Events::open(child.as_fd())?.wait_for("frozen", 1, deadline)?
                && descendants_frozen(child.as_fd(), deadline)?)
        });
        match frozen {
            Ok(true) => {}
            Err(e) if gone(&e) => {}
            other => return other,
        }
    }
    Ok(true)
}
