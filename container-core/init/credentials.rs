//! Ids, capabilities, no_new_privs and the seccomp filter (credentials(7),
//! capabilities(7), seccomp(2)).

use crate::kernel::{EINVAL, EPERM, Errno, sys};
use crate::machine::Machine;
use crate::raw::nr;
use crate::wire::{Op, code, record};

pub const PR_SET_DUMPABLE: usize = 4;
const PR_SET_KEEPCAPS: usize = 8;
const PR_CAPBSET_DROP: usize = 24;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_RAISE: usize = 2;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;
const SECCOMP_SET_MODE_FILTER: usize = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u64 = 8;
const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;

pub fn perform(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    match op.code {
        code::SET_UID => sys!(nr::SETRESUID, op.a, op.a, op.a).map(drop),
        code::SET_GID => sys!(nr::SETRESGID, op.a, op.a, op.a).map(drop),
        code::SET_GROUPS => {
            let groups = machine.bytes(op.s);
            match sys!(nr::SETGROUPS, groups.len() / 4, groups.as_ptr()) {
                // With every capability there is, only the namespace's own
                // rule is left to forbid it (user_namespaces(7)).
                Err(EPERM) if op.a == 1 => Ok(()),
                other => other.map(drop),
            }
        }
        code::CAP_BOUNDING => keep_bounding(op.x, op.a),
        code::KEEP_CAPS => sys!(nr::PRCTL, PR_SET_KEEPCAPS, 1, 0, 0, 0).map(drop),
        code::CAP_SET => {
            let mut inheritable = [0u8; 8];
            inheritable.copy_from_slice(machine.bytes(op.s).get(..8).ok_or(EINVAL)?);
            set_capabilities(op.x, op.y, u64::from_le_bytes(inheritable))
        }
        code::CAP_AMBIENT => set_ambient(op.x),
        code::NO_NEW_PRIVS => sys!(nr::PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).map(drop),
        code::SECCOMP => install_filter(machine.bytes(op.s), op.x).map(drop),
        _ => Err(EINVAL),
    }
}

/// Drops every capability up to `last` that `keep` lacks from the bounding
/// set; what the process lacks already needs no dropping.
fn keep_bounding(keep: u64, last: u32) -> Result<(), Errno> {
    for capability in 0..=last.min(63) {
        if keep & (1 << capability) == 0 {
            sys!(nr::PRCTL, PR_CAPBSET_DROP, capability, 0, 0, 0)?;
        }
    }
    Ok(())
}

fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
    let header = [LINUX_CAPABILITY_VERSION_3, 0];
    let data = [
        effective as u32,
        permitted as u32,
        inheritable as u32,
        (effective >> 32) as u32,
        (permitted >> 32) as u32,
        (inheritable >> 32) as u32,
    ];
    sys!(nr::CAPSET, header.as_ptr(), data.as_ptr()).map(drop)
}

fn set_ambient(ambient: u64) -> Result<(), Errno> {
    sys!(nr::PRCTL, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)?;
    for capability in 0..64 {
        if ambient & (1 << capability) != 0 {
            sys!(nr::PRCTL, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)?;
        }
    }
    Ok(())
}

/// `struct sock_fprog`.
#[repr(C)]
struct FilterProgram {
    length: u16,
    instructions: *const u8,
}

/// Installs a filter that notifies, and hands its listener to the parent by
/// the one call that the filter must let through; then waits until that one
/// has handed it on. The init's own descriptor closes with the exec.
pub fn listen(machine: &mut Machine, index: u32, op: &Op) -> Result<(), Errno> {
    machine.detail = "SECCOMP_FILTER_FLAG_NEW_LISTENER";
    let flags = op.x | SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let listener = install_filter(machine.bytes(op.s), flags)?;
    machine.detail = "sendmsg under the filter";
    machine.control.send_descriptor(record::LISTENER, index, listener as i32)?;
    if op.a == 1 {
        machine.control.wait_unless_refused();
    }
    Ok(())
}

/// The kernel's answer: 0, or the descriptor of a listener.
pub fn install_filter(instructions: &[u8], flags: u64) -> Result<usize, Errno> {
    if instructions.is_empty() {
        return Ok(0);
    }
    let program = FilterProgram {
        length: (instructions.len() / 8) as u16,
        instructions: instructions.as_ptr(),
    };
    sys!(nr::SECCOMP, SECCOMP_SET_MODE_FILTER, flags, &raw const program)
}
