//! The operations that the init knows, as typed values: how each is written
//! on the wire, and how it reads to a person.

use std::ffi::{CStr, CString};
use std::fmt;

use super::encode::Encoder;
use super::wire::{self, code};

/// A register of the init that holds a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u32);

/// What a report tells the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Event {
    /// Set up, waiting for the start.
    Created = 1,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    WaitHost,
    Report(Event),
    Setns { slot: Slot, flags: u64 },
    Unshare { flags: u64 },
    Fork,
    SetUid(u32),
    SetGid(u32),
    SetGroups { groups: Vec<u32>, unless_denied: bool },
    SetHostname(CString),
    SetDomainname(CString),
    LoopbackUp,
    WriteProc { path: CString, data: Vec<u8> },
    Propagation(u64),
    OpenTree { path: CString, recursive: bool, out: Slot },
    MountSetattr { slot: Slot, set: u64, clear: u64, propagation: u32, recursive: bool },
    FsOpen { kind: CString, out: Slot },
    FsSet { context: Slot, key: CString, value: CString },
    FsFlag { context: Slot, key: CString },
    FsCreate { context: Slot },
    FsMount { context: Slot, attributes: u64, out: Slot },
    AttachRoot(Slot),
    Target { root: Slot, path: CString, make: u32, mode: u32, out: Slot },
    MoveMount { mount: Slot, target: Slot, path: CString },
    Mknod { dir: Slot, name: CString, mode: u32, device: (u32, u32) },
    Symlink { dir: Slot, name: CString, target: CString },
    Mask { root: Slot, path: CString, null: Slot },
    ReadOnly { root: Slot, path: CString },
    OpenPath { path: CString, flags: u64, out: Slot },
    CheckDevice { slot: Slot, device: (u32, u32) },
    PivotRoot(Slot),
    Chdir(CString),
    Close(Slot),
    Umask(u32),
    Rlimit { resource: u32, name: &'static str, soft: u64, hard: u64 },
    Setsid,
    OpenPty { path: CString, rows: u16, columns: u16, owner: u32, out: Slot },
    ControllingTty(Slot),
    Dup { slot: Slot, to: u32 },
    CapBounding { keep: u64, last: u32 },
    KeepCaps,
    CapSet { effective: u64, permitted: u64, inheritable: u64 },
    CapAmbient(u64),
    NoNewPrivs,
    Dumpable(bool),
    ParentDeath(u32),
    ResetSignals,
    Seccomp { filter: Vec<u8>, flags: u64 },
    Init { filter: Vec<u8>, flags: u64 },
    CloseFrom(u32),
    Exec { candidates: Vec<CString>, arguments: Vec<CString>, environment: Vec<CString> },
}

fn device_number((major, minor): (u32, u32)) -> u64 {
    libc::makedev(major, minor)
}

impl Op {
    /// The wire form; strings and bytes go to the encoder's regions.
    pub(super) fn encode(&self, to: &mut Encoder) -> wire::Op {
        self.encode_process(to)
            .or_else(|| self.encode_mount(to))
            .or_else(|| self.encode_credential(to))
            .unwrap_or_default()
    }

    fn encode_process(&self, to: &mut Encoder) -> Option<wire::Op> {
        let op = |code| wire::Op { code, ..wire::Op::default() };
        Some(match self {
            Self::WaitHost => op(code::WAIT_HOST),
            Self::Report(event) => wire::Op { a: *event as u32, ..op(code::REPORT) },
            Self::Setns { slot, flags } => wire::Op { a: slot.0, x: *flags, ..op(code::SETNS) },
            Self::Unshare { flags } => wire::Op { x: *flags, ..op(code::UNSHARE) },
            Self::Fork => op(code::FORK),
            Self::SetHostname(name) => wire::Op { s: to.text(name), ..op(code::SET_HOSTNAME) },
            Self::SetDomainname(name) => wire::Op { s: to.text(name), ..op(code::SET_DOMAINNAME) },
            Self::LoopbackUp => op(code::LOOPBACK_UP),
            Self::WriteProc { path, data } => {
                wire::Op { s: to.text(path), t: to.raw(data), ..op(code::WRITE_PROC) }
            }
            Self::OpenPath { path, flags, out } => {
                wire::Op { b: out.0, x: *flags, s: to.text(path), ..op(code::OPEN_PATH) }
            }
            Self::CheckDevice { slot, device: (major, minor) } => wire::Op {
                a: slot.0,
                x: u64::from(*major),
                y: u64::from(*minor),
                ..op(code::CHECK_DEVICE)
            },
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

    fn encode_mount(&self, to: &mut Encoder) -> Option<wire::Op> {
        let op = |code| wire::Op { code, ..wire::Op::default() };
        Some(match self {
            Self::Propagation(flags) => wire::Op { x: *flags, ..op(code::PROPAGATION) },
            Self::OpenTree { path, recursive, out } => wire::Op {
                a: wire::CWD,
                b: out.0,
                x: OPEN_TREE_CLONE | if *recursive { AT_RECURSIVE } else { 0 },
                s: to.text(path),
                ..op(code::OPEN_TREE)
            },
            Self::MountSetattr { slot, set, clear, propagation, recursive } => wire::Op {
                a: slot.0,
                b: if *recursive { wire::setattr::RECURSIVE } else { 0 },
                c: *propagation,
                x: *set,
                y: *clear,
                ..op(code::MOUNT_SETATTR)
            },
            Self::FsOpen { kind, out } => {
                wire::Op { b: out.0, s: to.text(kind), ..op(code::FS_OPEN) }
            }
            Self::FsSet { context, key, value } => {
                wire::Op { a: context.0, s: to.text(key), t: to.text(value), ..op(code::FS_SET) }
            }
            Self::FsFlag { context, key } => {
                wire::Op { a: context.0, s: to.text(key), ..op(code::FS_FLAG) }
            }
            Self::FsCreate { context } => wire::Op { a: context.0, ..op(code::FS_CREATE) },
            Self::FsMount { context, attributes, out } => {
                wire::Op { a: context.0, b: out.0, x: *attributes, ..op(code::FS_MOUNT) }
            }
            Self::AttachRoot(slot) => wire::Op { a: slot.0, ..op(code::ATTACH_ROOT) },
            Self::Target { root, path, make, mode, out } => wire::Op {
                a: root.0,
                b: out.0,
                c: *make,
                x: u64::from(*mode),
                s: to.text(path),
                ..op(code::TARGET)
            },
            Self::MoveMount { mount, target, .. } => {
                wire::Op { a: mount.0, b: target.0, ..op(code::MOVE_MOUNT) }
            }
            Self::Mknod { dir, name, mode, device } => wire::Op {
                a: dir.0,
                x: u64::from(*mode),
                y: device_number(*device),
                s: to.text(name),
                ..op(code::MKNOD)
            },
            Self::Symlink { dir, name, target } => {
                wire::Op { a: dir.0, s: to.text(name), t: to.text(target), ..op(code::SYMLINK) }
            }
            Self::Mask { root, path, null } => {
                wire::Op { a: root.0, b: null.0, s: to.text(path), ..op(code::MASK) }
            }
            Self::ReadOnly { root, path } => {
                wire::Op { a: root.0, s: to.text(path), ..op(code::READ_ONLY) }
            }
            Self::PivotRoot(slot) => wire::Op { a: slot.0, ..op(code::PIVOT_ROOT) },
            _ => return None,
        })
    }

    fn encode_credential(&self, to: &mut Encoder) -> Option<wire::Op> {
        let op = |code| wire::Op { code, ..wire::Op::default() };
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
            _ => return None,
        })
    }

    /// The system call that fails when the operation does, unless it names
    /// one itself, and the object.
    pub(crate) fn call_and_object(&self) -> (&'static str, String) {
        let shown = |text: &CStr| text.to_string_lossy().into_owned();
        match self {
            Self::WaitHost => ("read", "control socket".into()),
            Self::Report(_) => ("write", "control socket".into()),
            Self::Setns { flags, .. } => ("setns", namespace_names(*flags)),
            Self::Unshare { flags } => ("unshare", namespace_names(*flags)),
            Self::Fork => ("clone", "second process".into()),
            Self::SetUid(id) => ("setresuid", id.to_string()),
            Self::SetGid(id) => ("setresgid", id.to_string()),
            Self::SetGroups { groups, .. } => ("setgroups", format!("{groups:?}")),
            Self::SetHostname(name) => ("sethostname", shown(name)),
            Self::SetDomainname(name) => ("setdomainname", shown(name)),
            Self::LoopbackUp => ("SIOCSIFFLAGS", "lo".into()),
            Self::WriteProc { path, .. } => ("write", shown(path)),
            Self::OpenPath { path, .. } => ("open", shown(path)),
            Self::CheckDevice { device, .. } => ("check device", format!("{device:?}")),
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
            Self::Exec { candidates, .. } => {
                ("execve", candidates.iter().map(|c| shown(c)).collect::<Vec<_>>().join(":"))
            }
            _ => self.mount_or_credential(),
        }
    }

    fn mount_or_credential(&self) -> (&'static str, String) {
        let shown = |text: &CStr| text.to_string_lossy().into_owned();
        match self {
            Self::Propagation(_) => ("mount_setattr", "/ private, recursive".into()),
            Self::OpenTree { path, .. } => ("open_tree", shown(path)),
            Self::MountSetattr { set, clear, .. } => {
                ("mount_setattr", crate::mount::attribute_names(*set, *clear))
            }
            Self::FsOpen { kind, .. } => ("fsopen", shown(kind)),
            Self::FsSet { key, value, .. } => {
                ("fsconfig", format!("{}={}", shown(key), shown(value)))
            }
            Self::FsFlag { key, .. } => ("fsconfig", shown(key)),
            Self::FsCreate { .. } => ("fsconfig", "create".into()),
            Self::FsMount { attributes, .. } => {
                ("fsmount", crate::mount::attribute_names(*attributes, 0))
            }
            Self::AttachRoot(_) => ("move_mount", "/".into()),
            Self::Target { path, .. } => ("openat2", format!("/{}", shown(path))),
            Self::MoveMount { path, .. } => ("move_mount", format!("/{}", shown(path))),
            Self::Mknod { name, device: (major, minor), .. } => {
                ("mknodat", format!("{} {major}:{minor}", shown(name)))
            }
            Self::Symlink { name, target, .. } => {
                ("symlinkat", format!("{} -> {}", shown(name), shown(target)))
            }
            Self::Mask { path, .. } => ("mask", format!("/{}", shown(path))),
            Self::ReadOnly { path, .. } => ("make read-only", format!("/{}", shown(path))),
            Self::PivotRoot(_) => ("pivot_root", ".".into()),
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
            _ => ("", String::new()),
        }
    }
}

const OPEN_TREE_CLONE: u64 = 1;
const AT_RECURSIVE: u64 = 0x8000;

fn limit(value: u64) -> String {
    if value == u64::MAX { "unlimited".into() } else { value.to_string() }
}

fn namespace_names(flags: u64) -> String {
    crate::namespace::NamespaceKind::ALL
        .into_iter()
        .filter(|kind| flags & kind.clone_flag() != 0)
        .map(crate::namespace::NamespaceKind::name)
        .collect::<Vec<_>>()
        .join(",")
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, object) = self.call_and_object();
        if object.is_empty() { f.write_str(call) } else { write!(f, "{call} {object}") }
    }
}
