//! Waiting on a v2 cgroup's `cgroup.events`, which the kernel makes pollable.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::dir;

/// An open `cgroup.events`.
#[derive(Debug)]
pub(super) struct Events(File);

impl Events {
    pub(super) fn open(cgroup: BorrowedFd<'_>) -> io::Result<Self> {
        dir::open(cgroup, "cgroup.events", OFlag::O_RDONLY).map(Self)
    }

    pub(super) fn get(&mut self, key: &str) -> io::Result<Option<u64>> {
        Ok(value_of(&dir::read_open(&mut self.0)?, key))
    }

    /// Waits until `key` has the value; false when the deadline came first.
    ///
    /// Looks often at first: the kernel holds a notification back for up to 10 ms after the last
    /// one, while most waits are over within microseconds.
    pub(super) fn wait_for(
        &mut self,
        key: &str,
        value: u64,
        deadline: Instant,
    ) -> io::Result<bool> {
        let mut pause = FIRST_PAUSE;
        loop {
            // Reading arms the notification: what changes from here on wakes the poll.
            if self.get(key)? == Some(value) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            if pause < LAST_PAUSE {
                std::thread::sleep(pause.min(left));
                pause *= 2;
                continue;
            }
            let milliseconds = left.as_millis().clamp(1, 60_000) as u16;
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLPRI)];
            match poll(&mut fds, PollTimeout::from(milliseconds)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_micros(10);
const LAST_PAUSE: Duration = Duration::from_millis(3);

/// The number after `key` in a file of `key value` lines.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
}
