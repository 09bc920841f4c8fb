//! Programs mean what their filters say.

use proptest::prelude::*;

use super::super::compile::compile_for;
use super::super::decide::{Call, run};
use super::super::filter::Precedence;
use super::super::model::model;
use super::super::table;
use super::super::target::{Target, X32_BIT};
use super::super::*;
use super::{X86_64, target};
use crate::ErrorKind;

const S390X: Target = target(Architecture::S390X);
const AARCH64: Target = target(Architecture::Aarch64);

fn compare() -> impl Strategy<Value = Compare> {
    prop_oneof![
        word().prop_map(Compare::Equal),
        word().prop_map(Compare::NotEqual),
        word().prop_map(Compare::Less),
        word().prop_map(Compare::LessOrEqual),
        word().prop_map(Compare::Greater),
        word().prop_map(Compare::GreaterOrEqual),
        (word(), word(), any::<bool>()).prop_map(|(mask, value, fit)| {
            Compare::MaskedEqual { mask, value: if fit { value & mask } else { value } }
        }),
    ]
}

/// Words that often meet: the halves come from a few values.
fn word() -> impl Strategy<Value = u64> {
    let half = || prop_oneof![0u32..3, Just(u32::MAX), Just(1 << 31), any::<u32>()];
    (half(), half()).prop_map(|(upper, lower)| u64::from(upper) << 32 | u64::from(lower))
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Log),
        (0u16..4096).prop_map(Action::Errno),
        Just(Action::Trap),
        any::<u16>().prop_map(Action::Trace),
        Just(Action::Notify),
        Just(Action::KillThread),
        Just(Action::KillProcess),
    ]
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..40, 2 => 0u32..500, 1 => 0u32..0x4000_0000]
}

/// Numbers of calls, and names that differ between architectures or are
/// reached by `socketcall` and `ipc`.
fn syscall() -> impl Strategy<Value = Syscall> {
    const NAMES: &[&str] = &[
        "read",
        "write",
        "ioctl",
        "socket",
        "socketcall",
        "sendmsg",
        "accept",
        "ipc",
        "shmget",
        "semop",
        "open",
        "chown32",
        "time",
        "waitid",
        "mseal",
        "cacheflush",
        "no_such_call",
    ];
    prop_oneof![
        2 => number().prop_map(Syscall::Number),
        1 => proptest::sample::select(NAMES).prop_map(Syscall::from),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let condition = (0u8..6, compare()).prop_map(|(argument, c)| Condition::new(argument, c));
    let conditions = proptest::collection::vec(condition, 0..4);
    (proptest::collection::vec(syscall(), 1..5), action(), conditions).prop_map(
        |(numbers, action, conditions)| {
            conditions.into_iter().fold(Rule::new(numbers, action), Rule::when)
        },
    )
}

fn architectures() -> impl Strategy<Value = Vec<Architecture>> {
    proptest::collection::vec(proptest::sample::select(Architecture::ALL), 0..6)
}

fn filter(rules: usize) -> impl Strategy<Value = Filter> {
    let quiet = || action().prop_filter("no default", |action| *action != Action::Notify);
    let rules = proptest::collection::vec(rule(), 0..rules);
    (quiet(), quiet(), rules, architectures(), any::<bool>(), any::<bool>()).prop_map(
        |(default, unlisted, rules, architectures, newer, broadest)| {
            let filter = Filter::new(default).unlisted(unlisted).skip_unknown(true);
            let filter = filter.architectures(architectures).newer_unknown(newer);
            let mut filter = rules.into_iter().fold(filter, Filter::rule);
            if broadest {
                filter.precedence = Precedence::Broadest;
            }
            filter
        },
    )
}

fn call(native: Target) -> impl Strategy<Value = Call> {
    let archs: Vec<u32> = [native.architecture]
        .iter()
        .chain(native.architecture.companions())
        .map(|architecture| target(*architecture).audit_arch)
        .collect();
    let arch = prop_oneof![20 => proptest::sample::select(archs), 1 => any::<u32>()];
    let number = prop_oneof![
        20 => number(),
        4 => number().prop_map(|number| number | X32_BIT),
        4 => proptest::sample::select(&[102u32, 117, 359, 370, X32_BIT | 514][..]),
        1 => any::<u32>()
    ];
    (number, arch, proptest::array::uniform6(word())).prop_map(|(number, arch, arguments)| Call {
        number,
        arch,
        arguments,
    })
}

fn same(filter: &Filter, calls: &[Call], native: Target) -> Result<(), TestCaseError> {
    let program = compile_for(filter, native).unwrap();
    let bounds = filter.rules.iter().flat_map(|rule| &rule.syscalls).flat_map(|syscall| {
        let number = match syscall {
            Syscall::Number(number) => *number,
            Syscall::Name(name) => table::number(native.architecture, name).unwrap_or(7),
        };
        [number.saturating_sub(1), number, number + 1]
    });
    let near = bounds.map(|number| Call { number, arch: native.audit_arch, ..calls[0] });
    for call in near.chain(calls.iter().copied()) {
        let found = run(&program, &call, native.little_endian).0;
        prop_assert_eq!(found, model(filter, &call, native), "{:?}\n{}", call, program);
    }
    Ok(())
}

proptest! {
    #[test]
    fn programs_mean_what_filters_say(
        filter in filter(12),
        calls in proptest::collection::vec(call(X86_64), 1..40),
    ) {
        same(&filter, &calls, X86_64)?;
    }

    #[test]
    fn big_endian_as_well(
        filter in filter(6),
        calls in proptest::collection::vec(call(S390X), 1..20),
    ) {
        same(&filter, &calls, S390X)?;
    }

    #[test]
    fn long_programs_with_far_jumps(
        filter in filter(60),
        calls in proptest::collection::vec(call(X86_64), 1..40),
    ) {
        same(&filter, &calls, X86_64)?;
    }

    #[test]
    fn arm_as_well(
        filter in filter(6),
        calls in proptest::collection::vec(call(AARCH64), 1..20),
    ) {
        same(&filter, &calls, AARCH64)?;
    }

    /// What is refused is refused with a typed error.
    #[test]
    fn nothing_panics(
        filter in filter(40),
        argument in any::<u8>(),
        errno in any::<u16>(),
        name in ".{0,8}",
        skip in any::<bool>(),
    ) {
        let odd = Rule::new([name.as_str()], Action::Errno(errno))
            .when(Condition::new(argument, Compare::Equal(1)));
        let filter = filter.rule(odd).skip_unknown(skip);
        if let Err(error) = compile_for(&filter, X86_64) {
            prop_assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::LimitReached));
        }
    }
}
