//! Several processes at one container at once: exactly one wins, and nothing is left.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use container_core::ErrorKind;
use container_core::oci::Bundle;
use container_core::runtime::{CreateOptions, Runtime, Status};

use crate::support::{Place, await_status, id, ready};

/// What the process that the test makes of itself does; it writes 10 and more for an error.
#[test]
fn role() {
    let Ok(role) = std::env::var("RACE_ROLE") else {
        return;
    };
    let variable = |name| std::env::var(name).unwrap();
    let runtime = Runtime::open(variable("RACE_ROOT")).unwrap();
    let id = variable("RACE_ID");
    let result = match &*role {
        "create" => Bundle::load(variable("RACE_BUNDLE"))
            .and_then(|bundle| runtime.create(&id, &bundle, &CreateOptions::new()))
            .map(drop),
        "start" => runtime.load(&id).and_then(|container| container.start()),
        "kill" => runtime.load(&id).and_then(|container| container.kill(libc::SIGKILL)),
        "delete" => runtime.load(&id).and_then(|container| container.delete(true)).map(drop),
        other => unreachable!("{other}"),
    };
    let code = match result.map_err(|error| error.kind()) {
        Ok(()) => 0,
        Err(ErrorKind::AlreadyExists) => 10,
        Err(ErrorKind::WrongState) => 11,
        Err(ErrorKind::NotFound) => 12,
        Err(kind) => unreachable!("{role}: {kind:?}"),
    };
    std::fs::write(variable("RACE_SAYS"), code.to_string()).unwrap();
}

/// A process that plays a role, and the file that it writes its code to.
struct Player(Child, PathBuf);

fn play(place: &Place, role: &str, id: &str) -> Player {
    let says = place.directory.join(testkit::unique(role));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "races::role", "--nocapture", "--test-threads=1"])
        .env("RACE_ROLE", role)
        .env("RACE_ROOT", place.directory.join("run"))
        .env("RACE_BUNDLE", place.directory.path())
        .env("RACE_ID", id)
        .env("RACE_SAYS", &says)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Player(child, says)
}

fn codes(players: Vec<Player>) -> Vec<i32> {
    let code = |Player(mut child, says): Player| {
        assert!(child.wait().unwrap().success());
        std::fs::read_to_string(says).unwrap().parse().unwrap()
    };
    let mut codes: Vec<i32> = players.into_iter().map(code).collect();
    codes.sort_unstable();
    codes
}

#[test]
fn of_many_creators_starters_and_deleters_one_wins() {
    if !ready() {
        return;
    }
    let place = Place::new();
    place.bundle("echo >> /starts; sleep 100", |_| {}).save().unwrap();
    let id = id("race");
    let all = |role| codes((0..5).map(|_| play(&place, role, &id)).collect());
    assert_eq!(all("create"), [0, 10, 10, 10, 10]);
    let container = place.runtime.load(&id).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    assert_eq!(all("start"), [0, 11, 11, 11, 11]);
    await_status(&container, Status::Running);
    // Signals need no turn: each comes in time, or finds it ended.
    assert!(all("kill").iter().all(|code| matches!(code, 0 | 11)));
    await_status(&container, Status::Stopped);
    assert_eq!(all("delete"), [0, 12, 12, 12, 12]);
    assert!(place.runtime.list().unwrap().is_empty());
    assert_eq!(std::fs::read_to_string(place.file("starts")).unwrap(), "\n");
    let left: Vec<_> = std::fs::read_dir(place.directory.join("run")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn start_kill_and_delete_at_once_leave_a_whole_state_or_none() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let id = id("mixed");
    for round in 0..6 {
        let container = place.create(&id, "sleep 100");
        let roles = ["start", "kill", "delete", "start", "kill"];
        let mut players = Vec::new();
        for role in roles.iter().cycle().skip(round).take(roles.len()) {
            players.push(play(&place, role, &id));
            // Readers see one of the states at any time, and are never held up.
            match place.runtime.load(&id).and_then(|it| it.state()) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
        }
        let codes = codes(players);
        assert!(codes.iter().all(|code| matches!(code, 0 | 11 | 12)), "{codes:?}");
        assert!(place.runtime.list().unwrap().is_empty());
        assert!(container.wait().unwrap().is_some());
    }
}

#[test]
fn readers_do_not_wait_for_a_long_start() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let id = id("slow");
    let bundle = place.bundle("sleep 100", |spec| {
        spec["hooks"]["startContainer"] = serde_json::json!([
            { "path": "/bin/sh", "args": ["sh", "-c", "sleep 2"] }
        ]);
    });
    place.runtime.create(&id, &bundle, &CreateOptions::new()).unwrap();
    let starter = play(&place, "start", &id);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let begin = std::time::Instant::now();
    let container = place.runtime.load(&id).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    assert_eq!(place.runtime.list().unwrap().len(), 1);
    assert!(!container.processes().unwrap().is_empty());
    assert!(begin.elapsed().as_millis() < 500, "{:?}", begin.elapsed());
    assert_eq!(codes(vec![starter]), [0]);
    assert_eq!(container.state().unwrap().status, Status::Running);
}
