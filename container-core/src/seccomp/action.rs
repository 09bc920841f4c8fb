use std::fmt;

use crate::error::{Error, Result};

/// What the kernel does with a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Runs it (`SECCOMP_RET_ALLOW`).
    Allow,
    /// Runs it and writes it to the audit log (`SECCOMP_RET_LOG`, Linux 4.14).
    Log,
    /// Doesn't run it and returns this errno, at most 4095
    /// (`SECCOMP_RET_ERRNO`); 0 makes it look successful.
    Errno(u16),
    /// Sends `SIGSYS` to the thread (`SECCOMP_RET_TRAP`).
    Trap,
    /// Stops for a tracer, which sees this value; without one it answers
    /// `ENOSYS` (`SECCOMP_RET_TRACE`).
    Trace(u16),
    /// Asks a supervisor over the filter's listener descriptor
    /// (`SECCOMP_RET_USER_NOTIF`, Linux 5.0).
    Notify,
    /// Ends the thread as if by `SIGSYS` (`SECCOMP_RET_KILL_THREAD`).
    KillThread,
    /// Ends the process as if by `SIGSYS` (`SECCOMP_RET_KILL_PROCESS`, Linux 4.14).
    KillProcess,
}

impl Action {
    /// The value that a filter program returns for it.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | errno as u32,
            Self::Notify => 0x7fc0_0000,
            Self::Trace(value) => 0x7ff0_0000 | value as u32,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }

    /// The action for a filter's return value, if there is one.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Self> {
        let data = (code & 0xffff) as u16;
        match (code & 0xffff_0000, data) {
            (0x8000_0000, 0) => Some(Self::KillProcess),
            (0, 0) => Some(Self::KillThread),
            (0x0003_0000, 0) => Some(Self::Trap),
            (0x0005_0000, errno) => Some(Self::Errno(errno)),
            (0x7fc0_0000, 0) => Some(Self::Notify),
            (0x7ff0_0000, value) => Some(Self::Trace(value)),
            (0x7ffc_0000, 0) => Some(Self::Log),
            (0x7fff_0000, 0) => Some(Self::Allow),
            _ => None,
        }
    }

    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Errno(errno) if errno > 4095 => Err(Error::invalid(
                "compile seccomp filter",
                self.to_string(),
                "the kernel has no errno above 4095",
            )),
            _ => Ok(()),
        }
    }
}

/// The name as in `/proc/sys/kernel/seccomp/actions_avail`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Log => f.write_str("log"),
            Self::Errno(errno) => write!(f, "errno({errno})"),
            Self::Trap => f.write_str("trap"),
            Self::Trace(value) => write!(f, "trace({value})"),
            Self::Notify => f.write_str("user_notif"),
            Self::KillThread => f.write_str("kill_thread"),
            Self::KillProcess => f.write_str("kill_process"),
        }
    }
}
