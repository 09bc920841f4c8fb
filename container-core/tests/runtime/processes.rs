//! Several processes at one container: the test runs itself as them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use container_core::oci::Bundle;
use container_core::runtime::{CreateOptions, Runtime};
use container_core::{Error, ErrorKind, Stdio as StdStream};

use crate::support::{Place, id, ready};

/// What a worker does is said by its environment; its last line tells how it went.
#[test]
fn worker() {
    let (Ok(root), Ok(work), Ok(id)) =
        (std::env::var("WORK_IN"), std::env::var("WORK"), std::env::var("WORK_ID"))
    else {
        return;
    };
    let runtime = Runtime::open(&root).unwrap();
    let bundle = || Bundle::load(std::env::var("WORK_FROM").unwrap()).unwrap();
    // Ours tell the result: a container that keeps them open would hold up who reads it.
    let streams = || [StdStream::Null, StdStream::Null, StdStream::Null];
    let create = |id: &str| runtime.create(id, &bundle(), &CreateOptions::new().streams(streams()));
    let result = match work.as_str() {
        "create" => create(&id).map(drop),
        "start" => runtime.load(&id).and_then(|it| it.start()),
        "pause" => runtime.load(&id).and_then(|it| it.pause()),
        "delete" => runtime.load(&id).and_then(|it| it.delete(true)).map(drop),
        "cycle" => (0..12).try_for_each(|_| {
            create(&id)?;
            runtime.load(&id)?.start()?;
            runtime.load(&id)?.delete(true).map(drop)
        }),
        "whole" => create(&id).and_then(|container| {
            container.start()?;
            container.kill(libc::SIGKILL)?;
            container.wait()?;
            container.delete(false).map(drop)
        }),
        other => panic!("{other}"),
    };
    match result {
        Ok(()) => println!("\nresult: done"),
        Err(error) => println!("\nresult: {:?}: {error}", error.kind()),
    }
}

fn spawn(place: &Place, program: &mut Command, work: &str, id: &str) -> Child {
    program
        .args(["--exact", "processes::worker", "--nocapture", "--test-threads=1"])
        .env("WORK_IN", place.directory.join("run"))
        .env("WORK_FROM", place.directory.path())
        .env("WORK", work)
        .env("WORK_ID", id)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn work(place: &Place, work: &str, id: &str) -> Child {
    spawn(place, &mut Command::new(std::env::current_exe().unwrap()), work, id)
}

fn result(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("result: "));
    assert!(line.is_some(), "no result: {text}");
    line.unwrap().to_owned()
}

fn results(children: Vec<Child>) -> (usize, Vec<String>) {
    let all: Vec<String> = children.into_iter().map(result).collect();
    let (done, failed): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it == "done");
    (done.len(), failed)
}

#[test]
fn lists_show_whole_containers_while_others_come_and_go() {
    if !ready() {
        return;
    }
    let place = Place::new();
    place.bundle("sleep 100", |_| {}).save().unwrap();
    let mut children: Vec<Child> = (0..3).map(|_| work(&place, "cycle", &id("turn"))).collect();
    let mut seen = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        for entry in place.runtime.list().unwrap() {
            seen += 1;
            let shown = |error: &Error| format!("{}: {error}", entry.id);
            let container = entry.container.as_ref().map_err(shown).unwrap();
            match container.state() {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
        }
        assert!(Instant::now() < deadline);
    }
    assert!(seen > 0);
    let (done, failed) = results(children);
    assert_eq!(done, 3, "{failed:?}");
    assert_eq!(std::fs::read_dir(place.directory.join("run")).unwrap().count(), 0);
}

/// A host that ignores `SIGCHLD`: its children are reaped by the kernel.
#[test]
fn a_host_without_sigchld_runs_a_container_to_its_end() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let hook = serde_json::json!([{ "path": "/bin/sh", "args": ["sh", "-c", "cat > /dev/null"] }]);
    let change = |spec: &mut serde_json::Value| {
        // Before Linux 6.15 nobody learns how a hook ended then.
        if testkit::kernel_version() >= (6, 15) {
            spec["hooks"]["createRuntime"] = hook;
        }
    };
    place.bundle("sleep 100", change).save().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' CHLD; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    let child = spawn(&place, &mut shell, "whole", &id("sigchld"));
    let said = result(child);
    let lost = testkit::kernel_version() < (6, 15) && said.contains("somebody else reaped it");
    assert!(said == "done" || lost, "{said}");
}
