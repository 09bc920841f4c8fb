//! The creator: this program run again, to end or be killed at some point.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use container_core::WindowSize;

use super::{Place, is_running};

/// Set in the creator: which part to play, and where.
const PART: &str = "SUPERVISOR_CREATOR_PART";
const STATE: &str = "SUPERVISOR_CREATOR_STATE";
const ROOTFS: &str = "SUPERVISOR_CREATOR_ROOTFS";
const SCRIPT: &str = "SUPERVISOR_CREATOR_SCRIPT";

/// A creator that runs a script in a supervised container.
pub(crate) fn command(place: &Place, part: &str, script: &str) -> Command {
    let mut creator = Command::new(std::env::current_exe().unwrap());
    creator
        .args(["--exact", "creator::creator", "--nocapture"])
        .env(PART, part)
        .env(STATE, place.state())
        .env(ROOTFS, place.rootfs.path())
        .env(SCRIPT, script)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    creator
}

/// Runs it to its end: it detaches, and is reaped; its output ends with it,
/// though the supervisor was its child.
#[track_caller]
pub(crate) fn detach(place: &Place, part: &str, script: &str) {
    let output = command(place, part, script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Waits until the creator has said so.
#[track_caller]
pub(crate) fn wait_for(creator: &mut Child, text: &str) {
    use std::io::{BufRead, BufReader};
    let lines = BufReader::new(creator.stdout.as_mut().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with(text)), "the creator did not say {text:?}");
}

/// Not a test of its own: the creator.
#[test]
fn creator() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let variable = |name| std::env::var(name).unwrap();
    let (state, rootfs, script) = (variable(STATE), variable(ROOTFS), variable(SCRIPT));
    let supervision = container_core::supervisor::Supervision::new(Path::new(&state))
        .log(container_core::supervisor::Log::raw("log"));
    let builder = testkit::Rootfs::binds()
        .iter()
        .fold(container_core::Container::builder(Path::new(&rootfs)), |builder, path| {
            builder.mount(container_core::Mount::bind(path, path).read_only())
        })
        .command("/bin/sh")
        .args(["-c", &script])
        .stdin(container_core::Stdio::Pipe)
        .supervised(supervision);
    let for_ever = || -> ! {
        println!("there");
        loop {
            std::thread::park();
        }
    };
    match part.as_str() {
        "detach" => {
            builder.start().unwrap().detach();
        }
        "terminal" => {
            builder.terminal(WindowSize::default()).start().unwrap().detach();
        }
        "own uts and time" => {
            let with = |namespaces: container_core::Namespaces| {
                namespaces.with(container_core::NamespaceKind::Time)
            };
            builder.namespaces(with).start().unwrap().detach();
        }
        "created" => {
            let _created = builder.create().unwrap();
            for_ever();
        }
        "started" => {
            let _running = builder.start().unwrap();
            for_ever();
        }
        "any time" => {
            println!("there");
            builder.start().unwrap().detach();
            for_ever();
        }
        part => panic!("unknown part {part}"),
    }
}

/// The processes that have something to do with a directory or a root: its
/// supervisor, by the descriptor of the directory.
pub(crate) fn processes_of(place: &Place) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        if pid == std::process::id() || !is_running(pid) {
            continue;
        }
        let holds = |entry: std::fs::DirEntry| {
            std::fs::read_link(entry.path())
                .is_ok_and(|target| target.starts_with(place.dir.path()))
        };
        let fds = std::fs::read_dir(entry.path().join("fd"));
        if fds.is_ok_and(|fds| fds.flatten().any(holds)) {
            found.push(pid);
        }
    }
    found
}
