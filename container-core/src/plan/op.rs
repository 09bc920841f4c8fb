//! The operations that the init knows, as typed values: how each is written
//! on the wire, and how it reads to a person.

use std::ffi::{CStr, CString};
use std::fmt;

use super::encode::Encoder;
use super::wire;
use crate::cgroup::IdSet;
use crate::scheduling::{IoPriority, MemoryPolicy, Personality, Scheduler};

mod attribute;
mod credential;
mod file;
mod mount;
mod process;
mod supervise;

/// A register of the init that holds a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u32);

/// What a report tells the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Event {
    /// A starter was heard: what the init says when it takes the order.
    Accepted = 0,
    /// Set up, waiting for the start.
    Created = 1,
    /// All is mounted; the root is switched after the next go-ahead.
    BeforePivot = 2,
}

/// The sort and the numbers of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceNumber {
    pub(crate) block: bool,
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    WaitHost,
    Report(Event),
    Setns {
        slot: Slot,
        flags: u64,
    },
    Unshare {
        flags: u64,
    },
    Fork,
    SetUid(u32),
    SetGid(u32),
    SetGroups {
        groups: Vec<u32>,
        unless_denied: bool,
    },
    SetHostname(CString),
    SetDomainname(CString),
    LoopbackUp,
    WriteProc {
        path: CString,
        data: Vec<u8>,
        if_permitted: bool,
    },
    Propagation {
        flags: u64,
        recursive: bool,
    },
    OpenTree {
        path: CString,
        recursive: bool,
        out: Slot,
    },
    OpenTreeOf {
        slot: Slot,
        out: Slot,
    },
    MountSetattr {
        slot: Slot,
        set: u64,
        clear: u64,
        propagation: u32,
        recursive: bool,
    },
    FsOpen {
        kind: CString,
        out: Slot,
    },
    FsSet {
        context: Slot,
        key: CString,
        value: CString,
    },
    FsFlag {
        context: Slot,
        key: CString,
    },
    FsCreate {
        context: Slot,
    },
    FsMount {
        context: Slot,
        attributes: u64,
        out: Slot,
    },
    AttachRoot(Slot),
    AttachAt {
        mount: Slot,
        path: CString,
    },
    Target {
        root: Slot,
        path: CString,
        make: u32,
        mode: u32,
        out: Slot,
    },
    MoveMount {
        mount: Slot,
        target: Slot,
        path: CString,
    },
    Mkdir {
        dir: Slot,
        name: CString,
        mode: u32,
    },
    Mknod {
        dir: Slot,
        name: CString,
        mode: u32,
        device: (u32, u32),
    },
    Symlink {
        dir: Slot,
        name: CString,
        target: CString,
    },
    Mask {
        root: Slot,
        path: CString,
        null: Slot,
    },
    ReadOnly {
        root: Slot,
        path: CString,
    },
    OpenPath {
        path: CString,
        flags: u64,
        out: Slot,
    },
    CheckDevice {
        slot: Slot,
        device: DeviceNumber,
    },
    CopyUp {
        root: Slot,
        path: CString,
        to: Slot,
        contents: bool,
    },
    DeviceNode {
        root: Slot,
        path: CString,
        mode: u32,
        device: DeviceNumber,
        uid: u32,
        gid: u32,
        strict: bool,
    },
    DeviceLink {
        root: Slot,
        path: CString,
        target: CString,
    },
    Sysctl {
        path: CString,
        value: Vec<u8>,
    },
    PivotRoot(Slot),
    Chroot {
        root: Slot,
        move_there: bool,
    },
    Unmount(CString),
    Chdir(CString),
    Close(Slot),
    Umask(u32),
    Rlimit {
        resource: u32,
        name: &'static str,
        soft: u64,
        hard: u64,
    },
    Setsid,
    OpenPty {
        path: CString,
        rows: u16,
        columns: u16,
        owner: u32,
        out: Slot,
    },
    ControllingTty(Slot),
    Dup {
        slot: Slot,
        to: u32,
    },
    CapBounding {
        keep: u64,
        last: u32,
    },
    KeepCaps,
    CapSet {
        effective: u64,
        permitted: u64,
        inheritable: u64,
    },
    CapAmbient(u64),
    NoNewPrivs,
    Dumpable(bool),
    ParentDeath(u32),
    ResetSignals,
    Seccomp {
        filter: Vec<u8>,
        flags: u64,
    },
    SeccompListen {
        filter: Vec<u8>,
        flags: u64,
        /// The filter lets the init wait until the listener is in its place.
        waits: bool,
    },
    Init {
        filter: Vec<u8>,
        flags: u64,
    },
    CloseFrom(u32),
    Scheduler(Scheduler),
    IoPriority(IoPriority),
    Affinity(IdSet),
    MemoryPolicy(MemoryPolicy),
    Personality(Personality),
    Keyring(CString),
    SuperviseStream {
        slot: Slot,
        which: u32,
    },
    SuperviseLog {
        file: Slot,
        directory: Slot,
        cri: bool,
        max_size: u64,
        names: Vec<CString>,
    },
    SuperviseCgroup {
        slot: Slot,
        path: String,
    },
    Supervise {
        directory: Slot,
        exit_file: Slot,
        listener: Slot,
        flags: u64,
    },
    Accept(Slot),
    CheckExec(Vec<CString>),
    Exec {
        candidates: Vec<CString>,
        arguments: Vec<CString>,
        environment: Vec<CString>,
    },
}

impl Op {
    /// The wire form; strings and bytes go to the encoder's regions.
    pub(super) fn encode(&self, to: &mut Encoder) -> wire::Op {
        self.encode_process(to)
            .or_else(|| self.encode_mount(to))
            .or_else(|| self.encode_file(to))
            .or_else(|| self.encode_credential(to))
            .or_else(|| self.encode_attribute(to))
            .or_else(|| self.encode_supervise(to))
            .unwrap_or_default()
    }

    /// The system call that fails when the operation does, unless it names
    /// one itself, and the object.
    pub(crate) fn call_and_object(&self) -> (&'static str, String) {
        self.name_process()
            .or_else(|| self.name_mount())
            .or_else(|| self.name_file())
            .or_else(|| self.name_credential())
            .or_else(|| self.name_attribute())
            .or_else(|| self.name_supervise())
            .unwrap_or_default()
    }
}

/// A string of a plan as people read it.
fn shown(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

/// An operation of this code without arguments.
fn op(code: u32) -> wire::Op {
    wire::Op { code, ..wire::Op::default() }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, object) = self.call_and_object();
        if object.is_empty() { f.write_str(call) } else { write!(f, "{call} {object}") }
    }
}
