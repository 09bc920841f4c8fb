//! Into the namespaces of a container that is known by its process only.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, stat};

use super::identity::Identity;
use crate::error::{Error, ErrorKind, Result};
use crate::namespace::NamespaceKind;
use crate::process::{Companions, Enter};

/// Every namespace of the process that is not the caller's own.
pub(super) fn enter(process: Identity) -> Result<Enter> {
    let pid = process.pid;
    let pidfd = process.open()?.ok_or_else(|| ended(pid))?;
    let kinds: Vec<NamespaceKind> =
        NamespaceKind::ALL.into_iter().filter(|kind| differs(pid, *kind)).collect();
    let root = open_root(pid)?;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/setgroups")).unwrap_or_default();
    let enter = Enter {
        kinds,
        groups_denied: groups.trim() == "deny",
        has_root: has_root(pid, "uid_map") && has_root(pid, "gid_map"),
        root: Some(Arc::new(root)),
        companions: Companions::new()?,
        pidfd: Arc::new(pidfd),
    };
    // What was read by number was that process's if it lives still.
    if process.lives() { Ok(enter) } else { Err(ended(pid)) }
}

fn ended(pid: u32) -> Error {
    Error::with(ErrorKind::WrongState, "enter", pid.to_string(), "the container has ended")
}

fn differs(pid: u32, kind: NamespaceKind) -> bool {
    // Of the pid and time namespaces, those that its children are born into: an init is born
    // into them itself.
    let of = |pid: &str| {
        stat(format!("/proc/{pid}/ns/{}", kind.name()).as_str())
            .map(|found| (found.st_dev, found.st_ino))
    };
    match (of(&pid.to_string()), of("self")) {
        (Ok(theirs), Ok(ours)) => theirs != ours,
        _ => false,
    }
}

fn open_root(pid: u32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/root");
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty()).map_err(|error| Error::os("open", path, error))
}

/// The first column of each line is where a range starts inside.
fn has_root(pid: u32, map: &str) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{map}"));
    text.is_ok_and(|text| text.lines().any(|line| line.split_whitespace().next() == Some("0")))
}

/// Waits for its end; whether it came in time.
pub(super) fn wait_end(pidfd: &OwnedFd, limit: Option<std::time::Duration>) -> Result<bool> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let deadline = limit.and_then(|limit| std::time::Instant::now().checked_add(limit));
    loop {
        let left = deadline.map(|end| end.saturating_duration_since(std::time::Instant::now()));
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(Error::os("poll", "pidfd", error)),
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
        }
    }
}
