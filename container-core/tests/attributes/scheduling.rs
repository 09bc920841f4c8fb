//! sched_setattr(2) and ioprio_set(2), asked for by their counterparts.
#![allow(unsafe_code)]

use container_core::scheduling::{IoClass, IoPriority, Policy, Scheduler, SchedulerFlag};
use container_core::{ErrorKind, ProcessBuilder};
use syscalls::{Sysno, syscall};

use crate::support::{assert_denied, printed, sleeper};

/// Policy, flags, nice value, priority, runtime, deadline, period.
fn attributes(pid: u32) -> (u32, u64, i32, u32, [u64; 3]) {
    let mut bytes = [0u8; 56];
    // SAFETY: the kernel writes at most the 56 bytes that it is told of.
    unsafe { syscall!(Sysno::sched_getattr, pid, bytes.as_mut_ptr(), 56, 0) }.unwrap();
    let four = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let eight = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    (four(4), eight(8), four(16) as i32, four(20), [eight(24), eight(32), eight(40)])
}

fn io_priority(pid: u32) -> usize {
    // SAFETY: numbers only.
    unsafe { syscall!(Sysno::ioprio_get, 1, pid) }.unwrap()
}

#[test]
fn fair_policies_have_their_nice_value() {
    for (scheduler, policy, nice) in [
        (Scheduler::new(Policy::Other).nice(7), 0, 7),
        (Scheduler::new(Policy::Batch).nice(19), 3, 19),
        (Scheduler::new(Policy::Idle), 5, 0),
    ] {
        let process = sleeper(|builder| builder.scheduler(scheduler)).unwrap();
        let found = attributes(process.id());
        assert_eq!((found.0, found.2), (policy, nice), "{scheduler}");
    }
}

#[test]
fn children_start_anew_where_asked_for() {
    let reset = Scheduler::new(Policy::Batch).flag(SchedulerFlag::ResetOnFork);
    let process = sleeper(|builder| builder.scheduler(reset)).unwrap();
    assert_eq!(attributes(process.id()).1, 1);
    if !testkit::require_root() {
        return;
    }
    // Field 41 is the policy (proc(5)); the shell forks.
    let script = "cut -d' ' -f41 /proc/self/stat; exit 0";
    let shell = ProcessBuilder::new("/bin/sh").args(["-c", script]);
    let fifo = Scheduler::new(Policy::Fifo).priority(1);
    let anew = fifo.flag(SchedulerFlag::ResetOnFork);
    assert_eq!(printed(shell.clone().scheduler(anew)), "0\n");
    assert_eq!(printed(shell.scheduler(fifo)), "1\n");
}

#[test]
fn real_time_takes_a_privilege() {
    let fifo = Scheduler::new(Policy::Fifo).priority(10);
    let round_robin = Scheduler::new(Policy::RoundRobin).priority(99);
    if testkit::is_root() {
        for (scheduler, policy, priority) in [(fifo, 1, 10), (round_robin, 2, 99)] {
            let process = sleeper(|builder| builder.scheduler(scheduler)).unwrap();
            let found = attributes(process.id());
            assert_eq!((found.0, found.3), (policy, priority));
        }
        // The init stays under it as well as the program.
        let with_init = ProcessBuilder::new("cut")
            .args(["-d", " ", "-f40,41", "/proc/self/stat"])
            .init(true)
            .scheduler(fifo);
        assert_eq!(printed(with_init), "10 1\n");
        let user: container_core::UserSpec = "1000:1000".parse().unwrap();
        let process = sleeper(|builder| builder.user(user).scheduler(fifo)).unwrap();
        assert_eq!(attributes(process.id()).0, 1, "set while it may be");
    } else {
        for scheduler in [fifo, round_robin, Scheduler::new(Policy::Other).nice(-5)] {
            let error = sleeper(|builder| builder.scheduler(scheduler)).unwrap_err();
            assert_denied(&error, "sched_setattr");
        }
    }
}

#[test]
fn a_deadline_is_kept_or_refused_with_words() {
    let scheduler = Scheduler::new(Policy::Deadline)
        .deadline(1_000_000, 10_000_000, 20_000_000)
        .flag(SchedulerFlag::Reclaim);
    match sleeper(|builder| builder.scheduler(scheduler)) {
        Ok(process) => {
            let found = attributes(process.id());
            assert_eq!((found.0, found.4), (6, [1_000_000, 10_000_000, 20_000_000]));
            assert_eq!(found.1 & 2, 2, "flags {:#x}", found.1);
        }
        // A caller in a cpuset, or without the privilege.
        Err(error) => assert_denied(&error, "sched_setattr"),
    }
    let with_init = ProcessBuilder::new("/bin/true").init(true).scheduler(scheduler);
    let error = with_init.plan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn contradictions_are_refused_before_anything() {
    let wrong = Scheduler::new(Policy::Deadline).nice(1);
    let error = ProcessBuilder::new("/bin/true").scheduler(wrong).plan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn io_priorities_are_the_process_s() {
    let new = |class, level| IoPriority::new(class, level).unwrap();
    for (priority, found) in
        [(new(IoClass::BestEffort, 6), 2 << 13 | 6), (new(IoClass::Idle, 0), 3 << 13)]
    {
        let process = sleeper(|builder| builder.io_priority(priority)).unwrap();
        assert_eq!(io_priority(process.id()), found, "{priority}");
    }
    let real_time = new(IoClass::RealTime, 0);
    match sleeper(|builder| builder.io_priority(real_time)) {
        Ok(process) => assert_eq!(io_priority(process.id()), 1 << 13),
        Err(error) => {
            assert!(!testkit::is_root(), "{error}");
            assert_denied(&error, "ioprio_set");
        }
    }
}

#[test]
fn who_asks_for_nothing_gets_no_step() {
    let plan = container_core::Container::builder("/").command("/bin/true").plan().unwrap();
    let text = plan.to_string();
    for call in [
        "sched_",
        "ioprio_set",
        "set_mempolicy",
        "personality",
        "keyctl",
        "accept4",
        "check program",
        "attr",
        "oom",
    ] {
        assert!(!text.contains(&format!("  {call}")), "{call}: {text}");
    }
}
