//! Saved and brought back by criu, where that works.

use std::fs;
use std::time::{Duration, Instant};

use container_core::runtime::{
    CheckpointOptions, CreateOptions, CriuOptions, RestoreOptions, Status,
};
use container_core::{ErrorKind, Stdio};
use serde_json::json;

use crate::support::{Place, await_status, id, ready};

/// Counts in memory, and writes it down: who goes on counting was not started anew.
const COUNTER: &str = "exec < /dev/null > /log 2>&1; count=0; \
     while :; do count=$((count + 1)); echo $count > /count; sleep 0.05; done";

fn count(place: &Place) -> u32 {
    fs::read_to_string(place.file("count")).ok().and_then(|it| it.trim().parse().ok()).unwrap_or(0)
}

fn await_count(place: &Place, above: u32) -> u32 {
    let start = Instant::now();
    loop {
        let now = count(place);
        if now > above {
            return now;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it does not count beyond {above}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_container_goes_on_where_it_was_saved() {
    if !testkit::require_root() || !testkit::require_criu() {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle(COUNTER, |_| {});
    let quiet = || [Stdio::Null, Stdio::Null, Stdio::Null];
    let id = id("criu");
    let options = CreateOptions::new().streams(quiet());
    let container = place.runtime.run(&id, &bundle, &options).unwrap();
    let before = await_count(&place, 3);
    let images = place.directory.join("images");
    let criu = || CriuOptions::new(&images);
    container.checkpoint(&CheckpointOptions::new(criu()).leave_running(true)).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Running);
    await_count(&place, before);
    container.checkpoint(&CheckpointOptions::new(criu())).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Stopped);
    container.delete(false).unwrap();
    let saved = count(&place);

    let pid_file = place.directory.join("pid");
    let options = RestoreOptions::new(criu()).streams(quiet()).pid_file(&pid_file);
    let restored = place.runtime.restore(&id, &bundle, &options).unwrap();
    let state = restored.state().unwrap();
    assert_eq!(state.status, Status::Running);
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), state.pid.to_string());
    let after = await_count(&place, saved);
    assert!(after < saved + 40, "it began anew: {saved}, {after}");
    assert!(restored.processes().unwrap().contains(&state.pid));
    restored.pause().unwrap();
    assert_eq!(restored.state().unwrap().status, Status::Paused);
    restored.resume().unwrap();
    restored.kill(libc::SIGKILL).unwrap();
    await_status(&restored, Status::Stopped);
    restored.delete(false).unwrap();
    assert!(place.runtime.list().unwrap().is_empty());
}

#[test]
fn what_criu_says_is_told_and_the_container_runs_on() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let container = place.create(&id("told"), "sleep 100");
    let images = place.directory.join("images");
    let options = CheckpointOptions::new(CriuOptions::new(&images).work_directory("/nonesuch"));
    if testkit::peer("criu").is_none() {
        let error = container.checkpoint(&options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("criu"), "{error}");
        return;
    }
    let error = container.checkpoint(&options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
    container.start().unwrap();
    let error = container.checkpoint(&options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Program, "{error}");
    assert!(error.to_string().contains("criu dump"), "{error}");
    assert_eq!(container.state().unwrap().status, Status::Running);
    container.delete(true).unwrap();
}

#[test]
fn a_restore_that_fails_leaves_nothing() {
    if !ready() || testkit::peer("criu").is_none() {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle("sleep 100", |spec| spec["annotations"] = json!({ "a": "b" }));
    let images = place.directory.join("images");
    let options = RestoreOptions::new(CriuOptions::new(&images));
    let error = place.runtime.restore(&id("none"), &bundle, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    fs::create_dir(&images).unwrap();
    fs::write(images.join("inventory.img"), "no image").unwrap();
    if testkit::is_root() {
        let error = place.runtime.restore(&id("none"), &bundle, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Program, "{error}");
    }
    assert!(place.runtime.list().unwrap().is_empty());
    let relative = RestoreOptions::new(CriuOptions::new("images"));
    let error = place.runtime.restore(&id("none"), &bundle, &relative).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}
