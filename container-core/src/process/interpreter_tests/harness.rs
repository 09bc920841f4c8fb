//! The real init, fed with any bytes.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::mutation::words;
use crate::NamespaceKind;
use crate::plan::wire;
use crate::process::clone::{Birth, Born, clone_and_exec};
use crate::process::image;

const LIMIT: Duration = Duration::from_secs(10);

/// The launch message: `slots` descriptor numbers, then the plan.
pub(super) fn launch(slots: &[RawFd], plan: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for word in [wire::LAUNCH_MAGIC, slots.len() as u32, plan.len() as u32, 0] {
        message.extend(word.to_le_bytes());
    }
    message.extend(slots.iter().flat_map(|slot| slot.to_le_bytes()));
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(plan);
    message
}

/// How an init ended: its records' kinds, operations and values, and its exit
/// status, which is never a signal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) records: Vec<(u16, u32, i32)>,
    pub(super) exit: i32,
}

/// Runs the real init on a message that ends there.
pub(super) fn run(message: &[u8], keep: &[RawFd]) -> Result<Outcome, TestCaseError> {
    let (mut control, theirs) = UnixStream::pair().unwrap();
    let mut control_text = theirs.as_raw_fd().to_string().into_bytes();
    control_text.push(0);
    let image = image::image().unwrap();
    let keep = [keep, &[theirs.as_raw_fd()]].concat();
    // What fits is there before the init is; it may not take all of the rest.
    control.set_nonblocking(true).unwrap();
    let sent = control.write(message).unwrap();
    control.set_nonblocking(false).unwrap();
    let birth = |flags| Birth {
        flags,
        cgroup: None,
        control_text: &control_text,
        init: image.as_fd(),
        keep: &keep,
    };
    let own = NamespaceKind::ALL.into_iter().filter(|kind| *kind != NamespaceKind::Time);
    let flags = own.fold(0, |flags, kind| flags | kind.clone_flag());
    // Where user namespaces are forbidden, the operations are harmless too.
    let born = clone_and_exec(&birth(flags)).or_else(|_| clone_and_exec(&birth(0))).unwrap();
    drop(theirs);
    let _ = control.write_all(&message[sent..]);
    let _ = control.shutdown(Shutdown::Write);
    control.set_read_timeout(Some(LIMIT)).unwrap();
    let mut answer = Vec::new();
    let read = control.read_to_end(&mut answer);
    let status = end_of(&born)?;
    prop_assert!(read.is_ok(), "{read:?}");
    prop_assert_eq!(status & 0x7f, 0, "ended by a signal: {:#x}", status);
    Ok(Outcome { records: records(&answer)?, exit: status >> 8 })
}

/// The wait status of the init; it is killed if it hangs.
fn end_of(born: &Born) -> Result<i32, TestCaseError> {
    let end = Instant::now() + LIMIT;
    loop {
        let status = crate::sys::wait_pidfd(born.pidfd.as_fd(), libc::WEXITED | libc::WNOHANG);
        if let Some(status) = status.unwrap() {
            return Ok(status);
        }
        if Instant::now() > end {
            crate::sys::signal_pidfd(born.pidfd.as_fd(), libc::SIGKILL).unwrap();
            let _ = crate::sys::wait_pidfd(born.pidfd.as_fd(), libc::WEXITED);
            return Err(TestCaseError::fail("the init hangs"));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn records(mut answer: &[u8]) -> Result<Vec<(u16, u32, i32)>, TestCaseError> {
    let mut all = Vec::new();
    while !answer.is_empty() {
        prop_assert!(answer.len() >= 16, "half a record: {answer:?}");
        let head = words(&answer[..16]);
        prop_assert_eq!(head[0], wire::RECORD_MAGIC);
        all.push((head[1] as u16, head[2], head[3] as i32));
        answer = answer.get(16 + (head[1] >> 16) as usize..).unwrap_or_default();
    }
    Ok(all)
}
