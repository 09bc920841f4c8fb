//! Creators of containers that are killed at any moment, alone in a program: what is left of them
//! is counted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Stdio};
use std::time::Duration;

use container_core::ErrorKind;
use container_core::runtime::{CreateOptions, Runtime, Status};

use support::{Place, id, ready};

#[allow(dead_code)]
#[path = "runtime/support.rs"]
mod support;

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
        .args(["--exact", "creator", "--nocapture", "--test-threads=1"])
        .env("CREATE_IN", place.directory.join("run"))
        .env("CREATE_FROM", place.directory.path())
        .env("CREATE_ID", id)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn whoever_kills_the_creator_leaves_what_can_be_deleted() {
    if !ready() {
        return;
    }
    let place = Place::new();
    place.bundle("sleep 100", |_| {}).save().unwrap();
    let leaks = testkit::Leaks::snapshot();
    let id = id("killed");
    for microseconds in (0..60).map(|step| step * 500) {
        let mut child = run_creator(&place, &id);
        std::thread::sleep(Duration::from_micros(microseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        match place.runtime.load(&id) {
            Ok(container) => {
                assert_ne!(container.state().unwrap().status, Status::Creating);
                assert!(container.delete(true).unwrap().is_empty());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
                place.runtime.remove_damaged(&id).unwrap();
            }
        }
        assert!(place.runtime.list().unwrap().is_empty());
    }
    leaks.assert_unchanged();
}
