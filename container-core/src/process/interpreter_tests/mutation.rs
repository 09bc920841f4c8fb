//! Breaking valid plans.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{HEADER, OP};
use crate::plan::wire::{self, Op, Span, code};

pub(super) fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|four| u32::from_le_bytes(four.try_into().unwrap())).collect()
}

pub(super) fn put(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

/// The plan with one more operation before all others, that makes `marker`.
pub(super) fn with_marker(plan: &[u8], marker: &Path) -> Vec<u8> {
    let head = words(&plan[..HEADER]);
    let (ops, lists_at, blob_at) = (head[2], head[3] as usize, head[4] as usize);
    let moved = |span: Span| if span == Span::default() { span } else { shifted(span) };
    let mut result = plan[..HEADER].to_vec();
    let path = marker.to_str().unwrap();
    let at = (plan.len() + OP) as u32;
    result.extend(encoded(&Op {
        code: code::OPEN_PATH,
        b: head[6],
        x: (libc::O_CREAT | libc::O_WRONLY) as u64,
        s: Span { at, len: path.len() as u32 },
        ..Op::default()
    }));
    for index in 0..ops as usize {
        let mut op = wire::op_at(plan, index).unwrap();
        (op.s, op.t) = (moved(op.s), moved(op.t));
        if op.code == code::EXEC {
            op.x += OP as u64;
        }
        result.extend(encoded(&op));
    }
    for eight in plan[lists_at..blob_at].chunks_exact(8) {
        let entry = u64::from_le_bytes(eight.try_into().unwrap());
        result.extend(if entry == 0 { 0 } else { entry + OP as u64 }.to_le_bytes());
    }
    result.extend(&plan[blob_at..]);
    result.extend(path.as_bytes());
    result.push(0);
    let total = result.len() as u32;
    let shift = OP as u32;
    for (index, word) in
        [(1, total), (2, ops + 1), (3, head[3] + shift), (4, head[4] + shift), (6, head[6] + 1)]
    {
        put(&mut result, index * 4, word);
    }
    wire::validate(&result).expect("the plan with a marker is valid");
    result
}

fn shifted(span: Span) -> Span {
    Span { at: span.at + OP as u32, ..span }
}

fn encoded(op: &Op) -> Vec<u8> {
    let halves = |wide: u64| [wide as u32, (wide >> 32) as u32];
    let ([x, xx], [y, yy]) = (halves(op.x), halves(op.y));
    let all = [op.code, op.a, op.b, op.c, x, xx, y, yy, op.s.at, op.s.len, op.t.at, op.t.len];
    all.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A way to break a plan.
#[derive(Debug, Clone)]
pub(super) enum Mutation {
    Flip(Index, u8),
    Word(Index, u32),
    /// A field of an operation, by word.
    Field(Index, usize, u32),
    Truncate(Index),
    Extend(Vec<u8>),
    Splice(Index, Index, Index),
    SwapOps(Index, Index),
    HeaderField(usize, u32),
    FixTotal,
}

/// Numbers at the edges of what a plan holds.
pub(super) fn edges() -> impl Strategy<Value = u32> {
    let fixed = [0, 1, 2, 7, 8, 40, 41, 48, 255, 256, 257, 4096, 8192, 8193, 65535, 65536];
    let wide = [1 << 24, i32::MAX as u32, 1 << 31, u32::MAX - 7, u32::MAX - 1, u32::MAX];
    prop_oneof![
        proptest::sample::select(fixed.to_vec()),
        proptest::sample::select(wide.to_vec()),
        0..64u32,
        0..4096u32,
        any::<u32>(),
    ]
}

pub(super) fn mutation() -> impl Strategy<Value = Mutation> {
    use Mutation::{Extend, Field, FixTotal, Flip, HeaderField, Splice, SwapOps, Truncate, Word};
    let index = any::<Index>;
    prop_oneof![
        3 => (index(), 0..8u8).prop_map(|(at, bit)| Flip(at, bit)),
        3 => (index(), edges()).prop_map(|(at, word)| Word(at, word)),
        6 => (index(), 0..12usize, edges()).prop_map(|(op, field, word)| Field(op, field, word)),
        1 => index().prop_map(Truncate),
        1 => proptest::collection::vec(any::<u8>(), 1..200).prop_map(Extend),
        2 => (index(), index(), index()).prop_map(|(from, to, length)| Splice(from, to, length)),
        2 => (index(), index()).prop_map(|(one, other)| SwapOps(one, other)),
        2 => (0..10usize, edges()).prop_map(|(field, word)| HeaderField(field, word)),
        1 => Just(FixTotal),
    ]
}

pub(super) fn mutate(plan: &mut Vec<u8>, mutation: &Mutation) {
    if plan.len() < HEADER + OP {
        return;
    }
    let ops = (plan.len() - HEADER) / OP;
    let op = |index: &Index| HEADER + index.index(ops.min(wire_ops(plan))) * OP;
    match mutation {
        Mutation::Flip(at, bit) => {
            let at = at.index(plan.len());
            plan[at] ^= 1 << bit;
        }
        Mutation::Word(at, word) => {
            let at = at.index(plan.len() / 4) * 4;
            put(plan, at, *word);
        }
        Mutation::Field(index, field, word) => {
            let at = op(index) + field * 4;
            put(plan, at, *word);
        }
        Mutation::Truncate(at) => plan.truncate(at.index(plan.len())),
        Mutation::Extend(bytes) => plan.extend(bytes),
        Mutation::Splice(from, to, length) => {
            let (from, to) = (from.index(plan.len()), to.index(plan.len()));
            let most = plan.len() - from.max(to);
            let length = length.index(most.min(256));
            plan.copy_within(from..from + length, to);
        }
        Mutation::SwapOps(one, other) => {
            let (one, other) = (op(one), op(other));
            for byte in 0..OP {
                plan.swap(one + byte, other + byte);
            }
        }
        Mutation::HeaderField(field, word) => put(plan, field * 4, *word),
        Mutation::FixTotal => {
            let total = plan.len() as u32;
            put(plan, 4, total);
        }
    }
}

/// The number of operations that the header claims, within reason.
fn wire_ops(plan: &[u8]) -> usize {
    words(&plan[8..12])[0].clamp(1, 200) as usize
}
