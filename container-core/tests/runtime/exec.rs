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

#[test]
fn waiting_is_not_held_up_by_processes_that_nobody_waits_for() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("reaped"), "sleep 0.3; exit 5");
    container.start().unwrap();
    // Executed and looked at by other handles of the same process.
    let executed = place.runtime.load(container.id()).unwrap();
    let executed = executed.exec(&process("exit 3"), &ExecOptions::new()).unwrap();
    let detached = place.runtime.load(container.id()).unwrap();
    detached.exec(&process("exit 4"), &ExecOptions::new()).unwrap().detach();
    let other = place.runtime.load(container.id()).unwrap();
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(other.wait().unwrap().map(|status| status.code())));
    let status = finished.recv_timeout(std::time::Duration::from_secs(10)).expect("it hangs");
    assert_eq!(status, Some(Some(5)));
    assert_eq!(executed.wait().unwrap().code(), Some(3));
    await_status(&container, Status::Stopped);
    container.delete(false).unwrap();
}

#[test]
fn who_ignores_the_pause_waits_for_its_end() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("ignore"), "sleep 100");
    container.start().unwrap();
    container.pause().unwrap();
    let other = place.runtime.load(container.id()).unwrap();
    let executor = std::thread::spawn(move || {
        let options = ExecOptions::new().ignore_paused(true);
        other.exec(&process("exit 6"), &options).unwrap().wait().unwrap()
    });
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert!(!executor.is_finished());
    container.resume().unwrap();
    assert_eq!(executor.join().unwrap().code(), Some(6));
}

#[test]
fn signals_go_to_all_of_it_and_to_no_one_else() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let script = "exec 2> /dev/null; trap 'echo >> /one' USR1; (trap 'echo >> /two' USR1; touch() { echo >> $1; }; \
                  touch /ready2; while :; do sleep 0.05; done) & touch() { echo >> $1; }; \
                  touch /ready1; while :; do sleep 0.05; done";
    let container = place.create(&id("all"), script);
    container.start().unwrap();
    let await_file = |name: &str| {
        let start = std::time::Instant::now();
        while !place.file(name).exists() {
            assert!(start.elapsed().as_secs() < 10, "{name} does not come");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    await_file("ready1");
    await_file("ready2");
    assert_eq!(container.kill(65).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(container.kill_all(-1).unwrap_err().kind(), ErrorKind::InvalidInput);
    container.kill(libc::SIGUSR1).unwrap();
    await_file("one");
    assert!(!place.file("two").exists());
    container.kill_all(libc::SIGUSR1).unwrap();
    await_file("two");
    container.kill_all(libc::SIGKILL).unwrap();
    await_status(&container, Status::Stopped);
    assert_eq!(container.kill_all(libc::SIGKILL).unwrap_err().kind(), ErrorKind::WrongState);
}
