use std::collections::HashMap;

use crate::error::{Error, ErrorKind, Result};

use super::action::Action;
use super::architecture::Architecture;
use super::assemble::{Assembler, Place};
use super::condition::{Compare, Condition};
use super::filter::Filter;
use super::program::{Details, Instruction, Program, code};
use super::section::{self, Outcome, Runs};
use super::target::{Target, X32_BIT};

pub(super) const STEP: &str = "compile seccomp filter";
const TSYNC_ESRCH: u32 = 16;
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;

/// Compiles a filter for the architecture of this build.
pub(super) fn compile(filter: &Filter) -> Result<Program> {
    let target = Target::native().ok_or_else(|| {
        let reason = "the filter compiler does not know this architecture";
        Error::with(ErrorKind::Unsupported, STEP, std::env::consts::ARCH, reason)
    })?;
    compile_for(filter, target)
}

/// Compiles a filter for a kernel of the `native` architecture.
pub(super) fn compile_for(filter: &Filter, native: Target) -> Result<Program> {
    check(filter)?;
    let (targets, passed_over) = section::targets(filter, native);
    let ignored = section::unknown(filter, &targets)?;
    let sections: Vec<_> =
        targets.iter().map(|target| (*target, section::runs(filter, *target, &targets))).collect();
    let instructions = Compiler::new(filter.unlisted).program(&sections)?;
    let notifies = filter.rules.iter().any(|rule| rule.action == Action::Notify);
    let flags = flags(filter.flags, notifies);
    Ok(Program::new(&instructions, Details { flags, notifies, ignored, passed_over }))
}

fn check(filter: &Filter) -> Result<()> {
    for (action, place) in [(filter.default, "default"), (filter.unlisted, "unlisted")] {
        action.check()?;
        if action == Action::Notify {
            let reason = "the calls that hand the listener over would notify too";
            return Err(Error::invalid(STEP, format!("{place} action {action}"), reason)
                .hint("name the calls that notify in a rule"));
        }
    }
    for rule in &filter.rules {
        rule.action.check()?;
        rule.conditions.iter().try_for_each(Condition::check)?;
    }
    Ok(())
}

/// The kernel refuses a listener with TSYNC unless errors come as ESRCH, and
/// the wait for a listener that there is none of.
const fn flags(wanted: u32, notifies: bool) -> u32 {
    if !notifies {
        return wanted & !Filter::WAIT_KILLABLE_RECV;
    }
    if wanted & Filter::TSYNC != 0 { wanted | TSYNC_ESRCH } else { wanted }
}

/// The runs of each architecture.
type Sections = [(Target, Runs)];

struct Compiler {
    unlisted: Place,
    assembler: Assembler,
    /// Whether the arguments are narrow, and what happens.
    bodies: HashMap<(bool, Outcome), Place>,
}

impl Compiler {
    fn new(unlisted: Action) -> Self {
        let unlisted = Place::Return(unlisted.code());
        Self { unlisted, assembler: Assembler::default(), bodies: HashMap::new() }
    }

    /// The checks of the architecture, the native one first, then a search for
    /// each; laid down from the end.
    fn program(mut self, sections: &Sections) -> Result<Vec<Instruction>> {
        let mut machines = Vec::new();
        for (target, runs) in sections.iter().rev() {
            if target.architecture == Architecture::X32 {
                continue;
            }
            let mut root = self.search(runs, *target)?;
            if target.architecture == Architecture::X86_64 {
                let x32 = sections.iter().find(|(t, _)| t.architecture == Architecture::X32);
                let far = match x32 {
                    Some((target, runs)) => self.search(runs, *target)?,
                    None => self.unlisted,
                };
                root = self.assembler.branch(code::GREATER_EQUAL, X32_BIT, far, root);
            }
            self.assembler.start(root);
            let load = self.assembler.prepend(code::LOAD, OFFSET_NUMBER);
            machines.push((target.audit_arch, load));
        }
        let mut check = self.unlisted;
        for (audit_arch, load) in machines {
            check = self.assembler.branch(code::EQUAL, audit_arch, load, check);
        }
        self.assembler.start(check);
        self.assembler.prepend(code::LOAD, OFFSET_ARCH);
        self.check_length()?;
        Ok(self.assembler.finish())
    }

    fn check_length(&self) -> Result<()> {
        let length = self.assembler.len();
        if length <= Program::MAX_INSTRUCTIONS {
            return Ok(());
        }
        let reason = "the kernel takes 4096 instructions";
        Err(Error::with(ErrorKind::LimitReached, STEP, format!("{length} or more"), reason)
            .hint("use fewer rules with conditions"))
    }

    /// A balanced search for the run that the number in the accumulator lies in.
    fn search(&mut self, runs: &[(u32, Outcome)], target: Target) -> Result<Place> {
        self.check_length()?;
        if let [(_, outcome)] = runs {
            return Ok(self.body(outcome, target));
        }
        let (lower, upper) = runs.split_at(runs.len() / 2);
        let start = upper[0].0;
        let above = self.search(upper, target)?;
        let below = self.search(lower, target)?;
        Ok(self.assembler.branch(code::GREATER_EQUAL, start, above, below))
    }

    fn body(&mut self, outcome: &Outcome, target: Target) -> Place {
        let mut place = Place::Return(outcome.otherwise.code());
        if outcome.tries.is_empty() {
            return place;
        }
        let key = (target.narrow, outcome.clone());
        if let Some(place) = self.bodies.get(&key) {
            return *place;
        }
        for one in outcome.tries.iter().rev() {
            let failed = place;
            place = Place::Return(one.action.code());
            for condition in one.conditions.iter().rev() {
                place = self.condition(condition, target, place, failed);
            }
        }
        self.bodies.insert(key, place);
        place
    }

    /// Compares the upper half, and only where that leaves it open the lower.
    fn condition(
        &mut self,
        condition: &Condition,
        target: Target,
        holds: Place,
        fails: Place,
    ) -> Place {
        let argument = Argument { index: condition.argument, target };
        match condition.compare {
            Compare::Equal(value) => self.equal(argument, u64::MAX, value, holds, fails),
            Compare::NotEqual(value) => self.equal(argument, u64::MAX, value, fails, holds),
            Compare::MaskedEqual { mask, value } => self.equal(argument, mask, value, holds, fails),
            Compare::Greater(value) => self.order(code::GREATER, argument, value, holds, fails),
            Compare::LessOrEqual(value) => self.order(code::GREATER, argument, value, fails, holds),
            Compare::GreaterOrEqual(value) => {
                self.order(code::GREATER_EQUAL, argument, value, holds, fails)
            }
            Compare::Less(value) => self.order(code::GREATER_EQUAL, argument, value, fails, holds),
        }
    }

    fn equal(&mut self, argument: Argument, mask: u64, value: u64, yes: Place, no: Place) -> Place {
        if value & !mask != 0 {
            return no;
        }
        let lower = self.half(argument.lower(), mask as u32, value as u32, yes, no);
        if argument.target.narrow {
            return lower;
        }
        let (mask, value) = ((mask >> 32) as u32, (value >> 32) as u32);
        self.half(argument.upper(), mask, value, lower, no)
    }

    fn half(&mut self, offset: u32, mask: u32, value: u32, yes: Place, no: Place) -> Place {
        if mask == 0 || yes == no {
            return yes;
        }
        self.assembler.branch(code::EQUAL, value, yes, no);
        if mask != u32::MAX {
            self.assembler.prepend(code::AND, mask);
        }
        self.assembler.prepend(code::LOAD, offset)
    }

    fn order(&mut self, code: u16, argument: Argument, value: u64, yes: Place, no: Place) -> Place {
        if yes == no {
            return yes;
        }
        let (upper, lower) = ((value >> 32) as u32, value as u32);
        self.assembler.branch(code, lower, yes, no);
        let low = self.assembler.prepend(code::LOAD, argument.lower());
        if argument.target.narrow {
            return low;
        }
        let same = self.assembler.branch(code::EQUAL, upper, low, no);
        self.assembler.branch(code::GREATER, upper, yes, same);
        self.assembler.prepend(code::LOAD, argument.upper())
    }
}

/// Where an argument is.
#[derive(Clone, Copy)]
struct Argument {
    index: u8,
    target: Target,
}

impl Argument {
    fn lower(self) -> u32 {
        self.target.lower(self.index)
    }

    fn upper(self) -> u32 {
        self.target.upper(self.index)
    }
}
