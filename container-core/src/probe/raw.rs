//! System calls made only to see what the kernel answers.
#![allow(unsafe_code, reason = "the calls have no safe wrapper")]

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;

/// A system call whose arguments the kernel refuses, and that therefore has no
/// effect; its error tells whether the kernel knows it.
#[derive(Debug, Clone, Copy)]
pub(super) enum RefusedCall {
    /// `clone3` without arguments.
    Clone3,
    /// `close_range` whose last descriptor lies before the first.
    CloseRange,
    /// `fsopen` without a name.
    Fsopen,
    /// `mount_setattr` with a structure of no size.
    MountSetattr,
    /// `openat2` with a structure of no size.
    Openat2,
    /// `pidfd_open` of pid 0, which no process has.
    PidfdOpen,
    /// `pidfd_send_signal` to no descriptor.
    PidfdSendSignal,
    /// `seccomp` in filter mode without a filter.
    SeccompFilter,
    /// `unshare` of the user namespace, with a flag that it never takes.
    UnshareUser,
}

impl RefusedCall {
    /// Makes the call and returns its error.
    pub(super) fn answer(self) -> Errno {
        let call = |number: libc::c_long, [a, b, c, d, e]: [libc::c_long; 5]| {
            // SAFETY: each call below is refused for its arguments before it
            // has an effect; no pointer but null is passed.
            match unsafe { libc::syscall(number, a, b, c, d, e) } {
                -1 => Errno::last(),
                _ => Errno::from_raw(0),
            }
        };
        match self {
            Self::Clone3 => call(libc::SYS_clone3, [0; 5]),
            Self::CloseRange => call(libc::SYS_close_range, [1, 0, 0, 0, 0]),
            Self::Fsopen => call(libc::SYS_fsopen, [0; 5]),
            Self::MountSetattr => call(libc::SYS_mount_setattr, [-1, 0, 0, 0, 0]),
            Self::Openat2 => call(libc::SYS_openat2, [-1, 0, 0, 0, 0]),
            Self::PidfdOpen => call(libc::SYS_pidfd_open, [0; 5]),
            Self::PidfdSendSignal => call(libc::SYS_pidfd_send_signal, [-1, 0, 0, 0, 0]),
            Self::SeccompFilter => call(libc::SYS_seccomp, [1, 0, 0, 0, 0]),
            Self::UnshareUser => {
                let flags = libc::c_long::from(libc::CLONE_NEWUSER) | 1;
                call(libc::SYS_unshare, [flags, 0, 0, 0, 0])
            }
        }
    }
}

/// The version of Landlock's interface; an error without Landlock.
pub(super) fn landlock_abi() -> Result<u32, Errno> {
    const CREATE_RULESET_VERSION: libc::c_long = 1;
    let null = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call returns a number and reads no memory.
    let answer = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, null, 0, CREATE_RULESET_VERSION)
    };
    Errno::result(answer).map(|abi| u32::try_from(abi).unwrap_or(0))
}

/// Whether the file gives capabilities to who runs it.
pub(super) fn has_file_capabilities(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    let name = c"security.capability";
    // SAFETY: both strings end in NUL; without a buffer only the size is asked for.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) > 0 }
}
