use proptest::prelude::*;

use super::*;
use crate::cgroup::devices::DeviceAccess;
use crate::cgroup::devices::lists::Lists;

/// A machine for the instructions used, with the checks of the kernel's verifier that matter.
fn run(program: &[Instruction], kind: i32, access: u8, major: u32, minor: u32) -> bool {
    let context = [(u32::from(access) << 16) | kind as u32, major, minor];
    let mut registers = [None::<u64>; 11];
    let mut at = 0;
    loop {
        let Instruction { opcode, registers: pair, offset, immediate } = program[at];
        let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
        let value = immediate as i64 as u64;
        at += 1;
        match opcode {
            LOAD_WORD => {
                assert_eq!((from, offset % 4), (1, 0));
                registers[to] = Some(u64::from(context[offset as usize / 4]));
            }
            MOVE => registers[to] = Some(value),
            COPY => registers[to] = Some(registers[from].unwrap()),
            AND => registers[to] = Some(registers[to].unwrap() & value),
            SHIFT_RIGHT => registers[to] = Some(registers[to].unwrap() >> value),
            JUMP_EQUAL | JUMP_NOT_EQUAL => {
                let equal = registers[to].unwrap() == value;
                assert!(offset >= 0, "a loop");
                at += if equal == (opcode == JUMP_EQUAL) { offset as usize } else { 0 };
            }
            EXIT => return registers[0].unwrap() == 1,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

/// The rule book: each bit of the access is decided by the last rule about it.
fn decide(rules: &[DeviceRule], block: bool, access: u8, major: u32, minor: u32) -> bool {
    let about = |rule: &DeviceRule| {
        let class = if block { DeviceClass::Block } else { DeviceClass::Character };
        [class, DeviceClass::All].contains(&rule.class)
            && rule.major.is_none_or(|number| number == major)
            && rule.minor.is_none_or(|number| number == minor)
    };
    [1_u8, 2, 4].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        let last = rules.iter().rev().find(|rule| about(rule) && rule.access.bits() & bit != 0);
        last.is_some_and(|rule| rule.allow)
    })
}

fn any_rule() -> impl Strategy<Value = DeviceRule> {
    let number = || proptest::option::of(0_u32..3);
    (any::<bool>(), 0_u8..8, number(), number(), 1_u8..8).prop_map(
        |(allow, class, major, minor, bits)| {
            let access = [DeviceAccess::MKNOD, DeviceAccess::READ, DeviceAccess::WRITE]
                .into_iter()
                .filter(|one| one.bits() & bits != 0)
                .fold(DeviceAccess::default(), DeviceAccess::or);
            let class = match class {
                0 if allow => return DeviceRule::allow_all(),
                0 => return DeviceRule::deny_all(),
                1 => DeviceClass::All,
                2..5 => DeviceClass::Block,
                _ => DeviceClass::Character,
            };
            DeviceRule { allow, class, major, minor, access }
        },
    )
}

fn any_rules() -> impl Strategy<Value = Vec<DeviceRule>> {
    proptest::collection::vec(any_rule(), 0..10)
}

fn any_request() -> impl Strategy<Value = (bool, u8, u32, u32)> {
    (any::<bool>(), 1_u8..8, 0_u32..4, 0_u32..4)
}

proptest! {
    #[test]
    fn the_program_decides_as_the_rules_say(
        rules in any_rules(),
        requests in proptest::collection::vec(any_request(), 1..20),
    ) {
        let program = compile(&rules);
        for (block, access, major, minor) in requests {
            let number = if block { BLOCK } else { CHAR };
            prop_assert_eq!(
                run(&program, number, access, major, minor),
                decide(&rules, block, access, major, minor)
            );
        }
    }

    /// One access at a time, which is where the kernel's lists are the rules' equal; of several
    /// at once they may allow less.
    #[test]
    fn the_lists_decide_as_the_rules_say(
        rules in any_rules(),
        (block, access, major, minor) in any_request(),
    ) {
        if let Ok(lists) = Lists::of(&rules) {
            let wanted = decide(&rules, block, access, major, minor);
            let given = lists.decide(block, access, major, minor);
            prop_assert!(wanted || !given, "{:?}", lists);
            prop_assert!(wanted == given || access.count_ones() > 1, "{:?}", lists);
        }
    }

    #[test]
    fn the_steps_between_lists_arrive(before in any_rules(), after in any_rules()) {
        if let (Ok(before), Ok(after)) = (Lists::of(&before), Lists::of(&after)) {
            let mut lists = before.clone();
            for (file, value) in before.steps_to(&after) {
                lists.written(file, &value);
            }
            prop_assert!(lists.same_as(&after), "{:?} is not {:?}", lists, after);
        }
    }
}

#[test]
fn a_container_gets_its_devices_and_no_disk() {
    let mut rules = vec![DeviceRule::deny_all()];
    rules.extend(DeviceRule::runtime_defaults());
    let program = compile(&rules);
    assert!(run(&program, CHAR, 6, 1, 3));
    assert!(run(&program, CHAR, 7, 136, 9));
    assert!(run(&program, BLOCK, 1, 8, 0));
    assert!(!run(&program, BLOCK, 2, 8, 0));
    assert!(!run(&program, CHAR, 2, 1, 1));
}
