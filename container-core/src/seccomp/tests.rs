use crate::ErrorKind;

use super::compile::compile_for;
use super::decide::{Call, run};
use super::target::Target;
use super::*;

const fn target(architecture: Architecture) -> Target {
    Target::of(architecture).unwrap()
}

const X86_64: Target = target(Architecture::X86_64);

mod meaning;

fn verdict(filter: &Filter, number: u32, arguments: [u64; 6]) -> u32 {
    let call = Call { number, arch: X86_64.audit_arch, arguments };
    run(&compile_for(filter, X86_64).unwrap(), &call, true).0
}

#[test]
fn unlisted_architectures_die() {
    let filter = Filter::new(Action::Allow);
    let program = compile_for(&filter, X86_64).unwrap();
    let call = |number, arch| Call { number, arch, arguments: [0; 6] };
    let answer = |number, arch| run(&program, &call(number, arch), true).0;
    assert_eq!(answer(1, 0xc000_003e), Action::Allow.code());
    assert_eq!(answer(1, 0x4000_0003), Action::KillProcess.code());
    assert_eq!(answer(0x3fff_ffff, 0xc000_003e), Action::Allow.code());
    assert_eq!(answer(0x4000_0001, 0xc000_003e), Action::KillProcess.code());
    assert_eq!(answer(u32::MAX, 0xc000_003e), Action::KillProcess.code());
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
   1  if A == 0xc000003e goto 2 else 4
   2  A = number
   3  if A >= 0x40000000 goto 4 else 5
   4  return kill_process
   5  if A >= 0xa5 goto 6 else 9
   6  if A >= 0xa6 goto 9 else 7
   7  A = argument 3, lower half
   8  if A == 0x7 goto 10 else 9
   9  return allow
  10  return errno(1)
";
    assert_eq!(compile_for(&filter, X86_64).unwrap().to_string(), expected);
}
