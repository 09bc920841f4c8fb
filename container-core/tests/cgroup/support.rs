use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use container_core::cgroup::{Cgroup, Controllers, Hierarchy, Layout, OwnedCgroup};

/// The machine as it is and, where it is hybrid, as a v1 machine.
pub(crate) fn layouts() -> Vec<Hierarchy> {
    let here = Hierarchy::discover().unwrap();
    let mut all = vec![here.clone()];
    if here.layout() == Layout::Hybrid {
        let legacy = only("cgroup");
        assert_eq!(legacy.layout(), Layout::Legacy);
        all.push(legacy);
    }
    all
}

/// The machine with only the cgroup mounts of one file system type.
pub(crate) fn only(fs_type: &str) -> Hierarchy {
    seen(|mount| mount.contains(&format!(" - {fs_type} ")))
}

/// The machine without the cgroup mounts of a file system type, and without a v1 controller.
pub(crate) fn without(fs_type: &str, controller: &str) -> Hierarchy {
    seen(|mount| {
        let is_v1_of_it = mount.contains(" - cgroup ") && mount.contains(controller);
        !mount.contains(&format!(" - {fs_type} ")) && !is_v1_of_it
    })
}

/// The machine with those of its cgroup mounts that are let through.
fn seen(keep: impl Fn(&str) -> bool) -> Hierarchy {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let kept: String = mountinfo
        .lines()
        .filter(|line| !line.contains(" - cgroup") || keep(line))
        .map(|line| format!("{line}\n"))
        .collect();
    Hierarchy::from_texts(&kept, &fs::read_to_string("/proc/self/cgroup").unwrap())
}

/// A group of its own, removed when the test ends, however it ends.
pub(crate) fn group(hierarchy: &Hierarchy, controllers: impl Into<Controllers>) -> OwnedCgroup {
    let path = format!("/{}", testkit::unique("cc-test"));
    hierarchy.create(&path, controllers).unwrap().owned()
}

/// A shell that waits for [`go`](Job::go) before it runs its script; killed on drop.
pub(crate) struct Job(Child);

impl Job {
    /// Started outside, then moved into the group.
    pub(crate) fn attached(group: &Cgroup, script: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("read go; {script}")]);
        let job = Self::spawn(&mut command);
        group.attach(job.pid()).unwrap();
        job
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    pub(crate) fn running(group: &Cgroup, script: &str) -> Self {
        let mut job = Self::attached(group, script);
        job.go();
        job
    }

    pub(crate) fn go(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    pub(crate) fn was_killed(&mut self) -> bool {
        self.wait().signal() == Some(9)
    }

    /// Processor time used so far, in clock ticks.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        let field = |at: usize| after_name.split(' ').nth(at).unwrap().parse::<u64>().unwrap();
        field(11) + field(12)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.0.kill();
        // Not for ever: where a test failed, the process may be in a frozen v1 cgroup.
        let start = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

pub(crate) const SPIN: &str = "while :; do :; done";

/// Waits until it is so; panics after ten seconds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// No directory of the group is left.
pub(crate) fn is_gone(directories: &[std::path::PathBuf]) -> bool {
    !directories.iter().any(|directory| directory.exists())
}
