//! Operations on ids, capabilities and filters.

use super::super::encode::Encoder;
use super::super::wire::{self, code};
use super::{Op, op};

impl Op {
    pub(super) fn encode_credential(&self, to: &mut Encoder) -> Option<wire::Op> {
        Some(match self {
            Self::SetUid(id) => wire::Op { a: *id, ..op(code::SET_UID) },
            Self::SetGid(id) => wire::Op { a: *id, ..op(code::SET_GID) },
            Self::SetGroups { groups, unless_denied } => {
                let bytes: Vec<u8> = groups.iter().flat_map(|gid| gid.to_le_bytes()).collect();
                wire::Op { a: u32::from(*unless_denied), s: to.raw(&bytes), ..op(code::SET_GROUPS) }
            }
            Self::CapBounding { keep, last } => {
                wire::Op { a: *last, x: *keep, ..op(code::CAP_BOUNDING) }
            }
            Self::KeepCaps => op(code::KEEP_CAPS),
            Self::CapSet { effective, permitted, inheritable } => wire::Op {
                x: *effective,
                y: *permitted,
                s: to.raw(&inheritable.to_le_bytes()),
                ..op(code::CAP_SET)
            },
            Self::CapAmbient(set) => wire::Op { x: *set, ..op(code::CAP_AMBIENT) },
            Self::NoNewPrivs => op(code::NO_NEW_PRIVS),
            Self::Seccomp { filter, flags } => {
                wire::Op { x: *flags, s: to.raw(filter), ..op(code::SECCOMP) }
            }
            Self::SeccompListen { filter, flags, waits } => wire::Op {
                a: u32::from(*waits),
                x: *flags,
                s: to.raw(filter),
                ..op(code::SECCOMP_LISTEN)
            },
            _ => return None,
        })
    }

    /// The call and its object.
    pub(super) fn name_credential(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::SetUid(id) => ("setresuid", id.to_string()),
            Self::SetGid(id) => ("setresgid", id.to_string()),
            Self::SetGroups { groups, .. } => ("setgroups", format!("{groups:?}")),
            Self::CapBounding { keep, .. } => {
                ("prctl PR_CAPBSET_DROP", format!("all but {keep:#x}"))
            }
            Self::KeepCaps => ("prctl PR_SET_KEEPCAPS", "1".into()),
            Self::CapSet { effective, .. } => ("capset", format!("{effective:#x}")),
            Self::CapAmbient(set) => ("prctl PR_CAP_AMBIENT", format!("{set:#x}")),
            Self::NoNewPrivs => ("prctl PR_SET_NO_NEW_PRIVS", "1".into()),
            Self::Seccomp { filter, .. } => {
                ("seccomp", format!("{} instructions", filter.len() / 8))
            }
            Self::SeccompListen { filter, .. } => {
                ("seccomp", format!("{} instructions, with a listener", filter.len() / 8))
            }
            _ => return None,
        })
    }
}
