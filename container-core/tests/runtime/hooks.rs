//! Hooks: when, where, with what, and what a failure does.

use std::fs;
use std::path::Path;

use container_core::ErrorKind;
use container_core::runtime::{CreateOptions, Status};
use serde_json::{Value, json};

use crate::support::{Place, id, ready};

/// A hook that appends its moment and what it reads to a file.
fn record(place: &Place, point: &str) -> Value {
    let log = place.directory.join("log");
    let script = format!(
        "state=$(cat); echo \"{point} $state\" >> {}; readlink /proc/self/ns/uts > {}",
        log.display(),
        place.directory.join(point).display()
    );
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }])
}

#[test]
fn all_six_run_in_order_with_the_state() {
    if !ready() {
        return;
    }
    let place = Place::new();
    fs::set_permissions(
        place.directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let id = id("hooks");
    let points = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let bundle = place.bundle("sleep 100", |spec| {
        for point in points {
            spec["hooks"][point] = record(&place, point);
        }
        spec["hooks"]["startContainer"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", "cat > /inside"] }]);
    });
    let container = place.runtime.create(&id, &bundle, &CreateOptions::new()).unwrap();
    let pid = container.state().unwrap().pid;
    container.start().unwrap();
    let inside: Value = serde_json::from_slice(&fs::read(place.file("inside")).unwrap()).unwrap();
    assert_eq!((&inside["status"], &inside["pid"]), (&json!("created"), &json!(pid)));
    assert!(container.delete(true).unwrap().is_empty());
    let log = fs::read_to_string(place.directory.join("log")).unwrap();
    let said: Vec<(&str, Value)> = log
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(point, state)| (point, serde_json::from_str(state).unwrap()))
        .collect();
    assert_eq!(said.iter().map(|(point, _)| *point).collect::<Vec<_>>(), points);
    let statuses: Vec<&str> = said.iter().map(|(_, it)| it["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["creating", "creating", "creating", "running", "stopped"]);
    assert!(said.iter().all(|(_, state)| state["id"] == json!(id)));
    assert_eq!(said[0].1["pid"], json!(pid));
    let namespace = |point| fs::read_to_string(place.directory.join(point)).unwrap();
    let own = fs::read_link("/proc/self/ns/uts").unwrap().display().to_string();
    assert_eq!(namespace("createRuntime").trim(), own);
    assert_ne!(namespace("createContainer").trim(), own);
}

#[test]
fn a_failing_hook_of_the_creation_undoes_it() {
    if !ready() {
        return;
    }
    let place = Place::new();
    for point in ["prestart", "createRuntime", "createContainer"] {
        let id = id("undone");
        let bundle = place.bundle("sleep 100", |spec| {
            spec["hooks"][point] =
                json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo no luck >&2; exit 3"] }]);
        });
        let error = place.runtime.create(&id, &bundle, &CreateOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Hook, "{error}");
        let text = error.to_string();
        assert!(text.contains(point) && text.contains("exit code 3: no luck"), "{text}");
        assert!(place.runtime.list().unwrap().is_empty());
        assert!(!Path::new(&format!("/sys/fs/cgroup/pids/container-{id}")).exists());
    }
}

#[test]
fn a_hook_is_killed_when_its_time_is_over() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle("sleep 100", |spec| {
        let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "sleep 60"], "timeout": 1 });
        spec["hooks"]["createRuntime"] = json!([hook]);
    });
    let error = place.runtime.create(&id("slow"), &bundle, &CreateOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[test]
fn a_failing_start_hook_stops_the_container() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle("echo ran > /ran; sleep 100", |spec| {
        spec["hooks"]["startContainer"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 1"] }]);
    });
    let container = place.runtime.create(&id("start"), &bundle, &CreateOptions::new()).unwrap();
    assert_eq!(container.start().unwrap_err().kind(), ErrorKind::Hook);
    assert_eq!(container.state().unwrap().status, Status::Stopped);
    assert!(!place.file("ran").exists());
}
