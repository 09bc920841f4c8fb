//! Creators of containers that are killed at any moment, alone in a program: what is left of them
//! is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use container_core::ErrorKind;
use container_core::oci::Bundle;
use container_core::runtime::{CreateOptions, Runtime, Status};

use support::{Place, id, ready};

#[allow(dead_code)]
#[path = "runtime/support.rs"]
mod support;

/// Works in a process of its own: the test runs itself with these variables.
#[test]
fn creator() {
    let (Ok(root), Ok(bundle), Ok(id), Ok(work)) = (
        std::env::var("WORK_IN"),
        std::env::var("WORK_FROM"),
        std::env::var("WORK_ID"),
        std::env::var("WORK"),
    ) else {
        return;
    };
    let runtime = Runtime::open(root).unwrap();
    match &*work {
        "create" => {
            let bundle = Bundle::load(bundle).unwrap();
            drop(runtime.create(&id, &bundle, &CreateOptions::new()).unwrap());
        }
        "start" => runtime.load(&id).unwrap().start().unwrap(),
        _ => drop(runtime.load(&id).unwrap().delete(true).unwrap()),
    }
}

fn work(place: &Place, id: &str, work: &str, mut program: Command) -> Child {
    program
        .args(["--exact", "creator", "--nocapture", "--test-threads=1"])
        .env("WORK_IN", place.directory.join("run"))
        .env("WORK_FROM", place.directory.path())
        .env("WORK_ID", id)
        .env("WORK", work)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn itself() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// The test itself, killed at its system call of this number; whether it got to its end before.
fn finishes_before(place: &Place, id: &str, what: &str, call: usize) -> bool {
    let mut strace = Command::new("strace");
    // The test runs on a thread of its own; what it makes is let go when it executes.
    strace.args(["-f", "--detach-on=execve", "-o", "/dev/null", "-e"]);
    strace.arg(format!("inject=all:signal=SIGKILL:when={call}"));
    strace.arg(std::env::current_exe().unwrap());
    work(place, id, what, strace).wait().unwrap().success()
}

/// Processes of the machine whose root is the test's.
fn inside(place: &Place) -> usize {
    let name = place.rootfs.path().file_name().unwrap().to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let own = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!own.contains(&name));
    let mounts = entries.filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<u32>().ok()?;
        std::fs::read_to_string(entry.path().join("mountinfo")).ok()
    });
    mounts.filter(|text| text.contains(&name)).count()
}

/// Whatever was left can be removed, and then nothing is there.
#[track_caller]
fn clean(place: &Place, id: &str) {
    match place.runtime.load(id) {
        Ok(container) => {
            assert_ne!(container.state().unwrap().status, Status::Creating);
            assert!(container.delete(true).unwrap().is_empty());
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
    }
    assert!(place.runtime.list().unwrap().is_empty());
    let start = Instant::now();
    while inside(place) > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "a process is left");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// At any time, and at any system call.
#[test]
fn whoever_is_killed_leaves_what_can_be_deleted() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle("sleep 100", |_| {});
    bundle.save().unwrap();
    let id = id("killed");
    // The init's image is made once.
    drop(place.create(&id, "true").delete(true).unwrap());
    let leaks = testkit::Leaks::snapshot();
    let cgroups = testkit::Leaks::tagged(&id);
    for microseconds in (0..60).map(|step| step * 500) {
        let mut child = work(&place, &id, "create", itself());
        std::thread::sleep(Duration::from_micros(microseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        clean(&place, &id);
    }
    if testkit::require_peer("strace") {
        for what in ["create", "start", "delete"] {
            kill_at_calls(&place, &bundle, &id, what);
        }
    }
    leaks.assert_unchanged();
    cgroups.assert_unchanged();
}

fn kill_at_calls(place: &Place, bundle: &Bundle, id: &str, what: &str) {
    let (mut call, mut kills) = (1, 0);
    loop {
        let create = || place.runtime.create(id, bundle, &CreateOptions::new()).unwrap();
        let container = (what != "create").then(create);
        let finished = finishes_before(place, id, what, call);
        clean(place, id);
        if let Some(container) = container {
            // Ours to reap.
            let _ = container.wait().unwrap();
        }
        if finished {
            break;
        }
        kills += 1;
        call += 3;
    }
    println!("{what}: killed {kills} times, {call} calls");
    assert!(kills > 3, "{what} was killed {kills} times only");
}
