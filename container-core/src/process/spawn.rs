//! Carrying out a plan: the parent's side of the control socket.
//!
//! ```text
//! parent                                  init
//! send Launch, slots, plan
//! clone3(CLONE_VM|CLONE_VFORK) ─────────► execveat(init)
//! write id maps, attach to cgroup         read, validate, run ...
//! send GO ──────────────────────────────► WAIT_HOST
//! read records until end of file ◄─────── execve(payload) closes the socket
//! ```

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send};

use super::clone::{self, Birth, Born};
use super::handle::{Process, Streams};
use super::stdio::{self, Stdio, Stream};
use super::{image, mappings};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::plan::wire::{self, Record, record};

/// The byte that lets a waiting init go on.
const GO: &[u8] = &[1];

/// A cloned process that is killed and reaped unless it becomes a [`Process`].
#[derive(Debug)]
struct Unborn(Option<Born>);

impl Unborn {
    fn finish(mut self) -> Option<Born> {
        self.0.take()
    }

    fn pid(&self) -> u32 {
        self.0.as_ref().map_or(0, |born| born.pid)
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if let Some(born) = &self.0 {
            let _ = crate::sys::signal_pidfd(born.pidfd.as_fd(), libc::SIGKILL);
            let _ = crate::sys::wait_pidfd(born.pidfd.as_fd(), libc::WEXITED);
        }
    }
}

/// Makes the process that the plan describes.
pub(crate) fn spawn(plan: &Plan, stdio: &[Stdio; 3]) -> Result<Process> {
    let image = image::image()?;
    let (control, theirs) =
        UnixStream::pair().map_err(|error| Error::os("socketpair", "control", error))?;
    let theirs = above(Arc::new(theirs.into()), plan.reserved)?;
    let mut streams = open_streams(plan, stdio)?;
    let slots = fill_slots(plan, &streams)?;
    let message = launch_message(plan, &slots);
    let sent = send_what_fits(&control, &message)?;
    let born = make(plan, &image, &theirs, &slots)?;
    drop((theirs, slots));
    for stream in streams.iter_mut().flatten() {
        stream.child = Arc::clone(&image);
    }
    let unborn = Unborn(Some(born));
    prepare(plan, &unborn, &control, &message[sent..])?;
    let mut receiver = Receiver { plan, control: &control, forked: None, terminal: None };
    let created = receiver.run(plan.waits_for_start);
    let Receiver { forked, terminal, .. } = receiver;
    let second = forked.map(|pidfd| Unborn(Some(Born { pid: 0, pidfd })));
    let created = created?;
    let born = take_over(plan, unborn, second)?;
    let ours = streams.map(|stream| stream.and_then(|stream| stream.ours));
    let control = if created { Some(control) } else { None };
    Ok(Process::new(born.pid, born.pidfd, Streams { ours, terminal }, control, plan))
}

/// A descriptor with a number that no stream or passed descriptor takes.
fn above(descriptor: Arc<OwnedFd>, reserved: u32) -> Result<Arc<OwnedFd>> {
    if descriptor.as_raw_fd() >= reserved as RawFd {
        return Ok(descriptor);
    }
    let moved = fcntl(descriptor.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(reserved as RawFd))
        .map_err(|error| Error::os("fcntl F_DUPFD_CLOEXEC", reserved.to_string(), error))?;
    Ok(Arc::new(crate::sys::adopt(moved)))
}

fn open_streams(plan: &Plan, stdio: &[Stdio; 3]) -> Result<[Option<Stream>; 3]> {
    let mut streams = [None, None, None];
    for (index, stream) in streams.iter_mut().enumerate() {
        if plan.stream_slots[index] {
            *stream = stdio::open(&stdio[index], index)?;
        }
    }
    Ok(streams)
}

/// The descriptors of the inherited slots: streams first.
fn fill_slots(plan: &Plan, streams: &[Option<Stream>; 3]) -> Result<Vec<Arc<OwnedFd>>> {
    streams
        .iter()
        .flatten()
        .map(|stream| &stream.child)
        .chain(&plan.descriptors)
        .map(|descriptor| above(Arc::clone(descriptor), plan.reserved))
        .collect()
}

fn launch_message(plan: &Plan, slots: &[Arc<OwnedFd>]) -> Vec<u8> {
    let padded = (slots.len() * 4).next_multiple_of(8);
    let head = size_of::<wire::Launch>() + padded;
    let mut message = Vec::with_capacity(head + plan.bytes.len());
    for word in [wire::LAUNCH_MAGIC, slots.len() as u32, plan.bytes.len() as u32, 0] {
        message.extend(word.to_le_bytes());
    }
    for slot in slots {
        message.extend(slot.as_raw_fd().to_le_bytes());
    }
    message.resize(head, 0);
    message.extend(&plan.bytes);
    message
}

/// Sends without blocking: the receiver does not exist yet.
fn send_what_fits(control: &UnixStream, message: &[u8]) -> Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(control.as_raw_fd(), message, flags) {
        Ok(sent) => Ok(sent),
        Err(Errno::EAGAIN) => Ok(0),
        Err(error) => Err(Error::os("send", "plan", error)),
    }
}

fn make(
    plan: &Plan,
    image: &Arc<OwnedFd>,
    theirs: &Arc<OwnedFd>,
    slots: &[Arc<OwnedFd>],
) -> Result<Born> {
    let mut control_text = theirs.as_raw_fd().to_string().into_bytes();
    control_text.push(0);
    let mut keep: Vec<RawFd> = slots.iter().map(|slot| slot.as_raw_fd()).collect();
    keep.push(theirs.as_raw_fd());
    let birth = Birth {
        flags: plan.host.clone_flags,
        cgroup: plan.host.cgroup.as_ref().and_then(|cgroup| cgroup.enter_fd()),
        control_text: &control_text,
        init: image.as_fd(),
        keep: &keep,
    };
    clone::clone_and_exec(&birth).map_err(|(step, error)| clone_error(plan, step, error))
}

/// A failed clone in words: which of the flags could be meant.
fn clone_error(plan: &Plan, step: &'static str, error: std::io::Error) -> Error {
    let object = plan.steps().first().map(|step| step.call.clone()).unwrap_or_default();
    let errno = error.raw_os_error();
    let failed = Error::os(step, object, error);
    match errno {
        Some(libc::EPERM) if step == "clone3" => failed.hint(
            "new namespaces take CAP_SYS_ADMIN: run as root, or add a new user namespace \
             (Namespaces::with(NamespaceKind::User)), which the system may restrict by \
             user.max_user_namespaces or kernel.unprivileged_userns_clone",
        ),
        Some(libc::ENOSPC | libc::EUSERS) => {
            failed.hint("a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces")
        }
        Some(libc::EINVAL) => failed.hint("the kernel lacks one of these namespaces"),
        Some(libc::ENOSYS) => failed.hint("Linux 5.7 or newer is needed, or clone3 is filtered"),
        Some(libc::EAGAIN) => {
            failed.hint("a limit on processes is reached: RLIMIT_NPROC or pids.max")
        }
        Some(libc::EACCES) if step != "clone3" => {
            failed.hint("the init's memfd must be executable: see vm.memfd_noexec")
        }
        _ => failed,
    }
}

/// The parent's own steps while the init reads its plan.
fn prepare(plan: &Plan, unborn: &Unborn, control: &UnixStream, rest: &[u8]) -> Result<()> {
    if let Some(mappings) = &plan.host.mappings {
        mappings::write(unborn.pid(), mappings)?;
    }
    if let Some(cgroup) = plan.host.cgroup.as_ref().filter(|cgroup| cgroup.needs_attach()) {
        cgroup.attach(unborn.pid())?;
    }
    // What a dead init can't take shows in its records, or in their absence.
    send_blocking(control, rest);
    if plan.host.waits {
        send_blocking(control, GO);
    }
    Ok(())
}

fn send_blocking(control: &UnixStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match send(control.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Lets a created process run its program; see [`Process::start`].
pub(super) fn start(plan: &Plan, control: &UnixStream) -> Result<()> {
    send_blocking(control, GO);
    let mut receiver = Receiver { plan, control, forked: None, terminal: None };
    receiver.run(false).map(drop)
}

/// The process to hand out: the second clone, if there was one.
fn take_over(plan: &Plan, unborn: Unborn, second: Option<Unborn>) -> Result<Born> {
    let lost = || Error::with(ErrorKind::Init, "clone", "second process", "the init did not say");
    if !plan.second_clone {
        return unborn.finish().ok_or_else(lost);
    }
    if let Some(first) = unborn.finish() {
        let _ = crate::sys::wait_pidfd(first.pidfd.as_fd(), libc::WEXITED);
    }
    let mut second = second.ok_or_else(lost)?;
    if let Some(born) = &mut second.0 {
        born.pid = pid_of(&born.pidfd)?;
    }
    second.finish().ok_or_else(lost)
}

/// The number of a process, from the kernel's description of its pidfd.
fn pid_of(pidfd: &OwnedFd) -> Result<u32> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text =
        std::fs::read_to_string(&path).map_err(|error| Error::os("read", path.clone(), error))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
        .ok_or_else(|| Error::with(ErrorKind::NotFound, "read", path, "the process is gone"))
}

/// Reads the init's records.
struct Receiver<'a> {
    plan: &'a Plan,
    control: &'a UnixStream,
    forked: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
}

impl Receiver<'_> {
    /// Until the created report (`true`) or the end of file (`false`). After
    /// a failure on to the end of file, as a second clone may still be told.
    fn run(&mut self, until_created: bool) -> Result<bool> {
        let mut kept = Vec::new();
        let mut failure = None;
        loop {
            let read = self.receive(&mut kept)?;
            while let Some((record, text)) = take_record(&mut kept) {
                match self.handle(record, &text) {
                    Ok(true) if until_created => return Ok(true),
                    Ok(_) => {}
                    Err(error) => failure = failure.or(Some(error)),
                }
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
                None => Ok(false),
            };
        }
    }

    fn receive(&mut self, kept: &mut Vec<u8>) -> Result<usize> {
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
        kept.extend_from_slice(&buffer[..read]);
        for descriptor in descriptors {
            // A descriptor comes with the record that explains it.
            let kind = kept.get(4).copied().map_or(0, u16::from);
            if kind == record::TERMINAL {
                self.terminal = Some(descriptor);
            } else {
                self.forked = Some(descriptor);
            }
        }
        Ok(read)
    }

    /// True for the created report.
    fn handle(&mut self, record: Record, text: &str) -> Result<bool> {
        match record.kind {
            record::FAILED => Err(self.plan.failure(record.op, record.value, text)),
            record::REFUSED => {
                let words = wire::Refusal::words(record.value);
                Err(Error::with(ErrorKind::Init, "check plan", format!("op {}", record.op), words))
            }
            record::REACHED => Ok(true),
            record::FORKED | record::TERMINAL => Ok(false),
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
