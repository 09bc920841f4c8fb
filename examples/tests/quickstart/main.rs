//! The quickstart as its users run it: as root, as ordinary users, interrupted, killed; and what
//! other programs think of the image that it makes.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod harness;
mod layout;

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Run, Started, alone, can_run, example, stdout};
use serde_json::Value;

const NOBODY: (u32, u32) = (65534, 65534);

const STEPS: [&str; 17] = [
    "programs",
    "change",
    "image",
    "unpack",
    "overlay",
    "network",
    "cgroup",
    "container",
    "output",
    "exec",
    "statistics",
    "pause",
    "exchange",
    "exit",
    "changes",
    "commit",
    "run again",
];

#[track_caller]
fn assert_whole(story: &str) {
    let mut rest = story;
    for step in STEPS.into_iter().chain(["clean-up", "made and removed:", "all as it should be"]) {
        let at = rest.find(step).unwrap_or_else(|| panic!("no {step} in\n{story}"));
        rest = &rest[at..];
    }
    assert!(story.contains("| pid 1 on quickstart-"), "{story}");
    assert!(story.contains("exit status: 42"), "{story}");
    assert!(story.contains("D /data/draft   A /data/new   A /data/new/report   M /etc/motd"));
}

#[test]
fn root_gets_the_whole_container() {
    if !testkit::require_root() {
        return;
    }
    let _alone = alone();
    let story = Run::new().story(&["--explain"]);
    assert_whole(&story);
    // What only root has.
    assert!(story.contains("bridge qs") && story.contains("published as 127.0.0.1:"), "{story}");
    assert!(story.contains("limits hold") && story.contains("was killed"), "{story}");
    assert!(story.contains("paused by its cgroup: silent"), "{story}");
    // The plan, with reasons.
    for line in ["the plan:", "clone3 CLONE_VM|CLONE_VFORK", "pivot_root", "execve /bin/sh"] {
        assert!(story.contains(line), "no {line:?} in\n{story}");
    }
}

#[test]
fn an_ordinary_user_gets_a_container_and_plain_words_on_the_rest() {
    let root = testkit::is_root();
    if !root && !testkit::require_unprivileged_userns() {
        return;
    }
    let _alone = alone();
    let run = if root { Run::as_user(NOBODY) } else { Run::new() };
    let story = run.story(&[]);
    assert_whole(&story);
    let words = story.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["loopback link up", "published ports were left out, because", "as an ordinary user"]
    {
        assert!(words.contains(part), "no {part:?} in\n{story}");
    }
    assert!(words.contains("GET /etc/motd through loopback port 8080"), "{story}");
}

#[test]
fn an_ordinary_user_with_subordinate_ids() {
    if !testkit::require_root() {
        return;
    }
    let _alone = alone();
    let Some(ids) = user_with_subordinate_ids() else {
        assert!(std::env::var_os("REQUIRE_USERNS").is_none_or(|value| value != "1"));
        eprintln!("SKIP: no user has ranges in /etc/subuid and /etc/subgid");
        return;
    };
    let run = Run::as_user(ids);
    assert_whole(&run.story(&[]));
    let mapped = run.output(&["--explain"]).1;
    let text = String::from_utf8_lossy(&mapped.stdout).into_owned();
    assert!(text.contains(&format!("write uid_map, gid_map 0 {} 1, 1 ", ids.0)), "{text}");
}

fn user_with_subordinate_ids() -> Option<(u32, u32)> {
    testkit::peer("newuidmap")?;
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let lent = |file| fs::read_to_string(file).unwrap_or_default();
    let (uids, gids) = (lent("/etc/subuid"), lent("/etc/subgid"));
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let entry = format!("{}:", fields.first()?);
        let has = |text: &str| text.lines().any(|line| line.starts_with(&entry));
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        (uid != 0 && has(&uids) && has(&gids)).then_some((uid, gid))
    })
}

/// The number behind `process `, of the container's first process.
fn container_of(story: &str) -> u32 {
    let numbers = story.split("process ").filter_map(|rest| rest.split(',').next()?.parse().ok());
    numbers.last().unwrap_or_else(|| panic!("no process in\n{story}"))
}

#[test]
fn interrupted_it_takes_everything_back() {
    if !can_run() {
        return;
    }
    let _alone = alone();
    let run = Run::new();
    for signal in ["-INT", "-TERM"] {
        let mut started = Started::new(&run);
        let pid = started.child.id();
        stdout(Command::new("kill").args([signal, &pid.to_string()]));
        let (mut rest, mut stderr) = (String::new(), String::new());
        started.lines.read_to_string(&mut rest).unwrap();
        started.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = started.child.wait().unwrap();
        drop(started);
        assert_eq!(status.code(), Some(130), "{rest}{stderr}");
        assert!(stderr.contains("interrupted"), "{stderr}");
        assert!(rest.contains("made and removed:") && !rest.contains("STILL"), "{rest}");
        run.assert_nothing_left(pid);
    }
}

#[test]
fn killed_it_takes_the_container_along() {
    let root = testkit::is_root();
    if !root && !testkit::require_unprivileged_userns() {
        return;
    }
    let _alone = alone();
    // As an ordinary user: root's bridge would stay until the next network is made.
    let run = if root { Run::as_user(NOBODY) } else { Run::new() };
    let mut started = Started::new(&run);
    let container = format!("/proc/{}/cmdline", container_of(&started.story));
    let inside = || fs::read(&container).is_ok_and(|line| line.starts_with(b"/bin/quickstart"));
    assert!(inside(), "{}", started.story);
    started.child.kill().unwrap();
    assert_eq!(started.child.wait().unwrap().signal(), Some(9));
    let start = Instant::now();
    while inside() {
        assert!(start.elapsed() < Duration::from_secs(10), "the container lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn bad_arguments_are_refused_before_anything_is_made() {
    let _alone = alone();
    let run = Run::new();
    let full = run.temp.path().to_str().unwrap();
    for (arguments, word) in [
        (&["--no-such"][..], "--no-such"),
        (&["--keep"], "needs a directory"),
        (&["--keep", full], "not a new or empty directory"),
    ] {
        let (pid, output) = run.output(arguments);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("quickstart: ") && stderr.contains(word), "{stderr}");
        assert_eq!(output.stdout, b"");
        run.assert_nothing_left(pid);
    }
    let (_, output) = run.output(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("--explain"));
}

#[test]
fn run_passes_output_and_exit_status_on() {
    if !can_run() {
        return;
    }
    let _alone = alone();
    let rootfs = testkit::rootfs_copy(&["/bin/sh"]);
    let run = |script: &str| {
        let command = ["/bin/sh", "-c", script];
        Command::new(example("run")).arg(rootfs.path()).args(command).output().unwrap()
    };
    let output = run("echo $$; exit 7");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(7), &b"1\n"[..]), "{output:?}");
    let usage = Command::new(example("run")).output().unwrap();
    assert_eq!(usage.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&usage.stderr).contains("usage: run ROOTFS COMMAND"));
}

#[test]
fn probe_tells_of_all_four_crates() {
    let _alone = alone();
    let table = stdout(&mut Command::new(example("probe")));
    let rows = stdout(Command::new(example("probe")).arg("--json"));
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    for krate in ["container-core", "container-fs", "container-image", "container-net"] {
        assert!(table.lines().any(|line| line == krate), "{table}");
        assert!(rows.iter().filter(|row| row["crate"] == krate).count() >= 5);
    }
    for row in rows {
        assert_ne!(row["available"].as_bool().unwrap(), row["wayOut"].is_string(), "{row}");
        assert!(table.contains(row["facility"].as_str().unwrap()));
    }
}
