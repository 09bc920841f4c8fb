//! The `supervise` example: each step another process.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn supervise(arguments: &[&str], directory: &Path, rest: &[&str]) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile: PathBuf = test.parent().and_then(Path::parent).unwrap().into();
    let mut command = Command::new(profile.join("examples/supervise"));
    command.args(arguments).arg(directory).args(rest).stdin(Stdio::null());
    command
}

#[track_caller]
fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn can_run() -> bool {
    (testkit::is_root() || testkit::require_unprivileged_userns())
        && testkit::require_peer("busybox")
}

#[test]
fn run_attach_logs_wait() {
    if !can_run() {
        return;
    }
    let dir = testkit::TempDir::new();
    let dir = dir.join("web");
    let script = "echo early; read line; echo \"got $line\"; exit 3";
    let pid = done(&mut supervise(&["run"], &dir, &["sh", "-c", script])).stdout;
    assert!(String::from_utf8(pid).unwrap().trim().parse::<u32>().is_ok());
    let mut waiter = supervise(&["wait"], &dir, &[]).spawn().unwrap();
    let mut attached = supervise(&["attach"], &dir, &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    attached.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let output = attached.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "early\ngot typed\n");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(waiter.wait().unwrap().code(), Some(3));
    let logs = String::from_utf8(done(&mut supervise(&["logs"], &dir, &[])).stdout).unwrap();
    let lines: Vec<_> = logs.lines().map(|line| &line[30..]).collect();
    assert_eq!(lines, [" stdout F early", " stdout F got typed"]);
}

#[test]
fn a_terminal_is_resized_and_signals_arrive() {
    if !can_run() {
        return;
    }
    let dir = testkit::TempDir::new();
    let dir = dir.join("tty");
    let script = "stty size; trap 'stty size; exit 5' TERM; while :; do sleep 0.05; done";
    done(&mut supervise(&["run", "--tty"], &dir, &["sh", "-c", script]));
    let log = || String::from_utf8(done(&mut supervise(&["logs"], &dir, &[])).stdout).unwrap();
    while !log().contains("F 24 80") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    done(&mut supervise(&["resize"], &dir, &["50", "132"]));
    // Its trap may not be there yet at first.
    let waited = loop {
        let _ = supervise(&["kill"], &dir, &["15"]).stderr(Stdio::null()).status().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
        if dir.join("supervised/exit").exists() {
            break supervise(&["wait"], &dir, &[]).status().unwrap();
        }
    };
    assert_eq!(waited.code(), Some(5));
    assert!(log().contains("F 50 132"), "{}", log());
}
