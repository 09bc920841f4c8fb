//! Making a container that stays: all of it, or nothing.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::cgroups;
use super::directory::{Directory, Lock};
use super::enter;
use super::identity::Identity;
use super::record::{CONFIG_FILE, Record, STATE_FILE};
use super::state::{State, Status};
use super::stored::StoredContainer;
use crate::cgroup::{Cgroup, OwnedCgroup, Placement};
use crate::container::ContainerBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::hooks::{HookPoint, Hooks, run_all, run_past_failures};
use crate::oci::Bundle;
use crate::process::{Process, ProcessBuilder, Stdio, spawn_with, start};
use crate::terminal::ConsoleSocket;

/// How a container is created, beside what its spec says.
#[derive(Debug, Default)]
#[must_use]
pub struct CreateOptions {
    pub(super) console_socket: Option<PathBuf>,
    pub(super) keeps_terminal: bool,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) no_pivot: bool,
    pub(super) no_new_keyring: bool,
    pub(super) without_cgroup: bool,
    pub(super) streams: Option<[Stdio; 3]>,
    pub(super) passed: Vec<Arc<OwnedFd>>,
}

impl CreateOptions {
    /// Standard streams of the caller; no terminal.
    pub fn new() -> Self {
        Self::default()
    }

    /// The unix socket that the master of the terminal is sent to. Needed where the spec asks for
    /// a terminal, unless it is [kept](Self::keep_terminal), and refused where not.
    pub fn console_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.console_socket = Some(path.into());
        self
    }

    /// The caller itself takes the master of the terminal, by
    /// [`StoredContainer::take_terminal`].
    pub fn keep_terminal(mut self) -> Self {
        self.keeps_terminal = true;
        self
    }

    /// A file to write the number of the process to.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_file = Some(path.into());
        self
    }

    /// Moves the root over the old one in place of `pivot_root`, which a root in the initial
    /// ramfs does not allow; the container can get at what it covers.
    pub fn no_pivot(mut self, on: bool) -> Self {
        self.no_pivot = on;
        self
    }

    /// Keeps the caller's session keyring; without, the container gets a new one of its own.
    pub fn no_new_keyring(mut self, on: bool) -> Self {
        self.no_new_keyring = on;
        self
    }

    /// Makes no cgroup: the container stays in the caller's, and its limits are passed over.
    pub fn without_cgroup(mut self, on: bool) -> Self {
        self.without_cgroup = on;
        self
    }

    /// Standard input, output and error in place of the caller's own.
    pub fn streams(mut self, streams: [Stdio; 3]) -> Self {
        self.streams = Some(streams);
        self
    }

    /// A descriptor that the program gets, as number 3, the next as 4, and so on.
    pub fn pass_fd(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.passed.push(Arc::new(descriptor.into()));
        self
    }

    /// Where the terminal's master goes has to fit the spec.
    pub(super) fn check_terminal(&self, wanted: bool) -> Result<()> {
        let step = "check terminal";
        match (&self.console_socket, wanted) {
            (Some(path), false) => {
                let reason = "a console socket is given, but process.terminal is not true";
                Err(Error::invalid(step, path.to_string_lossy(), reason))
            }
            (None, true) if !self.keeps_terminal => {
                let reason = "process.terminal is true, but nobody takes the terminal";
                Err(Error::invalid(step, "process.terminal", reason).hint("name a console socket"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn apply(&self, mut process: ProcessBuilder) -> ProcessBuilder {
        if let Some([stdin, stdout, stderr]) = self.streams.clone() {
            process = process.stdin(stdin).stdout(stdout).stderr(stderr);
        }
        process.description.passed.extend(self.passed.iter().cloned());
        process
    }
}

/// A directory that is removed again unless the container comes to be.
struct Claim<'a> {
    root: &'a Directory,
    name: String,
    done: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.root.remove_child(&self.name);
        }
    }
}

pub(super) fn create(
    root: &Arc<Directory>,
    id: &str,
    bundle: &Bundle,
    options: &CreateOptions,
) -> Result<StoredContainer> {
    let spec = bundle.spec();
    let hooks = spec.hooks().as_ref().map_or(Ok(Hooks::new()), Hooks::from_oci)?;
    let terminal = spec.process().as_ref().is_some_and(|it| it.terminal() == Some(true));
    options.check_terminal(terminal)?;
    if root.stat(id).is_some() {
        return Err(taken(id));
    }
    let builder = describe(bundle, id, options)?;
    // A description that can't be is refused before anything is made.
    builder.plan()?;
    let mut record = Record::new(id, bundle)?;
    let placement = cgroups::placement(spec, id)?;

    let (mut claim, directory, lock) = claim(root, &record, bundle)?;
    let made = fill(&directory, builder, &placement, &mut record, &hooks, options);
    let Made { mut process, terminal, cgroup } = match made {
        Ok(made) => made,
        Err(error) => {
            drop((claim, lock));
            return Err(told_of(&record, &hooks, error));
        }
    };
    drop(lock);
    claim.done = true;
    let _ = cgroup.map(OwnedCgroup::release);
    process.let_live();
    Ok(StoredContainer {
        root: Arc::clone(root),
        id: id.to_owned(),
        directory,
        process: Some(process),
        terminal: Mutex::new(terminal.filter(|_| options.keeps_terminal)),
    })
}

/// The container's directory: in sight once it is locked and has a state.
fn claim<'a>(
    root: &'a Directory,
    record: &Record,
    bundle: &Bundle,
) -> Result<(Claim<'a>, Directory, Lock)> {
    let (name, mut directory) = root.make_draft()?;
    let mut claim = Claim { root, name, done: false };
    let lock = directory.make_lock()?;
    directory.replace(CONFIG_FILE, bundle.to_json().as_bytes())?;
    record.write(&directory)?;
    root.publish(&claim.name, &mut directory, &record.id).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => taken(&record.id),
        _ => error,
    })?;
    claim.name.clone_from(&record.id);
    Ok((claim, directory, lock))
}

/// What the container consists of, beside its directory; dropping it ends and removes it.
struct Made {
    process: Process,
    terminal: Option<std::fs::File>,
    cgroup: Option<OwnedCgroup>,
}

fn fill(
    directory: &Directory,
    builder: ContainerBuilder,
    placement: &Placement,
    record: &mut Record,
    hooks: &Hooks,
    options: &CreateOptions,
) -> Result<Made> {
    let cgroup = match options.without_cgroup {
        true => None,
        false => cgroups::make(placement, builder.wanted_resources())?,
    };
    record.cgroup = cgroup.as_deref().map(Cgroup::record);
    record.write(directory)?;
    let (process, terminal) = make_process(builder, directory, cgroup.as_ref(), record, hooks)?;
    publish(directory, record, options, terminal.as_ref())?;
    Ok(Made { process, terminal, cgroup })
}

/// All is undone, which ends the container's life as deletion does: the poststop hooks run if
/// hooks of the creation did.
fn told_of(record: &Record, hooks: &Hooks, error: Error) -> Error {
    if !matches!(error.kind(), ErrorKind::Hook | ErrorKind::TimedOut) {
        return error;
    }
    let outside = outside(record);
    let failures = hook_state(record, Status::Stopped)
        .map(|state| run_past_failures(hooks, HookPoint::Poststop, &state, &outside));
    match failures.as_deref() {
        Ok([first, ..]) => error.hint(format!("likewise: {first}")),
        _ => error,
    }
}

/// Where hooks of the caller's namespaces run: in the bundle's directory, if there is one.
pub(super) fn outside(record: &Record) -> ProcessBuilder {
    let process = ProcessBuilder::new("");
    if record.bundle.is_dir() { process.current_dir(&record.bundle) } else { process }
}

fn taken(id: &str) -> Error {
    Error::with(ErrorKind::AlreadyExists, "create", id, "a container with this id exists")
}

/// The spec's container, with what the options add.
fn describe(bundle: &Bundle, id: &str, options: &CreateOptions) -> Result<ContainerBuilder> {
    let builder = ContainerBuilder::from_spec(bundle.spec(), bundle.directory())?;
    Ok(builder.process(|process| {
        let mut process = options.apply(process);
        if let Some(rootfs) = process.description.rootfs.as_mut() {
            rootfs.no_pivot |= options.no_pivot;
        }
        match options.no_new_keyring {
            true => process,
            false => process.session_keyring(format!("_ses.{id}")),
        }
    }))
}

/// The process, waiting on its socket, and its terminal.
fn make_process(
    builder: ContainerBuilder,
    directory: &Directory,
    cgroup: Option<&OwnedCgroup>,
    record: &mut Record,
    hooks: &Hooks,
) -> Result<(Process, Option<std::fs::File>)> {
    let socket = start::listen(&directory.path)?;
    let mut process = builder.into_process(&record.id)?.wait_on_socket(socket);
    if let Some(cgroup) = cgroup {
        process = process.cgroup((**cgroup).clone());
    }
    if hooks.run_at_creation() {
        process = process.stop_before_pivot();
    }
    let plan = process.plan()?;
    drop(process);
    record.words = plan.start_words();
    let mut made = spawn_with(&plan, |pid| run_hooks(record, pid, hooks))?;
    record.process = Some(Identity::of(made.id())?);
    let terminal = made.take_terminal();
    Ok((made, terminal))
}

/// The hooks of the creation, while the process waits before the pivot.
fn run_hooks(record: &Record, pid: u32, hooks: &Hooks) -> Result<()> {
    let process = Identity::of(pid)?;
    let mut record = record.clone();
    record.process = Some(process);
    let state = hook_state(&record, Status::Creating)?;
    let outside = outside(&record);
    run_all(hooks, HookPoint::Prestart, &state, &outside)?;
    run_all(hooks, HookPoint::CreateRuntime, &state, &outside)?;
    if hooks.at(HookPoint::CreateContainer).is_empty() {
        return Ok(());
    }
    let inside = ProcessBuilder::new("").enter(enter::enter(process)?);
    run_all(hooks, HookPoint::CreateContainer, &state, &inside)
}

/// What hooks read on standard input.
pub(super) fn hook_state(record: &Record, status: Status) -> Result<Vec<u8>> {
    let state = State::new(record, status).to_oci()?;
    serde_json::to_vec(&state)
        .map_err(|error| Error::invalid("describe state", &*record.id, error.to_string()))
}

/// Tells others: the console socket, the state, the pid file.
fn publish(
    directory: &Directory,
    record: &Record,
    options: &CreateOptions,
    terminal: Option<&std::fs::File>,
) -> Result<()> {
    if let (Some(path), Some(terminal)) = (&options.console_socket, terminal) {
        ConsoleSocket::connect(path)?.send(terminal, "/dev/ptmx")?;
    }
    record.write(directory)?;
    debug_assert!(directory.stat(STATE_FILE).is_some());
    match (&options.pid_file, record.process) {
        (Some(path), Some(process)) => write_pid_file(path, process.pid),
        _ => Ok(()),
    }
}

/// Written beside and renamed: who waits for the file finds it whole.
pub(super) fn write_pid_file(path: &Path, pid: u32) -> Result<()> {
    let failed = |step| move |error| Error::os(step, path.to_string_lossy(), error);
    let name = path.file_name().ok_or_else(|| {
        Error::invalid("check pid file", path.to_string_lossy(), "it names no file")
    })?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    std::fs::write(&temporary, pid.to_string()).map_err(failed("write pid file"))?;
    std::fs::rename(&temporary, path).map_err(failed("rename pid file")).inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}
