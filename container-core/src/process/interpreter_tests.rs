//! Broken plans: the init refuses them whole, and judges as the library does.
//!
//! Valid plans are mutated and sent to the real init, in namespaces of its
//! own. Their first operation makes a file, the marker: where it is not there,
//! nothing was done.

mod harness;
mod mutation;

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::{ProcessBuilder, Stdio};
use crate::plan::wire::{self, Bytes, Header, Op, Refusal, Span, code, record};
use crate::scheduling::{
    CpuAffinity, IoClass, IoPriority, MemoryMode, MemoryPolicy, Personality, Policy, Scheduler,
};
use crate::seccomp::{Action, Filter, Rule};
use crate::{Capabilities, Device, Mount, NamespaceKind, Namespaces};
use harness::{Outcome, launch, run};
use mutation::{edges, mutate, mutation, put, with_marker, words};

const HEADER: usize = size_of::<Header>();
const OP: usize = size_of::<Op>();
/// The exit status of an init that did not reach the payload.
const EXIT_SETUP: i32 = 125;

/// Valid plans: small, with every kind of setting, and with mounts.
fn plans() -> Vec<Vec<u8>> {
    let small = || ProcessBuilder::new("/bin/true").stdin(Stdio::Null);
    let settings = small()
        .args(["one", "two"])
        .env("A", "b")
        .stdout(Stdio::Null)
        .current_dir("/")
        .new_session(true)
        .no_new_privileges(true)
        .capabilities(Capabilities::none());
    let filtered = small()
        .no_new_privileges(true)
        .seccomp(Filter::container_default().compile().unwrap())
        .init(true);
    let attributes = small()
        .scheduler(Scheduler::new(Policy::Batch).nice(19))
        .io_priority(IoPriority::new(IoClass::BestEffort, 7).unwrap())
        .memory_policy(MemoryPolicy::new(MemoryMode::Local))
        .personality(Personality::Linux)
        .cpu_affinity(CpuAffinity::none().after("0-8191".parse().unwrap()))
        .session_keyring("fuzz")
        .oom_score_adj_if_permitted(1000)
        .wait_on_socket(std::fs::File::open("/dev/null").unwrap());
    let notifies = Filter::new(Action::Allow).rule(Rule::new(["acct"], Action::Notify));
    let notified = small().no_new_privileges(true).seccomp(notifies.compile().unwrap());
    let isolated = Namespaces::isolated().with(NamespaceKind::Time);
    let mounted = small()
        .namespaces(isolated)
        .hostname("never")
        .rootfs("/")
        .mount(Mount::proc("/proc"))
        .mount(Mount::dev("/dev"))
        .mount(Mount::tmpfs("/run").copy_up())
        .device(Device::character("/dev/fuse", 10, 229))
        .default_devices(true)
        .sysctl("kernel.domainname", "never")
        .masked_paths(["/proc/kcore"])
        .read_only_paths(["/proc/sys"]);
    let waiting = small().wait_for_start();
    let state = crate::supervisor::Supervision::new("/nowhere");
    let log = crate::supervisor::Log::cri("log").rotate(1 << 20, 3);
    let supervised = small().namespaces(Namespaces::isolated()).supervised(state.log(log));
    let builders =
        [small(), settings, waiting, filtered, notified, mounted, attributes, supervised];
    builders.iter().map(|builder| builder.plan().unwrap().bytes).collect()
}

/// What must come of a plan in a launch message with `slots` descriptors.
fn verdict(plan: &[u8], slots: usize) -> Result<Header, (Refusal, u32)> {
    let header = wire::validate(plan)?.header;
    if header.inherited as usize == slots { Ok(header) } else { Err((Refusal::Slots, 0)) }
}

/// Whether a plan that is valid may be run for real: the marker first, then
/// nothing that could reach beyond the process.
fn harmless(plan: &[u8], header: &Header, marker: &Path) -> bool {
    let text = |span: Span| &plan[span.at as usize..(span.at + span.len) as usize];
    let expected = marker.as_os_str().as_encoded_bytes();
    (0..header.ops as usize).all(|index| {
        let op = wire::op_at(plan, index).unwrap();
        match op.code {
            code::OPEN_PATH => {
                index == 0
                    && text(op.s) == expected
                    && op.x == (libc::O_CREAT | libc::O_WRONLY) as u64
            }
            code::EXEC => {
                let entry = wire::list_entry(plan, op.s.at as usize, 0).unwrap() as usize;
                op.s.len == 1 && plan[entry..].starts_with(b"/bin/true\0")
            }
            code::WAIT_HOST | code::REPORT | code::RESET_SIGNALS | code::UMASK => index > 0,
            code::SETSID | code::NO_NEW_PRIVS | code::CLOSE | code::CLOSE_FROM => index > 0,
            code::DUMPABLE | code::CHDIR | code::KEEP_CAPS | code::CAP_BOUNDING => index > 0,
            code::CAP_SET | code::CAP_AMBIENT | code::SET_GROUPS => index > 0,
            code::CHECK_EXEC | code::IO_PRIORITY | code::AFFINITY => index > 0,
            code::MEMORY_POLICY | code::PERSONALITY | code::KEYRING => index > 0,
            // Not over a number that the control socket may have.
            code::DUP => index > 0 && op.b < 3,
            _ => false,
        }
    })
}

/// Descriptors for the slots.
fn slots(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect()
}

fn inherited(plan: &[u8]) -> usize {
    words(&plan[..HEADER])[5] as usize
}

/// A mutant against the real init: refused before anything, for the reason
/// that the library gives, or valid and carried out.
fn check_mutant(plan: &[u8], count: usize, marker: &Path) -> Result<bool, TestCaseError> {
    let expected = verdict(plan, count);
    if let Ok(header) = &expected
        && !harmless(plan, header, marker)
    {
        return Ok(false);
    }
    let slots = slots(count);
    let numbers: Vec<RawFd> = slots.iter().map(AsRawFd::as_raw_fd).collect();
    let outcome = run(&launch(&numbers, plan), &numbers)?;
    let made = std::fs::remove_file(marker).is_ok();
    match expected {
        Err((refusal, op)) => {
            let record = (record::REFUSED, op, refusal as i32);
            prop_assert_eq!(outcome, Outcome { records: vec![record], exit: EXIT_SETUP });
            prop_assert!(!made, "refused, but the first operation was done");
        }
        Ok(_) => {
            prop_assert!(made, "valid, but the first operation was not done: {outcome:?}");
            let refused = outcome.records.iter().any(|(kind, ..)| *kind == record::REFUSED);
            prop_assert!(!refused, "valid, but refused: {outcome:?}");
            prop_assert!([0, EXIT_SETUP].contains(&outcome.exit), "{outcome:?}");
        }
    }
    Ok(true)
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn the_init_refuses_broken_plans_whole() {
    let dir = testkit::TempDir::new();
    let marker = dir.join("marker");
    let plans: Vec<_> = plans().iter().map(|plan| with_marker(plan, &marker)).collect();
    let strategy = (any::<Index>(), proptest::collection::vec(mutation(), 1..4));
    let run = std::cell::Cell::new((0, 0));
    let result = runner(1000).run(&strategy, |(which, mutations)| {
        let mut plan = which.get(&plans).clone();
        let count = inherited(&plan);
        mutations.iter().for_each(|mutation| mutate(&mut plan, mutation));
        let (ran, skipped) = run.get();
        let did = check_mutant(&plan, count, &marker)?;
        run.set(if did { (ran + 1, skipped) } else { (ran, skipped + 1) });
        Ok(())
    });
    result.unwrap();
    let (ran, skipped) = run.get();
    println!("{ran} mutants run, {skipped} valid ones not harmless enough to run");
    assert!(ran > 600, "{ran} ran, {skipped} were skipped");
}

/// The unbroken plans, so that the marker and the harness mean something.
#[test]
fn the_init_carries_valid_plans_out() {
    let dir = testkit::TempDir::new();
    let marker = dir.join("marker");
    for (index, plan) in plans().iter().take(2).enumerate() {
        let plan = with_marker(plan, &marker);
        let slots = slots(inherited(&plan));
        let numbers: Vec<RawFd> = slots.iter().map(AsRawFd::as_raw_fd).collect();
        let outcome = run(&launch(&numbers, &plan), &numbers).unwrap();
        assert_eq!(outcome, Outcome { records: vec![], exit: 0 }, "plan {index}");
        std::fs::remove_file(&marker).expect("the first operation was done");
    }
}

/// Bytes that came with the plan are go-aheads only if they say so.
#[test]
fn a_waiting_init_goes_on_for_the_right_byte_only() {
    let plan = plans().swap_remove(2);
    let reached =
        |outcome: &Outcome| outcome.records.iter().filter(|r| r.0 == record::REACHED).count();
    for (bytes, exit) in
        [(&[][..], EXIT_SETUP), (&[0], EXIT_SETUP), (&[7, 1], EXIT_SETUP), (&[1], 0)]
    {
        let slots = slots(inherited(&plan));
        let numbers: Vec<RawFd> = slots.iter().map(AsRawFd::as_raw_fd).collect();
        let outcome = run(&[&launch(&numbers, &plan), bytes].concat(), &numbers).unwrap();
        assert_eq!((reached(&outcome), outcome.exit), (1, exit), "after {bytes:?}: {outcome:?}");
    }
}

#[test]
fn launch_messages_that_are_none_are_refused() {
    let dir = testkit::TempDir::new();
    let marker = dir.join("marker");
    let plan = with_marker(&plans()[0], &marker);
    let good = launch(&[1; 1], &plan);
    assert_eq!(inherited(&plan), 1);
    let with = |at: usize, word: u32| {
        let mut message = good.clone();
        put(&mut message, at, word);
        message
    };
    let size = Refusal::Size;
    let cases = [
        (Vec::new(), size),
        (good[..15].to_vec(), size),
        (good[..16].to_vec(), size),
        (good[..good.len() - 1].to_vec(), size),
        (with(0, 7), Refusal::Magic),
        (with(12, 1), Refusal::Magic),
        (with(4, 257), size),
        (with(4, u32::MAX), size),
        (with(8, wire::MAX_PLAN as u32), size),
        (with(8, wire::MAX_PLAN as u32 + 1), size),
        (with(8, u32::MAX), size),
        (with(8, 0), size),
        (with(8, plan.len() as u32 - 1), size),
        (with(4, 0), Refusal::Magic),
        (with(16, u32::MAX), Refusal::Slots),
    ];
    for (message, refusal) in cases {
        let outcome = run(&message, &[]).unwrap();
        let record = (record::REFUSED, 0, refusal as i32);
        let shown = message.iter().take(24).collect::<Vec<_>>();
        assert_eq!(outcome, Outcome { records: vec![record], exit: EXIT_SETUP }, "{shown:?}");
        assert!(!marker.exists());
    }
}

/// More than the init's own buffer holds, and more than the socket's.
#[test]
fn a_large_plan_arrives_whole() {
    let builder = ProcessBuilder::new("/bin/true").env("LARGE", "x".repeat(100_000));
    let builder =
        (0..60).fold(builder, |builder, n| builder.env(format!("V{n}"), "y".repeat(10_000)));
    let plan = builder.plan().unwrap().bytes;
    assert!(plan.len() > 600_000);
    assert_eq!(run(&launch(&[], &plan), &[]).unwrap(), Outcome { records: vec![], exit: 0 });
    let mut broken = plan;
    let last = broken.len() - 1;
    broken[last] = b'x';
    let refused = (record::REFUSED, 0, Refusal::Regions as i32);
    let outcome = run(&launch(&[], &broken), &[]).unwrap();
    assert_eq!(outcome, Outcome { records: vec![refused], exit: EXIT_SETUP });
}

/// What [`wire::validate`] promises the interpreter, checked in other words.
fn check_promises(plan: &[u8]) -> Result<bool, TestCaseError> {
    let Ok(checked) = wire::validate(plan) else { return Ok(false) };
    let header = checked.header;
    let (blob, end) = (header.blob_at as usize, plan.len());
    let ends = |at: usize| plan[at..].contains(&0);
    for index in 0..header.ops as usize {
        let op = wire::op_at(plan, index).unwrap();
        let shape = wire::shape(op.code).expect("a known code");
        prop_assert_eq!(op.code == code::EXEC, index + 1 == header.ops as usize);
        let mut spans = vec![(shape.s, op.s), (shape.t, op.t)];
        if op.code == code::EXEC {
            spans.push((Bytes::List, Span { at: op.x as u32, len: (op.x >> 32) as u32 }));
        }
        for (kind, span) in spans {
            let (at, len) = (span.at as usize, span.len as usize);
            match kind {
                Bytes::Zero => prop_assert_eq!(span, Span::default()),
                Bytes::Text => {
                    prop_assert!(at >= blob && at + len < end);
                    prop_assert!(!plan[at..at + len].contains(&0) && plan[at + len] == 0);
                }
                Bytes::Raw { .. } => prop_assert!(len == 0 || (at >= blob && at + len <= end)),
                Bytes::List | Bytes::SomeList => {
                    prop_assert!(at >= header.lists_at as usize && at + (len + 1) * 8 <= blob);
                    for entry in 0..len {
                        let entry = wire::list_entry(plan, at, entry).unwrap() as usize;
                        prop_assert!(entry >= blob && entry < end && ends(entry));
                    }
                    prop_assert_eq!(wire::list_entry(plan, at, len), Some(0));
                }
            }
        }
    }
    Ok(true)
}

#[test]
fn mutated_plans_are_judged_without_panic_and_kept_promises() {
    let plans = plans();
    let strategy = (any::<Index>(), proptest::collection::vec(mutation(), 1..6));
    let accepted = std::cell::Cell::new(0);
    let result = runner(6000).run(&strategy, |(which, mutations)| {
        let mut plan = which.get(&plans).clone();
        mutations.iter().for_each(|mutation| mutate(&mut plan, mutation));
        accepted.set(accepted.get() + u32::from(check_promises(&plan)?));
        Ok(())
    });
    result.unwrap();
    println!("{} of 6000 mutants are valid", accepted.get());
    assert!(accepted.get() > 100, "too few to mean something: {}", accepted.get());
    for plan in plans {
        assert!(check_promises(&plan).unwrap(), "what the compiler makes is accepted");
    }
}

#[test]
fn random_bytes_are_judged_without_panic() {
    let noise = proptest::collection::vec(any::<u8>(), 0..600);
    let ops = proptest::collection::vec(edges(), 0..80);
    runner(4000)
        .run(&(noise, ops), |(noise, ops)| {
            check_promises(&noise)?;
            // Behind a header that is right, so that the rest is looked at.
            let count = ops.len() / 12;
            let lists_at = HEADER + count * OP;
            let total = lists_at + noise.len() + 1;
            let header = [
                wire::MAGIC,
                total as u32,
                count as u32,
                lists_at as u32,
                lists_at as u32,
                3,
                9,
                0,
                0,
                0,
            ];
            let all = header.iter().chain(&ops[..count * 12]);
            let mut plan: Vec<u8> = all.flat_map(|word| word.to_le_bytes()).collect();
            plan.extend(&noise);
            plan.push(0);
            check_promises(&plan)?;
            Ok(())
        })
        .unwrap();
}

/// Lists that share entries would be turned into pointers twice.
#[test]
fn lists_across_each_other_are_refused() {
    let plan = plans().swap_remove(1);
    let ops = words(&plan[..HEADER])[2] as usize;
    let exec = wire::op_at(&plan, ops - 1).unwrap();
    let mut shared = plan.clone();
    put(&mut shared, HEADER + (ops - 1) * OP + 8 * 4, exec.t.at);
    put(&mut shared, HEADER + (ops - 1) * OP + 9 * 4, exec.t.len);
    let last = (Refusal::List, ops as u32 - 1);
    assert_eq!(wire::validate(&shared).unwrap_err(), last);
    assert!(wire::validate(&plan).is_ok());
}
