//! The fork-like floor: `clone3` copies the host's page tables, and the child goes on in the host's
//! own code.

use std::ffi::c_int;
use std::io;

use super::Child;
use super::steps::{self, Setup};

/// # Safety
///
/// `setup.argv` must be a NULL-terminated array of strings.
pub(super) unsafe fn spawn(setup: &Setup<'_>, flags: c_int) -> io::Result<Child> {
    let mut pidfd: c_int = -1;
    // SAFETY: an all-zero clone_args is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: `args` is a clone_args of the given size; without CLONE_VM both sides go on with
    // their own copy of this stack, and the child makes nothing but raw system calls.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: this is the child; `argv` is the caller's promise.
        0 => unsafe { steps::run(setup) },
        // SAFETY: the kernel has put a new descriptor there.
        pid => Ok(unsafe { Child::new(pid as c_int, pidfd) }),
    }
}
