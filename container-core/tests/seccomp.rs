//! Compiled filters in the kernel: each test forks a child that installs one.
//!
//! Needs no privilege, as `no_new_privs` is set first.
#![allow(unsafe_code, reason = "a filter is installed between fork and exec by raw system calls")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

use container_core::seccomp::{Action, Architecture, Compare, Condition, Filter, Program, Rule};

#[repr(C)]
struct SockFprog {
    len: u16,
    filter: *const u8,
}

/// Installs the program in the calling process, with system calls only.
fn install(program: &Program) -> io::Result<()> {
    let fprog = SockFprog { len: program.len(), filter: program.as_bytes().as_ptr() };
    // SAFETY: both calls take plain numbers or a pointer to a program that
    // outlives them.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::syscall(libc::SYS_seccomp, 1, program.flags(), &raw const fprog) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Forks, installs the filter, calls `check` and ends with its answer as code.
fn under(filter: Filter, check: fn() -> i32) -> ExitStatus {
    let program = filter.compile().unwrap();
    let mut command = Command::new("/bin/true");
    let child = move || {
        install(&program)?;
        // SAFETY: `_exit` ends the child without running anything else.
        unsafe { libc::_exit(check()) }
    };
    // SAFETY: between fork and exit the child makes system calls only.
    unsafe { command.pre_exec(child) };
    command.status().unwrap()
}

/// The errno of a system call, 0 if it succeeds.
fn errno(number: libc::c_long, arguments: [u64; 3]) -> i32 {
    let [a, b, c] = arguments;
    // SAFETY: the tests pass numbers, or null pointers that are never reached.
    match unsafe { libc::syscall(number, a, b, c) } {
        -1 => io::Error::last_os_error().raw_os_error().unwrap_or(-1),
        _ => 0,
    }
}

fn shell(script: &str) -> (bool, String) {
    let program = Filter::container_default().compile().unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env("LC_ALL", "C");
    // SAFETY: between fork and exec the child makes system calls only.
    unsafe { command.pre_exec(move || install(&program)) };
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn ordinary_programs_run_under_the_default_profile() {
    let (success, output) = shell(
        "ls / >/dev/null && (sleep 0.01 & wait) && echo a | cat && grep Seccomp: /proc/self/status",
    );
    assert!(success, "{output}");
    assert_eq!(output, "a\nSeccomp:\t2\n");
}

#[test]
fn the_default_profile_refuses_namespaces_to_programs() {
    let (success, output) = shell("unshare --user true");
    assert!(!success && output.contains("Operation not permitted"), "{output}");
}

/// Runs one test of this file once more, under the default profile.
fn again(test: &str) {
    let program = Filter::container_default().compile().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]).env(AGAIN, "1");
    // SAFETY: between fork and exec the child makes system calls only.
    unsafe { command.pre_exec(move || install(&program)) };
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

const AGAIN: &str = "TEST_UNDER_FILTER";

#[test]
fn threads_start_without_clone3() {
    if std::env::var_os(AGAIN).is_none() {
        return again("threads_start_without_clone3");
    }
    assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
}

#[test]
fn probe_sees_the_filter_around_it() {
    if std::env::var_os(AGAIN).is_none() {
        return again("probe_sees_the_filter_around_it");
    }
    let probe = container_core::probe::probe();
    for name in ["user namespace", "clone3"] {
        let facility = probe.get(name).unwrap();
        assert!(!facility.available && facility.detail.contains("seccomp"), "{facility:?}");
    }
    assert!(probe.get("openat2").unwrap().available);
}

#[test]
fn default_profile_answers() {
    let status = under(Filter::container_default(), || {
        let expected = [
            (libc::SYS_mount, [0; 3], libc::EPERM),
            (libc::SYS_fsopen, [0; 3], libc::EPERM),
            (libc::SYS_bpf, [0; 3], libc::EPERM),
            (libc::SYS_keyctl, [0; 3], libc::EPERM),
            (libc::SYS_io_uring_setup, [0; 3], libc::EPERM),
            (libc::SYS_clone3, [0; 3], libc::ENOSYS),
            (libc::SYS_unshare, [libc::CLONE_NEWUSER as u64, 0, 0], libc::EPERM),
            (libc::SYS_socket, [1 << 32 | 40, 1, 0], libc::EAFNOSUPPORT),
            (libc::SYS_socket, [1, 1, 0], 0),
            (libc::SYS_ioctl, [0, 1 << 32 | 0x5412, 0], libc::EPERM),
            (1_000, [0; 3], libc::ENOSYS),
            (libc::SYS_getppid, [0; 3], 0),
        ];
        let wrong = expected.iter().position(|(call, args, answer)| errno(*call, *args) != *answer);
        wrong.map_or(0, |at| at as i32 + 1)
    });
    assert_eq!(status.code(), Some(0), "the check of this number (from 1) failed");
}

#[test]
fn arguments_are_compared_over_64_bits() {
    let far = 1u64 << 33 | 5;
    // `getppid` ignores its arguments, so each may hold anything.
    let filter = Filter::new(Action::Allow)
        .rule(
            Rule::new(["getppid"], Action::Errno(101)).when(Condition::new(0, Compare::Equal(far))),
        )
        .rule(
            Rule::new(["getppid"], Action::Errno(102))
                .when(Condition::new(1, Compare::Greater(far))),
        )
        .rule(Rule::new(["getppid"], Action::Errno(103)).when(Condition::equal32(2, 7)));
    let status = under(filter, || {
        let far = 1u64 << 33 | 5;
        let expected = [
            ([far, 0, 0], 101),
            ([5, 0, 0], 0),
            ([0, far, 0], 0),
            ([0, far + 1, 0], 102),
            ([0, 1 << 34, 0], 102),
            ([0, 6, 0], 0),
            ([0, 0, 1 << 63 | 7], 103),
        ];
        let wrong =
            expected.iter().position(|(args, answer)| errno(libc::SYS_getppid, *args) != *answer);
        wrong.map_or(0, |at| at as i32 + 1)
    });
    assert_eq!(status.code(), Some(0), "the check of this number (from 1) failed");
}

#[test]
fn kill_ends_the_process() {
    let filter = Filter::new(Action::Allow).rule(Rule::new(["getppid"], Action::KillProcess));
    let status = under(filter, || errno(libc::SYS_getppid, [0; 3]));
    assert_eq!(status.signal(), Some(libc::SIGSYS));
}

/// A call by `int 0x80`, as 32-bit programs make it; the negative errno if it
/// fails.
#[cfg(target_arch = "x86_64")]
fn call32(number: u32, first: u32) -> i32 {
    let mut answer = number;
    // SAFETY: the tests make calls without pointers; rbx, which the compiler
    // keeps, is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) u64::from(first) => _,
            inout("eax") answer,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    answer as i32
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_of_unlisted_architectures_kill() {
    let status = under(Filter::new(Action::Allow), || errno(0x4000_0000 | 39, [0; 3]));
    assert_eq!(status.signal(), Some(libc::SIGSYS));
    // 20 is getpid for 32-bit programs.
    let status = under(Filter::new(Action::Allow), || i32::from(call32(20, 0) > 0));
    assert_eq!(status.signal(), Some(libc::SIGSYS));
    let polite = Filter::new(Action::Allow).unlisted(Action::Errno(77));
    let status = under(polite, || -call32(20, 0));
    assert_eq!(status.code(), Some(77));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_of_32_bits_get_the_same_rules() {
    let filter = Filter::new(Action::Allow)
        .architectures([Architecture::X86, Architecture::X32])
        .deny(["getppid"], 101)
        .rule(
            Rule::new(["getpgid"], Action::Errno(102))
                .when(Condition::new(0, Compare::Equal(1 << 40 | 5))),
        )
        // By `socketcall`, 102, with 1 for `socket`.
        .deny(["socket"], 103);
    let status = under(filter, || {
        let checks = [
            errno(libc::SYS_getppid, [0; 3]) == 101,
            call32(64, 0) == -101,
            errno(0x4000_0000 | 110, [0; 3]) == 101,
            call32(20, 0) > 0,
            // Only the lower half counts there.
            call32(132, 5) == -102,
            call32(132, 0) > 0,
            errno(libc::SYS_getpgid, [5, 0, 0]) != 102,
            call32(359, 1) == -103,
            call32(102, 1) == -103,
            call32(102, 99) == -libc::EINVAL,
        ];
        checks.iter().position(|right| !right).map_or(0, |at| at as i32 + 1)
    });
    assert_eq!(status.code(), Some(0), "the check of this number (from 1) failed");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_default_profile_holds_for_32_bits() {
    let status = under(Filter::container_default(), || {
        let checks = [
            call32(20, 0) > 0,
            // mount, unshare with a user namespace, keyctl, socketcall's socket.
            call32(21, 0) == -libc::EPERM,
            call32(310, libc::CLONE_NEWUSER as u32) == -libc::EPERM,
            call32(288, 0) == -libc::EPERM,
            call32(102, 1) == -libc::EAFNOSUPPORT,
            // A vsock by socket itself, and a number that no kernel has.
            call32(359, 40) == -libc::EAFNOSUPPORT,
            call32(5_000, 0) == -libc::ENOSYS,
        ];
        checks.iter().position(|right| !right).map_or(0, |at| at as i32 + 1)
    });
    assert_eq!(status.code(), Some(0), "the check of this number (from 1) failed");
}

#[test]
fn the_largest_program_is_taken() {
    let filter = (0..650u32).fold(Filter::new(Action::Allow), |filter, i| {
        let condition = Condition::new(0, Compare::Equal(1 << 40 | u64::from(i)));
        filter.rule(Rule::new([100_000 + 2 * i], Action::Errno(9)).when(condition))
    });
    let length = usize::from(filter.compile().unwrap().len());
    assert!(length > 3_500, "{length} instructions");
    let status = under(filter, || errno(100_000 + 2 * 649, [1 << 40 | 649, 0, 0]));
    assert_eq!(status.code(), Some(9));
}
