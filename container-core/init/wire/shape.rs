//! Which fields each operation takes, and what each may hold.

use super::code;

/// How a field of an operation is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Num {
    /// Must be zero.
    Zero,
    /// Any value.
    Any,
    /// A filled slot.
    Slot,
    /// A filled slot or [`CWD`].
    SlotOrCwd,
    /// A slot that the operation fills.
    Fills,
    /// A filled slot, closed by the operation.
    Takes,
    /// No bit but these.
    Bits(u64),
    /// At most this.
    Max(u64),
}

/// How a span of an operation is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// Must be absent.
    Zero,
    /// A string with its NUL and no other.
    Text,
    /// Any bytes: units of `unit` bytes, from `least` to `most` of them.
    Raw { unit: u32, least: u32, most: u32 },
    /// A list of strings; empty allowed.
    List,
    /// A list of at least one string.
    SomeList,
}

/// The fields that an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub a: Num,
    pub b: Num,
    pub c: Num,
    pub x: Num,
    pub y: Num,
    pub s: Bytes,
    pub t: Bytes,
}

/// The kernel's `NGROUPS_MAX`.
const MAX_GROUPS: u32 = 65536;
/// The kernel's `BPF_MAXINSNS`; the length that it is told has 16 bits.
const MAX_FILTER: u32 = 4096;

/// Processors and memory nodes by bits: 8192, more than any kernel is built for.
const MAX_CPU_WORDS: u32 = 128;

const NONE: Shape = Shape {
    a: Num::Zero,
    b: Num::Zero,
    c: Num::Zero,
    x: Num::Zero,
    y: Num::Zero,
    s: Bytes::Zero,
    t: Bytes::Zero,
};

const fn raw(unit: u32, least: u32, most: u32) -> Bytes {
    Bytes::Raw { unit, least, most }
}

/// The fields that operation `code` takes; `None` for an unknown code.
#[must_use]
pub const fn shape(code: u32) -> Option<Shape> {
    use Num::{Any, Bits, Fills, Max, Slot, SlotOrCwd, Takes};
    let all = NONE;
    let text = Shape { s: Bytes::Text, ..NONE };
    let id = Shape { a: Max(u32::MAX as u64 - 1), ..NONE };
    Some(match code {
        code::WAIT_HOST | code::LOOPBACK_UP | code::SETSID | code::KEEP_CAPS => all,
        code::NO_NEW_PRIVS | code::RESET_SIGNALS => all,
        code::REPORT => Shape { a: Any, ..NONE },
        code::SETNS => Shape { a: Slot, x: Bits(0x7e02_0080), ..NONE },
        code::UNSHARE => Shape { x: Bits(0x7e02_0080), ..NONE },
        code::FORK => all,
        code::SET_UID | code::SET_GID => id,
        code::SET_GROUPS => Shape { a: Max(1), s: raw(4, 0, MAX_GROUPS), ..NONE },
        code::SET_HOSTNAME | code::SET_DOMAINNAME => text,
        code::WRITE_PROC => Shape { a: Max(1), s: Bytes::Text, t: raw(1, 1, 4096), ..NONE },
        code::PROPAGATION => Shape { a: Max(1), x: Bits(0x001e_0000), ..NONE },
        code::OPEN_TREE => {
            Shape { a: SlotOrCwd, b: Fills, x: Bits(0x8_9901), s: Bytes::Text, ..NONE }
        }
        code::MOUNT_SETATTR => Shape { a: Slot, b: Bits(1), c: Any, x: Any, y: Any, ..NONE },
        code::FS_OPEN => Shape { b: Fills, s: Bytes::Text, ..NONE },
        code::FS_SET => Shape { a: Slot, s: Bytes::Text, t: Bytes::Text, ..NONE },
        code::FS_FLAG => Shape { a: Slot, s: Bytes::Text, ..NONE },
        code::FS_CREATE => Shape { a: Slot, ..NONE },
        code::FS_MOUNT => Shape { a: Takes, b: Fills, x: Any, ..NONE },
        code::ATTACH_ROOT => Shape { a: Slot, ..NONE },
        code::TARGET => {
            Shape { a: Slot, b: Fills, c: Bits(7), x: Max(0o7777), s: Bytes::Text, ..NONE }
        }
        code::MOVE_MOUNT => Shape { a: Takes, b: Takes, ..NONE },
        code::MKDIR => Shape { a: Slot, x: Max(0o7777), s: Bytes::Text, ..NONE },
        code::MKNOD => Shape { a: Slot, x: Max(0o17_7777), y: Any, s: Bytes::Text, ..NONE },
        code::SYMLINK => Shape { a: Slot, s: Bytes::Text, t: Bytes::Text, ..NONE },
        code::MASK => Shape { a: Slot, b: Slot, s: Bytes::Text, ..NONE },
        code::READ_ONLY => Shape { a: Slot, s: Bytes::Text, ..NONE },
        code::OPEN_PATH => Shape { b: Fills, x: Any, s: Bytes::Text, ..NONE },
        code::CHECK_DEVICE => Shape { a: Slot, c: Max(1), x: Any, y: Any, ..NONE },
        code::PIVOT_ROOT => Shape { a: Takes, ..NONE },
        code::CHDIR => text,
        code::CLOSE => Shape { a: Takes, ..NONE },
        code::UMASK => Shape { a: Max(0o777), ..NONE },
        code::RLIMIT => Shape { a: Max(15), x: Any, y: Any, ..NONE },
        code::OPEN_PTY => Shape { a: Any, b: Fills, c: Any, s: Bytes::Text, ..NONE },
        code::CONTROLLING_TTY => Shape { a: Slot, ..NONE },
        code::DUP => Shape { a: Slot, b: Max(4096), ..NONE },
        code::CAP_BOUNDING => Shape { x: Any, a: Max(63), ..NONE },
        code::CAP_SET => Shape { x: Any, y: Any, s: raw(8, 1, 1), ..NONE },
        code::CAP_AMBIENT => Shape { x: Any, ..NONE },
        code::DUMPABLE => Shape { a: Max(1), ..NONE },
        code::PARENT_DEATH => Shape { a: Max(64), ..NONE },
        code::SECCOMP_LISTEN => Shape { a: Max(1), x: Any, s: raw(8, 1, MAX_FILTER), ..NONE },
        code::SECCOMP => Shape { x: Any, s: raw(8, 1, MAX_FILTER), ..NONE },
        code::INIT => Shape { x: Any, s: raw(8, 0, MAX_FILTER), ..NONE },
        code::CLOSE_FROM => Shape { a: Max(4096), ..NONE },
        code::ACCEPT => Shape { a: Takes, ..NONE },
        code::SUPERVISE_STREAM => Shape { a: Takes, b: Max(2), ..NONE },
        code::SUPERVISE_LOG => {
            Shape { a: Takes, b: Takes, c: Max(1), x: Any, t: Bytes::SomeList, ..NONE }
        }
        code::SUPERVISE_CGROUP => Shape { a: Takes, ..NONE },
        code::SUPERVISE => Shape { a: Takes, b: Takes, c: Takes, x: Bits(0x7e02_0000), ..NONE },
        code::CHECK_EXEC => Shape { s: Bytes::SomeList, ..NONE },
        code::SCHEDULER => Shape { s: raw(8, 7, 7), ..NONE },
        code::IO_PRIORITY => Shape { a: Max(0xffff), ..NONE },
        code::AFFINITY => Shape { s: raw(8, 1, MAX_CPU_WORDS), ..NONE },
        code::MEMORY_POLICY => Shape { a: Max(0xffff), s: raw(8, 0, MAX_CPU_WORDS), ..NONE },
        code::PERSONALITY => Shape { a: Max(0xff), ..NONE },
        code::KEYRING => text,
        code::EXEC => Shape { s: Bytes::SomeList, t: Bytes::SomeList, x: Any, y: Any, ..NONE },
        code::SYSCTL => Shape { s: Bytes::Text, t: raw(1, 1, 4096), ..NONE },
        code::COPY_UP => Shape { a: Slot, b: Slot, c: Max(1), s: Bytes::Text, ..NONE },
        code::DEVICE_NODE => Shape {
            a: Slot,
            b: Any,
            c: Any,
            x: Bits(0x1_0000_ffff),
            y: Any,
            s: Bytes::Text,
            ..NONE
        },
        code::ATTACH_AT => Shape { a: Slot, s: Bytes::Text, ..NONE },
        code::CHROOT => Shape { a: Takes, b: Max(1), ..NONE },
        code::UNMOUNT => text,
        code::DEVICE_LINK => Shape { a: Slot, s: Bytes::Text, t: Bytes::Text, ..NONE },
        _ => return None,
    })
}
