use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, ErrorKind, Result};

use super::action::Action;
use super::assemble::{Assembler, Place};
use super::condition::{Compare, Condition};
use super::filter::{Filter, Rule, Syscall};
use super::program::{Program, code};
use super::table;
use super::target::Target;

const STEP: &str = "compile seccomp filter";
const TSYNC: u32 = 1;
const TSYNC_ESRCH: u32 = 16;
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;

/// What happens to a run of system calls: the rules to try in order, then an
/// action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Outcome<'a> {
    tries: Vec<(&'a [Condition], Action)>,
    otherwise: Action,
}

/// The system calls from a number on, up to the start of the next run.
type Runs<'a> = Vec<(u32, Outcome<'a>)>;

/// Compiles a filter for the architecture of this build.
pub(super) fn compile(filter: &Filter) -> Result<Program> {
    let target = Target::native().ok_or_else(|| {
        let reason = "the filter compiler does not know this architecture";
        Error::with(ErrorKind::Unsupported, STEP, std::env::consts::ARCH, reason)
    })?;
    compile_for(filter, target)
}

/// Compiles a filter; names are those of this build's architecture.
pub(super) fn compile_for(filter: &Filter, target: Target) -> Result<Program> {
    filter.default.check()?;
    for rule in &filter.rules {
        rule.action.check()?;
        rule.conditions.iter().try_for_each(Condition::check)?;
    }
    let runs = runs(filter, target)?;
    let instructions = Compiler::new(target).program(&runs)?;
    let notifies = std::iter::once(filter.default)
        .chain(filter.rules.iter().map(|rule| rule.action))
        .any(|action| action == Action::Notify);
    // The kernel refuses a listener with TSYNC unless errors come as ESRCH.
    let both = notifies && filter.flags & TSYNC != 0;
    let flags = if both { filter.flags | TSYNC_ESRCH } else { filter.flags };
    Ok(Program::new(&instructions, flags, notifies))
}

/// Cuts the numbers into runs with the same outcome.
fn runs<'a>(filter: &'a Filter, target: Target) -> Result<Runs<'a>> {
    let mut by_number: BTreeMap<u32, Vec<&'a Rule>> = BTreeMap::new();
    for rule in &filter.rules {
        for syscall in &rule.syscalls {
            if let Some(number) = number_of(syscall, filter, target)? {
                by_number.entry(number).or_default().push(rule);
            }
        }
    }
    let unruled = Outcome { tries: Vec::new(), otherwise: filter.default };
    let mut runs = vec![(0, unruled.clone())];
    for (number, rules) in by_number {
        append(&mut runs, number, outcome(&rules, filter.default));
        if let Some(next) = number.checked_add(1) {
            append(&mut runs, next, unruled.clone());
        }
    }
    if let Some(first) = target.foreign_from {
        let refusal = Action::Errno(libc::ENOSYS as u16);
        append(&mut runs, first, Outcome { tries: Vec::new(), otherwise: refusal });
    }
    Ok(runs)
}

/// Starts a run at `number`, which is not below the start of the last one.
fn append<'a>(runs: &mut Runs<'a>, number: u32, outcome: Outcome<'a>) {
    if runs.last().is_some_and(|(start, _)| *start == number) {
        runs.pop();
    }
    if runs.last().is_none_or(|(_, last)| *last != outcome) {
        runs.push((number, outcome));
    }
}

fn outcome<'a>(rules: &[&'a Rule], default: Action) -> Outcome<'a> {
    let mut tries = Vec::new();
    for rule in rules {
        if rule.conditions.is_empty() {
            return Outcome { tries, otherwise: rule.action };
        }
        tries.push((rule.conditions.as_slice(), rule.action));
    }
    Outcome { tries, otherwise: default }
}

fn number_of(syscall: &Syscall, filter: &Filter, target: Target) -> Result<Option<u32>> {
    let number = match syscall {
        Syscall::Number(number) => *number,
        Syscall::Name(name) => match table::number(name) {
            Some(number) => number,
            None if filter.skip_unknown => return Ok(None),
            None => {
                let reason = "this architecture has no system call of this name";
                return Err(Error::invalid(STEP, name, reason)
                    .hint("correct the name, give the number, or skip unknown names"));
            }
        },
    };
    if target.foreign_from.is_some_and(|first| number >= first) {
        let reason =
            "the number belongs to another calling convention, which is refused as a whole";
        return Err(Error::invalid(STEP, number.to_string(), reason));
    }
    Ok(Some(number))
}

struct Compiler<'a> {
    target: Target,
    assembler: Assembler,
    bodies: HashMap<Outcome<'a>, Place>,
}

impl<'a> Compiler<'a> {
    fn new(target: Target) -> Self {
        Self { target, assembler: Assembler::default(), bodies: HashMap::new() }
    }

    fn program(mut self, runs: &[(u32, Outcome<'a>)]) -> Result<Vec<super::program::Instruction>> {
        let root = self.search(runs)?;
        self.assembler.start(root);
        let search = self.assembler.prepend(code::LOAD, OFFSET_NUMBER);
        let foreign = Place::Return(Action::KillProcess.code());
        let check = self.assembler.branch(code::EQUAL, self.target.audit_arch, search, foreign);
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
    fn search(&mut self, runs: &[(u32, Outcome<'a>)]) -> Result<Place> {
        self.check_length()?;
        if let [(_, outcome)] = runs {
            return Ok(self.body(outcome));
        }
        let (lower, upper) = runs.split_at(runs.len() / 2);
        let start = upper[0].0;
        let above = self.search(upper)?;
        let below = self.search(lower)?;
        Ok(self.assembler.branch(code::GREATER_EQUAL, start, above, below))
    }

    fn body(&mut self, outcome: &Outcome<'a>) -> Place {
        if let Some(place) = self.bodies.get(outcome) {
            return *place;
        }
        let mut place = Place::Return(outcome.otherwise.code());
        for (conditions, action) in outcome.tries.iter().rev() {
            let failed = place;
            place = Place::Return(action.code());
            for condition in conditions.iter().rev() {
                place = self.condition(condition, place, failed);
            }
        }
        self.bodies.insert(outcome.clone(), place);
        place
    }

    /// Compares the upper half, and only where that leaves it open the lower.
    fn condition(&mut self, condition: &Condition, holds: Place, fails: Place) -> Place {
        let argument = condition.argument;
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

    fn equal(&mut self, argument: u8, mask: u64, value: u64, yes: Place, no: Place) -> Place {
        if value & !mask != 0 {
            return no;
        }
        let lower = self.half(self.target.lower(argument), mask as u32, value as u32, yes, no);
        let (mask, value) = ((mask >> 32) as u32, (value >> 32) as u32);
        self.half(self.target.upper(argument), mask, value, lower, no)
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

    fn order(&mut self, code: u16, argument: u8, value: u64, yes: Place, no: Place) -> Place {
        if yes == no {
            return yes;
        }
        let (upper, lower) = ((value >> 32) as u32, value as u32);
        self.assembler.branch(code, lower, yes, no);
        let low = self.assembler.prepend(code::LOAD, self.target.lower(argument));
        let same = self.assembler.branch(code::EQUAL, upper, low, no);
        self.assembler.branch(code::GREATER, upper, yes, same);
        self.assembler.prepend(code::LOAD, self.target.upper(argument))
    }
}
