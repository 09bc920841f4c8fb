//! The states of a container as types: what can be done in each.

use std::ffi::OsString;
use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::builder::ContainerBuilder;
use super::parts::Parts;
use crate::cgroup::{Cgroup, Stats};
use crate::error::Result;
use crate::mount::Rootfs;
use crate::namespace::NamespaceKind;
use crate::process::{ExitStatus, Output, ProcessBuilder, WindowSize};
use crate::seccomp::Listener;

/// Set up; its program waits to be started.
#[derive(Debug)]
#[non_exhaustive]
pub struct Created;

/// Its program was started (and may have ended since).
#[derive(Debug)]
#[non_exhaustive]
pub struct Running;

/// Its program has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stopped {
    status: ExitStatus,
}

/// A container in the state `S`. Dropping it kills its first process, and with
/// it everything in its pid namespace or in the cgroup that was made for it,
/// and removes what was made for it.
#[derive(Debug)]
#[must_use = "dropping a container ends it"]
pub struct Container<S = Running> {
    parts: Parts,
    state: S,
}

impl Container {
    /// Describes a container with this root: a directory's path, or a
    /// [`Rootfs`].
    pub fn builder(rootfs: impl Into<Rootfs>) -> ContainerBuilder {
        ContainerBuilder::new(rootfs.into())
    }
}

impl<S> Container<S> {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.parts.id
    }

    /// The first process's id, as the caller's pid namespace numbers it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.parts.process.id()
    }

    /// Its cgroup, if it has one.
    #[must_use]
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.parts.cgroup()
    }

    /// The listener of its filter, if that notifies and no agent was named;
    /// once, after the start. See
    /// [`Process::take_seccomp_listener`](crate::Process::take_seccomp_listener).
    #[must_use]
    pub fn take_seccomp_listener(&self) -> Option<Listener> {
        self.parts.process.take_seccomp_listener()
    }

    /// Kills what is left of it, waits for the end and removes its cgroup.
    ///
    /// # Errors
    ///
    /// What could not be removed; the rest is.
    pub fn delete(self) -> Result<()> {
        self.parts.delete()
    }
}

impl Container<Created> {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, state: Created }
    }

    /// One of its namespaces, to put something in or to join.
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) if it has been killed.
    pub fn namespace(&self, kind: NamespaceKind) -> Result<OwnedFd> {
        self.parts.namespace(kind)
    }

    /// Runs its program.
    ///
    /// # Errors
    ///
    /// A program that can't be executed; nothing is left of the container.
    pub fn start(self) -> Result<Container<Running>> {
        let Created = self.state;
        self.parts.process.start()?;
        Ok(Container { parts: self.parts, state: Running })
    }
}

impl Container<Running> {
    /// One of its namespaces, to put something in or to join.
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) if it has ended.
    pub fn namespace(&self, kind: NamespaceKind) -> Result<OwnedFd> {
        self.parts.namespace(kind)
    }

    /// Describes another process inside it: same namespaces, cgroup, user,
    /// capabilities, filter, limits and environment, each of which may be
    /// changed before it is spawned. Standard input is empty, standard output
    /// and error are inherited.
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) if it has ended, or is
    /// paused. Who pauses it between this call and the spawn holds up both.
    pub fn exec(&self, program: impl Into<OsString>) -> Result<ProcessBuilder> {
        self.parts.exec(program.into())
    }

    /// Stops every process of it, until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) without a cgroup.
    pub fn pause(&self) -> Result<()> {
        self.parts.need_cgroup("pause")?.freeze()
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) without a cgroup.
    pub fn resume(&self) -> Result<()> {
        self.parts.need_cgroup("resume")?.thaw()
    }

    /// What it has used.
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) without a cgroup.
    pub fn stats(&self) -> Result<Stats> {
        self.parts.need_cgroup("statistics")?.stats()
    }

    /// Sends a signal to its first process, by number.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) after the end.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.parts.process.signal(signal)
    }

    /// Sends `SIGKILL` to its first process; the kernel ends all others of its
    /// pid namespace with it. A paused container goes on in order to die.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) after the end.
    pub fn kill(&self) -> Result<()> {
        self.parts.kill()
    }

    /// Leaves it to itself: it runs on when this value is dropped, and when the
    /// calling process ends. Returns the id of its first process.
    ///
    /// That makes sense with a [supervisor](crate::supervisor), which keeps its
    /// streams and its exit status. What was made for it stays: its cgroup is
    /// for whoever deletes the container to remove. As long as the calling
    /// process lives it is the supervisor's parent (without one, the
    /// container's): unless somebody waits for it, it stays a zombie at its end.
    pub fn detach(mut self) -> u32 {
        self.parts.let_go();
        self.parts.process.id()
    }

    /// Waits for the end of its program; from any number of threads.
    ///
    /// # Errors
    ///
    /// Those of [`Process::wait`](crate::Process::wait).
    pub fn wait(&self) -> Result<ExitStatus> {
        self.parts.process.wait()
    }

    /// The status if its program has ended.
    ///
    /// # Errors
    ///
    /// Those of [`Process::wait`](crate::Process::wait).
    pub fn try_wait(&self) -> Result<Option<ExitStatus>> {
        self.parts.process.try_wait()
    }

    /// Asks by `SIGTERM`, and by `SIGKILL` after `grace`; then it is stopped.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub fn stop(self, grace: Duration) -> Result<Container<Stopped>> {
        let process = &self.parts.process;
        if process.try_wait()?.is_none() {
            let _ = process.signal(libc::SIGTERM);
            if process.wait_timeout(grace)?.is_none() {
                let _ = self.parts.kill();
            }
        }
        self.stopped()
    }

    /// Waits for the end of its program.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub fn stopped(self) -> Result<Container<Stopped>> {
        let status = self.parts.process.wait()?;
        Ok(Container { parts: self.parts, state: Stopped { status } })
    }

    /// Reads standard output and error to their ends, waits, and removes it.
    ///
    /// # Errors
    ///
    /// Those of reading, of [`wait`](Self::wait) and of
    /// [`delete`](Self::delete).
    pub fn wait_with_output(mut self) -> Result<Output> {
        let output = self.parts.process.collect_output()?;
        self.parts.delete()?;
        Ok(output)
    }

    /// Our end of standard input, if it is a pipe; once.
    #[must_use]
    pub fn take_stdin(&mut self) -> Option<PipeWriter> {
        self.parts.process.take_stdin()
    }

    /// Our end of standard output, if it is a pipe; once.
    #[must_use]
    pub fn take_stdout(&mut self) -> Option<PipeReader> {
        self.parts.process.take_stdout()
    }

    /// Our end of standard error, if it is a pipe; once.
    #[must_use]
    pub fn take_stderr(&mut self) -> Option<PipeReader> {
        self.parts.process.take_stderr()
    }

    /// The master of its terminal; once.
    #[must_use]
    pub fn take_terminal(&mut self) -> Option<File> {
        self.parts.process.take_terminal()
    }

    /// Sets the size of its terminal, while this value has it (see
    /// [`Process::resize`](crate::Process::resize)) or its
    /// [supervisor](crate::supervisor).
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) without a terminal, or when
    /// it was taken; with a supervisor those of attaching to it.
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        self.parts.resize(size)
    }
}

/// Readable when its program has ended.
impl AsFd for Container<Running> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.parts.process.as_fd()
    }
}

impl Container<Stopped> {
    /// How its program ended.
    #[must_use]
    pub fn exit_status(&self) -> ExitStatus {
        self.state.status
    }
}
