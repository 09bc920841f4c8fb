//! Operations → bytes: the plan's wire form (see `init/wire.rs`).

use std::ffi::{CStr, CString};

use super::op::Op;
use super::wire::{self, Bytes, Header, Span};

/// Collects strings and lists while operations are encoded; spans are
/// relative to their region until [`encode`] knows where the regions start.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    lists: Vec<u64>,
    blob: Vec<u8>,
}

impl Encoder {
    pub(super) fn text(&mut self, text: &CStr) -> Span {
        let at = self.blob.len() as u32;
        self.blob.extend_from_slice(text.to_bytes_with_nul());
        Span { at, len: text.count_bytes() as u32 }
    }

    /// Raw bytes, 8-byte aligned (filters and id lists are read in place).
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Span {
        if bytes.is_empty() {
            return Span::default();
        }
        self.blob.resize(self.blob.len().next_multiple_of(8), 0);
        let at = self.blob.len() as u32;
        self.blob.extend_from_slice(bytes);
        Span { at, len: bytes.len() as u32 }
    }

    pub(super) fn list(&mut self, strings: &[CString]) -> Span {
        let entries: Vec<u64> =
            strings.iter().map(|string| u64::from(self.text(string).at)).collect();
        let at = self.lists.len() as u32 * 8;
        self.lists.extend(entries);
        // Ends the list; told from an entry at blob offset 0 by its place.
        self.lists.push(u64::MAX);
        Span { at, len: strings.len() as u32 }
    }
}

/// Encodes a whole plan. `inherited` slots are filled by the parent, `slots`
/// are used in all.
pub(super) fn encode<'a>(
    ops: impl ExactSizeIterator<Item = &'a Op>,
    inherited: u32,
    slots: u32,
) -> Vec<u8> {
    let count = ops.len();
    let mut encoder = Encoder::default();
    let ops: Vec<wire::Op> = ops.map(|op| op.encode(&mut encoder)).collect();
    encoder.blob.push(0);
    let lists_at = size_of::<Header>() + count * size_of::<wire::Op>();
    let blob_at = lists_at + encoder.lists.len() * 8;
    let total = blob_at + encoder.blob.len();
    let mut bytes = Vec::with_capacity(total);
    let header = [
        wire::MAGIC,
        total as u32,
        count as u32,
        lists_at as u32,
        blob_at as u32,
        inherited,
        slots,
        0,
        0,
        0,
    ];
    bytes.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    for op in ops {
        write_op(&mut bytes, &placed(op, lists_at as u32, blob_at as u32));
    }
    for entry in encoder.lists {
        let placed = if entry == u64::MAX { 0 } else { entry + blob_at as u64 };
        bytes.extend(placed.to_le_bytes());
    }
    bytes.extend(encoder.blob);
    bytes
}

/// Moves an operation's spans from region-relative to plan-relative.
fn placed(mut op: wire::Op, lists_at: u32, blob_at: u32) -> wire::Op {
    let Some(shape) = wire::shape(op.code) else {
        return op;
    };
    let place = |kind: Bytes, span: Span| match kind {
        Bytes::Zero => span,
        Bytes::Raw { .. } if span.len == 0 => span,
        Bytes::Text | Bytes::Raw { .. } => Span { at: span.at + blob_at, ..span },
        Bytes::List | Bytes::SomeList => Span { at: span.at + lists_at, ..span },
    };
    op.s = place(shape.s, op.s);
    op.t = place(shape.t, op.t);
    if op.code == wire::code::EXEC {
        op.x += u64::from(lists_at);
    }
    op
}

fn write_op(bytes: &mut Vec<u8>, op: &wire::Op) {
    for word in [op.code, op.a, op.b, op.c] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(op.x.to_le_bytes());
    bytes.extend(op.y.to_le_bytes());
    for word in [op.s.at, op.s.len, op.t.at, op.t.len] {
        bytes.extend(word.to_le_bytes());
    }
}
