//! Descriptors that this program was started with, to be passed on.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::Failure;

/// The descriptors from 3 on, so many; to be called once, before anything else is opened with
/// numbers that could be these.
pub(crate) fn from_three(count: u32) -> Result<Vec<OwnedFd>, Failure> {
    let last = i32::try_from(count).ok().and_then(|count| count.checked_add(3));
    let last = last.ok_or_else(|| Failure::new(format!("--preserve-fds {count}: too many")))?;
    (3..last).map(take).collect()
}

fn take(number: RawFd) -> Result<OwnedFd, Failure> {
    if std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_err() {
        return Err(Failure::new(format!("--preserve-fds: descriptor {number} is not open")));
    }
    // SAFETY: it is open, and the caller says that it is not one of this program's own.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
