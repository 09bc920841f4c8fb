//! A classic BPF machine as the kernel runs it for seccomp.

use std::collections::HashSet;

use super::action::Action;
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
    fn word(&self, offset: u32, little_endian: bool) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            _ => {
                let index = (offset.wrapping_sub(16) / 8) as usize;
                let value = self.arguments.get(index).copied().unwrap_or_default();
                let lower = offset.is_multiple_of(8) == little_endian;
                if lower { value as u32 } else { (value >> 32) as u32 }
            }
        }
    }
}

/// Runs the program; returns its value and the number of instructions it took.
/// What the kernel would have refused ends the process.
pub(super) fn run(program: &Program, call: &Call, little_endian: bool) -> (u32, usize) {
    let (mut at, mut accumulator, mut steps) = (0, 0u32, 0);
    while let Some(i) = program.instruction(at) {
        steps += 1;
        let holds = match i.code {
            code::RETURN => return (i.k, steps),
            code::LOAD => {
                accumulator = call.word(i.k, little_endian);
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
            _ => break,
        };
        at += 1 + match holds {
            Some(true) => usize::from(i.jump_true),
            Some(false) => usize::from(i.jump_false),
            None => 0,
        };
    }
    (Action::KillProcess.code(), steps)
}

/// Everything that the program may answer to a native call of this name: both
/// ways are taken where an argument decides.
pub(super) fn answers(program: &Program, name: &str) -> Vec<Action> {
    let Some(target) = Target::native() else {
        return Vec::new();
    };
    let Some(number) = table::number(target.architecture, name) else {
        return Vec::new();
    };
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut open = vec![(0, None)];
    while let Some((at, accumulator)) = open.pop() {
        let Some(i) = program.instruction(at).filter(|_| seen.insert((at, accumulator))) else {
            continue;
        };
        let mut go = |distance: usize, accumulator| open.push((at + 1 + distance, accumulator));
        let test = |holds: fn(u32, u32) -> bool| accumulator.map(|a: u32| holds(a, i.k));
        let holds = match i.code {
            code::RETURN => {
                found.extend(Action::from_code(i.k).filter(|action| !found.contains(action)));
                continue;
            }
            code::LOAD => {
                let known = match i.k {
                    0 => Some(number),
                    4 => Some(target.audit_arch),
                    _ => None,
                };
                go(0, known);
                continue;
            }
            code::AND => {
                go(0, accumulator.map(|a| a & i.k));
                continue;
            }
            code::JUMP => {
                go(i.k as usize, accumulator);
                continue;
            }
            code::EQUAL => test(|a, k| a == k),
            code::GREATER => test(|a, k| a > k),
            _ => test(|a, k| a >= k),
        };
        if holds != Some(false) {
            go(i.jump_true.into(), accumulator);
        }
        if holds != Some(true) {
            go(i.jump_false.into(), accumulator);
        }
    }
    found
}
