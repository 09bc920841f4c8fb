//! Which process is meant: its number, and when it began.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::process::Companions;
use crate::sys;

/// A process by number and start time: the kernel gives a number to another process once the
/// first one is gone, but not with the same start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// Clock ticks since boot: field 22 of `/proc/PID/stat` (proc_pid_stat(5)).
    pub(super) start_time: u64,
}

impl Identity {
    /// The process that has this number now.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).map_err(|error| Error::os("read", &*path, error))?;
        let (_, start_time) =
            parse(&text).ok_or_else(|| Error::invalid("read", path, "not as proc(5) has it"))?;
        Ok(Self { pid, start_time })
    }

    /// Whether it lives; a zombie does not.
    pub(super) fn lives(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .ok()
            .and_then(|text| parse(&text))
            .is_some_and(|(state, start)| start == self.start_time && !matches!(state, 'Z' | 'X'))
    }

    /// A descriptor of it, `None` if it has ended: opened first and judged then, so that it is
    /// surely the one.
    pub(super) fn open(&self) -> Result<Option<OwnedFd>> {
        match sys::open_pidfd(self.pid) {
            Ok(pidfd) => Ok(self.lives().then_some(pidfd)),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(Error::os("pidfd_open", self.pid.to_string(), error)),
        }
    }

    /// Likewise, also of one that has ended and is not reaped yet.
    pub(super) fn open_ended(&self) -> Result<Option<OwnedFd>> {
        match sys::open_pidfd(self.pid) {
            Ok(pidfd) => Ok(Self::of(self.pid).is_ok_and(|now| now == *self).then_some(pidfd)),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(Error::os("pidfd_open", self.pid.to_string(), error)),
        }
    }

    /// How it ended, as wait(2) encodes it, if it has and its parent has not asked yet.
    pub(super) fn status_of_zombie(&self) -> Option<sys::WaitStatus> {
        // To those who may not know, the kernel says 0; these can't read the link either.
        fs::read_link(format!("/proc/{}/ns/user", self.pid)).ok()?;
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        match parse(&text)? {
            ('Z', start) if start == self.start_time => text.split_ascii_whitespace().last(),
            _ => None,
        }?
        .parse()
        .ok()
    }

    /// Those who were executed beside it by this process.
    pub(super) fn companions(&self) -> Result<Arc<Companions>> {
        Companions::of((self.pid, self.start_time))
    }

    /// Reaps it if it has ended and is a child of the caller.
    pub(super) fn reap(&self) {
        let Ok(pidfd) = sys::open_pidfd(self.pid) else {
            return;
        };
        if Self::of(self.pid).is_ok_and(|now| now == *self) {
            let _ = sys::wait_pidfd(pidfd.as_fd(), libc::WEXITED | libc::WNOHANG);
        }
    }

    /// Sends a signal; whether it lived to get it.
    pub(super) fn signal(&self, signal: i32) -> Result<bool> {
        let Some(pidfd) = self.open()? else {
            return Ok(false);
        };
        match sys::signal_pidfd(pidfd.as_fd(), signal) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            Err(error) => Err(Error::os(
                "pidfd_send_signal",
                format!("signal {signal} to {}", self.pid),
                error,
            )),
        }
    }
}

/// State and start time; the name before them may hold any byte but ends with the last `)`.
fn parse(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let threads: u64 = fields.nth(16)?.parse().ok()?;
    // A first thread that has ended is shown as a zombie while others go on.
    let state = if state == 'Z' && threads > 1 { 'S' } else { state };
    Some((state, fields.nth(1)?.parse().ok()?))
}

/// Tells this boot of the machine from every other.
pub(super) fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}

/// The number that it has in its own pid namespace (`NSpid`, proc_pid_status(5)).
pub(super) fn pid_inside(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let fields: Vec<String> = (4..53).map(|number: u32| number.to_string()).collect();
        let stat = format!("7 (a) R (b) S {}", fields.join(" "));
        assert_eq!(parse(&stat), Some(('S', 22)));
        // 20 threads, the first of which has ended; then the last one too.
        let ended = stat.replace(") S", ") Z");
        assert_eq!(parse(&ended), Some(('S', 22)));
        assert_eq!(parse(&ended.replace(" 20 ", " 1 ")), Some(('Z', 22)));
        assert_eq!(parse("7 (x) S 1 2"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_number_used_again_is_nobody() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.lives());
        assert!(own.open().unwrap().is_some());
        let other = Identity { start_time: own.start_time + 1, ..own };
        assert!(!other.lives());
        assert!(other.open().unwrap().is_none());
        assert!(!other.signal(0).unwrap());
        assert!(own.signal(0).unwrap());
    }
}
