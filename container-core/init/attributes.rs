//! Scheduling, memory placement and keys of the process (sched(7),
//! ioprio_set(2), set_mempolicy(2), personality(2), keyctl(2)).

use crate::kernel::{EINVAL, ENOSYS, Errno, sys};
use crate::machine::Machine;
use crate::raw::nr;
use crate::wire::{Op, code};

pub fn perform(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    let bytes = machine.bytes(op.s);
    match op.code {
        code::SCHEDULER => sys!(nr::SCHED_SETATTR, 0, bytes.as_ptr(), 0).map(drop),
        code::IO_PRIORITY => sys!(nr::IOPRIO_SET, IOPRIO_WHO_PROCESS, 0, op.a).map(drop),
        code::AFFINITY => sys!(nr::SCHED_SETAFFINITY, 0, bytes.len(), bytes.as_ptr()).map(drop),
        code::MEMORY_POLICY if bytes.is_empty() => sys!(nr::SET_MEMPOLICY, op.a, 0, 0).map(drop),
        // The kernel counts one bit less than it is told.
        code::MEMORY_POLICY => {
            sys!(nr::SET_MEMPOLICY, op.a, bytes.as_ptr(), bytes.len() * 8 + 1).map(drop)
        }
        code::PERSONALITY => sys!(nr::PERSONALITY, op.a).map(drop),
        code::KEYRING => join_keyring(machine, op),
        _ => Err(EINVAL),
    }
}

/// Joins or makes a session keyring; a named one may then be searched by its
/// user, so that the next process finds it by name.
fn join_keyring(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    const KEYCTL_SETPERM: usize = 5;
    /// What the kernel gives a new one (all to the possessor; view, read and
    /// link to the user), and search to the user.
    const PERMISSIONS: usize = 0x3f00_0000 | 0x0013_0000 | 0x0008_0000;
    machine.detail = "KEYCTL_JOIN_SESSION_KEYRING";
    let name = if op.s.len == 0 { core::ptr::null() } else { machine.text(op.s).0 };
    let keyring = match sys!(nr::KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, name) {
        Err(ENOSYS) => return Ok(()),
        other => other?,
    };
    if op.s.len > 0 {
        machine.detail = "KEYCTL_SETPERM";
        sys!(nr::KEYCTL, KEYCTL_SETPERM, keyring, PERMISSIONS)?;
    }
    Ok(())
}
