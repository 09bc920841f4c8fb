//! The gate: a plan is checked whole before its first operation.

use super::shape::{Bytes, Num, shape};
use super::{CWD, Header, MAGIC, MAX_OPS, MAX_PLAN, MAX_SLOTS, Op, Span, code};

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
            9 => "a list out of its region, without its end or across another",
            10 => "the last operation, and only the last, must be exec",
            _ => "refused for an unknown reason",
        }
    }
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
        // The init turns offsets into pointers in place, once each.
        if overlap(op.s, op.t) || overlap(op.s, environment) || overlap(op.t, environment) {
            return Err(Refusal::List);
        }
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
        Bytes::Raw { least: 0, .. } if span == Span::default() => Ok(()),
        Bytes::Raw { unit, least, most } => {
            let length = in_blob(span, header, plan).ok_or(Refusal::Text)?.len() as u32;
            let units = length.checked_div(unit).ok_or(Refusal::Field)?;
            let fits = length.is_multiple_of(unit) && (least..=most).contains(&units);
            if fits { Ok(()) } else { Err(Refusal::Field) }
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

/// Whether two lists share an entry, the final zeros counted.
fn overlap(one: Span, other: Span) -> bool {
    let end = |list: Span| u64::from(list.at) + (u64::from(list.len) + 1) * 8;
    u64::from(one.at) < end(other) && u64::from(other.at) < end(one)
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
