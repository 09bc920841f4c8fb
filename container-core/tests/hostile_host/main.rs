//! A hostile host: a busy threaded program that allocates, logs, holds locks,
//! prints and is hit by signals while it makes thousands of containers.
//!
//! Each lane runs this program again as a host whose state is all its own, and
//! gives it a time limit. The host checks that nothing is left and that nothing
//! of its own state changed; `--nocapture` shows the figures.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod containers;
mod host;
mod kernel;
mod noise;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Set in the host program: `LANE COUNT`.
const LANE: &str = "HOSTILE_HOST_LANE";
/// What the host prints last, with its figures.
const FIGURES: &str = "figures: ";
/// Far more than a lane takes: only a deadlock takes longer.
const LIMIT: Duration = Duration::from_secs(180);

/// Lanes count kernel objects, so they run one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn can_isolate() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

#[test]
fn two_thousand_containers_from_four_threads() {
    if can_isolate() {
        run("threads", 2000);
    }
}

#[test]
fn from_inside_a_tokio_runtime() {
    if can_isolate() {
        run("tokio", 400);
    }
}

/// As root, with a user namespace too (an ordinary user always has one).
#[test]
fn as_root_with_user_namespaces() {
    if testkit::require_root() {
        run("user", 400);
    }
}

/// Not a test of its own: the host.
#[test]
fn host() {
    let Ok(lane) = std::env::var(LANE) else {
        return;
    };
    let (lane, count) = lane.split_once(' ').unwrap();
    println!("{FIGURES}{}", host::run(lane, count.parse().unwrap()));
}

fn run(lane: &str, count: usize) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host", "--nocapture"])
        .env(LANE, format!("{lane} {count}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // So that the signals it sends to its group reach the test no more.
        .process_group(0)
        .spawn()
        .unwrap();
    let stdout = BufReader::new(host.stdout.take().unwrap());
    let figures = std::thread::spawn(move || {
        let lines = stdout.lines().map_while(Result::ok);
        lines.filter_map(|line| line.split_once(FIGURES).map(|(_, rest)| rest.to_owned())).last()
    });
    let stderr = host.stderr.take().unwrap();
    let complaints = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    let stuck = wait(&mut host);
    let complaints = complaints.join().unwrap();
    assert_eq!(stuck, None, "{complaints}");
    let figures = figures.join().unwrap();
    println!("{lane}: {}", figures.unwrap_or_else(|| panic!("{lane} failed: {complaints}")));
}

/// Waits for the end, but not for ever; what the threads hang in, if they do.
fn wait(host: &mut Child) -> Option<String> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if host.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut stuck = format!("no end after {LIMIT:?}\n");
    for task in fs::read_dir(format!("/proc/{}/task", host.id())).unwrap().flatten() {
        for file in ["comm", "wchan", "syscall", "stack"] {
            let text = fs::read_to_string(task.path().join(file)).unwrap_or_default();
            stuck.push_str(&format!("{}: {}\n", file, text.trim()));
        }
    }
    let _ = nix::sys::signal::killpg(
        nix::unistd::Pid::from_raw(host.id() as i32),
        nix::sys::signal::Signal::SIGKILL,
    );
    let _ = host.wait();
    Some(stuck)
}
