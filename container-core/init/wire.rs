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

/// Why a plan was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Refusal {
    Magic = 1,
    Size = 2,
    Regions = 3,
    Slots = 4,
    Code = 5,
    Field = 6,
    SlotUnset = 7,
    Text = 8,
    List = 9,
    Ending = 10,
}

impl Refusal {
    /// The refusal in words.
    #[must_use]
    pub const fn words(value: i32) -> &'static str {
        match value {
            1 => "not a plan: wrong magic",
            2 => "length out of range or not the length announced",
            3 => "regions out of order or out of bounds",
            4 => "more slots than there can be",
            5 => "unknown operation",
            6 => "a field that the operation does not take, or out of its range",
            7 => "a slot is used before it is filled",
            8 => "a string without its end or with a NUL in it",
            9 => "a list out of its region or without its end",
            10 => "the last operation, and only the last, must be exec",
            _ => "refused for an unknown reason",
        }
    }
}

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
    /// Any bytes, a multiple of this long.
    Raw(u32),
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

const NONE: Shape = Shape {
    a: Num::Zero,
    b: Num::Zero,
    c: Num::Zero,
    x: Num::Zero,
    y: Num::Zero,
    s: Bytes::Zero,
    t: Bytes::Zero,
};

/// The fields that operation `code` takes; `None` for an unknown code.
#[must_use]
pub const fn shape(code: u32) -> Option<Shape> {
    use Num::{Any, Bits, Fills, Max, Slot, SlotOrCwd, Takes};
    let all = NONE;
    let text = Shape { s: Bytes::Text, ..NONE };
    let id = Shape { a: Max(i32::MAX as u64), ..NONE };
    Some(match code {
        code::WAIT_HOST | code::LOOPBACK_UP | code::SETSID | code::KEEP_CAPS => all,
        code::NO_NEW_PRIVS | code::RESET_SIGNALS => all,
        code::REPORT => Shape { a: Any, ..NONE },
        code::SETNS => Shape { a: Slot, x: Bits(0x7e02_0080), ..NONE },
        code::UNSHARE => Shape { x: Bits(0x7e02_0080), ..NONE },
        code::FORK => all,
        code::SET_UID | code::SET_GID => id,
        code::SET_GROUPS => Shape { s: Bytes::Raw(4), ..NONE },
        code::SET_HOSTNAME | code::SET_DOMAINNAME => text,
        code::WRITE_PROC => Shape { s: Bytes::Text, t: Bytes::Raw(1), ..NONE },
        code::PROPAGATION => Shape { x: Bits(0x001e_0000), ..NONE },
        code::OPEN_TREE => Shape {
            a: SlotOrCwd,
            b: Fills,
            x: Bits(0x8_9901),
            s: Bytes::Text,
            ..NONE
        },
        code::MOUNT_SETATTR => Shape { a: Slot, b: Bits(1), c: Any, x: Any, y: Any, ..NONE },
        code::FS_OPEN => Shape { b: Fills, s: Bytes::Text, ..NONE },
        code::FS_SET => Shape { a: Slot, s: Bytes::Text, t: Bytes::Text, ..NONE },
        code::FS_FLAG => Shape { a: Slot, s: Bytes::Text, ..NONE },
        code::FS_CREATE => Shape { a: Slot, ..NONE },
        code::FS_MOUNT => Shape { a: Takes, b: Fills, x: Any, ..NONE },
        code::ATTACH_ROOT => Shape { a: Slot, ..NONE },
        code::TARGET => Shape { a: Slot, b: Fills, c: Bits(7), x: Max(0o7777), s: Bytes::Text, ..NONE },
        code::MOVE_MOUNT => Shape { a: Takes, b: Takes, ..NONE },
        code::MKDIR => Shape { a: Slot, x: Max(0o7777), s: Bytes::Text, ..NONE },
        code::MKNOD => Shape { a: Slot, x: Max(0o17_7777), y: Any, s: Bytes::Text, ..NONE },
        code::SYMLINK => Shape { a: Slot, s: Bytes::Text, t: Bytes::Text, ..NONE },
        code::MASK => Shape { a: Slot, b: Slot, s: Bytes::Text, ..NONE },
        code::READ_ONLY => Shape { a: Slot, s: Bytes::Text, ..NONE },
        code::OPEN_PATH => Shape { b: Fills, x: Any, s: Bytes::Text, ..NONE },
        code::CHECK_DEVICE => Shape { a: Slot, x: Any, y: Any, ..NONE },
        code::PIVOT_ROOT => Shape { a: Takes, ..NONE },
        code::CHDIR => text,
        code::CLOSE => Shape { a: Takes, ..NONE },
        code::UMASK => Shape { a: Max(0o777), ..NONE },
        code::RLIMIT => Shape { a: Max(15), x: Any, y: Any, ..NONE },
        code::OPEN_PTY => Shape { a: Any, b: Fills, c: Any, s: Bytes::Text, ..NONE },
        code::CONTROLLING_TTY => Shape { a: Slot, ..NONE },
        code::DUP => Shape { a: Slot, b: Max(4096), ..NONE },
        code::CAP_BOUNDING => Shape { x: Any, a: Max(63), ..NONE },
        code::CAP_SET => Shape { x: Any, y: Any, s: Bytes::Raw(8), ..NONE },
        code::CAP_AMBIENT => Shape { x: Any, ..NONE },
        code::DUMPABLE => Shape { a: Max(1), ..NONE },
        code::PARENT_DEATH => Shape { a: Max(64), ..NONE },
        code::SECCOMP => Shape { x: Any, s: Bytes::Raw(8), ..NONE },
        code::INIT => Shape { x: Any, s: Bytes::Raw(8), ..NONE },
        code::CLOSE_FROM => Shape { a: Max(4096), ..NONE },
        code::EXEC => Shape { s: Bytes::SomeList, t: Bytes::List, x: Any, y: Any, ..NONE },
        _ => return None,
    })
}

/// A plan's bytes, checked. Lists are rewritten by the init in place.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    pub header: Header,
}

fn header_of(plan: &[u8]) -> Option<Header> {
    let bytes = plan.get(..size_of::<Header>())?;
    let word = |index: usize| -> u32 {
        let mut four = [0u8; 4];
        for (to, from) in four.iter_mut().zip(bytes.iter().skip(index * 4)) {
            *to = *from;
        }
        u32::from_le_bytes(four)
    };
    Some(Header {
        magic: word(0),
        total: word(1),
        ops: word(2),
        lists_at: word(3),
        blob_at: word(4),
        inherited: word(5),
        slots: word(6),
        reserved: [word(7), word(8), word(9)],
    })
}

/// The operation at `index`, read byte by byte (no alignment assumed).
#[must_use]
pub fn op_at(plan: &[u8], index: usize) -> Option<Op> {
    let start = size_of::<Header>().checked_add(index.checked_mul(size_of::<Op>())?)?;
    let bytes = plan.get(start..start.checked_add(size_of::<Op>())?)?;
    let word = |index: usize| -> u32 {
        let mut four = [0u8; 4];
        for (to, from) in four.iter_mut().zip(bytes.iter().skip(index * 4)) {
            *to = *from;
        }
        u32::from_le_bytes(four)
    };
    let wide = |index: usize| u64::from(word(index)) | (u64::from(word(index + 1)) << 32);
    Some(Op {
        code: word(0),
        a: word(1),
        b: word(2),
        c: word(3),
        x: wide(4),
        y: wide(6),
        s: Span { at: word(8), len: word(9) },
        t: Span { at: word(10), len: word(11) },
    })
}

/// Checks a whole plan: every field of every operation, every string, every
/// list, every slot. `Err` gives the reason and the operation's index.
///
/// # Errors
///
/// The first [`Refusal`] met, with the index of the operation (zero for the
/// header).
pub fn validate(plan: &[u8]) -> Result<Checked, (Refusal, u32)> {
    let header = header_of(plan).ok_or((Refusal::Size, 0))?;
    check_header(&header, plan).map_err(|refusal| (refusal, 0))?;
    let mut filled = [false; MAX_SLOTS];
    for slot in filled.iter_mut().take(header.inherited as usize) {
        *slot = true;
    }
    for index in 0..header.ops {
        let op = op_at(plan, index as usize).ok_or((Refusal::Regions, index))?;
        let last = index + 1 == header.ops;
        check_op(&header, plan, &op, last, &mut filled).map_err(|refusal| (refusal, index))?;
    }
    Ok(Checked { header })
}

fn check_header(header: &Header, plan: &[u8]) -> Result<(), Refusal> {
    if header.magic != MAGIC {
        return Err(Refusal::Magic);
    }
    if header.total as usize != plan.len() || plan.len() > MAX_PLAN {
        return Err(Refusal::Size);
    }
    if header.ops == 0 || header.ops as usize > MAX_OPS || header.reserved != [0; 3] {
        return Err(Refusal::Size);
    }
    let ops_end = size_of::<Header>() + header.ops as usize * size_of::<Op>();
    let (lists, blob) = (header.lists_at as usize, header.blob_at as usize);
    let ordered = ops_end <= lists && lists <= blob && blob < plan.len();
    if !ordered || lists % 8 != 0 || (blob - lists) % 8 != 0 || plan.last() != Some(&0) {
        return Err(Refusal::Regions);
    }
    if header.slots as usize > MAX_SLOTS || header.inherited > header.slots {
        return Err(Refusal::Slots);
    }
    Ok(())
}

fn check_op(
    header: &Header,
    plan: &[u8],
    op: &Op,
    last: bool,
    filled: &mut [bool; MAX_SLOTS],
) -> Result<(), Refusal> {
    let shape = shape(op.code).ok_or(Refusal::Code)?;
    if (op.code == code::EXEC) != last {
        return Err(Refusal::Ending);
    }
    let slots = header.slots;
    check_num(shape.a, u64::from(op.a), slots, filled)?;
    check_num(shape.b, u64::from(op.b), slots, filled)?;
    check_num(shape.c, u64::from(op.c), slots, filled)?;
    check_num(shape.x, op.x, slots, filled)?;
    check_num(shape.y, op.y, slots, filled)?;
    check_span(shape.s, op.s, header, plan)?;
    check_span(shape.t, op.t, header, plan)?;
    if op.code == code::EXEC {
        // The environment list is packed into x.
        let environment = Span { at: op.x as u32, len: (op.x >> 32) as u32 };
        check_span(Bytes::List, environment, header, plan)?;
        if op.y != 0 {
            return Err(Refusal::Field);
        }
    }
    Ok(())
}

fn check_num(
    kind: Num,
    value: u64,
    slots: u32,
    filled: &mut [bool; MAX_SLOTS],
) -> Result<(), Refusal> {
    let slot = |filled: &mut [bool; MAX_SLOTS], now: bool, after: bool| -> Result<(), Refusal> {
        if value >= u64::from(slots) {
            return Err(Refusal::Field);
        }
        let place = filled.get_mut(value as usize).ok_or(Refusal::Field)?;
        if now && !*place {
            return Err(Refusal::SlotUnset);
        }
        *place = after;
        Ok(())
    };
    let fits = match kind {
        Num::Zero => value == 0,
        Num::Any => true,
        Num::Bits(mask) => value & !mask == 0,
        Num::Max(most) => value <= most,
        Num::SlotOrCwd if value == u64::from(CWD) => true,
        Num::Slot | Num::SlotOrCwd => return slot(filled, true, true),
        Num::Fills => return slot(filled, false, true),
        Num::Takes => return slot(filled, true, false),
    };
    if fits { Ok(()) } else { Err(Refusal::Field) }
}

fn check_span(kind: Bytes, span: Span, header: &Header, plan: &[u8]) -> Result<(), Refusal> {
    match kind {
        Bytes::Zero if span == Span::default() => Ok(()),
        Bytes::Zero => Err(Refusal::Field),
        Bytes::Text => check_text(span, header, plan),
        Bytes::Raw(_) if span == Span::default() => Ok(()),
        Bytes::Raw(unit) => {
            let bytes = in_blob(span, header, plan).ok_or(Refusal::Text)?;
            if unit != 0 && bytes.len() as u32 % unit == 0 { Ok(()) } else { Err(Refusal::Field) }
        }
        Bytes::List => check_list(span, header, plan),
        Bytes::SomeList if span.len == 0 => Err(Refusal::List),
        Bytes::SomeList => check_list(span, header, plan),
    }
}

fn in_blob<'a>(span: Span, header: &Header, plan: &'a [u8]) -> Option<&'a [u8]> {
    if span.at < header.blob_at {
        return None;
    }
    plan.get(span.at as usize..(span.at as usize).checked_add(span.len as usize)?)
}

fn check_text(span: Span, header: &Header, plan: &[u8]) -> Result<(), Refusal> {
    let text = in_blob(span, header, plan).ok_or(Refusal::Text)?;
    let end = plan.get(span.at as usize + span.len as usize);
    if end == Some(&0) && !text.iter().any(|byte| *byte == 0) { Ok(()) } else { Err(Refusal::Text) }
}

/// Every entry must be the offset of something in the blob (whose last byte is
/// zero, so that every string ends), and a zero entry must follow.
fn check_list(span: Span, header: &Header, plan: &[u8]) -> Result<(), Refusal> {
    let (at, len) = (span.at as usize, span.len as usize);
    let end = len.checked_add(1).and_then(|n| n.checked_mul(8)).and_then(|n| n.checked_add(at));
    let end = end.ok_or(Refusal::List)?;
    if at % 8 != 0 || span.at < header.lists_at || end > header.blob_at as usize {
        return Err(Refusal::List);
    }
    for index in 0..=len {
        let entry = list_entry(plan, at, index).ok_or(Refusal::List)?;
        let inside = entry >= u64::from(header.blob_at) && entry < u64::from(header.total);
        if (index < len && !inside) || (index == len && entry != 0) {
            return Err(Refusal::List);
        }
    }
    Ok(())
}

/// Entry `index` of the list at `at`.
#[must_use]
pub fn list_entry(plan: &[u8], at: usize, index: usize) -> Option<u64> {
    let start = at.checked_add(index.checked_mul(8)?)?;
    let bytes = plan.get(start..start.checked_add(8)?)?;
    let mut eight = [0u8; 8];
    for (to, from) in eight.iter_mut().zip(bytes) {
        *to = *from;
    }
    Some(u64::from_le_bytes(eight))
}
