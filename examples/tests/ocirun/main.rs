//! The command line of `ocirun`: what it prints, where errors go, exit codes; where runc is
//! installed, that both print the same.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod against_runc;
mod harness;
mod lifecycle;
// Unit tests of the example's own modules.
#[path = "../../ocirun/args/values.rs"]
#[allow(dead_code, unreachable_pub)]
mod values;

use std::fs;
use std::process::Command;

use harness::{Runs, can_run, ocirun};
use serde_json::Value;

#[test]
fn the_version_has_the_form_that_others_parse() {
    for flag in ["--version", "-v"] {
        let output = Command::new(ocirun()).arg(flag).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(output.status.success());
        assert!(lines[0].starts_with("ocirun version "), "{text}");
        assert!(lines[1].starts_with("spec: 1."), "{text}");
    }
}

#[test]
fn help_names_the_commands() {
    let output = Command::new(ocirun()).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for command in [
        "create",
        "start",
        "run",
        "exec",
        "state",
        "kill",
        "delete",
        "ps",
        "list",
        "pause",
        "resume",
        "update",
        "events",
        "spec",
        "features",
        "checkpoint",
        "restore",
    ] {
        assert!(text.contains(&format!("\n  {command} ")), "{command}: {text}");
    }
}

#[test]
fn bad_command_lines_are_refused_before_anything_is_made() {
    let runs = Runs::new();
    let bundle = runs.bundle(&["/bin/true"], |_| {});
    for words in [
        &["no-such-command"][..],
        &["--no-such-flag", "list"],
        &["--log-format", "xml", "list"],
        &["create"],
        &["create", "--no-such-flag", "x"],
        &["create", "--preserve-fds", "-1", "x"],
        &["create", "--preserve-fds", "many", "x"],
        &["run", "--bundle", &bundle],
        &["run", "--bundle", &bundle, "one", "two"],
        &["run", "--bundle", &bundle, "../up"],
        &["run", "--bundle", &bundle, "a/b"],
        &["run", "--bundle", &bundle, ""],
        &["kill", "x", "NOSUCH"],
        &["kill", "x", "65"],
        &["exec", "x"],
        &["exec", "--user", "root", "x", "true"],
        &["exec", "--env", "novalue", "x", "true"],
        &["ps", "--format", "xml", "x"],
        &["update", "--memory", "lots", "x"],
        &["events", "--interval", "0s", "x"],
        &["events", "--interval", "soon", "x"],
        &[],
    ] {
        let stderr = runs.bad(1, words);
        assert!(stderr.starts_with("ocirun: "), "{words:?}: {stderr}");
        let left = fs::read_dir(runs.root()).into_iter().flatten().count();
        assert_eq!(left, 0, "{words:?} left something in the state directory");
    }
}

#[test]
fn unknown_containers_are_named() {
    let runs = Runs::new();
    for words in [
        &["state", "nobody"][..],
        &["start", "nobody"],
        &["kill", "nobody", "KILL"],
        &["delete", "nobody"],
        &["ps", "nobody"],
        &["pause", "nobody"],
        &["resume", "nobody"],
        &["update", "--pids-limit", "5", "nobody"],
        &["events", "--stats", "nobody"],
        &["checkpoint", "nobody"],
    ] {
        let stderr = runs.bad(1, words);
        assert!(stderr.contains("nobody"), "{words:?}: {stderr}");
        assert!(stderr.contains("does not exist"), "{words:?}: {stderr}");
    }
    // What clients do to be sure that nothing is left.
    runs.good(&["delete", "--force", "nobody"]);
}

#[test]
fn the_last_error_is_in_the_log() {
    let runs = Runs::new();
    let (json, text) = (runs.temp.join("log.json"), runs.temp.join("log.txt"));
    let missing = runs.temp.join("missing");
    for (log, format) in [(&json, "json"), (&text, "text")] {
        let mut command = runs.runtime(&ocirun());
        command.arg("--log").arg(log).args(["--log-format", format, "create", "--bundle"]);
        let output = command.arg(&missing).arg("x").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains("No such file or directory"));
    }
    let json = fs::read_to_string(json).unwrap();
    let line: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("config.json"), "{line}");
    assert!(line["time"].as_str().unwrap().starts_with("20"), "{line}");
    let text = fs::read_to_string(text).unwrap();
    assert!(text.starts_with("time=\"20") && text.contains("level=error msg="), "{text}");
}

#[test]
fn a_bad_spec_is_refused_by_field_and_leaves_nothing() {
    let runs = Runs::new();
    let cases: [(&str, Value, &str); 6] = [
        ("/ociVersion", "2.0.0".into(), "ociVersion"),
        ("/process/cwd", "relative".into(), "process.cwd"),
        ("/process/user/uid", (-1).into(), "process.user.uid"),
        ("/root/path", "/no/such/root".into(), "/no/such/root"),
        ("/linux/namespaces/0/type", "galaxy".into(), "linux.namespaces[0].type"),
        ("/mounts/1/options", serde_json::json!(["nosuchoption"]), "nosuchoption"),
    ];
    for (pointer, value, named) in cases {
        let bundle = runs.bundle(&["/bin/true"], |config| {
            if pointer == "/mounts/1/options" {
                config["mounts"][1]["type"] = "bind".into();
            }
            *config.pointer_mut(pointer).unwrap() = value;
        });
        let stderr = runs.bad(1, &["run", "--bundle", &bundle, "bad"]);
        assert!(stderr.contains(named), "{pointer}: {stderr}");
        assert_eq!(fs::read_dir(runs.root()).into_iter().flatten().count(), 0, "{pointer}");
    }
}

#[test]
fn a_plan_is_explained_and_not_done() {
    if !can_run() {
        return;
    }
    let runs = Runs::new();
    let bundle = runs.bundle(&["/bin/true"], |_| {});
    for command in ["create", "run"] {
        let text = runs.good(&[command, "--explain", "--bundle", &bundle, "explained"]);
        for word in ["mount", "pivot_root", "execve", "/bin/true"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        runs.bad(1, &["state", "explained"]);
    }
}

#[test]
fn a_spec_to_start_from_is_written_once() {
    let runs = Runs::new();
    let path = runs.temp.path().to_str().unwrap();
    runs.good(&["spec", "--bundle", path]);
    let file = runs.temp.join("config.json");
    let config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(config["process"]["args"], serde_json::json!(["sh"]));
    let stderr = runs.bad(1, &["spec", "--bundle", path]);
    assert!(stderr.contains("config.json"), "{stderr}");
    fs::remove_file(&file).unwrap();
    runs.good(&["spec", "--rootless", "--bundle", path]);
    let config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(config["linux"]["uidMappings"].is_array());
}

#[test]
fn features_are_json() {
    let runs = Runs::new();
    let features: Value = serde_json::from_str(&runs.good(&["features"])).unwrap();
    assert!(features["ociVersionMax"].as_str().unwrap().starts_with("1."));
    assert!(features["hooks"].as_array().unwrap().contains(&"createRuntime".into()));
    assert!(features["mountOptions"].as_array().unwrap().contains(&"ro".into()));
}
