//! Supervised containers: what outlives their creator, who attaches and how,
//! and what is left when anybody dies at any time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod attach;
mod creator;
mod limits;
mod outlive;
mod relay;
mod wrong;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use container_core::supervisor::{Attachment, Event, Log, Stream, Supervision};
use container_core::{Container, ContainerBuilder, Mount, Stdio};
use testkit::{Rootfs, TempDir};

fn can_isolate() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

/// A shell script in a container of the host's programs.
fn script(rootfs: &Rootfs, script: &str) -> ContainerBuilder {
    Rootfs::binds()
        .iter()
        .fold(Container::builder(rootfs.path()), |builder, path| {
            builder.mount(Mount::bind(path, path).read_only())
        })
        .command("/bin/sh")
        .args(["-c", script])
}

/// A root, and a place for a supervision's directory.
struct Place {
    rootfs: Rootfs,
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { rootfs: testkit::rootfs_dirs(), dir: TempDir::new() }
    }

    fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.state().join("log")).unwrap_or_default()
    }

    /// Supervised, with a raw log.
    fn builder(&self, text: &str) -> ContainerBuilder {
        let supervision = Supervision::new(self.state()).log(Log::raw("log"));
        script(&self.rootfs, text).stdin(Stdio::Pipe).supervised(supervision)
    }

    fn attach(&self) -> Attachment {
        Attachment::connect(self.state()).unwrap()
    }
}

/// Waits until it is so, at most twenty seconds.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Reads events until the text has come on standard output.
#[track_caller]
fn expect(attachment: &Attachment, text: &str) -> String {
    let mut seen = String::new();
    let mut looked_at = 0;
    while !seen[looked_at..].contains(text) {
        looked_at = seen.len().saturating_sub(text.len());
        match within(attachment, 10)
            .unwrap_or_else(|| panic!("{text:?} did not come: {}", end_of(&seen)))
        {
            Event::Output { stream: Stream::Stdout, bytes } => {
                seen.push_str(&String::from_utf8_lossy(&bytes));
            }
            event => panic!("waiting for {text:?}, after {}: {event:?}", end_of(&seen)),
        }
    }
    seen
}

/// The last of a text that may be long.
fn end_of(text: &str) -> &str {
    &text[text.len().saturating_sub(200)..]
}

/// The next event, if it comes in so many seconds.
fn within(attachment: &Attachment, seconds: u16) -> Option<Event> {
    use nix::poll::{PollFd, PollFlags, poll};
    use std::os::fd::AsFd;
    let mut fds = [PollFd::new(attachment.as_fd(), PollFlags::POLLIN)];
    (poll(&mut fds, seconds * 1000).unwrap() > 0).then(|| attachment.next().unwrap())
}

/// Everything up to the end: standard output and error, and the last event.
#[track_caller]
fn to_the_end(attachment: &Attachment) -> (Vec<u8>, Vec<u8>, Event) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match within(attachment, 20).expect("an end") {
            Event::Output { stream: Stream::Stdout, bytes } => stdout.extend(bytes),
            Event::Output { stream: Stream::Stderr, bytes } => stderr.extend(bytes),
            end => return (stdout, stderr, end),
        }
    }
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .map(|entries| {
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}
