//! An agent at a Unix socket gets the listener.

use std::io::{IoSliceMut, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

use container_core::seccomp::{Action, Filter, Listener, Response, Rule, SeccompListener};
use container_core::{Container, ProcessBuilder};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use testkit::TempDir;

use super::{answer, notifying};

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
        .args(["-c", "mkdir /tmp/x; : > /tmp/done; sleep 60"])
        .annotation("k", "v")
        .seccomp(filter.compile().unwrap())
        .process(|process| process.seccomp_listener(agent));
    for path in testkit::Rootfs::binds() {
        builder = builder.mount(container_core::Mount::bind(&path, &path).read_only());
    }
    let created = builder.create().unwrap();
    let serving = std::thread::spawn(move || {
        let mut states = Vec::new();
        let mut served = Vec::new();
        for _ in 0..2 {
            let (state, mut descriptors) = receive_forwarded(&socket);
            let listener = Listener::from(descriptors.remove(0));
            served.push(answer(listener, |listener, notification| {
                listener.respond(notification, Response::Value(0)).unwrap();
            }));
            states.push(state);
        }
        let counts: Vec<u32> = served.into_iter().map(|one| one.join().unwrap()).collect();
        (states, counts)
    });
    let pid = created.pid();
    let running = created.start().unwrap();
    // Another process inside tells the agent of itself and of the container.
    let other = running.exec("/bin/sh").unwrap().args(["-c", "mkdir /tmp/y"]).spawn().unwrap();
    assert!(other.wait().unwrap().success());
    let other = other.id();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !root.path().join("tmp/done").exists() {
        assert!(std::time::Instant::now() < end, "the first process goes no further");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    running.signal(libc::SIGKILL).unwrap();
    running.wait().unwrap();
    running.delete().unwrap();
    let (states, counts) = serving.join().unwrap();
    assert_eq!(counts, [1, 1]);
    let expected = |process: u32, status: &str| {
        let version = &states[0]["ociVersion"];
        serde_json::json!({
            "ociVersion": version,
            "fds": ["seccompFd"],
            "pid": process,
            "state": {
                "ociVersion": version,
                "id": "notified",
                "status": status,
                "pid": pid,
                "bundle": "",
                "annotations": { "k": "v" },
            },
        })
    };
    assert_eq!(states, [expected(pid, "created"), expected(other, "running")]);
}
