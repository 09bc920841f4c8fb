//! What a filter means, without any compiling, to compare programs with.

use super::action::Action;
use super::decide::Call;
use super::filter::{Filter, Precedence, Syscall};
use super::section;
use super::table;
use super::target::Target;

/// The answer to a call on a kernel of the `native` architecture.
pub(super) fn model(filter: &Filter, call: &Call, native: Target) -> u32 {
    let (targets, _) = section::targets(filter, native);
    let target = targets.iter().find(|target| {
        let (first, end) = target.numbers();
        let mine = call.number >= first && u64::from(call.number) < end;
        target.audit_arch == call.arch && mine
    });
    let Some(target) = target else {
        return filter.unlisted.code();
    };
    let counts = *target == native || target.architecture.name().ends_with("X32");
    let number_of = |syscall: &Syscall| match syscall {
        Syscall::Number(number) => Some(*number).filter(|_| counts),
        Syscall::Name(name) => table::number(target.architecture, name),
    };
    let own = |number: u32| {
        let (first, end) = target.numbers();
        number >= first && u64::from(number) < end
    };
    let highest = filter.rules.iter().flat_map(|rule| &rule.syscalls).filter_map(number_of);
    let highest = highest.filter(|number| own(*number)).max();
    if filter.newer_unknown && highest.is_some_and(|highest| call.number > highest) {
        return Action::Errno(38).code();
    }
    let half = |value: u64| if target.narrow { value & 0xffff_ffff } else { value };
    let mut rules: Vec<_> = Vec::new();
    for rule in &filter.rules {
        for syscall in &rule.syscalls {
            let narrow = |c: &super::Condition| if target.narrow { c.narrowed() } else { *c };
            if number_of(syscall) == Some(call.number) {
                let conditions: Vec<_> = rule.conditions.iter().map(narrow).collect();
                rules.push((conditions, rule.action));
            }
            let Syscall::Name(name) = syscall else { continue };
            let Some(by) = table::multiplexed(target.architecture, name) else { continue };
            let first = call.arguments[0] as u32;
            if by.number == call.number && first & by.mask == by.choice {
                let rest = rule.conditions.iter().filter(|c| c.argument > 0).map(narrow);
                // The choice is a condition like any other.
                let choice =
                    super::Condition::new(0, super::Compare::Equal(half(call.arguments[0])));
                rules.push(([choice].into_iter().chain(rest).collect(), rule.action));
            }
        }
    }
    if filter.precedence == Precedence::Broadest {
        rules.retain(|(_, action)| *action != filter.default);
        rules.sort_by_key(|(conditions, _)| conditions.iter().filter(|c| !c.is_empty()).count());
    }
    let holds = |c: &super::Condition| c.holds(half(call.arguments[usize::from(c.argument)]));
    let rule = rules.iter().find(|(conditions, _)| conditions.iter().all(holds));
    rule.map_or(filter.default, |(_, action)| *action).code()
}
