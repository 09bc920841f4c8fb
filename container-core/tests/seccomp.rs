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

fn on_getppid(action: Action) -> Filter {
    Filter::new(Action::Allow).rule(Rule::new(["getppid"], action))
}

#[test]
fn each_action_has_its_effect() {
    let call = || errno(libc::SYS_getppid, [0; 3]);
    for action in [Action::KillProcess, Action::KillThread, Action::Trap] {
        let status = under(on_getppid(action), call);
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{action}");
    }
    let coded = [
        (Action::Allow, 0),
        (Action::Log, 0),
        (Action::Errno(0), 0),
        (Action::Errno(93), 93),
        // Nobody traces.
        (Action::Trace(5), libc::ENOSYS),
        // Nobody listens.
        (Action::Notify, libc::ENOSYS),
    ];
    for (action, expected) in coded {
        let status = under(on_getppid(action), call);
        assert_eq!(status.code(), Some(expected), "{action}");
    }
    // The largest errno doesn't fit an exit code.
    let status = under(on_getppid(Action::Errno(4095)), || {
        i32::from(errno(libc::SYS_getppid, [0; 3]) == 4095)
    });
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_trap_can_be_handled() {
    extern "C" fn handler(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        const SYS_SECCOMP: i32 = 1;
        // SAFETY: the kernel passes a siginfo; _exit may be called anywhere.
        unsafe {
            let by_filter = signal == libc::SIGSYS && (*info).si_code == SYS_SECCOMP;
            libc::_exit(if by_filter { 55 } else { 56 });
        }
    }
    let status = under(on_getppid(Action::Trap), || {
        // SAFETY: an all-zero sigaction is valid; the handler takes three
        // arguments, as SA_SIGINFO says.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut());
        }
        errno(libc::SYS_getppid, [0; 3])
    });
    assert_eq!(status.code(), Some(55));
}

/// `KillThread` ends one thread; `KillProcess` all.
#[test]
#[allow(clippy::exit, reason = "the main thread ends what is left of the process")]
fn a_thread_is_killed_alone() {
    if let Some(action) = std::env::var_os(KILLED) {
        let action = if action == "thread" { Action::KillThread } else { Action::KillProcess };
        let program = on_getppid(action).compile().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            install(&program).unwrap();
            errno(libc::SYS_getppid, [0; 3]);
            sender.send(()).unwrap();
        });
        // The killed thread drops nothing.
        let waited = receiver.recv_timeout(std::time::Duration::from_millis(300));
        assert!(waited.is_err());
        std::process::exit(77);
    }
    for (which, code, signal) in [("thread", Some(77), None), ("process", None, Some(libc::SIGSYS))]
    {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_thread_is_killed_alone"])
            .env(KILLED, which)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!((status.code(), status.signal()), (code, signal), "{which}");
    }
}

const KILLED: &str = "TEST_KILLED_BY_FILTER";

/// Flags that the kernel refuses or takes.
#[test]
fn every_flag_is_taken() {
    let filter = on_getppid(Action::Errno(7)).log(true).tsync(true).spec_allow(true);
    // Without a rule that notifies the wait for its answer means nothing.
    let filter = filter.wait_killable_recv(true);
    assert_eq!(filter.compile().unwrap().flags(), 1 | 2 | 4);
    assert_eq!(under(filter, || errno(libc::SYS_getppid, [0; 3])).code(), Some(7));
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
            // 0 is the answer where the group's leader lies outside of this pid namespace.
            call32(132, 0) >= 0,
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
