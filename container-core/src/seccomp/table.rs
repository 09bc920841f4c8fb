use std::str::FromStr;

use syscalls::Sysno;

/// The number of a system call on this architecture.
pub(super) fn number(name: &str) -> Option<u32> {
    Sysno::from_str(name).ok().and_then(|sysno| u32::try_from(sysno.id()).ok())
}
