//! What runc prints, `ocirun` prints too.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Runs, ocirun};

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn state_list_and_spec_look_the_same() {
    if !testkit::require_root() {
        return;
    }
    if !testkit::require_peer("runc") {
        return;
    }
    let runc = testkit::peer("runc").unwrap();
    let runs = [Runs::new(), Runs::new()];
    let programs = [runc.clone(), ocirun()];
    let mut states = Vec::new();
    let mut lists = Vec::new();
    let mut tables = Vec::new();
    for (runs, program) in runs.iter().zip(&programs) {
        let id = testkit::unique("same");
        let bundle = runs.bundle(&["/bin/sleep", "1000"], |_| {});
        let call = |words: &[&str]| {
            let output = runs.runtime(program).args(words).output().unwrap();
            assert!(output.status.success(), "{program:?} {words:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let output = runs
            .runtime(program)
            .args(["create", "--bundle", &bundle, &id])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(output.success(), "{program:?}");
        states.push(serde_json::from_str::<Value>(&call(&["state", &id])).unwrap());
        lists.push(serde_json::from_str::<Value>(&call(&["list", "-f", "json"])).unwrap());
        let table = call(&["list"]);
        let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        tables.push(words(table.lines().next().unwrap()));
        assert_eq!(words(table.lines().nth(1).unwrap()).len(), 6, "{table}");
        call(&["delete", "--force", &id]);
        assert_eq!(call(&["list", "-f", "json"]).trim(), "null");
    }
    assert_eq!(keys(&states[0]), keys(&states[1]));
    assert_eq!(keys(&lists[0][0]), keys(&lists[1][0]));
    assert_eq!(tables[0], tables[1]);
    assert_eq!(states[0]["status"], states[1]["status"]);
    assert_eq!(lists[0][0]["owner"], lists[1][0]["owner"]);
}

#[test]
fn the_same_errors_are_errors() {
    if !testkit::require_root() {
        return;
    }
    if !testkit::require_peer("runc") {
        return;
    }
    let runc = testkit::peer("runc").unwrap();
    let runs = Runs::new();
    let fails = |program: &Path, words: &[&str]| {
        let output = runs.runtime(program).args(words).output().unwrap();
        output.status.code()
    };
    for words in [
        &["state", "nobody"][..],
        &["start", "nobody"],
        &["delete", "nobody"],
        &["delete", "--force", "nobody"],
        &["kill", "nobody", "TERM"],
        &["exec", "nobody", "true"],
        &["create", "--bundle", "/no/such/bundle", "x"],
        &["run", "--bundle", "/no/such/bundle", "x"],
        &["list"],
        &["--version"],
    ] {
        assert_eq!(fails(&runc, words), fails(&ocirun(), words), "{words:?}");
    }
}

#[test]
fn help_is_help() {
    let output = Command::new(ocirun()).args(["run", "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for flag in [
        "--bundle",
        "--console-socket",
        "--pid-file",
        "--no-pivot",
        "--no-new-keyring",
        "--preserve-fds",
        "--detach",
        "--keep",
        "--no-subreaper",
    ] {
        assert!(text.contains(flag), "{flag}: {text}");
    }
}
