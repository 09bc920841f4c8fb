//! Rules that are broken easily: who may be killed, what is undone, what is told.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use container_core::ErrorKind;
use container_core::runtime::{ContainerEvent, CreateOptions, Runtime, Status};
use serde_json::{Value, json};

use crate::support::{Place, await_status, id, ready};

/// A spec without a pid namespace of its own.
fn shares_pids(spec: &mut Value) {
    let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|it| it["type"] != "pid");
    // A procfs of a pid namespace that is not its own is refused in a user namespace.
    spec["mounts"].as_array_mut().unwrap().retain(|it| it["destination"] != "/proc");
    spec["mounts"].as_array_mut().unwrap().push(
        json!({ "destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"] }),
    );
    for list in ["maskedPaths", "readonlyPaths"] {
        spec["linux"].as_object_mut().unwrap().remove(list);
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_created_container_can_be_paused_and_looked_at() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("paused"), "sleep 100");
    container.pause().unwrap();
    // Nobody takes connections there: looking must not wait for it.
    for _ in 0..300 {
        assert_eq!(container.state().unwrap().status, Status::Paused);
    }
    assert_eq!(container.start().unwrap_err().kind(), ErrorKind::WrongState);
    container.resume().unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    container.start().unwrap();
}

#[test]
fn a_state_of_an_earlier_boot_is_of_no_process() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("boot"), "sleep 100");
    let file = place.directory.join("run").join(container.id()).join("state.json");
    let text = fs::read_to_string(&file).unwrap();
    let mut state: Value = serde_json::from_str(&text).unwrap();
    let pid = state["process"]["pid"].as_u64().unwrap();
    // As if number and start time had come again.
    state["boot"] = json!("another");
    fs::write(&file, state.to_string()).unwrap();
    let other = place.runtime.load(container.id()).unwrap();
    assert_eq!(other.state().unwrap().status, Status::Stopped);
    assert_eq!(other.kill(libc::SIGKILL).unwrap_err().kind(), ErrorKind::WrongState);
    assert_eq!(other.wait().unwrap(), None);
    // Deleted without the socket: who listens there is no process of the other boot's either.
    fs::remove_file(file.with_file_name("start.sock")).unwrap();
    other.delete(true).unwrap();
    let lives = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(!lives.contains(") Z"), "a process of this boot was killed: {lives}");
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid as i32),
        nix::sys::signal::Signal::SIGKILL,
    );
    let _ = container.wait();
    for mount in [
        "pids", "memory", "freezer", "cpu", "cpuacct", "devices", "blkio", "cpuset", "systemd",
        "unified", "",
    ] {
        let group = format!("/sys/fs/cgroup/{mount}/container-{}", container.id());
        wait_until("cgroup", || !Path::new(&group).exists() || fs::remove_dir(&group).is_ok());
    }
}

#[test]
fn without_a_pid_namespace_all_of_the_cgroup_are_killed() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    for first_ends in [false, true] {
        let last = if first_ends { "sleep 0.05" } else { "exec sleep 100" };
        let script = format!("sleep 100 & echo $! > /child; {last}");
        let bundle = place.bundle(&script, shares_pids);
        let container =
            place.runtime.create(&id("shared"), &bundle, &CreateOptions::new()).unwrap();
        container.start().unwrap();
        wait_until("no child", || {
            fs::read_to_string(place.file("child")).is_ok_and(|it| it.ends_with('\n'))
        });
        let child = fs::read_to_string(place.file("child")).unwrap();
        fs::remove_file(place.file("child")).unwrap();
        if first_ends {
            await_status(&container, Status::Stopped);
            assert_eq!(container.kill(libc::SIGTERM).unwrap_err().kind(), ErrorKind::WrongState);
        }
        assert!(Path::new("/proc").join(child.trim()).exists());
        container.kill(libc::SIGKILL).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        wait_until("it lives", || fs::read_to_string(&stat).map_or(true, |it| it.contains(") Z")));
        await_status(&container, Status::Stopped);
        assert_eq!(container.kill(libc::SIGKILL).unwrap_err().kind(), ErrorKind::WrongState);
        assert_eq!(container.kill_all(libc::SIGKILL).unwrap_err().kind(), ErrorKind::WrongState);
        container.delete(false).unwrap();
    }
}

#[test]
fn deleting_takes_what_the_first_process_left() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle("sleep 100 & echo $! > /child", shares_pids);
    let container = place.runtime.create(&id("left"), &bundle, &CreateOptions::new()).unwrap();
    container.start().unwrap();
    container.wait().unwrap();
    let child = fs::read_to_string(place.file("child")).unwrap();
    container.delete(false).unwrap();
    let stat = format!("/proc/{}/stat", child.trim());
    wait_until("it lives", || fs::read_to_string(&stat).map_or(true, |it| it.contains(") Z")));
}

#[test]
fn hooks_inside_see_the_pid_of_inside() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let inside = place.file("inside");
    let bundle = place.bundle("sleep 100", |spec| {
        let script = format!("cat > {}", inside.display());
        spec["hooks"]["createContainer"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
        spec["annotations"] = json!({ "org.example.key": "value" });
    });
    let container = place.runtime.create(&id("nspid"), &bundle, &CreateOptions::new()).unwrap();
    let state: Value = serde_json::from_slice(&fs::read(&inside).unwrap()).unwrap();
    assert_eq!(state["pid"], json!(1), "{state}");
    assert_eq!(state["status"], json!("creating"));
    assert_eq!(state["bundle"], json!(place.directory.path()));
    assert_eq!(state["annotations"]["org.example.key"], json!("value"));
    container.delete(true).unwrap();
}

#[test]
fn a_creation_that_fails_runs_the_poststop_hooks() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let log = place.directory.join("poststop");
    let bundle = place.bundle("sleep 100", |spec| {
        let script = format!("cat > {}; ls {} > {}.list", log.display(), place.directory.join("run").display(), log.display());
        let hook = |script: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }]);
        spec["hooks"]["createRuntime"] = hook("exit 1");
        spec["hooks"]["poststop"] = hook(&script);
    });
    let error = place.runtime.create(&id("post"), &bundle, &CreateOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hook, "{error}");
    let state: Value = serde_json::from_slice(&fs::read(&log).unwrap()).unwrap();
    assert_eq!(state["status"], json!("stopped"));
    let list = fs::read_to_string(log.with_extension("list")).unwrap();
    assert_eq!(list, "", "they ran before the container was gone");
}

#[test]
fn a_poststart_hook_may_use_the_container() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let exe = std::env::current_exe().unwrap();
    let id = id("poststart");
    let bundle = place.bundle("sleep 100", |spec| {
        let run = place.directory.join("run");
        spec["hooks"]["poststart"] = json!([{
            "path": exe,
            "args": ["worker", "--exact", "processes::worker"],
            "env": [
                format!("WORK_IN={}", run.display()), "WORK=pause", format!("WORK_ID={id}"),
            ],
            "timeout": 20,
        }]);
    });
    let container = place.runtime.create(&id, &bundle, &CreateOptions::new()).unwrap();
    container.start().unwrap();
    assert_eq!(container.state().unwrap().status, Status::Paused);
    container.delete(true).unwrap();
}

#[test]
fn the_longest_name_on_another_file_system_below_a_long_path() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let below = Path::new("/dev/shm").join(testkit::unique("long"));
    let root = (0..9).fold(below.clone(), |path, _| path.join("x".repeat(250)));
    let runtime = Runtime::open(&root).unwrap();
    let start = id("longest");
    let id = format!("{start}{}", "y".repeat(255 - start.len()));
    let bundle = place.bundle("exit 3", |_| {});
    let pid_file = below.join("p".repeat(255));
    let options = CreateOptions::new().pid_file(&pid_file);
    let made = runtime.create(&id, &bundle, &options).and_then(|container| {
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), container.state()?.pid.to_string());
        container.start()?;
        assert_eq!(container.wait()?.unwrap().code(), Some(3));
        container.delete(false)
    });
    fs::remove_dir_all(&below).unwrap();
    made.unwrap();
}

#[test]
fn a_console_socket_that_nobody_serves_leaves_nothing() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let id = id("console");
    let log = place.directory.join("hook");
    let bundle = place.bundle("sleep 100", |spec| {
        spec["process"]["terminal"] = json!(true);
        let script = format!("echo > {}", log.display());
        spec["hooks"]["createRuntime"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    });
    let options = CreateOptions::new().console_socket(place.directory.join("nobody.sock"));
    let error = place.runtime.create(&id, &bundle, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(!log.exists(), "a hook ran although the socket could not be had");
    assert!(place.runtime.list().unwrap().is_empty());
    assert!(!Path::new(&format!("/sys/fs/cgroup/pids/container-{id}")).exists());
}

#[test]
fn a_net_device_comes_back_when_the_pid_file_cannot_be_written() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let short = format!("r{}", std::process::id());
    let (ours, peer) = (format!("{short}a"), format!("{short}b"));
    let ip = |arguments: &[&str]| Command::new("ip").args(arguments).status().unwrap().success();
    if !ip(&["link", "add", &ours, "type", "veth", "peer", "name", &peer]) {
        panic!("no veth");
    }
    let bundle = place.bundle("sleep 100", |spec| {
        spec["linux"]["netDevices"] = json!({ &ours: { "name": "inside0" } });
    });
    let options = CreateOptions::new().pid_file(place.directory.join("missing/pid"));
    let error = place.runtime.create(&id("veth"), &bundle, &options).unwrap_err();
    let there = Path::new("/sys/class/net").join(&ours).exists();
    ip(&["link", "del", &ours]);
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(there, "the device went with the container");
}

#[test]
fn many_wait_for_one() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("waiters"), "sleep 0.2; exit 5");
    container.start().unwrap();
    let waiters: Vec<_> = (0..8)
        .map(|_| {
            let other = place.runtime.load(container.id()).unwrap();
            std::thread::spawn(move || other.wait().unwrap())
        })
        .collect();
    let status = container.wait().unwrap().unwrap();
    assert_eq!(status.code(), Some(5));
    for waiter in waiters {
        let theirs = waiter.join().unwrap();
        if testkit::kernel_version() >= (6, 15) {
            assert_eq!(theirs, Some(status));
        }
    }
}

#[test]
fn a_parent_learns_the_status_after_the_end() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("after"), "exit 6");
    container.start().unwrap();
    await_status(&container, Status::Stopped);
    // By the directory alone, but in the process that is the parent.
    let other = place.runtime.load(container.id()).unwrap();
    assert_eq!(other.wait().unwrap().unwrap().code(), Some(6));
    assert_eq!(other.wait().unwrap().unwrap().code(), Some(6));
    assert_eq!(container.wait().unwrap().unwrap().code(), Some(6));
}

#[test]
fn lack_of_memory_is_told_before_the_end() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle("cat /dev/zero > /dev/shm/fill", |spec| {
        spec["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20 });
    });
    let container = place.runtime.create(&id("memory"), &bundle, &CreateOptions::new()).unwrap();
    let other = place.runtime.load(container.id()).unwrap();
    let mut events = other.events().unwrap();
    assert_eq!(events.next(Some(Duration::ZERO)).unwrap(), None);
    container.start().unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.next(Some(Duration::from_secs(20))).unwrap() {
        told.push(event);
    }
    assert_eq!(told.pop(), Some(ContainerEvent::Ended));
    let out = |event: &ContainerEvent| matches!(event, ContainerEvent::OutOfMemory { .. });
    assert!(!told.is_empty() && told.iter().all(out), "{told:?}");
    assert_eq!(events.next(None).unwrap(), None);
    container.delete(true).unwrap();
}

#[test]
fn what_cannot_run_leaves_nothing() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle("", |spec| spec["process"]["args"] = json!(["nonesuch"]));
    let error = place.runtime.run(&id("norun"), &bundle, &CreateOptions::new()).unwrap_err();
    assert!(error.to_string().contains("nonesuch"), "{error}");
    assert!(place.runtime.list().unwrap().is_empty());
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 1"] }]);
    for point in ["startContainer", "poststart"] {
        let bundle = place.bundle("sleep 100", |spec| spec["hooks"][point] = hook.clone());
        let error = place.runtime.run(&id("norun"), &bundle, &CreateOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Hook, "{error}");
        assert!(place.runtime.list().unwrap().is_empty());
    }
}
