//! The compiler from device rules to a BPF program. Pure.

use super::{DeviceClass, DeviceRule};

/// One instruction of [BPF](https://docs.kernel.org/bpf/standardization/instruction-set.html).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cgroup) struct Instruction {
    pub(in crate::cgroup) opcode: u8,
    /// The destination in the low half, the source in the high half.
    pub(in crate::cgroup) registers: u8,
    pub(in crate::cgroup) offset: i16,
    pub(in crate::cgroup) immediate: i32,
}

pub(super) const LOAD_WORD: u8 = 0x61;
pub(super) const MOVE: u8 = 0xb7;
pub(super) const COPY: u8 = 0xbf;
pub(super) const AND: u8 = 0x57;
pub(super) const SHIFT_RIGHT: u8 = 0x77;
pub(super) const JUMP_EQUAL: u8 = 0x15;
pub(super) const JUMP_NOT_EQUAL: u8 = 0x55;
pub(super) const EXIT: u8 = 0x95;

const RESULT: u8 = 0;
/// Points at `struct bpf_cgroup_dev_ctx`: access and type, major, minor.
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
/// The access that was asked for and that no rule has decided yet.
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`.
pub(super) const BLOCK: i32 = 1;
pub(super) const CHAR: i32 = 2;

const fn op(opcode: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { opcode, registers: (from << 4) | to, offset, immediate }
}

/// Walks the rules from the last to the first: each decides the access that it is about and
/// that no later one has decided.
pub(in crate::cgroup) fn compile(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = vec![
        op(LOAD_WORD, TYPE, CONTEXT, 0, 0),
        op(COPY, ACCESS, TYPE, 0, 0),
        op(AND, TYPE, 0, 0, 0xffff),
        op(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        op(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        op(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    let mut rest = false;
    for rule in rules.iter().rev() {
        if rule.is_universal() {
            rest = rule.allow;
            break;
        }
        program.extend(block_of(rule));
    }
    program.extend([op(MOVE, RESULT, 0, 0, rest.into()), op(EXIT, 0, 0, 0, 0)]);
    program
}

fn block_of(rule: &DeviceRule) -> Vec<Instruction> {
    let mut tests = match rule.class {
        DeviceClass::All => Vec::new(),
        DeviceClass::Block => vec![(TYPE, BLOCK)],
        DeviceClass::Character => vec![(TYPE, CHAR)],
    };
    tests.extend(rule.major.map(|major| (MAJOR, major as i32)));
    tests.extend(rule.minor.map(|minor| (MINOR, minor as i32)));
    let access = i32::from(rule.access.bits());
    let verdict = if rule.allow {
        [
            op(AND, ACCESS, 0, 0, !access),
            op(JUMP_NOT_EQUAL, ACCESS, 0, 2, 0),
            op(MOVE, RESULT, 0, 0, 1),
            op(EXIT, 0, 0, 0, 0),
        ]
        .to_vec()
    } else {
        [
            op(COPY, RESULT, ACCESS, 0, 0),
            op(AND, RESULT, 0, 0, access),
            op(JUMP_EQUAL, RESULT, 0, 2, 0),
            op(MOVE, RESULT, 0, 0, 0),
            op(EXIT, 0, 0, 0, 0),
        ]
        .to_vec()
    };
    let count = tests.len();
    let jumps = tests.into_iter().enumerate().map(|(at, (register, value))| {
        let over = (count - at - 1 + verdict.len()) as i16;
        op(JUMP_NOT_EQUAL, register, 0, over, value)
    });
    jumps.chain(verdict.iter().copied()).collect()
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
