//! What a filter says about each number of one architecture.

use crate::error::{Error, Result};

use super::action::Action;
use super::architecture::Architecture;
use super::compile::STEP;
use super::condition::{Compare, Condition};
use super::filter::{Filter, Precedence, Rule, Syscall};
use super::table;
use super::target::Target;

const ENOSYS: Action = Action::Errno(libc::ENOSYS as u16);

/// Conditions that all have to hold, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Try {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
}

/// What happens to a run of system calls: what to try in order, then an
/// action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    pub(super) tries: Vec<Try>,
    pub(super) otherwise: Action,
}

/// The system calls from a number on, up to the start of the next run.
pub(super) type Runs = Vec<(u32, Outcome)>;

/// The architectures to compile for, the native one first, and those that no
/// kernel of it takes.
pub(super) fn targets(filter: &Filter, native: Target) -> (Vec<Target>, Vec<Architecture>) {
    let mut targets = vec![native];
    let mut passed_over = Vec::new();
    for architecture in &filter.architectures {
        if *architecture == native.architecture {
            continue;
        }
        let companion = native.architecture.companions().contains(architecture);
        match Target::of(*architecture).filter(|_| companion) {
            Some(target) => targets.push(target),
            None => passed_over.push(*architecture),
        }
    }
    (targets, passed_over)
}

/// The names that none of the architectures knows.
pub(super) fn unknown(filter: &Filter, targets: &[Target]) -> Result<Vec<String>> {
    let known = |name: &str| {
        targets.iter().any(|target| {
            table::number(target.architecture, name).is_some()
                || table::multiplexed(target.architecture, name).is_some()
        })
    };
    let mut ignored: Vec<String> = Vec::new();
    for syscall in filter.rules.iter().flat_map(|rule| &rule.syscalls) {
        match syscall {
            Syscall::Name(name) if known(name) || ignored.contains(name) => {}
            Syscall::Name(name) if filter.skip_unknown => ignored.push(name.clone()),
            Syscall::Name(name) => {
                let reason = "no architecture of the filter has a system call of this name";
                return Err(Error::invalid(STEP, name, reason)
                    .hint("correct the name, give the number, or skip unknown names"));
            }
            Syscall::Number(number) => check_number(*number, targets)?,
        }
    }
    Ok(ignored)
}

/// A number is one of the first target, or x32's where that is listed.
fn check_number(number: u32, targets: &[Target]) -> Result<()> {
    let own = targets.iter().any(|target| takes_number(*target, number, targets));
    if own {
        return Ok(());
    }
    let reason = "the number belongs to another calling convention, which is not listed";
    Err(Error::invalid(STEP, number.to_string(), reason))
}

fn takes_number(target: Target, number: u32, targets: &[Target]) -> bool {
    let (first, end) = target.numbers();
    let native = targets.first() == Some(&target) || target.architecture == Architecture::X32;
    native && number >= first && u64::from(number) < end
}

/// Cuts the numbers of an architecture into runs with the same outcome.
pub(super) fn runs(filter: &Filter, target: Target, targets: &[Target]) -> Runs {
    let mut tries: Vec<(u32, Try)> = Vec::new();
    let mut highest = None;
    for rule in &filter.rules {
        for syscall in &rule.syscalls {
            let (number, multiplexed) = match syscall {
                Syscall::Number(number) => {
                    (Some(*number).filter(|n| takes_number(target, *n, targets)), None)
                }
                Syscall::Name(name) => (
                    table::number(target.architecture, name),
                    table::multiplexed(target.architecture, name),
                ),
            };
            if let Some(number) = number {
                highest = highest.max(Some(number));
                tries.push((number, one_try(rule, None, target)));
            }
            if let Some(other) = multiplexed {
                let choice =
                    Compare::MaskedEqual { mask: other.mask.into(), value: other.choice.into() };
                let reached = one_try(rule, Some(Condition::new(0, choice)), target);
                tries.push((other.number, reached));
            }
        }
    }
    let plain = |action| Outcome { tries: Vec::new(), otherwise: action };
    let mut runs = vec![(target.numbers().0, plain(filter.default))];
    // Stable: the rules of one number stay in their order.
    tries.sort_by_key(|(number, _)| *number);
    for of_one in tries.chunk_by(|(a, _), (b, _)| a == b) {
        let number = of_one[0].0;
        append(&mut runs, number, outcome(of_one, filter));
        if let Some(next) = number.checked_add(1) {
            append(&mut runs, next, plain(filter.default));
        }
    }
    if let Some(next) = highest.and_then(|number: u32| number.checked_add(1))
        && filter.newer_unknown
    {
        runs.retain(|(start, _)| *start < next);
        append(&mut runs, next, plain(ENOSYS));
    }
    runs
}

/// A rule's conditions as the architecture compares them. Where the call is
/// reached by another that takes the choice in the first argument, a condition
/// on that one gives way.
fn one_try(rule: &Rule, choice: Option<Condition>, target: Target) -> Try {
    let first = if choice.is_some() { 1 } else { 0 };
    let own = rule.conditions.iter().filter(|condition| condition.argument >= first).copied();
    let conditions = choice.into_iter().chain(own);
    let conditions = conditions.map(|c| if target.narrow { c.narrowed() } else { c });
    Try { conditions: conditions.filter(|c| !c.is_empty()).collect(), action: rule.action }
}

fn outcome(tries: &[(u32, Try)], filter: &Filter) -> Outcome {
    let mut tries: Vec<Try> = tries.iter().map(|(_, one)| one.clone()).collect();
    if filter.precedence == Precedence::Broadest {
        tries.retain(|try_| try_.action != filter.default);
        tries.sort_by_key(|try_| try_.conditions.len());
    }
    let last = tries.iter().position(|try_| try_.conditions.is_empty());
    let otherwise = last.map_or(filter.default, |last| tries[last].action);
    tries.truncate(last.unwrap_or(tries.len()));
    while tries.pop_if(|try_| try_.action == otherwise).is_some() {}
    Outcome { tries, otherwise }
}

/// Starts a run at `number`, which is not below the start of the last one.
fn append(runs: &mut Runs, number: u32, outcome: Outcome) {
    if runs.last().is_some_and(|(start, _)| *start == number) {
        runs.pop();
    }
    if runs.last().is_none_or(|(_, last)| *last != outcome) {
        runs.push((number, outcome));
    }
}
