//! Terminals as a person at the keyboard meets them: raw mode and back, sizes,
//! console sockets both ways, the relay with its ends and detach keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod console;
mod mode;
mod relay;
mod size;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

/// A pair of our own: master and slave.
fn pair() -> (File, File) {
    let pair = nix::pty::openpty(None, None).unwrap();
    (File::from(pair.master), File::from(pair.slave))
}

fn can_isolate() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

/// Reads until `text` has come, in at most ten seconds; returns everything.
#[track_caller]
fn expect(mut from: &File, text: &str) -> String {
    let end = Instant::now() + Duration::from_secs(10);
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(text) {
        let shown = || format!("{text:?} did not come: {:?}", String::from_utf8_lossy(&seen));
        assert!(Instant::now() < end, "{}", shown());
        let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, 100u16).unwrap() == 0 {
            continue;
        }
        let read = from.read(&mut buffer).unwrap_or_else(|error| panic!("{error}: {}", shown()));
        assert!(read > 0, "{}", shown());
        seen.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

fn type_in(mut to: &File, text: impl AsRef<[u8]>) {
    to.write_all(text.as_ref()).unwrap();
}

fn pipe() -> (File, File) {
    let (read, write): (OwnedFd, OwnedFd) = nix::unistd::pipe().unwrap();
    (read.into(), write.into())
}
