//! Into the namespaces of a container that is known by its process only.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, stat};

use super::identity::Identity;
use crate::error::{Error, ErrorKind, Result};
use crate::namespace::NamespaceKind;
use crate::process::Enter;

/// Every namespace of the process that is not the caller's own.
pub(super) fn enter(process: Identity) -> Result<Enter> {
    let pid = process.pid;
    let pidfd = process.open()?.ok_or_else(|| ended(pid))?;
    let mut kinds = Vec::new();
    for kind in NamespaceKind::ALL {
        if differs(pid, kind)? {
            kinds.push(kind);
        }
    }
    let root = open_root(pid)?;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/setgroups")).unwrap_or_default();
    let enter = Enter {
        kinds,
        groups_denied: groups.trim() == "deny",
        has_root: has_root(pid, "uid_map") && has_root(pid, "gid_map"),
        root: Some(Arc::new(root)),
        companions: process.companions()?,
        pidfd: Arc::new(pidfd),
    };
    // What was read by number was that process's if it lives still.
    if process.lives() { Ok(enter) } else { Err(ended(pid)) }
}

fn ended(pid: u32) -> Error {
    Error::with(ErrorKind::WrongState, "enter", pid.to_string(), "the container has ended")
}

/// Whether it has another namespace of this kind than the caller. One that the caller may not look
/// at is an error, and not passed over: what is executed would stay outside.
fn differs(pid: u32, kind: NamespaceKind) -> Result<bool> {
    let of = |pid: &str| {
        let path = format!("/proc/{pid}/ns/{}", kind.name());
        match stat(path.as_str()) {
            Ok(found) => Ok(Some((found.st_dev, found.st_ino))),
            // The kernel lacks the kind.
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(Error::os("stat", path, error)),
        }
    };
    Ok(of(&pid.to_string())? != of("self")?)
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
