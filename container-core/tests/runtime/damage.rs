//! State that is damaged, foreign or half made.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::Duration;

use container_core::ErrorKind;
use container_core::runtime::{CreateOptions, Runtime, Status};
use serde_json::json;

use crate::support::{Place, await_status, id, ready};

#[test]
fn what_is_not_a_state_is_told_and_never_guessed_at() {
    let place = Place::new();
    let root = place.directory.join("run");
    let whole = json!({
        "version": 1, "id": "web", "ociVersion": "1.0.2", "bundle": "/", "created": "now",
        "owner": 0, "boot": "x", "creator": { "pid": 1, "start_time": 1 }, "started": true,
    });
    let mut foreign = whole.clone();
    foreign["id"] = json!("other");
    let mut newer = whole.clone();
    newer["version"] = json!(2);
    let mut negative = whole.clone();
    negative["process"] = json!({ "pid": -1, "start_time": 1 });
    let cut = whole.to_string()[..40].to_owned();
    for text in [
        "",
        "{}",
        "[]",
        "\0",
        &cut,
        &foreign.to_string(),
        &newer.to_string(),
        &negative.to_string(),
    ] {
        let directory = root.join("web");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(directory.join("state.json"), text).unwrap();
        let error = place.runtime.load("web").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{text}: {error}");
        let listed = place.runtime.list().unwrap();
        assert_eq!(listed.len(), 1);
        assert!(listed[0].container.is_err());
        place.runtime.remove_damaged("web").unwrap();
        assert!(!directory.exists());
    }
}

#[test]
fn directories_of_others_are_not_trusted() {
    let place = Place::new();
    let root = place.directory.join("run");
    let elsewhere = place.directory.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, root.join("link")).unwrap();
    assert!(place.runtime.load("link").is_err());
    let open = place.directory.join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(Runtime::open(&open).unwrap_err().kind(), ErrorKind::PermissionDenied);
    for name in ["../run", "a/b", "", "."] {
        assert_eq!(place.runtime.load(name).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    fs::remove_file(root.join("link")).unwrap();
}

#[test]
fn a_process_with_the_same_number_is_not_the_container() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("reuse"), "sleep 100");
    container.start().unwrap();
    let file = place.directory.join("run").join(container.id()).join("state.json");
    // Start times count in hundredths of a second.
    std::thread::sleep(Duration::from_millis(50));
    let mut bystander = Command::new("sleep").arg("100").spawn().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
    state["process"]["pid"] = json!(bystander.id());
    fs::write(&file, state.to_string()).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Stopped);
    assert_eq!(container.kill(libc::SIGKILL).unwrap_err().kind(), ErrorKind::WrongState);
    fs::write(&file, text).unwrap();
    container.delete(true).unwrap();
    assert!(bystander.try_wait().unwrap().is_none(), "a bystander was killed");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// A creator in a process of its own: the test runs itself with these variables.
#[test]
fn creator() {
    let (Ok(root), Ok(bundle), Ok(id)) =
        (std::env::var("CREATE_IN"), std::env::var("CREATE_FROM"), std::env::var("CREATE_ID"))
    else {
        return;
    };
    let runtime = Runtime::open(root).unwrap();
    let bundle = container_core::oci::Bundle::load(bundle).unwrap();
    runtime.create(&id, &bundle, &CreateOptions::new()).unwrap();
}

fn run_creator(place: &Place, id: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "damage::creator", "--nocapture", "--test-threads=1"])
        .env("CREATE_IN", place.directory.join("run"))
        .env("CREATE_FROM", place.directory.path())
        .env("CREATE_ID", id)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn it_outlives_its_creator_and_others_learn_its_status() {
    if !ready() {
        return;
    }
    let place = Place::new();
    place.bundle("exit 9", |_| {}).save().unwrap();
    let id = id("orphan");
    assert!(run_creator(&place, &id).wait().unwrap().success());
    let container = place.runtime.load(&id).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    let waiting = place.runtime.load(&id).unwrap();
    let waiter = std::thread::spawn(move || waiting.wait());
    std::thread::sleep(Duration::from_millis(50));
    container.start().unwrap();
    let status = waiter.join().unwrap().unwrap();
    // Before Linux 6.15 only its parent gets to know.
    if testkit::kernel_version() >= (6, 15) {
        assert_eq!(status.unwrap().code(), Some(9));
    }
    await_status(&container, Status::Stopped);
    container.delete(false).unwrap();
}
