//! A classic BPF machine as the kernel runs it for seccomp, and a model of what
//! a filter means, to compare compiled programs with.

use super::action::Action;
use super::condition::{Compare, Condition};
use super::filter::{Filter, Syscall};
use super::program::{Program, code};
use super::table;
use super::target::Target;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) arch: u32,
    pub(super) arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32, target: Target) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 if offset.is_multiple_of(4) => {
                let argument = ((offset - 16) / 8) as u8;
                let value = self.arguments[usize::from(argument)];
                match offset == target.lower(argument) {
                    true => value as u32,
                    false => (value >> 32) as u32,
                }
            }
            _ => panic!("load at offset {offset}"),
        }
    }
}

/// Runs the program; returns its value and the number of instructions it took.
pub(super) fn run(program: &Program, call: &Call, target: Target) -> (u32, usize) {
    let instructions: Vec<_> = program.instructions().collect();
    let (mut at, mut accumulator, mut steps) = (0, 0u32, 0);
    loop {
        let i = instructions[at];
        steps += 1;
        let holds = match i.code {
            code::RETURN => return (i.k, steps),
            code::LOAD => {
                accumulator = call.word(i.k, target);
                None
            }
            code::AND => {
                accumulator &= i.k;
                None
            }
            code::JUMP => {
                at += i.k as usize;
                None
            }
            code::EQUAL => Some(accumulator == i.k),
            code::GREATER => Some(accumulator > i.k),
            code::GREATER_EQUAL => Some(accumulator >= i.k),
            other => panic!("code {other:#x}"),
        };
        at += 1 + match holds {
            Some(true) => usize::from(i.jump_true),
            Some(false) => usize::from(i.jump_false),
            None => 0,
        };
    }
}

/// What the filter means for the call, without any compiling.
pub(super) fn model(filter: &Filter, call: &Call, target: Target) -> u32 {
    if call.arch != target.audit_arch {
        return Action::KillProcess.code();
    }
    if target.foreign_from.is_some_and(|first| call.number >= first) {
        return Action::Errno(libc::ENOSYS as u16).code();
    }
    let names = |syscall: &Syscall| match syscall {
        Syscall::Number(number) => *number == call.number,
        Syscall::Name(name) => table::number(name) == Some(call.number),
    };
    let rule = filter.rules.iter().find(|rule| {
        rule.syscalls.iter().any(names) && rule.conditions.iter().all(|c| holds(c, call))
    });
    rule.map_or(filter.default, |rule| rule.action).code()
}

fn holds(condition: &Condition, call: &Call) -> bool {
    let argument = call.arguments[usize::from(condition.argument)];
    match condition.compare {
        Compare::Equal(value) => argument == value,
        Compare::NotEqual(value) => argument != value,
        Compare::Less(value) => argument < value,
        Compare::LessOrEqual(value) => argument <= value,
        Compare::Greater(value) => argument > value,
        Compare::GreaterOrEqual(value) => argument >= value,
        Compare::MaskedEqual { mask, value } => argument & mask == value,
    }
}
