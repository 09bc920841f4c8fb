//! From created to deleted, in the order of the specification.

use std::path::Path;

use container_core::ErrorKind;
use container_core::runtime::{CreateOptions, Status};

use crate::support::{Place, await_status, await_text, id, ready};

#[test]
fn each_state_has_its_operations() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let id = id("life");
    let container = place.create(&id, "echo ran > /ran; exec sleep 100");
    let state = container.state().unwrap();
    assert_eq!(state.status, Status::Created);
    assert!(!place.file("ran").exists(), "the program ran before the start");
    assert!(Path::new(&format!("/proc/{}", state.pid)).exists());

    // As another process would: by the directory alone.
    let other = place.runtime.load(&id).unwrap();
    other.start().unwrap();
    await_status(&container, Status::Running);
    await_text(&place.file("ran"), "ran\n");
    assert_eq!(other.start().unwrap_err().kind(), ErrorKind::WrongState);
    let container = match container.delete(false) {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WrongState);
            place.runtime.load(&id).unwrap()
        }
        Ok(_) => panic!("a running container was deleted"),
    };
    container.kill(libc::SIGKILL).unwrap();
    await_status(&container, Status::Stopped);
    assert_eq!(container.state().unwrap().pid, 0);
    assert_eq!(container.kill(libc::SIGTERM).unwrap_err().kind(), ErrorKind::WrongState);
    assert!(container.delete(false).unwrap().is_empty());
    assert_eq!(place.runtime.load(&id).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(place.runtime.list().unwrap().is_empty());
}

#[test]
fn the_creator_waits_for_the_exit_code() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("code"), "exit 42");
    container.start().unwrap();
    assert_eq!(container.wait().unwrap().unwrap().code(), Some(42));
    await_status(&container, Status::Stopped);
    container.delete(false).unwrap();
}

#[test]
fn a_name_is_taken_once() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let id = id("once");
    let first = place.create(&id, "sleep 100");
    let bundle = place.bundle("true", |_| {});
    let error = place.runtime.create(&id, &bundle, &CreateOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(first.state().unwrap().status, Status::Created);
    first.delete(true).unwrap();
}

#[test]
fn a_program_that_is_missing_is_told_at_creation_and_leaves_nothing() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let id = id("missing");
    let bundle = place.bundle("", |spec| spec["process"]["args"] = serde_json::json!(["nonesuch"]));
    let error = place.runtime.create(&id, &bundle, &CreateOptions::new()).unwrap_err();
    assert!(error.to_string().contains("executable file not found in $PATH"), "{error}");
    assert!(place.runtime.list().unwrap().is_empty());
    assert!(!Path::new(&format!("/sys/fs/cgroup/pids/container-{id}")).exists());
}
