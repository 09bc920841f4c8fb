//! Making a container that stays: all of it, or nothing.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::cgroups;
use super::directory::{Directory, Lock};
use super::enter;
use super::identity::{Identity, pid_inside};
use super::record::{CONFIG_FILE, Record};
use super::state::{State, Status};
use super::stored::StoredContainer;
use crate::cgroup::{Cgroup, OwnedCgroup, Placement};
use crate::container::ContainerBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::hooks::{HookPoint, Hooks, run_all, run_past_failures};
use crate::oci::Bundle;
use crate::plan::Plan;
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
pub(super) struct Claim<'a> {
    root: &'a Directory,
    name: String,
    pub(super) done: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.root.remove_child(&self.name);
        }
    }
}

/// Who lets the program run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Starter {
    /// Any process of the user, over the socket in the state directory.
    Anyone,
    /// The creator itself, at once.
    Creator,
}

pub(super) fn create(
    root: &Arc<Directory>,
    id: &str,
    bundle: &Bundle,
    options: &CreateOptions,
    starter: Starter,
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
    let console = options.console_socket.as_deref().map(ConsoleSocket::connect).transpose()?;
    let mut record = Record::new(id, bundle)?;
    record.started = starter == Starter::Creator;
    let placement = cgroups::placement(spec, id)?;

    let (mut claim, directory, lock) = claim(root, &record, bundle)?;
    let mut making = Making { directory, record, hooks, options, console, starter };
    let made = making.make(builder, &placement);
    let Making { directory, record, hooks, .. } = making;
    let (mut process, terminal) = match made {
        Ok(made) => made,
        Err(error) => {
            drop((claim, lock));
            return Err(told_of(&record, &hooks, error));
        }
    };
    drop(lock);
    claim.done = true;
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
pub(super) fn claim<'a>(
    root: &'a Directory,
    record: &Record,
    bundle: &Bundle,
) -> Result<(Claim<'a>, Directory, Lock)> {
    let (name, mut directory) = root.make_draft()?;
    let mut claim = Claim { root, name, done: false };
    let lock = directory.make_lock()?;
    directory.put(CONFIG_FILE, bundle.to_json().as_bytes())?;
    record.put(&directory)?;
    root.publish(&claim.name, &mut directory, &record.id).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => taken(&record.id),
        _ => error,
    })?;
    claim.name.clone_from(&record.id);
    Ok((claim, directory, lock))
}

/// All is undone, which ends the container's life as deletion does.
fn told_of(record: &Record, hooks: &Hooks, error: Error) -> Error {
    if hooks.at(HookPoint::Poststop).is_empty() {
        return error;
    }
    let outside = outside(record);
    let failures = hook_state(record, Status::Stopped, None)
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

/// A container on its way.
struct Making<'a> {
    directory: Directory,
    record: Record,
    hooks: Hooks,
    options: &'a CreateOptions,
    console: Option<ConsoleSocket>,
    starter: Starter,
}

impl Making<'_> {
    /// The process, waiting for its start, and its terminal; what fails leaves no process and no
    /// cgroup.
    fn make(
        &mut self,
        builder: ContainerBuilder,
        placement: &Placement,
    ) -> Result<(Process, Option<std::fs::File>)> {
        let cgroup = match self.options.without_cgroup {
            true => None,
            false => cgroups::make(placement, builder.wanted_resources())?,
        };
        self.record.cgroup = cgroup.as_deref().map(Cgroup::record);
        self.record.write(&self.directory)?;
        let plan = self.plan(builder, cgroup.as_deref())?;
        self.record.words = plan.start_words();
        let (told, hooks) = (self.record.clone(), self.hooks.clone());
        let mut terminal = None;
        let made = spawn_with(
            &plan,
            |pid| run_hooks(told, pid, &hooks),
            |process| {
                let identity = Identity::of(process.id())?;
                self.record.process = Some(identity);
                process.lead(identity.companions()?);
                terminal = process.take_terminal();
                self.publish(terminal.as_ref())
            },
        )?;
        let _ = cgroup.map(OwnedCgroup::release);
        Ok((made, terminal))
    }

    fn plan(&self, builder: ContainerBuilder, cgroup: Option<&Cgroup>) -> Result<Plan> {
        let mut process = builder.into_process(&self.record.id)?;
        process = match self.starter {
            Starter::Anyone => process.wait_on_socket(start::listen(&self.directory.path)?),
            Starter::Creator => process.wait_for_start(),
        };
        if let Some(cgroup) = cgroup {
            process = process.cgroup(cgroup.clone());
        }
        if self.hooks.run_at_creation() {
            process = process.stop_before_pivot();
        }
        process.plan()
    }

    /// Tells others: the console socket, the state, the pid file.
    fn publish(&mut self, terminal: Option<&std::fs::File>) -> Result<()> {
        if let (Some(console), Some(terminal)) = (self.console.take(), terminal) {
            console.send(terminal, "/dev/ptmx")?;
        }
        self.record.write(&self.directory)?;
        match (&self.options.pid_file, self.record.process) {
            (Some(path), Some(process)) => write_pid_file(path, process.pid),
            _ => Ok(()),
        }
    }
}

/// The hooks of the creation, while the process waits before the pivot.
fn run_hooks(mut record: Record, pid: u32, hooks: &Hooks) -> Result<()> {
    let process = Identity::of(pid)?;
    record.process = Some(process);
    let state = hook_state(&record, Status::Creating, None)?;
    let outside = outside(&record);
    run_all(hooks, HookPoint::Prestart, &state, &outside)?;
    run_all(hooks, HookPoint::CreateRuntime, &state, &outside)?;
    if hooks.at(HookPoint::CreateContainer).is_empty() {
        return Ok(());
    }
    let inside = ProcessBuilder::new("").enter(enter::enter(process)?);
    let state = hook_state(&record, Status::Creating, pid_inside(pid))?;
    run_all(hooks, HookPoint::CreateContainer, &state, &inside)
}

/// What hooks read on standard input; those inside see the number that the process has there.
pub(super) fn hook_state(record: &Record, status: Status, inside: Option<u32>) -> Result<Vec<u8>> {
    let mut state = State::new(record, status);
    state.pid = inside.unwrap_or(state.pid);
    serde_json::to_vec(&state.to_oci()?)
        .map_err(|error| Error::invalid("describe state", &*record.id, error.to_string()))
}

/// Written beside and renamed: who waits for the file finds it whole.
pub(super) fn write_pid_file(path: &Path, pid: u32) -> Result<()> {
    let failed = |step| move |error| Error::os(step, path.to_string_lossy(), error);
    if path.file_name().is_none() {
        let reason = "it names no file";
        return Err(Error::invalid("check pid file", path.to_string_lossy(), reason));
    }
    // A short name: that of the file may be as long as can be.
    let temporary = path.with_file_name(format!(".pid-{}-{pid}", std::process::id()));
    std::fs::File::create_new(&temporary)
        .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
        .map_err(failed("write pid file"))
        .and_then(|()| std::fs::rename(&temporary, path).map_err(failed("rename pid file")))
        .inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
        })
}
