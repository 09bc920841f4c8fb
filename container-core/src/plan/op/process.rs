//! Operations on the process itself and on its namespaces.

use std::ffi::CString;

use super::super::encode::Encoder;
use super::super::wire::{self, code};
use super::{Op, op, shown};

impl Op {
    pub(super) fn encode_process(&self, to: &mut Encoder) -> Option<wire::Op> {
        Some(match self {
            Self::WaitHost => op(code::WAIT_HOST),
            Self::Report(event) => wire::Op { a: *event as u32, ..op(code::REPORT) },
            Self::Setns { slot, flags } => wire::Op { a: slot.0, x: *flags, ..op(code::SETNS) },
            Self::Unshare { flags } => wire::Op { x: *flags, ..op(code::UNSHARE) },
            Self::Fork => op(code::FORK),
            Self::SetHostname(name) => wire::Op { s: to.text(name), ..op(code::SET_HOSTNAME) },
            Self::SetDomainname(name) => wire::Op { s: to.text(name), ..op(code::SET_DOMAINNAME) },
            Self::LoopbackUp => op(code::LOOPBACK_UP),
            Self::WriteProc { path, data, if_permitted } => wire::Op {
                a: u32::from(*if_permitted),
                s: to.text(path),
                t: to.raw(data),
                ..op(code::WRITE_PROC)
            },
            Self::OpenPath { path, flags, out } => {
                wire::Op { b: out.0, x: *flags, s: to.text(path), ..op(code::OPEN_PATH) }
            }
            Self::Chdir(path) => wire::Op { s: to.text(path), ..op(code::CHDIR) },
            Self::Close(slot) => wire::Op { a: slot.0, ..op(code::CLOSE) },
            Self::Umask(mask) => wire::Op { a: *mask, ..op(code::UMASK) },
            Self::Rlimit { resource, soft, hard, .. } => {
                wire::Op { a: *resource, x: *soft, y: *hard, ..op(code::RLIMIT) }
            }
            Self::Setsid => op(code::SETSID),
            Self::OpenPty { path, rows, columns, owner, out } => wire::Op {
                a: u32::from(*rows) << 16 | u32::from(*columns),
                b: out.0,
                c: *owner,
                s: to.text(path),
                ..op(code::OPEN_PTY)
            },
            Self::ControllingTty(slot) => wire::Op { a: slot.0, ..op(code::CONTROLLING_TTY) },
            Self::Dup { slot, to } => wire::Op { a: slot.0, b: *to, ..op(code::DUP) },
            Self::Dumpable(on) => wire::Op { a: u32::from(*on), ..op(code::DUMPABLE) },
            Self::ParentDeath(signal) => wire::Op { a: *signal, ..op(code::PARENT_DEATH) },
            Self::ResetSignals => op(code::RESET_SIGNALS),
            Self::Init { filter, flags } => {
                wire::Op { x: *flags, s: to.raw(filter), ..op(code::INIT) }
            }
            Self::CloseFrom(first) => wire::Op { a: *first, ..op(code::CLOSE_FROM) },
            Self::Accept(slot) => wire::Op { a: slot.0, ..op(code::ACCEPT) },
            Self::CheckExec(candidates) => {
                wire::Op { s: to.list(candidates), ..op(code::CHECK_EXEC) }
            }
            Self::Exec { candidates, arguments, environment } => {
                let environment = to.list(environment);
                wire::Op {
                    x: u64::from(environment.at) | u64::from(environment.len) << 32,
                    s: to.list(candidates),
                    t: to.list(arguments),
                    ..op(code::EXEC)
                }
            }
            _ => return None,
        })
    }

    /// The call and its object.
    pub(super) fn name_process(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::WaitHost => ("read", "control socket".into()),
            Self::Report(_) => ("write", "control socket".into()),
            Self::Setns { flags, .. } => ("setns", namespace_names(*flags)),
            Self::Unshare { flags } => ("unshare", namespace_names(*flags)),
            Self::Fork => ("clone", "second process".into()),
            Self::SetHostname(name) => ("sethostname", shown(name)),
            Self::SetDomainname(name) => ("setdomainname", shown(name)),
            Self::LoopbackUp => ("SIOCSIFFLAGS", "lo".into()),
            Self::WriteProc { path, .. } => ("write", shown(path)),
            Self::OpenPath { path, .. } => ("open", shown(path)),
            Self::Chdir(path) => ("chdir", shown(path)),
            Self::Close(_) => ("close", String::new()),
            Self::Umask(mask) => ("umask", format!("{mask:04o}")),
            Self::Rlimit { name, soft, hard, .. } => {
                ("prlimit", format!("{name} {}:{}", limit(*soft), limit(*hard)))
            }
            Self::Setsid => ("setsid", String::new()),
            Self::OpenPty { path, .. } => ("open pty", shown(path)),
            Self::ControllingTty(_) => ("ioctl TIOCSCTTY", "terminal".into()),
            Self::Dup { to, .. } => ("dup3", to.to_string()),
            Self::Dumpable(on) => ("prctl PR_SET_DUMPABLE", u32::from(*on).to_string()),
            Self::ParentDeath(signal) => ("prctl PR_SET_PDEATHSIG", signal.to_string()),
            Self::ResetSignals => ("rt_sigaction", "1..64 SIG_DFL".into()),
            Self::Init { .. } => ("clone", "payload below the init".into()),
            Self::CloseFrom(first) => ("close_range", format!("{first}.. CLOEXEC")),
            Self::Accept(_) => ("accept4", "start socket".into()),
            Self::CheckExec(candidates) => ("check program", joined(candidates)),
            Self::Exec { candidates, .. } => ("execve", joined(candidates)),
            _ => return None,
        })
    }
}

fn joined(paths: &[CString]) -> String {
    paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(":")
}

fn limit(value: u64) -> String {
    if value == u64::MAX { "unlimited".into() } else { value.to_string() }
}

pub(super) fn namespace_names(flags: u64) -> String {
    crate::namespace::NamespaceKind::ALL
        .into_iter()
        .filter(|kind| flags & kind.clone_flag() != 0)
        .map(crate::namespace::NamespaceKind::name)
        .collect::<Vec<_>>()
        .join(",")
}
