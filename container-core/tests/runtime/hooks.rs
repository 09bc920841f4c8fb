//! Hooks: when, where, with what, and what a failure does.

use std::fs;
use std::path::Path;

use container_core::ErrorKind;
use container_core::runtime::CreateOptions;
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
    assert_eq!((&inside["status"], &inside["pid"]), (&json!("created"), &json!(1)));
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
fn a_failing_start_hook_ends_the_container() {
    if !ready() {
        return;
    }
    for point in ["startContainer", "poststart"] {
        let place = Place::new();
        let bundle = place.bundle("echo ran > /ran; sleep 100", |spec| {
            let fail = "echo no start >&2; exit 1";
            spec["hooks"][point] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", fail] }]);
            spec["hooks"]["poststop"] = record(&place, "poststop");
        });
        let id = id("start");
        let container = place.runtime.create(&id, &bundle, &CreateOptions::new()).unwrap();
        let pid = container.state().unwrap().pid;
        let error = container.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Hook);
        assert!(error.to_string().contains("exit code 1: no start"), "{error}");
        assert_eq!(container.state().unwrap_err().kind(), ErrorKind::NotFound);
        assert!(place.runtime.list().unwrap().is_empty());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        let log = fs::read_to_string(place.directory.join("log")).unwrap();
        assert_eq!(log.matches("stopped").count(), 1, "poststop runs once: {log}");
        // The program runs before poststart, and after startContainer only.
        assert!(point == "poststart" || !place.file("ran").exists());
    }
}

#[test]
fn poststop_runs_where_a_hook_undoes_the_creation_and_its_failure_is_told() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle("sleep 100", |spec| {
        spec["hooks"]["createRuntime"] = json!([{ "path": "/bin/false" }]);
        spec["hooks"]["poststop"] = record(&place, "poststop");
    });
    let error = place.runtime.create(&id("undone"), &bundle, &CreateOptions::new()).unwrap_err();
    assert!(error.to_string().contains("createRuntime"), "{error}");
    assert!(fs::read_to_string(place.directory.join("log")).unwrap().contains("stopped"));

    let bundle = place.bundle("sleep 100", |spec| {
        let fail =
            |code| json!({ "path": "/bin/sh", "args": ["sh", "-c", format!("exit {code}")] });
        spec["hooks"]["poststop"] = json!([fail(1), fail(2)]);
    });
    let container = place.runtime.create(&id("warned"), &bundle, &CreateOptions::new()).unwrap();
    let warnings = container.delete(true).unwrap();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("exit code 1") && warnings[1].contains("exit code 2"));
}

#[test]
fn hooks_have_their_own_environment_arguments_and_place() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let said = place.directory.join("said");
    let script =
        format!("echo $0 $1 > {0}; pwd >> {0}; cat /proc/$$/environ >> {0}", said.display());
    let bundle = place.bundle("sleep 100", |spec| {
        let args = json!(["called", "-c", script, "zero", "one"]);
        spec["hooks"]["prestart"] =
            json!([{ "path": "/bin/sh", "args": args, "env": ["PATH=/bin:/usr/bin", "A=b=c"] }]);
    });
    place.runtime.create(&id("env"), &bundle, &CreateOptions::new()).unwrap();
    let said = fs::read_to_string(said).unwrap();
    let expected =
        format!("zero one\n{}\nPATH=/bin:/usr/bin\0A=b=c\0", place.directory.path().display());
    assert_eq!(said, expected);
}

#[test]
fn what_a_hook_mounts_in_the_container_is_there_and_not_outside() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.file("extra")).unwrap();
    let target = place.file("extra");
    let mount = format!("mount -t tmpfs hooked {0} && echo hello > {0}/greeting", target.display());
    let bundle = place.bundle("cat /extra/greeting > /seen; sleep 100", |spec| {
        spec["hooks"]["createContainer"] = json!([{
            "path": "/bin/sh", "args": ["sh", "-c", mount], "env": ["PATH=/bin:/usr/bin:/sbin"]
        }]);
    });
    let container = place.runtime.create(&id("mount"), &bundle, &CreateOptions::new()).unwrap();
    container.start().unwrap();
    let start = std::time::Instant::now();
    while fs::read_to_string(place.file("seen")).ok().as_deref() != Some("hello\n") {
        assert!(start.elapsed().as_secs() < 10, "the mount is not in the container");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!target.join("greeting").exists());
}

/// The hook's program comes with the image: it must not get more than the container's own.
#[test]
fn a_hook_inside_is_as_confined_as_the_program() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    fs::set_permissions(place.rootfs.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    let id = id("confined");
    let bundle = place.bundle("cat /proc/self/status > /program; sleep 100", |spec| {
        spec["process"]["user"] = json!({ "uid": 7, "gid": 8, "umask": 0o27 });
        spec["process"]["noNewPrivileges"] = json!(true);
        spec["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 33, "hard": 35 }]);
        spec["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        let script = "cat /proc/self/status > /hook; cat /proc/self/cgroup > /cgroup; \
                      cat /proc/$$/environ > /environ; ulimit -n > /files";
        spec["hooks"]["startContainer"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=b", "PATH=/bin"] }]);
    });
    let container = place.runtime.create(&id, &bundle, &CreateOptions::new()).unwrap();
    container.start().unwrap();
    let start = std::time::Instant::now();
    let fields = |file: &str| {
        let text = fs::read_to_string(place.file(file)).unwrap_or_default();
        let wanted = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Umask"];
        let lines = text.lines().filter(|line| wanted.iter().any(|it| line.starts_with(it)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    while fields("program").len() < 11 {
        assert!(start.elapsed().as_secs() < 10);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(fields("hook"), fields("program"));
    let read = |file: &str| fs::read_to_string(place.file(file)).unwrap();
    // The name as seen from outside, or the root of a cgroup namespace.
    let inside = |line: &str| line.contains(&id) || line.ends_with(":/");
    assert!(read("cgroup").lines().any(inside), "{}", read("cgroup"));
    assert_eq!(read("environ"), "A=b\0PATH=/bin\0");
    assert_eq!(read("files").trim(), "33");
}
