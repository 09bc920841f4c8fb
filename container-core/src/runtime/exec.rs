//! Another process inside a running container.

use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::FlockArg;
use oci_spec::runtime::Process as ProcessSpec;

use super::create::{CreateOptions, write_pid_file};
use super::enter;
use super::identity::Identity;
use super::record::Record;
use super::state::Status;
use super::stored::StoredContainer;
use crate::error::{Error, Result};
use crate::oci;
use crate::process::{Process, ProcessBuilder};
use crate::seccomp::Filter;
use crate::seccomp::listener::SeccompListener;
use crate::terminal::ConsoleSocket;

/// How often a paused container is looked at.
const RESUME_POLL: Duration = Duration::from_millis(10);

/// How a process is executed in a container, beside what its description says.
#[derive(Debug, Default)]
#[must_use]
pub struct ExecOptions {
    io: CreateOptions,
    cgroup: Option<String>,
    ignores_paused: bool,
}

impl ExecOptions {
    /// Standard streams of the caller; the container's own cgroup.
    pub fn new() -> Self {
        Self::default()
    }

    /// Streams, terminal, passed descriptors and pid file, as at the creation; its other settings
    /// have no meaning here.
    pub fn io(mut self, io: CreateOptions) -> Self {
        self.io = io;
        self
    }

    /// A file to write the number of the process to.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.io = self.io.pid_file(path);
        self
    }

    /// A cgroup below the container's own, which has to exist.
    pub fn cgroup(mut self, path: impl Into<String>) -> Self {
        self.cgroup = Some(path.into());
        self
    }

    /// Where the container is paused: waits until it is resumed, without limit, in place of
    /// refusing.
    pub fn ignore_paused(mut self, on: bool) -> Self {
        self.ignores_paused = on;
        self
    }
}

impl StoredContainer {
    /// Executes a process inside: in the container's namespaces and cgroup, under its filter, with
    /// user, capabilities and limits as described by `process`.
    ///
    /// The process is a child of the caller.
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) unless it is created or running; a field of
    /// the description; any failing step.
    pub fn exec(&self, process: &ProcessSpec, options: &ExecOptions) -> Result<Process> {
        options.io.check_terminal(process.terminal() == Some(true))?;
        // A pause would stop the process between birth and exec, and with it the caller.
        let mut births = self.directory.lock_births(FlockArg::LockSharedNonblock)?;
        while options.ignores_paused && self.state()?.status == Status::Paused {
            drop(births);
            std::thread::sleep(RESUME_POLL);
            births = self.directory.lock_births(FlockArg::LockSharedNonblock)?;
        }
        let builder = self.exec_builder(process, options)?;
        let console = options.io.console_socket.as_deref().map(ConsoleSocket::connect);
        let console = console.transpose()?;
        let mut made = options.io.apply(builder).spawn()?;
        drop(births);
        if let Some(console) = console
            && let Some(terminal) = made.take_terminal()
        {
            console.send(&terminal, "/dev/ptmx")?;
        }
        if let Some(path) = &options.io.pid_file {
            write_pid_file(path, made.id())?;
        }
        Ok(made)
    }

    fn exec_builder(&self, process: &ProcessSpec, options: &ExecOptions) -> Result<ProcessBuilder> {
        let record = self.record()?;
        let status = self.status_of(&record);
        let fits = matches!(status, Status::Created | Status::Running);
        let living = record.living().filter(|_| fits);
        let Some(living) = living else {
            return Err(self.wrong("exec", status, "running"));
        };
        self.inside(&record, living, process, options.cgroup.as_deref())
    }

    /// A process in the namespaces and the cgroup of the container, under its filter.
    fn inside(
        &self,
        record: &Record,
        living: Identity,
        process: &ProcessSpec,
        cgroup: Option<&str>,
    ) -> Result<ProcessBuilder> {
        let mut base = ProcessBuilder::new("").enter(enter::enter(living)?);
        if let Some(own) = self.cgroup_of(record)? {
            base = base.cgroup(own.for_exec(living.pid, cgroup)?);
        }
        let bundle = self.bundle()?;
        let linux = bundle.spec().linux().as_ref();
        if let Some(seccomp) = linux.and_then(|linux| linux.seccomp().as_ref()) {
            base = base.seccomp(Filter::from_oci(seccomp)?.compile()?);
            if let Some(agent) = SeccompListener::from_oci(seccomp)? {
                let agent = agent
                    .container_id(self.id.clone())
                    .container_pid(living.pid)
                    .bundle(record.bundle.clone())
                    .annotations(record.annotations.clone());
                base = base.seccomp_listener(agent);
            }
        }
        oci::exec_process(process, bundle.spec(), base)
    }

    /// Where startContainer hooks run: what they execute is the container's own, so they get
    /// what its program gets, user, capabilities, filter, limits and labels, and nothing more.
    pub(super) fn hooks_inside(&self, record: &Record, living: Identity) -> Result<ProcessBuilder> {
        let bundle = self.bundle()?;
        let Some(process) = bundle.spec().process() else {
            return Err(Error::invalid("check hooks", "process", "required, but missing"));
        };
        let mut process = process.clone();
        process.set_terminal(None);
        let mut inside = self.inside(record, living, &process, None)?;
        inside.description.directory = None;
        Ok(inside)
    }
}
