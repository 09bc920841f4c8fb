//! The wire form of a plan: what the parent writes and the tiny init reads.
//!
//! A plan is position-independent bytes: a [`Header`], a row of fixed-size
//! [`Op`]s, a region of string lists and a blob of NUL-terminated strings and
//! raw bytes. There are no pointers in it, only offsets from its start.
//!
//! ```text
//! 0        40           lists_at        blob_at            total
//! +--------+------------+---------------+------------------+
//! | Header | Op × count | u64 offsets,  | strings, bytes,  |
//! |        | (48 bytes) | 0-terminated  | last byte is 0   |
//! +--------+------------+---------------+------------------+
//! ```
//!
//! [`validate`] is the only gate: it is run by the init before the first
//! operation, so a broken plan is refused whole and never half done. The same
//! file is compiled into the library and into the init.

/// First four bytes of a plan: `PLN1`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"PLN1");
/// First four bytes of what the parent sends before the plan: `RUN1`.
pub const LAUNCH_MAGIC: u32 = u32::from_le_bytes(*b"RUN1");
/// First four bytes of every record that the init sends: `REC1`.
pub const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"REC1");
/// Descriptor registers that a plan can use.
pub const MAX_SLOTS: usize = 256;
/// Operations in a plan.
pub const MAX_OPS: usize = 8192;
/// Bytes in a plan.
pub const MAX_PLAN: usize = 16 << 20;
/// In a slot field: the current working directory instead of a slot.
pub const CWD: u32 = u32::MAX;
/// Bytes of explanatory text behind a record.
pub const MAX_TEXT: usize = 240;

/// What stands at the start of a plan. All offsets are from the plan's start.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub magic: u32,
    /// Bytes of the whole plan.
    pub total: u32,
    /// Number of operations.
    pub ops: u32,
    /// Where the list region starts; 8-byte aligned.
    pub lists_at: u32,
    /// Where the blob starts; also the end of the list region.
    pub blob_at: u32,
    /// Slots that the parent fills before the first operation.
    pub inherited: u32,
    /// Slots in all.
    pub slots: u32,
    pub reserved: [u32; 3],
}

/// Bytes in the plan: offset and length (a string's without its final NUL; a
/// list's in entries, without its final zero entry).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub at: u32,
    pub len: u32,
}

/// One operation; which field means what is in [`shape`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Op {
    pub code: u32,
    pub a: u32,
    pub b: u32,
    pub c: u32,
    pub x: u64,
    pub y: u64,
    pub s: Span,
    pub t: Span,
}

/// What the parent sends first: then `slots` descriptor numbers (`i32`), then
/// `plan` bytes of plan.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    pub magic: u32,
    pub slots: u32,
    pub plan: u32,
    pub reserved: u32,
}

/// What the init sends: then `text` bytes of explanation.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    pub magic: u32,
    /// One of [`record`].
    pub kind: u16,
    /// Bytes of text that follow.
    pub text: u16,
    /// The operation's index.
    pub op: u32,
    /// The errno of a failure, the event's number of a report.
    pub value: i32,
}

/// Kinds of [`Record`].
pub mod record {
    /// An operation failed; `value` is the errno.
    pub const FAILED: u16 = 1;
    /// The plan was refused; `value` is a [`super::Refusal`], `op` where.
    pub const REFUSED: u16 = 2;
    /// An operation of [`super::code::REPORT`] was reached.
    pub const REACHED: u16 = 3;
    /// A second clone was made; its pidfd comes with the record.
    pub const FORKED: u16 = 4;
    /// A terminal was opened; its master comes with the record.
    pub const TERMINAL: u16 = 5;
    /// A filter that notifies was installed; its listener comes with the
    /// record.
    pub const LISTENER: u16 = 72;
}

/// Operation codes.
pub mod code {
    pub const WAIT_HOST: u32 = 1;
    pub const REPORT: u32 = 2;
    pub const SETNS: u32 = 3;
    pub const UNSHARE: u32 = 4;
    pub const FORK: u32 = 5;
    pub const SET_UID: u32 = 6;
    pub const SET_GID: u32 = 7;
    pub const SET_GROUPS: u32 = 8;
    pub const SET_HOSTNAME: u32 = 9;
    pub const SET_DOMAINNAME: u32 = 10;
    pub const LOOPBACK_UP: u32 = 11;
    pub const WRITE_PROC: u32 = 12;
    pub const PROPAGATION: u32 = 13;
    pub const OPEN_TREE: u32 = 14;
    pub const MOUNT_SETATTR: u32 = 15;
    pub const FS_OPEN: u32 = 16;
    pub const FS_SET: u32 = 17;
    pub const FS_FLAG: u32 = 18;
    pub const FS_CREATE: u32 = 19;
    pub const FS_MOUNT: u32 = 20;
    pub const ATTACH_ROOT: u32 = 21;
    pub const TARGET: u32 = 22;
    pub const MOVE_MOUNT: u32 = 23;
    pub const MKDIR: u32 = 24;
    pub const MKNOD: u32 = 25;
    pub const SYMLINK: u32 = 26;
    pub const MASK: u32 = 27;
    pub const READ_ONLY: u32 = 28;
    pub const OPEN_PATH: u32 = 29;
    pub const CHECK_DEVICE: u32 = 30;
    pub const PIVOT_ROOT: u32 = 31;
    pub const CHDIR: u32 = 32;
    pub const CLOSE: u32 = 33;
    pub const UMASK: u32 = 34;
    pub const RLIMIT: u32 = 35;
    pub const SETSID: u32 = 36;
    pub const OPEN_PTY: u32 = 37;
    pub const CONTROLLING_TTY: u32 = 38;
    pub const DUP: u32 = 39;
    pub const CAP_BOUNDING: u32 = 40;
    pub const KEEP_CAPS: u32 = 41;
    pub const CAP_SET: u32 = 42;
    pub const CAP_AMBIENT: u32 = 43;
    pub const NO_NEW_PRIVS: u32 = 44;
    pub const DUMPABLE: u32 = 45;
    pub const PARENT_DEATH: u32 = 46;
    pub const RESET_SIGNALS: u32 = 47;
    pub const SECCOMP: u32 = 48;
    pub const INIT: u32 = 49;
    pub const CLOSE_FROM: u32 = 50;
    pub const EXEC: u32 = 51;
    pub const SYSCTL: u32 = 52;
    pub const COPY_UP: u32 = 53;
    pub const DEVICE_NODE: u32 = 54;
    pub const ATTACH_AT: u32 = 55;
    pub const CHROOT: u32 = 56;
    pub const UNMOUNT: u32 = 57;
    pub const DEVICE_LINK: u32 = 58;
    pub const ACCEPT: u32 = 62;
    pub const CHECK_EXEC: u32 = 63;
    pub const SCHEDULER: u32 = 64;
    pub const IO_PRIORITY: u32 = 65;
    pub const AFFINITY: u32 = 66;
    pub const MEMORY_POLICY: u32 = 67;
    pub const PERSONALITY: u32 = 68;
    pub const KEYRING: u32 = 69;
    pub const SECCOMP_LISTEN: u32 = 72;
    pub const SUPERVISE_STREAM: u32 = 82;
    pub const SUPERVISE_LOG: u32 = 83;
    pub const SUPERVISE_CGROUP: u32 = 84;
    pub const SUPERVISE: u32 = 85;
}

/// What [`code::TARGET`] makes where nothing is: bits of its `c`.
pub mod target {
    /// Make a directory.
    pub const DIRECTORY: u32 = 1;
    /// Make an empty file.
    pub const FILE: u32 = 2;
    /// A symlink anywhere on the way is refused, not resolved in the root.
    pub const NO_SYMLINKS: u32 = 4;
}

/// Bits of [`code::MOUNT_SETATTR`]'s `b`.
pub mod setattr {
    /// The whole tree, not only its topmost mount.
    pub const RECURSIVE: u32 = 1;
}

#[path = "wire/check.rs"]
mod check;
#[path = "wire/shape.rs"]
mod shape;

#[allow(unused_imports)] // the library needs less of it than the init
pub use check::{Checked, Refusal, list_entry, op_at, validate};
pub use shape::{Bytes, shape};
