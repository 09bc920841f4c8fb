//! Operations that make a supervisor.

use super::super::encode::Encoder;
use super::super::wire::{self, code};
use super::process::namespace_names;
use super::{Op, op, shown};

impl Op {
    pub(super) fn encode_supervise(&self, to: &mut Encoder) -> Option<wire::Op> {
        Some(match self {
            Self::SuperviseStream { slot, which } => {
                wire::Op { a: slot.0, b: *which, ..op(code::SUPERVISE_STREAM) }
            }
            Self::SuperviseLog { file, directory, cri, max_size, names } => wire::Op {
                a: file.0,
                b: directory.0,
                c: u32::from(*cri),
                x: *max_size,
                t: to.list(names),
                ..op(code::SUPERVISE_LOG)
            },
            Self::SuperviseCgroup { slot, .. } => {
                wire::Op { a: slot.0, ..op(code::SUPERVISE_CGROUP) }
            }
            Self::Supervise { directory, exit_file, listener, flags } => wire::Op {
                a: directory.0,
                b: exit_file.0,
                c: listener.0,
                x: *flags,
                ..op(code::SUPERVISE)
            },
            _ => return None,
        })
    }

    /// The call and its object.
    pub(super) fn name_supervise(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::SuperviseStream { which, .. } => {
                let name = ["standard input", "standard output", "standard error"];
                ("supervise", name.get(*which as usize).copied().unwrap_or_default().into())
            }
            Self::SuperviseLog { names, max_size, .. } => {
                let names: Vec<_> = names.iter().map(|name| shown(name)).collect();
                let limit = if *max_size == 0 { String::new() } else { format!(" at {max_size}") };
                ("supervise", format!("log {}{limit}", names.join(",")))
            }
            Self::SuperviseCgroup { path, .. } => ("supervise", format!("cgroup {path}")),
            Self::Supervise { flags, .. } => {
                let names = namespace_names(*flags);
                let new = if names.is_empty() { String::new() } else { format!(", new {names}") };
                ("clone3", format!("container's first process{new}"))
            }
            _ => return None,
        })
    }
}
