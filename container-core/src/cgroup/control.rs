//! Processes of a cgroup: who is in, moving in, killing all.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::controller::Version;
use super::dir;
use super::events::Events;
use super::group::{Cgroup, Node};
use super::topology::{Membership, parse_memberships};
use crate::error::{Error, ErrorKind, Result};
use crate::sys;

const KILL_TIME: Duration = Duration::from_secs(5);
/// How long one pass of the fallback waits for the freezer.
const FREEZE_PASS: Duration = Duration::from_millis(100);

impl Cgroup {
    /// The processes in the cgroup, in ascending order; not those of its children.
    ///
    /// A process that lies outside the caller's pid namespace has no number here and is left
    /// out. On v1 these are the processes that are in it in at least one of the hierarchies.
    ///
    /// # Errors
    ///
    /// When `cgroup.procs` cannot be read.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let mut all = BTreeSet::new();
        for node in self.nodes.iter() {
            all.extend(self.read_processes(node, ".")?);
        }
        all.remove(&0);
        Ok(all.into_iter().collect())
    }

    /// The processes in the cgroup and in all below it, in ascending order.
    ///
    /// As [`processes`](Self::processes) otherwise.
    ///
    /// # Errors
    ///
    /// When `cgroup.procs` cannot be read.
    pub fn processes_recursive(&self) -> Result<Vec<u32>> {
        Ok(self.members()?.into_iter().filter(|pid| *pid != 0).collect())
    }

    /// Whether a live process is in the cgroup or below it.
    ///
    /// # Errors
    ///
    /// When the cgroup cannot be read.
    pub fn is_populated(&self) -> Result<bool> {
        Ok(!self.members()?.is_empty())
    }

    /// Moves a process with all its threads here, in every hierarchy of the cgroup.
    ///
    /// One pass over the hierarchies. The kernel synchronises all processors at the first
    /// write, which after a quiet period takes milliseconds; on v2 a child made
    /// with [`enter_fd`](Self::enter_fd) needs none of this. If one hierarchy refuses,
    /// the process is moved back in the others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a process that does not exist, [`ErrorKind::PermissionDenied`],
    /// [`ErrorKind::Busy`] on v2 for a cgroup that hands controllers to its children.
    pub fn attach(&self, pid: u32) -> Result<()> {
        if pid == 0 || i32::try_from(pid).is_err() {
            return Err(Error::invalid("attach to cgroup", pid.to_string(), "is no process id"));
        }
        let value = pid.to_string();
        let before = match self.nodes.len() {
            1 => Vec::new(),
            _ => memberships_of(&value),
        };
        for (at, node) in self.nodes.iter().enumerate() {
            if self.is_in(node, &before) {
                continue;
            }
            if let Err(e) = dir::write(node.fd(), "cgroup.procs", &value) {
                self.move_back(&value, &self.nodes[..at], &before);
                return Err(self.attach_failed(node, &value, e));
            }
        }
        Ok(())
    }

    /// Kills every process in the cgroup and below and returns when none is left.
    ///
    /// Waits up to five seconds. Uses `cgroup.kill` (Linux 5.14); without it the cgroup is
    /// frozen, every process gets `SIGKILL`, it is thawed, and so on until it is empty: a
    /// fork cannot escape from a frozen cgroup. A frozen cgroup is killed too. The dead
    /// remain to be reaped by their parents.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] naming the processes left; [`ErrorKind::InvalidInput`] for the
    /// root and for a cgroup that holds the caller; [`ErrorKind::PermissionDenied`].
    pub fn kill(&self) -> Result<()> {
        self.kill_within(KILL_TIME)
    }

    pub(super) fn kill_within(&self, limit: Duration) -> Result<()> {
        if self.path.is_root() {
            return Err(Error::invalid("kill cgroup", "/", "the root holds the whole machine"));
        }
        self.refuse_own("kill cgroup")?;
        let deadline = Instant::now() + limit;
        let direct = self.kill_directly(deadline)?;
        let mut pause = Duration::from_micros(100);
        let mut refused = None;
        loop {
            let left = self.members()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(refused.unwrap_or_else(|| self.kill_timed_out(&left, limit)));
            }
            if !direct || pause > Duration::from_millis(5) {
                refused = self.signal_all()?;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// `cgroup.kill`; false when the kernel has none.
    fn kill_directly(&self, deadline: Instant) -> Result<bool> {
        let Some(node) = self.v2() else {
            return Ok(false);
        };
        match dir::write(node.fd(), "cgroup.kill", "1") {
            Ok(()) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {
                return Ok(false);
            }
            Err(e) => {
                return Err(Error::os("write cgroup.kill = 1", self.directory_of(node), e));
            }
        }
        self.thaw_second_freezer()?;
        Events::open(node.fd())
            .and_then(|mut events| events.wait_for("populated", 0, deadline))
            .map_err(|e| Error::os("wait for cgroup.events", self.directory_of(node), e))?;
        Ok(true)
    }

    /// One pass of freeze, signal, thaw. Returns the refusal if a signal was not permitted.
    fn signal_all(&self) -> Result<Option<Error>> {
        // A process that does not stop in time is signalled all the same, and the
        // next pass sees whatever it forked.
        let _ = self.freeze_within(FREEZE_PASS);
        let members = self.members();
        let mut refused = None;
        for pid in members.as_ref().into_iter().flatten().filter(|pid| **pid != 0) {
            match self.kill_one(*pid) {
                Ok(()) => {}
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                Err(e) => refused = Some(Error::os("kill SIGKILL", pid.to_string(), e)),
            }
        }
        // Without a freezer there is nothing to thaw; with a frozen ancestor the dead wait for it.
        let _ = self.thaw();
        members.map(|_| refused)
    }

    /// `SIGKILL` to a process that was listed, if it is the one that is inside now.
    ///
    /// The pidfd is opened first: should the number have passed to a stranger, either the
    /// stranger is seen to be elsewhere, or the pidfd is that of the dead.
    fn kill_one(&self, pid: u32) -> io::Result<()> {
        match self.signal_one(pid, libc::SIGKILL) {
            // Before Linux 5.3; a frozen process keeps its number.
            Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
                Ok(kill(Pid::from_raw(pid as i32), Signal::SIGKILL)?)
            }
            other => other.map(drop),
        }
    }

    fn signal_one(&self, pid: u32, signal: i32) -> io::Result<bool> {
        let pidfd = sys::open_pidfd(pid)?;
        let inside = self.holds(&memberships_of(&pid.to_string()));
        if inside {
            sys::signal_pidfd(pidfd.as_fd(), signal)?;
        }
        Ok(inside)
    }

    /// Sends a signal by number once to every process that is in the cgroup or below it now, and
    /// surely to no other; returns how many got it. One that is forked meanwhile may be missed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] and others of sending, after all have been tried.
    pub fn signal(&self, signal: i32) -> Result<usize> {
        let (mut sent, mut refused) = (0, None);
        for pid in self.processes_recursive()? {
            match self.signal_one(pid, signal) {
                Ok(inside) => sent += usize::from(inside),
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                Err(e) => {
                    let step = format!("pidfd_send_signal {signal}");
                    refused = refused.or(Some(Error::os(step, pid.to_string(), e)));
                }
            }
        }
        refused.map_or(Ok(sent), Err)
    }

    /// Everybody inside and below, over all hierarchies; 0 for one without a number here.
    fn members(&self) -> Result<BTreeSet<u32>> {
        let mut all = BTreeSet::new();
        for node in self.nodes.iter() {
            if self.version(node) == Version::V2 && !self.path.is_root() {
                let populated = Events::open(node.fd()).and_then(|mut e| e.get("populated"));
                if matches!(populated, Ok(Some(0))) {
                    continue;
                }
            }
            self.collect(node, ".", &mut all)?;
        }
        Ok(all)
    }

    fn collect(&self, node: &Node, below: &str, all: &mut BTreeSet<u32>) -> Result<()> {
        all.extend(self.read_processes(node, below)?);
        let children = match dir::open_dir(node.fd(), below) {
            Ok(dir) => dir::subdirectories(dir.as_fd()),
            Err(e) => Err(e),
        };
        match children {
            Ok(children) => {
                children.iter().try_for_each(|c| self.collect(node, &format!("{below}/{c}"), all))
            }
            Err(e) if gone(&e) => Ok(()),
            Err(e) => Err(Error::os("list cgroup", self.directory_of(node), e)),
        }
    }

    /// The processes of a directory; none if it has been removed.
    fn read_processes(&self, node: &Node, below: &str) -> Result<Vec<u32>> {
        let read = |file: &str| dir::read(node.fd(), &format!("{below}/{file}"));
        let text = match read("cgroup.procs") {
            // A threaded v2 cgroup lists threads only.
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => read("cgroup.threads"),
            other => other,
        };
        match text {
            Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
            Err(e) if gone(&e) => Ok(Vec::new()),
            Err(e) => Err(Error::os("read cgroup.procs", self.directory_of(node), e)),
        }
    }

    /// Whether a process with these memberships is in this very cgroup already, as one born by
    /// `CLONE_INTO_CGROUP` is on v2.
    fn is_in(&self, node: &Node, memberships: &[Membership]) -> bool {
        self.place_in(node, memberships).is_some_and(|path| path == self.path.as_str())
    }

    /// Whether a process with these memberships is inside or below, in one hierarchy at least.
    fn holds(&self, memberships: &[Membership]) -> bool {
        let mut places = self.nodes.iter().filter_map(|node| self.place_in(node, memberships));
        places.any(|path| self.path.covers(&path))
    }

    /// The path in the node's hierarchy of a process with these memberships.
    pub(super) fn place_in(&self, node: &Node, memberships: &[Membership]) -> Option<String> {
        let mount = &self.hierarchy.mounts()[node.mount];
        let membership = memberships.iter().find(|m| m.belongs_to(mount))?;
        mount.localize(&membership.path)
    }

    fn move_back(&self, pid: &str, moved: &[Node], before: &[Membership]) {
        for node in moved {
            let Some(old) = self.place_in(node, before) else {
                continue;
            };
            // The refusal that led here is what the caller is told.
            let root = self.hierarchy.root_fd(node.mount);
            let _ = dir::write(root, &format!(".{old}/cgroup.procs"), pid);
        }
    }

    fn attach_failed(&self, node: &Node, pid: &str, error: io::Error) -> Error {
        let hint = match error.raw_os_error() {
            Some(libc::ESRCH) => "the process is gone",
            Some(libc::EBUSY) => {
                "a v2 cgroup that hands controllers to children holds no processes: use a leaf"
            }
            Some(libc::ENOSPC) => "cpuset.cpus or cpuset.mems is empty: set them first",
            Some(libc::EACCES | libc::EPERM) => {
                "moving takes write access to cgroup.procs of the target and, on v2, of the \
                 nearest common ancestor: run as root, or start inside a delegated cgroup"
            }
            Some(libc::EOPNOTSUPP) => "the cgroup is an invalid or threaded domain",
            Some(libc::EINVAL) => {
                "kernel threads and real-time processes without a budget stay out"
            }
            _ => "",
        };
        let failed =
            Error::os(format!("write cgroup.procs = {pid}"), self.directory_of(node), error);
        if hint.is_empty() { failed } else { failed.hint(hint) }
    }

    fn kill_timed_out(&self, left: &BTreeSet<u32>, limit: Duration) -> Error {
        let left: Vec<_> = left.iter().take(8).map(u32::to_string).collect();
        Error::with(
            ErrorKind::TimedOut,
            "kill cgroup",
            self.path(),
            format!("still alive after {limit:?}: {}", left.join(" ")),
        )
        .hint(
            "a process in an uninterruptible wait dies after it; 0 is one of another pid namespace",
        )
    }

    /// Stopping or killing a cgroup that the caller is in would be the caller's own end.
    pub(super) fn refuse_own(&self, step: &'static str) -> Result<()> {
        let own = memberships_of("self");
        if self.holds(&own) {
            return Err(Error::invalid(step, self.path(), "the calling process is inside"));
        }
        Ok(())
    }
}

pub(super) fn memberships_of(pid: &str) -> Vec<Membership> {
    dir::read_proc(&format!("/proc/{pid}/cgroup"))
        .map(|t| parse_memberships(&t))
        .unwrap_or_default()
}

/// The directory was removed: before it could be opened, or while it was open.
fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}
