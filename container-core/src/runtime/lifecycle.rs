//! Start, signals, pause, deletion.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::fcntl::FlockArg;
use oci_spec::runtime::ContainerState;

use super::cgroups;
use super::create::{hook_state, outside};
use super::directory::Lock;
use super::identity::{Identity, pid_inside};
use super::record::{Record, START_SOCKET};
use super::state::Status;
use super::stored::StoredContainer;
use crate::error::{Error, ErrorKind, Result};
use crate::hooks::{HookPoint, Hooks, run_all, run_past_failures};
use crate::oci::Bundle;
use crate::process::{Companions, start};
use crate::seccomp::listener::{SeccompListener, forward, process_state};
use crate::{cgroup, sys};

/// How long a killed process may take to end.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

impl StoredContainer {
    /// Runs the program of a created container; returns when it has been executed.
    ///
    /// # Errors
    ///
    /// [`WrongState`](ErrorKind::WrongState) unless it is created; a program that can't be
    /// executed, upon which the container is stopped; a failing startContainer or poststart hook,
    /// upon which the container is stopped and removed, as the specification wants it, and the
    /// poststop hooks have run.
    pub fn start(&self) -> Result<()> {
        let lock = self.directory.lock()?;
        let mut record = self.record()?;
        let status = self.status_of(&record);
        let (Status::Created, Some(process)) = (status, record.process) else {
            return Err(self.wrong("start", status, "created"));
        };
        let bundle = self.bundle()?;
        let hooks = hooks_of(&bundle)?;
        if let Err(error) = self.run_start_hooks(&record, &hooks, process) {
            return Err(self.end_after(error, &record, lock));
        }
        if let Err(error) = self.run_program(&record, &bundle, process.pid) {
            let _ = self.kill_process(&record);
            return Err(error);
        }
        record.started = true;
        record.write(&self.directory)?;
        self.directory.unlink(START_SOCKET)?;
        // The hooks may want to change the container.
        drop(lock);
        self.run_poststart(&record, &hooks)
    }

    /// Runs the program of a container that this process has just created for itself; what fails
    /// removes it.
    pub(super) fn start_here(&self, bundle: &Bundle) -> Result<()> {
        let Some(waiting) = &self.process else {
            return Err(self.not_running("start"));
        };
        let hooks = hooks_of(bundle)?;
        if hooks.is_empty() {
            return waiting.start().map_err(|error| self.end_unstarted(error));
        }
        let record = self.record()?;
        let process = record.process.ok_or_else(|| self.not_running("start"))?;
        let started = self.run_start_hooks(&record, &hooks, process).and_then(|()| waiting.start());
        match started {
            Ok(()) => self.run_poststart(&record, &hooks),
            Err(error) => Err(self.end_unstarted(error)),
        }
    }

    fn end_unstarted(&self, error: Error) -> Error {
        match (self.directory.lock(), self.record()) {
            (Ok(lock), Ok(record)) => self.end_after(error, &record, lock),
            // Somebody deletes it already.
            _ => error,
        }
    }

    fn run_poststart(&self, record: &Record, hooks: &Hooks) -> Result<()> {
        if hooks.at(HookPoint::Poststart).is_empty() {
            return Ok(());
        }
        let state = hook_state(record, Status::Running, None)?;
        let run = run_all(hooks, HookPoint::Poststart, &state, &outside(record));
        run.map_err(|error| match self.directory.lock() {
            Ok(lock) => self.end_after(error, record, lock),
            Err(_) => error,
        })
    }

    /// Kills and removes it because of this error, which tells what else fails.
    fn end_after(&self, error: Error, record: &Record, lock: Lock) -> Error {
        let ended = self.kill_process(record).and_then(|()| self.remove(record, lock));
        let failures = match ended {
            Ok(failures) => failures,
            Err(failure) => vec![failure],
        };
        match failures.first() {
            Some(first) => error.hint(format!("likewise: {first}")),
            None => error,
        }
    }

    fn run_start_hooks(&self, record: &Record, hooks: &Hooks, process: Identity) -> Result<()> {
        if hooks.at(HookPoint::StartContainer).is_empty() {
            return Ok(());
        }
        let inside = self.hooks_inside(record, process)?;
        let state = hook_state(record, Status::Created, pid_inside(process.pid))?;
        run_all(hooks, HookPoint::StartContainer, &state, &inside)
    }

    /// Says go, and hands the listener of a filter that notifies to its agent.
    fn run_program(&self, record: &Record, bundle: &Bundle, pid: u32) -> Result<()> {
        let seccomp = bundle.spec().linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let agent = seccomp.map_or(Ok(None), SeccompListener::from_oci)?;
        let socket = start::connect(&self.directory.path)?;
        start::start_over_with(&socket, &record.words, |listener| {
            let Some(agent) = &agent else {
                return Ok(());
            };
            let agent = agent
                .clone()
                .container_id(record.id.clone())
                .bundle(record.bundle.clone())
                .annotations(record.annotations.clone());
            let state = process_state(&agent, pid, ContainerState::Creating)?;
            forward(agent.get_path(), &state, listener.as_fd())
        })
    }

    /// Sends a signal by number to its first process, surely this one and no other that got its
    /// number. Without a pid namespace of its own its other processes would survive it:
    /// `SIGKILL` is sent to every process of its cgroup then, also when the first one has ended.
    ///
    /// # Errors
    ///
    /// [`WrongState`](ErrorKind::WrongState) unless it is created, running or paused;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is no signal.
    pub fn kill(&self, signal: i32) -> Result<()> {
        check_signal(signal)?;
        let record = self.record()?;
        if signal == libc::SIGKILL && record.shares_pids && record.process.is_some() {
            return self.kill_all(signal);
        }
        self.kill_first(&record, signal)
    }

    fn kill_first(&self, record: &Record, signal: i32) -> Result<()> {
        let living = record.living();
        let sent = living.map_or(Ok(false), |process| process.signal(signal))?;
        if !sent {
            return Err(self.not_running("kill"));
        }
        if signal == libc::SIGKILL {
            self.thaw_to_die(record);
        }
        Ok(())
    }

    fn not_running(&self, step: &'static str) -> Error {
        Error::with(ErrorKind::WrongState, step, self.id.clone(), "container not running")
    }

    /// A process that a freezer of cgroup v1 holds dies only when it is let go.
    fn thaw_to_die(&self, record: &Record) {
        if let Ok(Some(cgroup)) = self.cgroup_of(record)
            && cgroup.is_frozen().unwrap_or(false)
        {
            let _ = cgroup.thaw();
        }
    }

    /// Sends a signal to every process of its cgroup; where it has none, to its first process.
    ///
    /// # Errors
    ///
    /// [`WrongState`](ErrorKind::WrongState) if there is nobody left;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is no signal.
    pub fn kill_all(&self, signal: i32) -> Result<()> {
        check_signal(signal)?;
        let record = self.record()?;
        let Some(cgroup) = self.cgroup_of(&record)? else {
            return self.kill_first(&record, signal);
        };
        if !cgroup.is_populated()? {
            return Err(self.not_running("kill"));
        }
        if signal == libc::SIGKILL {
            return cgroup.kill();
        }
        match cgroup.signal(signal)? {
            0 => Err(self.not_running("kill")),
            _ => Ok(()),
        }
    }

    /// Stops every process of it.
    ///
    /// # Errors
    ///
    /// [`WrongState`](ErrorKind::WrongState) unless it is running, or without a cgroup.
    pub fn pause(&self) -> Result<()> {
        let _lock = self.directory.lock()?;
        let _births = self.directory.lock_births(FlockArg::LockExclusiveNonblock)?;
        let record = self.record()?;
        match self.status_of(&record) {
            Status::Running | Status::Created => self.need_cgroup("pause", &record)?.freeze(),
            status => Err(self.wrong("pause", status, "running")),
        }
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// [`WrongState`](ErrorKind::WrongState) unless it is paused.
    pub fn resume(&self) -> Result<()> {
        let _lock = self.directory.lock()?;
        let record = self.record()?;
        match self.status_of(&record) {
            Status::Paused => self.need_cgroup("resume", &record)?.thaw(),
            status => Err(self.wrong("resume", status, "paused")),
        }
    }

    /// Removes what there is of it: cgroup, state directory. `force` kills it first; without, it
    /// must be stopped, or not started yet.
    ///
    /// Returns the failures of poststop hooks: these are to be told, but the container is gone.
    ///
    /// # Errors
    ///
    /// [`WrongState`](ErrorKind::WrongState) if it runs; what can't be removed, upon which the
    /// state stays.
    pub fn delete(self, force: bool) -> Result<Vec<Error>> {
        let lock = self.directory.lock()?;
        let record = self.record()?;
        match self.status_of(&record) {
            Status::Stopped if record.process.is_some() => {}
            // Its creator died or gave up, as the lock is ours: it may wait, known to nobody.
            Status::Stopped | Status::Creating => self.kill_process(&record)?,
            Status::Created => self.kill_process(&record)?,
            _ if force => self.kill_process(&record)?,
            status => return Err(self.wrong("delete", status, "stopped")),
        }
        self.remove(&record, lock)
    }

    /// Kills its first process and waits for its end.
    fn kill_process(&self, record: &Record) -> Result<()> {
        if record.process.is_none()
            && let Ok(socket) = start::connect(&self.directory.path)
        {
            start::end(&socket);
        }
        let Some(pidfd) = record.process.map_or(Ok(None), |process| process.open())? else {
            return Ok(());
        };
        if let Err(error) = sys::signal_pidfd(pidfd.as_fd(), libc::SIGKILL)
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            return Err(Error::os("pidfd_send_signal", self.id.clone(), error));
        }
        self.thaw_to_die(record);
        let companions = record.process.map_or_else(Companions::new, |it| it.companions())?;
        if companions.wait_for_end(pidfd.as_fd(), Some(KILL_PATIENCE))? {
            return Ok(());
        }
        let reason = "it did not end within 10 seconds of SIGKILL";
        Err(Error::with(ErrorKind::TimedOut, "kill", self.id.clone(), reason))
    }

    fn remove(&self, record: &Record, lock: Lock) -> Result<Vec<Error>> {
        match (&self.process, record.process) {
            (Some(process), _) => drop(process.try_wait()),
            (None, Some(process)) => process.reap(),
            (None, None) => {}
        }
        // Before the copy of the spec goes.
        let bundle = self.bundle();
        if let Some(cgroup) = self.cgroup_of(record)? {
            cgroup.kill()?;
            remove_cgroup(&cgroup)?;
        } else if record.cgroup.is_none()
            && record.process.is_none()
            && record.is_of_this_boot()
            && let Ok(bundle) = &bundle
        {
            cgroups::remove_abandoned(bundle.spec(), &self.id);
        }
        if let Ok(bundle) = &bundle {
            crate::oci::leave_class(bundle.spec(), &self.id)?;
        }
        self.root.remove_child(&self.id)?;
        drop(lock);
        let hooks = match bundle.and_then(|bundle| hooks_of(&bundle)) {
            Ok(hooks) => hooks,
            // Which hooks there were is not known.
            Err(error) => return Ok(vec![error]),
        };
        if hooks.at(HookPoint::Poststop).is_empty() {
            return Ok(Vec::new());
        }
        let state = hook_state(record, Status::Stopped, None)?;
        Ok(run_past_failures(&hooks, HookPoint::Poststop, &state, &outside(record)))
    }
}

fn check_signal(signal: i32) -> Result<()> {
    /// The last of the real-time signals (signal(7)).
    const LAST: i32 = 64;
    match signal {
        0..=LAST => Ok(()),
        _ => Err(Error::invalid("check signal", signal.to_string(), "out of 0 to 64")),
    }
}

fn hooks_of(bundle: &Bundle) -> Result<Hooks> {
    bundle.spec().hooks().as_ref().map_or(Ok(Hooks::new()), Hooks::from_oci)
}

/// With what was made inside of it.
fn remove_cgroup(cgroup: &cgroup::Cgroup) -> Result<()> {
    match cgroup.remove_recursive() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
