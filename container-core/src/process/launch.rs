//! From a plan to a process that carries it out.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{MsgFlags, send};

use super::clone::{self, Birth, Born};
use super::lent::Lent;
use super::receive::Receiver;
use super::{host_mounts, image, mappings, stdio, supervised};
use crate::capability::CapabilitySet;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::wire;
use crate::plan::{Plan, kept_streams};
use crate::supervisor::Opened;

/// The byte that lets a waiting init go on.
pub(super) const GO: &[u8] = &[1];

/// A cloned process that is killed and reaped unless it becomes a
/// [`Process`](super::Process).
#[derive(Debug)]
pub(super) struct Unborn {
    born: Option<Born>,
    /// Its supervisor, whose child it is, not ours.
    supervisor: Option<OwnedFd>,
}

impl Unborn {
    pub(super) fn new(born: Born) -> Self {
        Self { born: Some(born), supervisor: None }
    }

    pub(super) fn finish(mut self) -> Option<Born> {
        self.born.take()
    }

    /// Goes on as the process that this one, its supervisor, has made.
    fn becomes(&mut self, made: OwnedFd) {
        let made = Born { pid: pid_of(&made).unwrap_or(0), pidfd: made };
        self.supervisor = self.born.replace(made).map(|supervisor| supervisor.pidfd);
    }

    /// The supervisor, to be kept with the process that is finished.
    pub(super) fn take_supervisor(&mut self) -> Option<OwnedFd> {
        self.supervisor.take()
    }

    pub(super) fn pid(&self) -> u32 {
        self.born.as_ref().map_or(0, |born| born.pid)
    }

    /// Learns the number of a process that came as a pidfd; 0 if it has ended
    /// and is reaped, as in a host that ignores `SIGCHLD`.
    pub(super) fn find_pid(&mut self) {
        if let Some(born) = &mut self.born {
            born.pid = pid_of(&born.pidfd).unwrap_or(0);
        }
    }

    /// Waits for its end and reaps it.
    pub(super) fn wait(mut self) -> Result<crate::sys::WaitStatus> {
        let failed = |error| Error::os("waitid", "", error);
        let status = match &self.born {
            Some(born) => crate::sys::wait_pidfd(born.pidfd.as_fd(), libc::WEXITED),
            None => Ok(None),
        };
        let status = match (status, &self.born) {
            (Err(error), Some(born)) if error.raw_os_error() == Some(libc::ECHILD) => {
                crate::sys::exit_status_of(born.pidfd.as_fd()).ok_or_else(|| failed(error))?
            }
            (status, _) => status.map_err(failed)?.unwrap_or_default(),
        };
        self.born = None;
        Ok(status)
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if let Some(born) = &self.born {
            let _ = crate::sys::signal_pidfd(born.pidfd.as_fd(), libc::SIGKILL);
            let _ = crate::sys::wait_pidfd(born.pidfd.as_fd(), libc::WEXITED);
        }
        if let Some(supervisor) = &self.supervisor {
            supervised::end(supervisor);
        }
    }
}

/// A process that executes the init, which carries the plan out by now.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) unborn: Unborn,
    pub(super) control: UnixStream,
    /// Our ends of the standard streams that are pipes.
    pub(super) streams: OurEnds,
    pub(super) lent: Lent,
    /// What its supervisor keeps it in.
    pub(super) files: Option<Opened>,
    /// What the init has said already.
    pub(super) early: Vec<u8>,
}

/// Clones, and does the host's part of the plan.
pub(super) fn launch(plan: &Plan) -> Result<Launched> {
    refuse_frozen(plan)?;
    refuse_lacking(plan)?;
    let image = image::image()?;
    let (control, theirs) =
        UnixStream::pair().map_err(|error| Error::os("socketpair", "control", error))?;
    let theirs = above(Arc::new(theirs.into()), plan.reserved)?;
    // Removed, where it comes to that, after the processes.
    let files = plan.supervision.as_ref().map(Opened::new).transpose()?;
    let (streams, slots) = fill_slots(plan, files.as_ref())?;
    let message = launch_message(plan, &slots);
    let sent = send_what_fits(&control, &message)?;
    let mut unborn = Unborn::new(make(plan, &image, &theirs, &slots)?);
    drop((theirs, slots));
    let mut rest = &message[sent..];
    let mut early = Vec::new();
    if files.is_some() {
        send_blocking(&control, rest);
        rest = &[];
        let mut receiver = Receiver::new(plan, &control, None);
        unborn.becomes(receiver.run_until_forked()?);
        early = receiver.kept;
    }
    let lent = prepare(plan, &unborn, &control, rest)?;
    Ok(Launched { unborn, control, streams, lent, files, early })
}

/// In a frozen cgroup the child would stop at birth, and with it the calling
/// thread, which waits for its exec with all signals blocked (but SIGKILL). One that is
/// frozen by somebody between this look and the clone holds the caller until it is thawed: the
/// kernel has no clone that refuses. A stored container's pause and exec lock each other out.
fn refuse_frozen(plan: &Plan) -> Result<()> {
    match &plan.host.cgroup {
        Some(cgroup) if cgroup.is_frozen().unwrap_or(false) => {
            let reason = "the cgroup is frozen: nothing can start in it";
            Err(Error::with(ErrorKind::WrongState, "clone3", cgroup.path(), reason)
                .hint("thaw it first"))
        }
        _ => Ok(()),
    }
}

/// Capabilities that the caller lacks can't be given, but in a user namespace.
fn refuse_lacking(plan: &Plan) -> Result<()> {
    let needed = plan.host.needed;
    if needed.is_empty() {
        return Ok(());
    }
    let lacking = needed.difference(CapabilitySet::of_caller()?);
    if lacking.is_empty() {
        return Ok(());
    }
    let reason = "the caller itself lacks them";
    Err(Error::with(ErrorKind::PermissionDenied, "check capabilities", lacking.to_string(), reason)
        .hint("leave them out (Capabilities::restricted_to), or add a new user namespace"))
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

/// Our ends of the standard streams.
type OurEnds = [Option<OwnedFd>; 3];

/// Opens the streams and collects the descriptors of the inherited slots: the
/// child's ends, what the supervisor gets, then what the plan owns, then the
/// mounts opened for it.
fn fill_slots(plan: &Plan, files: Option<&Opened>) -> Result<(OurEnds, Vec<Arc<OwnedFd>>)> {
    let mut ours = [None, None, None];
    let mut slots = Vec::with_capacity(3 + plan.descriptors.len());
    for (index, stdio) in plan.streams.iter().enumerate() {
        if let Some(stream) = stdio::open(stdio, index)? {
            slots.push(above(stream.child, plan.reserved)?);
            ours[index] = stream.ours;
        }
    }
    if let Some(files) = files {
        for descriptor in files.descriptors() {
            slots.push(above(Arc::clone(descriptor), plan.reserved)?);
        }
        for kept in kept_streams(&plan.streams) {
            if let Some(end) = ours[kept].take() {
                give_to(&end, plan.stream_owner);
                slots.push(above(Arc::new(end), plan.reserved)?);
            }
        }
    }
    for descriptor in &plan.descriptors {
        slots.push(above(Arc::clone(descriptor), plan.reserved)?);
    }
    for mount in host_mounts::open(&plan.host.mounts)? {
        slots.push(above(Arc::new(mount), plan.reserved)?);
    }
    Ok((ours, slots))
}

/// A program may open its streams again by `/dev/stdout`, for which the pipe
/// must be its user's. Only root can see to that.
fn give_to(pipe: &OwnedFd, owner: Option<u32>) {
    if nix::unistd::geteuid().is_root() {
        let owner = owner.map(nix::unistd::Uid::from_raw);
        let _ = nix::unistd::fchown(pipe, owner, None);
    }
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
    // A supervisor stays outside: it makes the namespaces, in the cgroup.
    let own = plan.supervision.is_none();
    let birth = Birth {
        flags: if own { plan.host.clone_flags } else { 0 },
        cgroup: plan.host.born_in().filter(|_| own),
        control_text: &control_text,
        init: image.as_fd(),
        keep: &keep,
    };
    clone::clone_and_exec(&birth).map_err(|(step, error)| clone_error(plan, step, error))
}

/// A failed clone in words: which of the flags could be meant.
fn clone_error(plan: &Plan, step: &'static str, error: std::io::Error) -> Error {
    let object = plan.clone_call();
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
fn prepare(plan: &Plan, unborn: &Unborn, control: &UnixStream, rest: &[u8]) -> Result<Lent> {
    if let Some(mappings) = &plan.host.mappings {
        mappings::write(unborn.pid(), mappings)?;
    }
    if let Some(cpus) = &plan.host.initial_affinity {
        crate::sys::set_affinity(unborn.pid(), &crate::scheduling::mask(cpus)).map_err(
            |error| {
                Error::os("sched_setaffinity", cpus.to_string(), error)
                    .hint("give processors that are online and in the caller's cpuset")
            },
        )?;
    }
    if let Some(cgroup) = plan.host.attached() {
        cgroup.attach(unborn.pid())?;
    }
    let lent = Lent::to(plan, unborn.pid())?;
    // What a dead init can't take shows in its records, or in their absence.
    send_blocking(control, rest);
    if plan.host.waits {
        send_blocking(control, GO);
    }
    Ok(lent)
}

pub(super) fn send_blocking(control: &UnixStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match send(control.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// The number of a process, from the kernel's description of its pidfd.
pub(super) fn pid_of(pidfd: &OwnedFd) -> Option<u32> {
    let path = format!("/proc/thread-self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}
