//! Filters that notify: answered by a listener in the test's hands, or by an
//! agent at a socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use container_core::seccomp::{
    Action, Filter, Listener, Notification, Response, Rule, SeccompListener,
};
use container_core::{Container, ErrorKind, NamespaceKind, Namespaces, ProcessBuilder, Stdio};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
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

/// Takes one connection of an agent's socket: the text and the descriptors.
fn receive_forwarded(socket: &UnixListener) -> (serde_json::Value, Vec<OwnedFd>) {
    let (mut stream, _) = socket.accept().unwrap();
    let mut buffer = vec![0u8; 4096];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let mut descriptors = Vec::new();
    for control in message.cmsgs().unwrap() {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            #[allow(unsafe_code, reason = "the numbers were just made for us")]
            // SAFETY: new descriptors that nobody else knows.
            descriptors.extend(numbers.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    let length = message.bytes;
    let mut text = buffer[..length].to_vec();
    stream.read_to_end(&mut text).unwrap();
    (serde_json::from_slice(&text).unwrap(), descriptors)
}

fn agent(dir: &TempDir) -> (UnixListener, SeccompListener) {
    let path = dir.join("agent.sock");
    let socket = UnixListener::bind(&path).unwrap();
    (socket, SeccompListener::new(path))
}

#[test]
fn an_agent_gets_the_listener_and_the_state() {
    let dir = TempDir::new();
    let (socket, agent) = agent(&dir);
    let agent = agent
        .metadata("opaque")
        .container_id("box")
        .bundle("/bundle")
        .annotations([("k".to_owned(), "v".to_owned())]);
    let serving = std::thread::spawn(move || {
        let (state, mut descriptors) = receive_forwarded(&socket);
        assert_eq!(descriptors.len(), 1);
        let listener = Listener::from(descriptors.remove(0));
        let count = answer(listener, |listener, notification| {
            listener.respond(notification, Response::Errno(libc::EROFS)).unwrap();
        });
        (state, count.join().unwrap())
    });
    let process = notifying("mkdir /tmp/never; echo $$").seccomp_listener(agent).spawn().unwrap();
    assert!(process.take_seccomp_listener().is_none(), "the agent has it");
    let pid = process.id();
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("Read-only file system"), "{text}");
    let (state, count) = serving.join().unwrap();
    assert_eq!(count, 1);
    let version = &state["ociVersion"];
    let expected = serde_json::json!({
        "ociVersion": version,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": "opaque",
        "state": {
            "ociVersion": version,
            "id": "box",
            "status": "creating",
            "pid": pid,
            "bundle": "/bundle",
            "annotations": { "k": "v" },
        },
    });
    assert_eq!(state, expected);
}

/// A filter on the payload's `execve` itself: the agent lets it happen.
#[test]
fn an_agent_may_decide_on_the_program() {
    let dir = TempDir::new();
    let (socket, agent) = agent(&dir);
    let serving = std::thread::spawn(move || {
        let (_, mut descriptors) = receive_forwarded(&socket);
        let listener = Listener::from(descriptors.remove(0));
        answer(listener, |listener, notification| {
            listener.respond(notification, Response::Continue).unwrap();
        })
        .join()
        .unwrap()
    });
    let filter = Filter::new(Action::Allow).rule(Rule::new(["execve"], Action::Notify));
    let status = ProcessBuilder::new("/bin/true")
        .no_new_privileges(true)
        .seccomp(filter.compile().unwrap())
        .seccomp_listener(agent)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(serving.join().unwrap(), 1);
}

#[test]
fn a_container_is_forwarded_at_its_start() {
    let root = testkit::rootfs_dirs();
    let dir = TempDir::new();
    let (socket, agent) = agent(&dir);
    let filter = Filter::new(Action::Allow)
        .rule(Rule::new(["mkdir", "mkdirat"], Action::Notify))
        .skip_unknown(true);
    let mut builder = Container::builder(root.path())
        .id("notified")
        .command("/bin/sh")
        .args(["-c", "mkdir /tmp/x"])
        .seccomp(filter.compile().unwrap())
        .process(|process| process.seccomp_listener(agent));
    for path in testkit::Rootfs::binds() {
        builder = builder.mount(container_core::Mount::bind(&path, &path).read_only());
    }
    let created = builder.create().unwrap();
    let serving = std::thread::spawn(move || {
        let (state, mut descriptors) = receive_forwarded(&socket);
        let listener = Listener::from(descriptors.remove(0));
        let answers = answer(listener, |listener, notification| {
            listener.respond(notification, Response::Value(0)).unwrap();
        });
        (state, answers.join().unwrap())
    });
    let pid = created.pid();
    let running = created.start().unwrap();
    assert!(running.wait().unwrap().success());
    running.delete().unwrap();
    let (state, count) = serving.join().unwrap();
    assert_eq!(count, 1);
    assert_eq!(state["state"]["id"], "notified");
    assert_eq!(state["state"]["status"], "created");
    assert_eq!(state["pid"], pid);
}
