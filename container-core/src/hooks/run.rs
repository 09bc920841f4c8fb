//! Running the hooks of one moment.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};

use super::{Hook, HookPoint, Hooks, split};
use crate::error::{Error, ErrorKind, Result};
use crate::process::{Process, ProcessBuilder, Stdio};

/// How much of what a hook says on standard error is kept for the error.
const MAX_WORDS: usize = 4096;
/// How much of that is shown.
const SHOWN_LINES: usize = 5;

/// Runs the hooks of one moment one after the other; the first failure ends it. `base` says
/// where they run; `state` is what they read on standard input.
pub(crate) fn run_all(
    hooks: &Hooks,
    point: HookPoint,
    state: &[u8],
    base: &ProcessBuilder,
) -> Result<()> {
    hooks.at(point).into_iter().try_for_each(|hook| run(hook, point, state, base))
}

/// Likewise, but goes on past failures and returns all of them.
pub(crate) fn run_past_failures(
    hooks: &Hooks,
    point: HookPoint,
    state: &[u8],
    base: &ProcessBuilder,
) -> Vec<Error> {
    let results = hooks.at(point).into_iter().map(|hook| run(hook, point, state, base));
    results.filter_map(Result::err).collect()
}

fn run(hook: &Hook, point: HookPoint, state: &[u8], base: &ProcessBuilder) -> Result<()> {
    let step = format!("run {point} hook");
    let path = hook.path.to_string_lossy();
    let failed = |error: io::Error| Error::os(step.clone(), path.clone(), error);
    let (words, theirs) = pipe2(OFlag::O_CLOEXEC).map_err(|error| failed(error.into()))?;
    let builder = describe(hook, base)
        .stdin(Stdio::descriptor(readable(state).map_err(failed)?))
        .stdout(Stdio::Null)
        .stderr(Stdio::descriptor(theirs));
    let spawned = builder.spawn();
    // The pipe ends when the hook and those whom it passed it to have closed it.
    drop(builder);
    let process = spawned.map_err(|error| error.within(&step, &path))?;
    let deadline = hook.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let (in_time, words) = wait(&process, words, deadline).map_err(failed)?;
    if !in_time {
        let reason = format!("killed after {:?}{}", hook.timeout.unwrap_or_default(), said(&words));
        return Err(Error::with(ErrorKind::TimedOut, step, path, reason));
    }
    let status = process.wait()?;
    if status.success() {
        return Ok(());
    }
    let reason = format!("{}{}", shown(status), said(&words));
    Err(Error::with(ErrorKind::Hook, step, path, reason))
}

fn describe(hook: &Hook, base: &ProcessBuilder) -> ProcessBuilder {
    let mut builder = base.clone().program(hook.path.as_os_str()).bare_environment();
    let mut arguments = hook.args.iter();
    if let Some(name) = arguments.next() {
        builder = builder.arg0(name);
    }
    builder = builder.args(arguments).new_session(true);
    hook.env
        .iter()
        .filter_map(|variable| split(variable))
        .fold(builder, |builder, (name, value)| builder.env(name, value))
}

/// The state as a file without a name: reading it blocks nobody, and whoever does not read it
/// breaks no pipe.
fn readable(state: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"container-state", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(state)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// Waits for the end while reading what it says; false if it had to be killed.
///
/// Its descendants may live on and hold the pipe: its own end is what counts.
fn wait(
    process: &Process,
    words: OwnedFd,
    deadline: Option<Instant>,
) -> io::Result<(bool, Vec<u8>)> {
    let mut words = Words { pipe: Some(File::from(words)), kept: Vec::new() };
    loop {
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        let mut fds = vec![PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        fds.extend(words.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, timeout(left)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        if ready.get(1) == Some(&true) {
            words.read()?;
        }
        if ready.first() == Some(&true) {
            words.read_rest()?;
            return Ok((true, words.kept));
        }
        if left.is_some_and(|left| left.is_zero()) {
            kill_group(process);
            words.read_rest()?;
            return Ok((false, words.kept));
        }
    }
}

/// It leads a session and so a process group of its own; until it is reaped, here, the number
/// is nobody else's.
fn kill_group(process: &Process) {
    if let Ok(pid) = i32::try_from(process.id())
        && pid > 1
    {
        // It may have left the group empty, or not yet made it: the kill below is sure.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = process.kill();
    let _ = process.wait();
}

fn timeout(left: Option<Duration>) -> PollTimeout {
    left.map_or(PollTimeout::NONE, |left| {
        PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
    })
}

/// What comes through the pipe, the start of it kept.
struct Words {
    pipe: Option<File>,
    kept: Vec<u8>,
}

impl Words {
    /// One read of a pipe that is readable.
    fn read(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        let mut buffer = [0u8; 4096];
        match pipe.read(&mut buffer) {
            Ok(0) => self.pipe = None,
            Ok(read) => {
                let room = MAX_WORDS.saturating_sub(self.kept.len()).min(read);
                self.kept.extend_from_slice(&buffer[..room]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What is there already, without waiting for more.
    fn read_rest(&mut self) -> io::Result<()> {
        while let Some(pipe) = &self.pipe {
            let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
            let readable = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
            if !readable || self.kept.len() >= MAX_WORDS {
                return Ok(());
            }
            self.read()?;
        }
        Ok(())
    }
}

fn shown(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The first lines of its words, behind a colon.
fn said(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(SHOWN_LINES);
    let mut said = String::new();
    for line in lines {
        let separator = if said.is_empty() { ": " } else { " | " };
        let _ = write!(said, "{separator}{line}");
    }
    said
}
