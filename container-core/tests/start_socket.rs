//! Created by one process, started by another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::in_rootfs;
use container_core::process::start::{self, StartWords};
use container_core::seccomp::{Action, Filter};
use container_core::{
    ErrorKind, Mount, NamespaceKind, Namespaces, Process, ProcessBuilder, Stdio, WindowSize,
};
use testkit::TempDir;

/// Where the creator process of the first test finds its order.
const ORDER: &str = "START_SOCKET_ORDER";

fn shell(script: &str) -> ProcessBuilder {
    ProcessBuilder::new("/bin/sh").args(["-c", script]).stdin(Stdio::Null)
}

/// Creates in `state`, and keeps neither listener nor plan.
fn create(state: &Path, builder: ProcessBuilder) -> (Process, StartWords) {
    let plan = builder.wait_on_socket(start::listen(state).unwrap()).plan().unwrap();
    (plan.spawn().unwrap(), plan.start_words())
}

fn start(state: &Path, words: &StartWords) -> container_core::Result<()> {
    start::start_over(&start::connect(state)?, words)
}

#[track_caller]
fn wait_for(path: &Path) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    panic!("nothing in {path:?}");
}

#[test]
#[ignore = "the creator process of another test"]
fn creator() {
    let Some(state) = std::env::var_os(ORDER) else { return };
    let state = Path::new(&state);
    let script = format!("echo started >{}/out", state.display());
    let (process, words) = create(state, shell(&script));
    fs::write(state.join("words"), serde_json::to_vec(&words).unwrap()).unwrap();
    process.detach();
}

#[test]
fn it_outlives_its_creator_and_is_started_by_another() {
    let state = TempDir::new();
    let created = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "creator", "--ignored"])
        .env(ORDER, state.path())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(created.success(), "{created:?}");
    let words = serde_json::from_slice(&fs::read(state.join("words")).unwrap()).unwrap();
    assert!(!state.join("out").exists(), "it waits");
    start(state.path(), &words).unwrap();
    assert_eq!(wait_for(&state.join("out")), "started\n");
    assert_eq!(start(state.path(), &words).unwrap_err().kind(), ErrorKind::WrongState);
}

#[test]
fn those_who_do_not_start_it_change_nothing() {
    let state = TempDir::new();
    let (process, words) = create(state.path(), shell("exit 7"));
    let connect = || start::connect(state.path()).unwrap();
    drop(connect());
    for wrong in [&[0u8][..], &[3], &[0, 1]] {
        let mut stream = connect();
        stream.write_all(wrong).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "after {wrong:?}");
    }
    assert_eq!(process.try_wait().unwrap(), None);
    start(state.path(), &words).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(7));
}

/// Connects as another user: the ids of one thread, which ends with it.
#[allow(unsafe_code)]
fn connect_as(uid: u32, socket: &Path) -> std::io::Result<UnixStream> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: numbers only; without libc, the other threads keep theirs.
            let result = unsafe { syscalls::syscall!(syscalls::Sysno::setresuid, uid, uid, uid) };
            assert_eq!(result, Ok(0));
            UnixStream::connect(socket)
        });
        thread.join().unwrap()
    })
}

#[test]
fn another_user_is_refused_even_where_the_directory_lets_him_in() {
    if !testkit::require_root() {
        return;
    }
    let state = TempDir::new();
    let (process, words) = create(state.path(), shell("exit 3"));
    let socket = state.join("start.sock");
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    let stream = connect_as(12345, &socket).unwrap();
    let refused = start::start_over(&stream, &words).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WrongState, "{refused}");
    assert_eq!(process.try_wait().unwrap(), None);
    start(state.path(), &words).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(3));
}

#[test]
fn an_ended_container_can_not_be_started() {
    let state = TempDir::new();
    let (process, words) = create(state.path(), shell("true"));
    process.kill().unwrap();
    process.wait().unwrap();
    let error = start(state.path(), &words).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
}

#[track_caller]
fn refused_at_creation(builder: ProcessBuilder, errno: i32, words: &str) {
    let state = TempDir::new();
    let error = builder.wait_on_socket(start::listen(state.path()).unwrap()).spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
    assert!(error.to_string().contains("check program"), "{error}");
    assert!(error.to_string().contains(words), "{words:?} not in: {error}");
}

#[test]
fn a_program_that_can_not_be_executed_is_told_at_creation() {
    let dir = TempDir::new();
    let path = |name: &str| dir.join(name);
    fs::write(path("plain"), "#!/bin/sh\n").unwrap();
    fs::write(path("mine"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(path("mine"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let new = |name: &str| ProcessBuilder::new(path(name));
    refused_at_creation(new("none"), libc::ENOENT, "No such file or directory");
    refused_at_creation(new("plain/x"), libc::ENOENT, "No such file or directory");
    refused_at_creation(new("plain"), libc::EACCES, "Permission denied");
    refused_at_creation(new(""), libc::EISDIR, "Is a directory");
    let named = ProcessBuilder::new("no-such-program-anywhere");
    refused_at_creation(named, libc::ENOENT, "executable file not found in $PATH");
    let search = ProcessBuilder::new("plain").env("PATH", dir.path());
    refused_at_creation(search, libc::EACCES, "Permission denied");
    if testkit::is_root() {
        let user: container_core::UserSpec = "1000:1000".parse().unwrap();
        refused_at_creation(new("mine").user(user), libc::EACCES, "Permission denied");
    }
}

#[test]
fn what_fails_at_the_start_is_told_to_the_starter() {
    let dir = TempDir::new();
    let program = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        ProcessBuilder::new(path)
    };
    for (name, text, errno) in
        [("a", "no program", libc::ENOEXEC), ("b", "#!/no/such/interpreter\n", libc::ENOENT)]
    {
        let state = TempDir::new();
        let (process, words) = create(state.path(), program(name, text));
        let error = start(state.path(), &words).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno), "{error}");
        assert!(error.to_string().contains("execve"), "{error}");
        assert!(error.way_out().is_some(), "{error}");
        assert_eq!(process.wait().unwrap().code(), Some(125));
    }
}

#[test]
fn it_goes_with_an_init_a_terminal_and_a_time_namespace() {
    if !testkit::is_root() && !testkit::require_unprivileged_userns() {
        return;
    }
    let (rootfs, state) = (testkit::rootfs_dirs(), TempDir::new());
    let namespaces = common::isolated().with(NamespaceKind::Time);
    let builder = in_rootfs(&rootfs, "/bin/sh")
        .args(["-c", "test -t 0 && echo pid $$; exit 9"])
        .mount(Mount::devpts("/dev/pts"))
        .namespaces(namespaces)
        .init(true)
        .terminal(WindowSize::default());
    let (mut process, words) = create(state.path(), builder);
    let mut terminal = process.take_terminal().expect("the creator has the terminal");
    start(state.path(), &words).unwrap();
    let mut text = String::new();
    let _ = terminal.read_to_string(&mut text);
    assert_eq!(text, "pid 2\r\n");
    assert_eq!(process.wait().unwrap().code(), Some(9));
}

/// A filter that forbids what waiting takes: it is not there yet. And the
/// privilege that its installation takes is gone when the program runs.
#[test]
fn a_filter_need_not_allow_the_wait() {
    if !testkit::is_root() && !testkit::require_unprivileged_userns() {
        return;
    }
    let denied = ["accept4", "getsockopt", "faccessat2"];
    let filter = Filter::new(Action::Allow).deny(denied, libc::EXDEV as u16);
    let filter = filter.compile().unwrap();
    let namespaces = match testkit::is_root() {
        true => Namespaces::none(),
        false => Namespaces::none().with(NamespaceKind::User),
    };
    let users: &[&str] = if testkit::is_root() { &["0:0", "1000:1000"] } else { &["0:0"] };
    for user in users {
        for capabilities in [None, Some(container_core::Capabilities::none())] {
            let state = TempDir::new();
            let script = "grep -E '^(CapEff|CapPrm|Seccomp):' /proc/self/status";
            let mut builder = shell(script)
                .namespaces(namespaces.clone())
                .user(user.parse::<container_core::UserSpec>().unwrap())
                .stdout(Stdio::Pipe)
                .seccomp(filter.clone());
            if let Some(capabilities) = capabilities {
                builder = builder.capabilities(capabilities);
            }
            let (process, words) = create(state.path(), builder);
            let waiting = format!("/proc/{}/status", process.id());
            let status = fs::read_to_string(waiting).unwrap();
            assert!(status.contains("Seccomp:\t0"), "{status}");
            start(state.path(), &words).unwrap();
            let output = String::from_utf8(process.wait_with_output().unwrap().stdout).unwrap();
            assert!(output.contains("Seccomp:\t2"), "{output}");
            let none = *user != "0:0" || capabilities.is_some();
            assert_eq!(
                output.matches("0000000000000000").count(),
                2 * usize::from(none),
                "{output}"
            );
        }
    }
}

#[test]
fn who_says_end_ends_it() {
    let state = TempDir::new();
    let (process, _) = create(state.path(), shell("touch /never"));
    let mut stream = start::connect(state.path()).unwrap();
    stream.write_all(&[2]).unwrap();
    assert!(!process.wait().unwrap().success());
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
