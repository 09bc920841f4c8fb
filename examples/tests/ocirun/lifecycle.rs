//! From created to deleted, by the commands.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Runs, can_run, ocirun};

#[test]
fn run_gives_the_exit_code_and_removes_the_container() {
    if !can_run() {
        return;
    }
    let runs = Runs::new();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255)] {
        let bundle = runs.bundle(&["/bin/sh", "-c", script], |_| {});
        let output = runs.ocirun(&["run", "--bundle", &bundle, "r"]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        runs.bad(1, &["state", "r"]);
    }
    let bundle = runs.bundle(&["/bin/sh", "-c", "echo out; echo err >&2"], |_| {});
    let output = runs.ocirun(&["run", "--keep", "--bundle", &bundle, "kept"]);
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(runs.state("kept")["status"], "stopped");
    runs.good(&["delete", "kept"]);
}

#[test]
fn a_program_that_cannot_be_run_is_told_at_creation() {
    if !can_run() {
        return;
    }
    let runs = Runs::new();
    for (program, why) in [
        ("/no/such/program", "No such file or directory"),
        ("no-such-program", "No such file or directory"),
        ("/etc", "Is a directory"),
    ] {
        let bundle = runs.bundle(&[program], |_| {});
        let stderr = runs.bad(1, &["create", "--bundle", &bundle, "c"]);
        assert!(stderr.contains(program) && stderr.contains(why), "{program}: {stderr}");
        runs.bad(1, &["state", "c"]);
    }
}

#[test]
fn created_started_killed_deleted() {
    if !can_run() {
        return;
    }
    let runs = Runs::new();
    let bundle = runs.bundle(&["/bin/sleep", "1000"], |config| {
        config["annotations"] = json!({ "org.example.note": "kept" });
    });
    let pid_file = runs.temp.join("pid");
    let pid_path = pid_file.to_str().unwrap();
    runs.leaves_one(&["create", "--bundle", &bundle, "--pid-file", pid_path, "c"]);
    let state = runs.state("c");
    assert_eq!((&state["status"], &state["id"]), (&json!("created"), &json!("c")));
    assert_eq!(state["annotations"]["org.example.note"], "kept");
    assert_eq!(state["bundle"], json!(bundle));
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), state["pid"].to_string());
    // A name is taken once.
    let stderr = runs.bad(1, &["create", "--bundle", &bundle, "c"]);
    assert!(stderr.contains("exists"), "{stderr}");

    runs.good(&["start", "c"]);
    assert_eq!(runs.state("c")["status"], "running");
    let pid = state["pid"].as_u64().unwrap();
    assert_eq!(fs::read(format!("/proc/{pid}/cmdline")).unwrap(), b"/bin/sleep\x001000\0");
    runs.bad(1, &["start", "c"]);
    let stderr = runs.bad(1, &["delete", "c"]);
    assert!(stderr.contains("running"), "{stderr}");

    let listed = runs.good(&["list", "--quiet"]);
    assert_eq!(listed, "c\n");
    let all: Value = serde_json::from_str(&runs.good(&["list", "--format", "json"])).unwrap();
    assert_eq!((&all[0]["id"], &all[0]["pid"]), (&json!("c"), &json!(pid)));
    let table = runs.good(&["ps", "c"]);
    assert!(table.contains("sleep 1000"), "{table}");
    let processes: Value = serde_json::from_str(&runs.good(&["ps", "-f", "json", "c"])).unwrap();
    assert_eq!(processes, json!([pid]));

    runs.good(&["kill", "c", "KILL"]);
    runs.until("c", "stopped");
    runs.good(&["delete", "c"]);
    runs.bad(1, &["state", "c"]);
    assert_eq!(fs::read_dir(runs.root()).unwrap().count(), 0);
}

#[test]
fn exec_beside_the_first_process() {
    if !can_run() {
        return;
    }
    let runs = Runs::new();
    let bundle = runs.bundle(&["/bin/sleep", "1000"], |_| {});
    runs.leaves_one(&["run", "--detach", "--bundle", &bundle, "e"]);
    let script = "echo $VALUE $(pwd); exit 5";
    let output = runs.ocirun(&[
        "exec",
        "--env",
        "VALUE=given",
        "--cwd",
        "/tmp",
        "e",
        "/bin/sh",
        "-c",
        script,
    ]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(output.stdout, b"given /tmp\n");
    let output = runs.ocirun(&["exec", "e", "/bin/sh", "-c", "kill -KILL $$"]);
    assert_eq!(output.status.code(), Some(128 + 9), "{output:?}");
    let stderr = runs.bad(255, &["exec", "e", "/no/such/program"]);
    assert!(stderr.contains("No such file or directory"), "{stderr}");
    let file = runs.temp.join("process.json");
    let process = json!({
        "args": ["/bin/sh", "-c", "echo $FROM"], "cwd": "/", "env": ["FROM=file"],
        "user": { "uid": 0, "gid": 0 },
    });
    fs::write(&file, process.to_string()).unwrap();
    let text = runs.good(&["exec", "--process", file.to_str().unwrap(), "e"]);
    assert_eq!(text, "file\n");
    runs.good(&["delete", "--force", "e"]);
}

#[test]
fn a_signal_for_run_reaches_the_container() {
    if !can_run() {
        return;
    }
    let runs = Runs::new();
    let script = "trap 'echo told; exit 12' TERM; echo ready; while :; do sleep 0.05; done";
    let bundle = runs.bundle(&["/bin/sh", "-c", script], |_| {});
    let mut child = runs
        .runtime(&ocirun())
        .args(["run", "--bundle", &bundle, "s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(12), None));
}
