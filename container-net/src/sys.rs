//! The three raw calls that have no safe wrapper elsewhere.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, Result};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread into a new network namespace. See `unshare(2)`.
pub(crate) fn unshare_net() -> Result<()> {
    // SAFETY: only `CLONE_FILES` is dangerous (see `unshare_unsafe`); `CLONE_NEWNET` changes
    // nothing but the thread's network namespace.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// A request on an nsfs descriptor that takes no argument and answers by its return value.
struct NsRequest<const NUMBER: u8>;

// SAFETY: the opcode is fixed, no argument is passed, and the kernel writes no memory: it only
// returns an integer. See `ioctl_ns(2)`.
unsafe impl<const NUMBER: u8> Ioctl for NsRequest<NUMBER> {
    type Output = i32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::none(0xb7, NUMBER)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> Result<i32> {
        Ok(out)
    }
}

/// The `CLONE_NEW*` flag of a namespace descriptor; `ENOTTY` when it is none (`NS_GET_NSTYPE`).
pub(crate) fn namespace_type(fd: BorrowedFd<'_>) -> Result<i32> {
    // SAFETY: `NsRequest` describes NS_GET_NSTYPE exactly; on a foreign file the request number
    // is unknown and answered with ENOTTY. Callers have checked that the file lives on nsfs.
    unsafe { ioctl(fd, NsRequest::<3>) }
}

/// The user namespace that owns `fd`; `EPERM` when it lies outside ours (`NS_GET_USERNS`).
pub(crate) fn owner_user_namespace(fd: impl AsFd) -> Result<OwnedFd> {
    // SAFETY: as above, for NS_GET_USERNS.
    let raw: RawFd = unsafe { ioctl(fd, NsRequest::<1>)? };
    if raw < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the kernel just installed this close-on-exec descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
