use std::collections::HashMap;

use super::program::{Instruction, code};

/// Where a jump leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// To an instruction, counted from the end of the program.
    At(usize),
    /// To an instruction that returns this value.
    Return(u32),
}

/// Puts a program together from its end to its start.
///
/// BPF jumps only forward. Backwards, each target is laid down before the
/// jumps that lead to it, so that every distance is known at once. A conditional
/// jump reaches 255 instructions; where that is too short, a copy of the return
/// or an unconditional jump is put within reach.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The last instruction comes first.
    reversed: Vec<Instruction>,
    /// The latest return of each value.
    returns: HashMap<u32, usize>,
}

impl Assembler {
    /// How far behind a place may lie so that a jump reaches it, even after one
    /// more instruction comes between.
    const REACH: usize = 254;

    /// Puts an instruction before all others.
    pub(super) fn prepend(&mut self, code: u16, k: u32) -> Place {
        self.push(Instruction { code, jump_true: 0, jump_false: 0, k })
    }

    /// Puts a conditional jump before all others.
    pub(super) fn branch(&mut self, code: u16, k: u32, yes: Place, no: Place) -> Place {
        if yes == no {
            return yes;
        }
        let (yes, no) = (self.reachable(yes), self.reachable(no));
        let here = self.reversed.len();
        let distance = |target: usize| (here - target - 1) as u8;
        self.push(Instruction { code, jump_true: distance(yes), jump_false: distance(no), k })
    }

    /// Makes the first instruction of the program this place.
    pub(super) fn start(&mut self, place: Place) {
        let target = self.reachable(place);
        if target + 1 != self.reversed.len() {
            self.jump(target);
        }
    }

    /// The number of instructions so far.
    pub(super) fn len(&self) -> usize {
        self.reversed.len()
    }

    /// The program from start to end.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    fn push(&mut self, instruction: Instruction) -> Place {
        self.reversed.push(instruction);
        Place::At(self.reversed.len() - 1)
    }

    fn jump(&mut self, target: usize) {
        let distance = self.reversed.len() - target - 1;
        self.prepend(code::JUMP, distance as u32);
    }

    /// The index of an instruction within reach that leads to the place.
    fn reachable(&mut self, place: Place) -> usize {
        let near = |target: usize| self.reversed.len() - target - 1 <= Self::REACH;
        match place {
            Place::At(target) if near(target) => return target,
            Place::At(target) => self.jump(target),
            Place::Return(value) => match self.returns.get(&value) {
                Some(target) if near(*target) => return *target,
                _ => {
                    self.prepend(code::RETURN, value);
                    self.returns.insert(value, self.reversed.len() - 1);
                }
            },
        }
        self.reversed.len() - 1
    }
}
