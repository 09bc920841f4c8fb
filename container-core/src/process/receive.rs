//! The init's records, as the parent reads them.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use oci_spec::runtime::ContainerState;

use super::launch::{GO, pid_of, send_blocking};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::wire::{self, Record, record};
use crate::plan::{Event, Handover, Plan, StartWords};
use crate::seccomp::{Listener, SeccompListener, listener};

/// What turns the init's records into words.
#[derive(Clone, Copy)]
pub(super) enum Teller<'a> {
    Plan(&'a Plan),
    /// Of a plan that another process had.
    Words(&'a StartWords),
}

/// Who gets the listener of a filter of a plan that another process had.
pub(super) type Taker<'a> = &'a mut dyn FnMut(Listener) -> Result<()>;

/// Reads the init's records.
pub(super) struct Receiver<'a> {
    teller: Teller<'a>,
    control: &'a UnixStream,
    /// The process, unless it is a second clone that we are still to be told of.
    pid: Option<u32>,
    /// Descriptors whose records have not been read to their end.
    came: VecDeque<OwnedFd>,
    /// The pidfd of a second clone.
    pub(super) forked: Option<OwnedFd>,
    /// The master of a terminal.
    pub(super) terminal: Option<OwnedFd>,
    /// The listener of a filter that notifies, unless an agent has it.
    pub(super) listener: Option<OwnedFd>,
    came_listener: Option<OwnedFd>,
    taker: Option<Taker<'a>>,
    /// What came of records that were not looked at yet.
    pub(super) kept: Vec<u8>,
}

impl<'a> Receiver<'a> {
    /// For the process `pid`; `None` for a second clone.
    pub(super) fn new(plan: &'a Plan, control: &'a UnixStream, pid: Option<u32>) -> Self {
        Self::with(Teller::Plan(plan), control, pid)
    }

    pub(super) fn with(teller: Teller<'a>, control: &'a UnixStream, pid: Option<u32>) -> Self {
        Self {
            teller,
            control,
            pid,
            came: VecDeque::new(),
            forked: None,
            terminal: None,
            listener: None,
            came_listener: None,
            taker: None,
            kept: Vec::new(),
        }
    }

    /// Goes on with what another receiver has left.
    pub(super) fn after(mut self, kept: Vec<u8>) -> Self {
        self.kept = kept;
        self
    }

    /// Gives a listener to this one.
    pub(super) fn taker(mut self, taker: Taker<'a>) -> Self {
        self.taker = Some(taker);
        self
    }

    /// Until the created report or the end of file; whether there was such a
    /// report. After a failure on to the end of file, as a second clone may
    /// still be told.
    pub(super) fn run(&mut self, until_created: bool) -> Result<bool> {
        self.run_until(&[Event::Accepted, Event::Created], until_created)
    }

    /// Likewise for other events.
    pub(super) fn run_until(&mut self, events: &[Event], until_created: bool) -> Result<bool> {
        let (mut failure, mut created) = (None, false);
        let mut early = !self.kept.is_empty();
        loop {
            let read = if early { self.kept.len() } else { self.receive()? };
            early = false;
            while let Some((record, text)) = take_record(&mut self.kept) {
                match self.handle(record, &text) {
                    Ok(reached) => {
                        created |= events.iter().any(|event| reached == Some(*event as i32))
                    }
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            // The second clone may be faster than the first in telling of it.
            let told = self.pid.is_some() || self.forked.is_some();
            if told {
                self.hand_over(until_created)?;
            }
            if until_created && created && told {
                return Ok(true);
            }
            if read > 0 {
                continue;
            }
            return match failure {
                Some(error) => Err(error),
                None if until_created => {
                    let reason = "it ended before the container was set up";
                    Err(Error::with(ErrorKind::Init, "init", "", reason))
                }
                None => Ok(created),
            };
        }
    }

    /// Until a supervisor has made the process: its pidfd.
    pub(super) fn run_until_forked(&mut self) -> Result<OwnedFd> {
        loop {
            let read = self.receive()?;
            while let Some((record, text)) = take_record(&mut self.kept) {
                self.handle(record, &text)?;
                if let Some(forked) = self.forked.take() {
                    return Ok(forked);
                }
            }
            if read == 0 {
                let reason = "it ended before the container's process was made";
                return Err(Error::with(ErrorKind::Init, "supervisor", "", reason));
            }
        }
    }

    fn receive(&mut self) -> Result<usize> {
        let mut buffer = [0u8; 512];
        let mut space = nix::cmsg_space!([RawFd; 2]);
        let (read, descriptors) = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let fd = self.control.as_raw_fd();
            let received = match recvmsg::<()>(fd, &mut parts, Some(&mut space), flags) {
                Err(Errno::EINTR) => continue,
                Err(Errno::ECONNRESET) => break (0, Vec::new()),
                other => other.map_err(|error| Error::os("recvmsg", "control", error))?,
            };
            let mut descriptors = Vec::new();
            let messages =
                received.cmsgs().map_err(|error| Error::os("recvmsg", "control", error))?;
            for message in messages {
                if let ControlMessageOwned::ScmRights(numbers) = message {
                    descriptors.extend(numbers.into_iter().map(crate::sys::adopt));
                }
            }
            break (received.bytes, descriptors);
        };
        self.kept.extend_from_slice(&buffer[..read]);
        self.came.extend(descriptors);
        Ok(read)
    }

    /// Brings a listener that came to its place, at once: calls may wait for
    /// it. Then the init may go on; the process is killed if that fails.
    fn hand_over(&mut self, creating: bool) -> Result<()> {
        let Some(listener) = self.came_listener.take() else {
            return Ok(());
        };
        match (self.teller, &mut self.taker) {
            (Teller::Plan(Plan { listener: Some(Handover::Forward(agent)), .. }), _) => {
                self.forward(agent, &listener, creating)?;
            }
            (Teller::Words(_), Some(taker)) => taker(Listener::from(listener))?,
            _ => self.listener = Some(listener),
        }
        // A byte that nobody waits for would be taken for the start.
        let waits = match self.teller {
            Teller::Plan(plan) => plan.waits_for_hand_over(),
            Teller::Words(_) => true,
        };
        if waits {
            send_blocking(self.control, GO);
        }
        Ok(())
    }

    fn forward(&self, agent: &SeccompListener, listener: &OwnedFd, creating: bool) -> Result<()> {
        let second = || self.forked.as_ref().and_then(pid_of);
        let pid = self.pid.or_else(second).unwrap_or_default();
        let started =
            matches!(self.teller, Teller::Plan(plan) if plan.waits_for_start) && !creating;
        let status = if started { ContainerState::Created } else { ContainerState::Creating };
        let state = listener::process_state(agent, pid, status)?;
        listener::forward(agent.get_path(), &state, listener.as_fd())
    }

    /// The event that a report tells.
    fn handle(&mut self, record: Record, text: &str) -> Result<Option<i32>> {
        match record.kind {
            record::FAILED => Err(match self.teller {
                Teller::Plan(plan) => plan.failure(record.op, record.value, text),
                Teller::Words(words) => words.failure(record.op, record.value, text),
            }),
            record::REFUSED => {
                let words = wire::Refusal::words(record.value);
                Err(Error::with(ErrorKind::Init, "check plan", format!("op {}", record.op), words))
            }
            record::REACHED => Ok(Some(record.value)),
            record::FORKED | record::TERMINAL | record::LISTENER => {
                // Each brings its descriptor, in the same order.
                let descriptor = self.came.pop_front();
                match record.kind {
                    record::FORKED => self.forked = descriptor,
                    record::TERMINAL => self.terminal = descriptor,
                    _ => self.came_listener = descriptor,
                }
                Ok(None)
            }
            kind => {
                let object = format!("record of kind {kind}");
                Err(Error::with(ErrorKind::Init, "read control", object, "unknown"))
            }
        }
    }
}

/// Takes one whole record off the front, with its text.
fn take_record(bytes: &mut Vec<u8>) -> Option<(Record, String)> {
    let head = size_of::<Record>();
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (magic, kind_text, op, value) = (word(0)?, word(4)?, word(8)?, word(12)?);
    let record = Record {
        magic,
        kind: kind_text as u16,
        text: (kind_text >> 16) as u16,
        op,
        value: value as i32,
    };
    let end = head + record.text as usize;
    let text = String::from_utf8_lossy(bytes.get(head..end)?).into_owned();
    bytes.drain(..end);
    Some((record, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_clone_may_be_ready_before_it_is_told_of() {
        let namespaces = crate::Namespaces::none().with(crate::NamespaceKind::Time);
        let builder = crate::ProcessBuilder::new("/bin/true").namespaces(namespaces);
        let plan = builder.wait_for_start().plan().unwrap();
        let (ours, init) = UnixStream::pair().unwrap();
        let message = |kind: u16| {
            let words = [wire::RECORD_MAGIC, u32::from(kind), 0, Event::Created as u32];
            words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
        };
        let (reached, forked) = (message(record::REACHED), message(record::FORKED));
        nix::sys::socket::send(init.as_raw_fd(), &reached, MsgFlags::empty()).unwrap();
        let teller = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let rights = [init.as_raw_fd()];
            let rights = [nix::sys::socket::ControlMessage::ScmRights(&rights)];
            let part = [std::io::IoSlice::new(&forked)];
            let flags = MsgFlags::empty();
            nix::sys::socket::sendmsg::<()>(init.as_raw_fd(), &part, &rights, flags, None).unwrap();
        });
        let mut receiver = Receiver::new(&plan, &ours, None);
        assert!(receiver.run(true).unwrap());
        assert!(receiver.forked.is_some());
        teller.join().unwrap();
    }

    #[test]
    fn records_come_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        for word in [wire::RECORD_MAGIC, 1 | 3 << 16, 7, 2] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"ab");
        assert!(take_record(&mut bytes).is_none());
        bytes.extend(b"cd");
        let (record, text) = take_record(&mut bytes).unwrap();
        assert_eq!((record.kind, record.op, record.value), (1, 7, 2));
        assert_eq!((text.as_str(), bytes.as_slice()), ("abc", b"d".as_slice()));
    }
}
