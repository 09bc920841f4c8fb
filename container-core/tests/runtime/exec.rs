//! Other processes inside a running container.

use container_core::runtime::{CreateOptions, ExecOptions, Status};
use container_core::{ErrorKind, Stdio};
use oci_spec::runtime::Process;
use serde_json::json;

use crate::support::{Place, await_status, id, ready};

/// A process like the container's own with another script.
fn process(script: &str) -> Process {
    let spec = container_core::oci::default_spec();
    let mut process = serde_json::to_value(spec.process()).unwrap();
    process["terminal"] = json!(false);
    process["args"] = json!(["/bin/sh", "-c", script]);
    process.as_object_mut().unwrap().remove("rlimits");
    serde_json::from_value(process).unwrap()
}

#[test]
fn an_executed_process_is_inside() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("exec"), "sleep 100");
    container.start().unwrap();
    let other = place.runtime.load(container.id()).unwrap();
    let script = "echo pid $$; echo one > /written; for n in mnt pid net uts ipc; do \
                  cat /proc/1/comm > /dev/null; done; exit 7";
    let io = CreateOptions::new().streams([Stdio::Null, Stdio::Pipe, Stdio::Inherit]);
    let process = other.exec(&process(script), &ExecOptions::new().io(io)).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8(output.stdout).unwrap();
    let pid: u32 = said.trim().strip_prefix("pid ").unwrap().parse().unwrap();
    assert!(pid < 100, "the number is one of the container's namespace: {pid}");
    assert!(place.file("written").exists());
    assert_eq!(container.state().unwrap().status, Status::Running);
}

#[test]
fn nothing_is_executed_in_a_stopped_container() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("gone"), "true");
    container.start().unwrap();
    container.wait().unwrap();
    await_status(&container, Status::Stopped);
    let error = container.exec(&process("true"), &ExecOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
}

#[test]
fn a_paused_container_is_frozen_and_told_so() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let script = "while :; do echo x >> /ticks; sleep 0.01; done";
    let container = place.create(&id("pause"), script);
    container.start().unwrap();
    container.pause().unwrap();
    assert_eq!(container.state().unwrap().status, Status::Paused);
    let ticks = || std::fs::metadata(place.file("ticks")).map_or(0, |it| it.len());
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_millis(80));
    assert_eq!(ticks(), before, "it went on while paused");
    let error = container.exec(&process("true"), &ExecOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
    container.resume().unwrap();
    assert_eq!(container.state().unwrap().status, Status::Running);
    container.pause().unwrap();
    // Also when it is paused.
    assert!(container.delete(true).unwrap().is_empty());
}

/// A process born into a frozen cgroup would hold up the thread that makes it.
#[test]
fn pauses_and_births_keep_out_of_each_others_way() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("births"), "sleep 100");
    container.start().unwrap();
    let (mut born, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let pauses = scope.spawn(|| {
            let other = place.runtime.load(container.id()).unwrap();
            for _ in 0..30 {
                other.pause().unwrap();
                other.resume().unwrap();
            }
        });
        while !pauses.is_finished() || born == 0 {
            match container.exec(&process("true"), &ExecOptions::new()) {
                Ok(process) => {
                    born += 1;
                    drop(process);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
                    refused += 1;
                }
            }
        }
        pauses.join().unwrap();
    });
    println!("{born} born, {refused} refused");
    assert!(container.delete(true).unwrap().is_empty());
}
