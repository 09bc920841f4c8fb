//! What a stored container gets besides its spec: terminals, pid files, descriptors, and none of
//! the caller's other ones.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use container_core::runtime::{CreateOptions, ExecOptions, StoredContainer};
use container_core::terminal::ConsoleListener;
use container_core::{ErrorKind, Stdio};
use serde_json::{Value, json};

use crate::support::{Place, id, ready};

fn with_terminal(spec: &mut Value) {
    spec["process"]["terminal"] = json!(true);
    spec["process"]["consoleSize"] = json!({ "height": 11, "width": 47 });
}

/// Reads until this text has come.
#[track_caller]
fn read_until(master: &mut File, text: &str) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 512];
    while !String::from_utf8_lossy(&said).contains(text) {
        match master.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => said.extend_from_slice(&buffer[..read]),
        }
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains(text), "{said:?}");
    said
}

fn end(container: StoredContainer) {
    assert!(container.delete(true).unwrap().is_empty());
}

#[test]
fn the_terminal_comes_over_the_console_socket() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let socket = place.directory.join("console.sock");
    let listener = ConsoleListener::bind(&socket).unwrap();
    let script = "tty; test -t 0 && test -t 1 && test -t 2 && echo all; read line; echo got $line";
    let bundle = place.bundle(script, with_terminal);
    let id = id("tty");
    let options = CreateOptions::new().console_socket(&socket);
    let container = place.runtime.create(&id, &bundle, &options).unwrap();
    // Sent at the creation: who reads it need not be there at the start.
    let mut master = listener.receive_timeout(Duration::from_secs(5)).unwrap().1;
    let size = container_core::terminal::window_size(&master).unwrap();
    assert_eq!((size.rows, size.columns), (11, 47));
    assert!(container.take_terminal().is_none(), "it went to the socket");
    place.runtime.load(&id).unwrap().start().unwrap();
    let said = read_until(&mut master, "all");
    assert!(said.contains("/dev/pts/0"), "{said:?}");
    master.write_all(b"hello\n").unwrap();
    read_until(&mut master, "got hello");
    assert!(container.wait().unwrap().unwrap().success());
    end(container);
}

#[test]
fn an_executed_process_has_a_terminal_of_its_own() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("tty"), "sleep 100");
    container.start().unwrap();
    let bundle = place.bundle("tty; tty > /tty-of-exec", with_terminal);
    let process = bundle.spec().process().clone().unwrap();
    let socket = place.directory.join("console.sock");
    let listener = ConsoleListener::bind(&socket).unwrap();
    let pid_file = place.directory.join("pid");
    let options =
        ExecOptions::new().io(CreateOptions::new().console_socket(&socket)).pid_file(&pid_file);
    let executed = container.exec(&process, &options).unwrap();
    let mut master = listener.receive_timeout(Duration::from_secs(5)).unwrap().1;
    read_until(&mut master, "/dev/pts/0");
    assert_eq!(fs::read_to_string(pid_file).unwrap(), executed.id().to_string());
    assert!(executed.wait().unwrap().success());
    assert_eq!(fs::read_to_string(place.file("tty-of-exec")).unwrap(), "/dev/pts/0\n");
    end(container);
}

#[test]
fn a_terminal_needs_a_taker_and_a_taker_a_terminal() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let wanted = place.bundle("true", with_terminal);
    let error = place.runtime.create(&id("tty"), &wanted, &CreateOptions::new()).unwrap_err();
    assert_eq!((error.kind(), error.object()), (ErrorKind::InvalidInput, "process.terminal"));
    let unwanted = place.bundle("true", |_| {});
    let options = CreateOptions::new().console_socket("/nonexistent");
    let error = place.runtime.create(&id("tty"), &unwanted, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // Nobody serves the socket: nothing is made.
    let error = place.runtime.create(&id("tty"), &wanted, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(place.runtime.list().unwrap().is_empty());
    // The caller itself.
    let options = CreateOptions::new().keep_terminal();
    let container = place.runtime.create(&id("tty"), &wanted, &options).unwrap();
    assert!(container.take_terminal().is_some());
    assert!(container.take_terminal().is_none());
    end(container);
}

#[test]
fn the_pid_file_is_whole_when_it_is_there() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let path = place.directory.join("a pid");
    let bundle = place.bundle("sleep 100", |_| {});
    let options = CreateOptions::new().pid_file(&path);
    let container = place.runtime.create(&id("pid"), &bundle, &options).unwrap();
    let pid = container.state().unwrap().pid;
    assert_eq!(fs::read_to_string(&path).unwrap(), pid.to_string());
    let beside = fs::read_dir(place.directory.path()).unwrap();
    let names: Vec<_> = beside.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with('.')), "{names:?}");
    end(container);
    // What can't be written undoes the creation, the process included.
    let options = CreateOptions::new().pid_file("/proc/nonexistent/pid");
    let name = id("pid");
    assert!(place.runtime.create(&name, &bundle, &options).is_err());
    assert!(place.runtime.list().unwrap().is_empty());
}

#[test]
fn passed_descriptors_arrive_and_no_others() {
    if !ready() {
        return;
    }
    let place = Place::new();
    // Open without close-on-exec, as hosts leak them.
    let leaked = File::open("/etc/passwd").unwrap();
    nix::fcntl::fcntl(&leaked, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let script = "cat <&4 > /from-4; echo out >&3; for fd in /proc/self/fd/*; do \
                  echo ${fd##*/}; done > /open; sleep 100";
    let bundle = place.bundle(script, |_| {});
    let said = place.directory.join("said");
    let given = place.directory.join("given");
    fs::write(&given, "four").unwrap();
    let options = CreateOptions::new()
        .streams([Stdio::Null, Stdio::Null, Stdio::Inherit])
        .pass_fd(OwnedFd::from(File::create(&said).unwrap()))
        .pass_fd(OwnedFd::from(File::open(&given).unwrap()));
    let container = place.runtime.create(&id("fds"), &bundle, &options).unwrap();
    place.runtime.load(container.id()).unwrap().start().unwrap();
    let open = wait_for(&place, "open");
    assert_eq!(fs::read_to_string(place.file("from-4")).unwrap(), "four");
    assert_eq!(fs::read_to_string(&said).unwrap(), "out\n");
    // The shell opens one more for the directory, or for the redirection.
    let numbers: Vec<i32> = open.lines().filter_map(|line| line.parse().ok()).collect();
    assert!([0, 1, 2, 3, 4].iter().all(|fd| numbers.contains(fd)), "{numbers:?}");
    let targets = |fd: &i32| {
        let pid = container.state().unwrap().pid;
        fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap_or_default()
    };
    assert!(!numbers.iter().any(|fd| targets(fd).ends_with("etc/passwd")), "a leak");
    assert!(leaked.as_raw_fd() >= 0);
    end(container);
}

/// The content of a file of the container, once it is there and has stopped growing.
#[track_caller]
fn wait_for(place: &Place, name: &str) -> String {
    let start = Instant::now();
    loop {
        match fs::read_to_string(place.file(name)) {
            Ok(text) if text.lines().count() > 4 => return text,
            _ => assert!(start.elapsed() < Duration::from_secs(10), "{name} does not come"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
