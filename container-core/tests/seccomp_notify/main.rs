//! Filters that notify: answered by a listener in the test's hands, or by an
//! agent at a socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

mod agent;

use std::io::{Read, Write};
use std::os::fd::{AsFd, FromRawFd, RawFd};
use std::thread::JoinHandle;

use container_core::seccomp::{
    Action, Filter, Listener, Notification, Response, Rule, SeccompListener,
};
use container_core::{ErrorKind, NamespaceKind, Namespaces, ProcessBuilder, Stdio};
use testkit::TempDir;

/// A shell under a filter that notifies of `mkdir`.
fn notifying(script: &str) -> ProcessBuilder {
    let filter = Filter::new(Action::Allow)
        .rule(Rule::new(["mkdir", "mkdirat"], Action::Notify))
        .skip_unknown(true);
    ProcessBuilder::new("/bin/sh")
        .args(["-c", script])
        .env("LC_ALL", "C")
        .stdin(Stdio::Null)
        .stdout(Stdio::Pipe)
        .stderr(Stdio::Pipe)
        .no_new_privileges(true)
        .seccomp(filter.compile().unwrap())
}

/// Answers every notification on a thread of its own; returns how many.
fn answer(
    listener: Listener,
    with: impl Fn(&Listener, &Notification) + Send + 'static,
) -> JoinHandle<u32> {
    std::thread::spawn(move || {
        let mut count = 0;
        while let Some(notification) = listener.receive().unwrap() {
            assert!(listener.is_valid(&notification).unwrap());
            with(&listener, &notification);
            count += 1;
        }
        count
    })
}

fn output_with(script: &str, response: Response) -> (String, u32) {
    let process = notifying(script).spawn().unwrap();
    let listener = process.take_seccomp_listener().expect("a listener");
    assert!(process.take_seccomp_listener().is_none(), "once");
    let pid = process.id();
    let answers = answer(listener, move |listener, notification| {
        assert!(notification.pid >= pid);
        assert_eq!(notification.architecture, container_core::seccomp::Architecture::native());
        listener.respond(notification, response).unwrap();
    });
    let output = process.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), answers.join().unwrap())
}

#[test]
fn an_errno_a_value_and_going_on() {
    let dir = TempDir::new();
    let path = dir.join("new");
    let script = format!("mkdir {} && echo made", path.display());
    let (text, count) = output_with(&script, Response::Errno(libc::EDQUOT));
    assert!(text.contains("Disk quota exceeded"), "{text}");
    assert_eq!(count, 1);
    assert!(!path.exists());

    let (text, _) = output_with(&script, Response::Value(0));
    assert_eq!(text, "made\n");
    assert!(!path.exists(), "the kernel did nothing");

    let (text, _) = output_with(&script, Response::Continue);
    assert_eq!(text, "made\n");
    assert!(path.is_dir());
}

#[test]
fn an_errno_out_of_range_is_refused_and_the_call_waits_on() {
    let process = notifying("mkdir /nowhere/at/all; echo $?").spawn().unwrap();
    let listener = process.take_seccomp_listener().unwrap();
    let notification = listener.receive().unwrap().unwrap();
    for errno in [0, -1, 4096] {
        let error = listener.respond(&notification, Response::Errno(errno)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    listener.respond(&notification, Response::Errno(libc::EPERM)).unwrap();
    let again = listener.respond(&notification, Response::Value(0)).unwrap_err();
    assert!(matches!(again.kind(), ErrorKind::WrongState | ErrorKind::NotFound), "{again}");
    assert_eq!(process.wait_with_output().unwrap().stdout, b"1\n");
    assert!(listener.receive().unwrap().is_none(), "nobody is left");
}

/// The supervisor opens a file for a process that can't: `open` answers with
/// the number of a descriptor of the supervisor's.
#[test]
fn a_descriptor_is_added() {
    for in_one_step in [false, true] {
        if in_one_step && !testkit::require_kernel(5, 14) {
            continue;
        }
        let filter = Filter::new(Action::Allow).rule(Rule::new(["acct"], Action::Notify));
        let (mut ours, theirs) = std::io::pipe().unwrap();
        let process = ProcessBuilder::new(std::env::current_exe().unwrap())
            .args(["--exact", "payload_that_asks_for_a_descriptor", "--nocapture"])
            .env("PAYLOAD", "1")
            .stdout(Stdio::Null)
            .no_new_privileges(true)
            .seccomp(filter.compile().unwrap())
            .spawn()
            .unwrap();
        let listener = process.take_seccomp_listener().unwrap();
        let notification = listener.receive().unwrap().unwrap();
        assert_eq!(notification.arguments[0], 0);
        if in_one_step {
            listener.respond_with_descriptor(&notification, theirs.as_fd(), true).unwrap();
        } else {
            let number = listener.add_descriptor(&notification, theirs.as_fd(), false).unwrap();
            listener.respond(&notification, Response::Value(number.into())).unwrap();
        }
        drop(theirs);
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from the payload");
        assert!(process.wait().unwrap().success());
    }
}

/// Not a test of its own: it makes a call that the supervisor answers with a
/// descriptor, and writes to that.
#[test]
#[allow(unsafe_code, reason = "a system call that libc has no wrapper for")]
fn payload_that_asks_for_a_descriptor() {
    if std::env::var_os("PAYLOAD").is_none() {
        return;
    }
    // SAFETY: acct takes a null pointer; the filter answers with a descriptor
    // that is nobody else's.
    let mut file = unsafe {
        let fd = libc::syscall(libc::SYS_acct, 0);
        assert!(fd > 2, "{fd}");
        std::fs::File::from_raw_fd(fd as RawFd)
    };
    file.write_all(b"from the payload").unwrap();
}

#[test]
fn without_an_answerer_calls_are_absent() {
    let process = notifying("mkdir /tmp/never").spawn().unwrap();
    drop(process.take_seccomp_listener());
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("Function not implemented"), "{text}");
}

#[test]
fn only_fatal_signals_interrupt_where_wanted() {
    if !testkit::require_kernel(5, 19) {
        return;
    }
    for wait in [false, true] {
        let filter = Filter::new(Action::Allow)
            .rule(Rule::new(["umask"], Action::Notify))
            .tsync(true)
            .wait_killable_recv(wait);
        let program = filter.compile().unwrap();
        assert_eq!(program.flags(), 1 | 16 | if wait { 32 } else { 0 });
        let script = "trap 'echo caught' USR1; umask 022; echo done";
        let process = notifying(script).seccomp(program).spawn().unwrap();
        let listener = process.take_seccomp_listener().unwrap();
        let mut notification = listener.receive().unwrap().unwrap();
        process.signal(libc::SIGUSR1).unwrap();
        if !wait {
            // The call has failed or starts anew; the shell makes several.
            let again = listener.receive().unwrap().unwrap();
            assert_ne!(again.id, notification.id);
            assert!(!listener.is_valid(&notification).unwrap());
            let late = listener.respond(&notification, Response::Value(0)).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::NotFound);
            notification = again;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(listener.is_valid(&notification).unwrap(), "interrupted");
        listener.respond(&notification, Response::Continue).unwrap();
        let others = answer(listener, |listener, notification| {
            listener.respond(notification, Response::Continue).unwrap();
        });
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"caught\ndone\n", "wait: {wait}");
        others.join().unwrap();
    }
}

#[test]
fn a_created_process_is_forwarded_by_its_starter() {
    use container_core::process::start;
    use std::os::unix::fs::PermissionsExt;
    let state = TempDir::new();
    std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let create = || {
        let socket = start::listen(state.path()).unwrap();
        let plan = notifying("mkdir /tmp/never; echo $?").wait_on_socket(socket).plan().unwrap();
        (plan.spawn().unwrap(), plan.start_words())
    };
    let (process, words) = create();
    assert!(process.take_seccomp_listener().is_none(), "not yet");
    let connection = start::connect(state.path()).unwrap();
    let mut answers = None;
    start::start_over_with(&connection, &words, |listener| {
        answers = Some(answer(listener, |listener, notification| {
            listener.respond(notification, Response::Value(0)).unwrap();
        }));
        Ok(())
    })
    .unwrap();
    assert_eq!(process.wait_with_output().unwrap().stdout, b"0\n");
    assert_eq!(answers.unwrap().join().unwrap(), 1);
    std::fs::remove_file(state.join("start.sock")).unwrap();

    // Who can't place it lets the program not run.
    let (process, words) = create();
    let connection = start::connect(state.path()).unwrap();
    let missing = state.join("nobody");
    let error = start::start_over_with(&connection, &words, |listener| {
        container_core::seccomp::listener::forward(&missing, "{}", listener.as_fd())
    })
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    drop(connection);
    let output = process.wait_with_output().unwrap();
    assert!(output.stdout.is_empty() && !output.status.success(), "{output:?}");
}

/// A program that may not even read: nobody waits, and it runs all the same.
#[test]
fn a_filter_that_refuses_read_gets_its_listener_too() {
    for action in [Action::Errno(libc::EPERM as u16), Action::KillProcess] {
        let filter = Filter::new(Action::Allow)
            .rule(Rule::new(["read"], action))
            .rule(Rule::new(["acct"], Action::Notify));
        let process = ProcessBuilder::new("/bin/true")
            .stderr(Stdio::Null)
            .no_new_privileges(true)
            .seccomp(filter.compile().unwrap())
            .spawn()
            .unwrap();
        assert!(process.take_seccomp_listener().is_some(), "{action}");
        process.wait().unwrap();
    }
}

#[test]
fn output_of_a_builder_keeps_the_listener_while_it_runs() {
    let output = notifying("echo fine").output().unwrap();
    assert_eq!(output.stdout, b"fine\n");
}

#[test]
fn set_up_under_the_filter_is_let_through() {
    // Without no_new_privs the filter comes before ids and capabilities.
    let namespaces = Namespaces::none().with(NamespaceKind::User).with(NamespaceKind::Pid);
    if !testkit::require_unprivileged_userns() {
        return;
    }
    for init in [false, true] {
        let process = notifying("mkdir /tmp/never; echo $?")
            .namespaces(namespaces.clone())
            .no_new_privileges(false)
            .init(init)
            .user("0:0".parse::<container_core::UserSpec>().unwrap())
            .new_session(true)
            .spawn()
            .unwrap();
        let listener = process.take_seccomp_listener().unwrap();
        let answers = answer(listener, |listener, notification| {
            listener.respond(notification, Response::Value(0)).unwrap();
        });
        assert_eq!(process.wait_with_output().unwrap().stdout, b"0\n", "init: {init}");
        assert_eq!(answers.join().unwrap(), 1);
    }
}

#[test]
fn one_listener_for_the_init_and_the_payload() {
    let process = notifying("mkdir /tmp/never; echo $?").init(true).spawn().unwrap();
    let listener = process.take_seccomp_listener().unwrap();
    let answers = answer(listener, |listener, notification| {
        listener.respond(notification, Response::Value(0)).unwrap();
    });
    assert_eq!(process.wait_with_output().unwrap().stdout, b"0\n");
    assert_eq!(answers.join().unwrap(), 1);
}

#[test]
fn calls_of_the_init_are_refused_by_name() {
    let program = |name: &str| {
        Filter::new(Action::Allow).rule(Rule::new([name], Action::Notify)).compile().unwrap()
    };
    let base = || ProcessBuilder::new("/bin/true");
    let refused = |builder: &ProcessBuilder, name: &str| {
        let error = builder.plan().unwrap_err();
        assert_eq!((error.kind(), error.object()), (ErrorKind::InvalidInput, name), "{error}");
    };
    for name in ["execve", "rt_sigprocmask", "sendmsg"] {
        refused(&base().no_new_privileges(true).seccomp(program(name)), name);
    }
    for name in ["setresuid", "close_range"] {
        let early = base().user("7:7".parse::<container_core::UserSpec>().unwrap());
        refused(&early.clone().seccomp(program(name)), name);
    }
    base().no_new_privileges(true).seccomp(program("setresuid")).plan().unwrap();
    // An agent answers at once, but for the call that it gets the listener by.
    let agent = || SeccompListener::new("/run/agent");
    let with = |name: &str| {
        base().no_new_privileges(true).seccomp(program(name)).seccomp_listener(agent())
    };
    with("execve").plan().unwrap();
    refused(&with("sendmsg"), "sendmsg");
    // Neither may it be refused.
    let silent = Filter::new(Action::Errno(1)).allow(["execve"]);
    let silent = silent.rule(Rule::new(["mkdir"], Action::Notify)).skip_unknown(true);
    refused(&base().seccomp(silent.compile().unwrap()), "sendmsg");
    let relative = base().seccomp(program("acct")).seccomp_listener(SeccompListener::new("run"));
    refused(&relative, "run");
}
