use proptest::prelude::*;

use crate::ErrorKind;

use super::compile::compile_for;
use super::interpreter::{Call, model, run};
use super::target::Target;
use super::*;

const X86_64: Target =
    Target { audit_arch: 0xc000_003e, foreign_from: Some(0x4000_0000), little_endian: true };
const S390X: Target = Target { audit_arch: 0x8000_0016, foreign_from: None, little_endian: false };

fn verdict(filter: &Filter, number: u32, arguments: [u64; 6]) -> u32 {
    let call = Call { number, arch: X86_64.audit_arch, arguments };
    run(&compile_for(filter, X86_64).unwrap(), &call, X86_64).0
}

#[test]
fn foreign_architectures_die_and_x32_is_absent() {
    let filter = Filter::new(Action::Allow);
    let program = compile_for(&filter, X86_64).unwrap();
    let call = |number, arch| Call { number, arch, arguments: [0; 6] };
    let answer = |number, arch| run(&program, &call(number, arch), X86_64).0;
    assert_eq!(answer(1, 0xc000_003e), Action::Allow.code());
    assert_eq!(answer(1, 0x4000_0003), Action::KillProcess.code());
    assert_eq!(answer(0x4000_0001, 0xc000_003e), Action::Errno(38).code());
    assert_eq!(answer(u32::MAX, 0xc000_003e), Action::Errno(38).code());
}

#[test]
fn upper_halves_count() {
    let high = 7 | 1 << 40;
    let filter = |compare| {
        Filter::new(Action::Trap)
            .rule(Rule::new([5], Action::Allow).when(Condition::new(1, compare)))
    };
    let allowed = |compare, value| {
        verdict(&filter(compare), 5, [0, value, 0, 0, 0, 0]) == Action::Allow.code()
    };
    assert!(allowed(Compare::Equal(high), high));
    assert!(!allowed(Compare::Equal(7), high));
    assert!(!allowed(Compare::Equal(high), 7));
    assert!(allowed(Compare::Greater(u64::from(u32::MAX)), 1 << 32));
    assert!(!allowed(Compare::Less(1 << 32), 1 << 32));
    assert!(allowed(Compare::MaskedEqual { mask: 0xffff_ffff, value: 7 }, high));
    assert!(!allowed(Compare::MaskedEqual { mask: 1, value: 2 }, 3));
}

#[test]
fn the_first_matching_rule_decides() {
    let filter = Filter::new(Action::KillProcess)
        .rule(Rule::new([9], Action::Errno(1)).when(Condition::equal32(0, 4)))
        .allow([9])
        .deny([9], 2);
    assert_eq!(verdict(&filter, 9, [4, 0, 0, 0, 0, 0]), Action::Errno(1).code());
    assert_eq!(verdict(&filter, 9, [5, 0, 0, 0, 0, 0]), Action::Allow.code());
    assert_eq!(verdict(&filter, 8, [4, 0, 0, 0, 0, 0]), Action::KillProcess.code());
}

#[test]
fn bad_filters_are_refused_by_name() {
    let allow = Filter::new(Action::Allow);
    let cases = [
        (allow.clone().deny(["mnt"], 1), "mnt"),
        (allow.clone().deny(["mount"], 4096), "errno(4096)"),
        (Filter::new(Action::Errno(5000)), "errno(5000)"),
        (allow.clone().deny([0x4000_0000], 1), "1073741824"),
        (
            allow
                .clone()
                .rule(Rule::new(["read"], Action::Trap).when(Condition::new(6, Compare::Equal(0)))),
            "argument 6",
        ),
    ];
    for (filter, object) in cases {
        let error = compile_for(&filter, X86_64).unwrap_err();
        assert_eq!((error.kind(), error.object()), (ErrorKind::InvalidInput, object));
    }
    assert!(compile_for(&allow.deny(["mnt"], 1).skip_unknown(true), X86_64).is_ok());
}

#[test]
fn too_many_instructions_are_refused() {
    let filter = |rules: u32| {
        (0..rules).fold(Filter::new(Action::Allow), |filter, i| {
            let condition = Condition::new(0, Compare::Equal(u64::from(i) << 20));
            filter.rule(Rule::new([i * 2], Action::Errno(1)).when(condition))
        })
    };
    let error = compile_for(&filter(1000), X86_64).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached);
    let program = compile_for(&filter(500), X86_64).unwrap();
    assert!(usize::from(program.len()) <= Program::MAX_INSTRUCTIONS);
}

#[test]
fn flags_and_listener() {
    let filter = Filter::new(Action::Allow).log(true).spec_allow(true);
    assert_eq!(compile_for(&filter, X86_64).unwrap().flags(), 6);
    let program = compile_for(&filter.rule(Rule::new([1], Action::Notify)).tsync(true), X86_64);
    let program = program.unwrap();
    assert!(program.needs_listener());
    assert_eq!(program.flags(), 6 | 1 | 16);
}

#[test]
fn the_listing_reads_well() {
    let filter = Filter::new(Action::Allow)
        .rule(Rule::new([165], Action::Errno(1)).when(Condition::equal32(3, 7)));
    let expected = "   0  A = architecture
   1  if A == 0xc000003e goto 3 else 2
   2  return kill_process
   3  A = number
   4  if A >= 0xa6 goto 9 else 5
   5  if A >= 0xa5 goto 6 else 10
   6  A = argument 3, lower half
   7  if A == 0x7 goto 8 else 10
   8  return errno(1)
   9  if A >= 0x40000000 goto 11 else 10
  10  return allow
  11  return errno(38)
";
    assert_eq!(compile_for(&filter, X86_64).unwrap().to_string(), expected);
}

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

fn rule() -> impl Strategy<Value = Rule> {
    let condition = (0u8..6, compare()).prop_map(|(argument, c)| Condition::new(argument, c));
    let conditions = proptest::collection::vec(condition, 0..4);
    (proptest::collection::vec(number(), 1..5), action(), conditions).prop_map(
        |(numbers, action, conditions)| {
            conditions.into_iter().fold(Rule::new(numbers, action), Rule::when)
        },
    )
}

fn filter(rules: usize) -> impl Strategy<Value = Filter> {
    (action(), proptest::collection::vec(rule(), 0..rules))
        .prop_map(|(default, rules)| rules.into_iter().fold(Filter::new(default), Filter::rule))
}

fn call(audit_arch: u32) -> impl Strategy<Value = Call> {
    let arch = prop_oneof![20 => Just(audit_arch), 1 => any::<u32>()];
    let number = prop_oneof![20 => number(), 1 => any::<u32>()];
    (number, arch, proptest::array::uniform6(word())).prop_map(|(number, arch, arguments)| Call {
        number,
        arch,
        arguments,
    })
}

fn same(filter: &Filter, calls: &[Call], target: Target) -> Result<(), TestCaseError> {
    let program = compile_for(filter, target).unwrap();
    let bounds = filter.rules.iter().flat_map(|rule| &rule.syscalls).flat_map(|syscall| {
        let Syscall::Number(number) = syscall else { unreachable!() };
        [number.saturating_sub(1), *number, number + 1]
    });
    let near = bounds.map(|number| Call { number, arch: target.audit_arch, ..calls[0] });
    for call in near.chain(calls.iter().copied()) {
        let found = run(&program, &call, target).0;
        prop_assert_eq!(found, model(filter, &call, target), "{:?}\n{}", call, program);
    }
    Ok(())
}

proptest! {
    #[test]
    fn programs_mean_what_filters_say(
        filter in filter(12),
        calls in proptest::collection::vec(call(X86_64.audit_arch), 1..40),
    ) {
        same(&filter, &calls, X86_64)?;
    }

    #[test]
    fn big_endian_as_well(
        filter in filter(6),
        calls in proptest::collection::vec(call(S390X.audit_arch), 1..20),
    ) {
        same(&filter, &calls, S390X)?;
    }

    #[test]
    fn long_programs_with_far_jumps(
        filter in filter(60),
        calls in proptest::collection::vec(call(X86_64.audit_arch), 1..40),
    ) {
        same(&filter, &calls, X86_64)?;
    }
}
