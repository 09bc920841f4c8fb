//! The description of a process, as the caller gives it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::description::Description;
use super::handle::{ExitStatus, Output, Process};
use super::stdio::{Stdio, WindowSize};
use crate::error::Result;
use crate::namespace::Namespaces;
use crate::plan::{self, Plan};
use crate::scheduling::CpuAffinity;
use crate::supervisor::Supervision;

mod attributes;
mod isolation;
mod privilege;

/// The search path of a container that is given none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Describes a process and the isolation it runs in; a
/// [`std::process::Command`] with namespaces.
///
/// Nothing is isolated unless asked for ([`Container`](crate::Container) has
/// the safe defaults). The environment is empty but for a `PATH`
/// ([`DEFAULT_PATH`]): nothing of the host's leaks in. Standard streams are
/// inherited.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until spawned"]
pub struct ProcessBuilder {
    pub(crate) description: Description,
}

impl ProcessBuilder {
    /// A process that runs `program`: a path, or a name that is looked up in
    /// the `PATH` of the new process, inside its root.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            description: Description {
                program: program.into(),
                arg0: None,
                arguments: Vec::new(),
                environment: Vec::new(),
                exact_environment: false,
                bare_environment: false,
                directory: None,
                make_directory: false,
                namespaces: Namespaces::none(),
                enter: None,
                mappings: None,
                rootfs: None,
                mounts: Vec::new(),
                net_devices: Vec::new(),
                intel_rdt: None,
                mount_label: None,
                devices: Vec::new(),
                default_devices: false,
                sysctls: Vec::new(),
                stops_before_pivot: false,
                masked: Vec::new(),
                read_only: Vec::new(),
                hostname: None,
                domainname: None,
                user: None,
                capabilities: None,
                rlimits: Vec::new(),
                no_new_privileges: false,
                seccomp: None,
                seccomp_listener: None,
                oom_score_adj: None,
                scheduler: None,
                io_priority: None,
                cpu_affinity: CpuAffinity::none(),
                memory_policy: None,
                personality: None,
                apparmor_profile: None,
                selinux_label: None,
                session_keyring: None,
                parent_death_signal: None,
                init: false,
                new_session: false,
                terminal: None,
                streams: [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit],
                passed: Vec::new(),
                cgroup: None,
                waits_for_start: false,
                start_socket: None,
                supervision: None,
            },
        }
    }

    /// Replaces the program and forgets the arguments.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.description.program = program.into();
        self.description.arg0 = None;
        self.description.arguments.clear();
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.description.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.description.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.description.environment.retain(|(other, _)| *other != name);
        self.description.environment.push((name, value));
        self
    }

    /// Sets variables of the environment.
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// The environment gets no `PATH` of its own where none is given; a program
    /// without a slash is looked up in [`DEFAULT_PATH`] then all the same.
    pub fn exact_environment(mut self) -> Self {
        self.description.exact_environment = true;
        self
    }

    /// Likewise, without the user's `HOME` too: nothing but what is given.
    pub(crate) fn bare_environment(mut self) -> Self {
        self.description.environment.clear();
        self.description.bare_environment = true;
        self.exact_environment()
    }

    /// The working directory, absolute, inside the root. `/` where there is a
    /// [`rootfs`](Self::rootfs), else the caller's.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.description.directory = Some(directory.into());
        self
    }

    /// Makes the working directory where it is missing, mode 0755, owned by
    /// root. Needs a [`rootfs`](Self::rootfs).
    pub fn make_current_dir(mut self, on: bool) -> Self {
        self.description.make_directory = on;
        self
    }

    /// Keeps the tiny init as the parent of the program: it reaps orphans and
    /// passes signals on. A program ended by signal n shows as exit code
    /// 128 + n. It runs under the program's [filter](Self::seccomp), which must
    /// let it `clone`, `wait4`, `rt_sigtimedwait` and `kill`.
    pub fn init(mut self, on: bool) -> Self {
        self.description.init = on;
        self
    }

    /// Runs in a session of its own ([setsid(2)]), out of reach of the
    /// caller's terminal.
    ///
    /// [setsid(2)]: https://man7.org/linux/man-pages/man2/setsid.2.html
    pub fn new_session(mut self, on: bool) -> Self {
        self.description.new_session = on;
        self
    }

    /// Gives it a pseudoterminal of its own as standard input, output and
    /// error; [`Process::take_terminal`] has the other end. Needs
    /// [`Mount::devpts`](crate::Mount::devpts) where there is a root of its own.
    pub fn terminal(mut self, size: WindowSize) -> Self {
        self.description.terminal = Some(size);
        self
    }

    /// Standard input.
    pub fn stdin(mut self, stdio: Stdio) -> Self {
        self.description.streams[0] = stdio;
        self
    }

    /// Standard output.
    pub fn stdout(mut self, stdio: Stdio) -> Self {
        self.description.streams[1] = stdio;
        self
    }

    /// Standard error.
    pub fn stderr(mut self, stdio: Stdio) -> Self {
        self.description.streams[2] = stdio;
        self
    }

    /// Passes a descriptor on: the first becomes number 3, the next 4, and so
    /// on. No other descriptor of the caller gets through.
    pub fn pass_fd(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.description.passed.push(Arc::new(descriptor.into()));
        self
    }

    pub(crate) fn wait_for_start(mut self) -> Self {
        self.description.waits_for_start = true;
        self
    }

    /// Sets everything up and waits for the start on this listening unix
    /// socket: any process of the same user can start it, also when the
    /// creator has ended (see [`start`](super::start)). [`spawn`](Self::spawn)
    /// returns when it waits, and refuses a program that can't be executed.
    ///
    /// The creator has to drop the builder and its plans: who keeps the
    /// listener keeps starters waiting for a process that has ended.
    pub fn wait_on_socket(mut self, listener: impl Into<OwnedFd>) -> Self {
        self.description.start_socket = Some(Arc::new(listener.into()));
        self.wait_for_start()
    }

    pub(crate) fn supervised(mut self, supervision: Supervision) -> Self {
        self.description.supervision = Some(supervision);
        self
    }

    /// Compiles the description. Nothing is touched but files that the
    /// description names for reading (the root's `/etc/passwd`).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for what can't be,
    /// [`NotFound`](crate::ErrorKind::NotFound) for a root, source or user that
    /// does not exist.
    pub fn plan(&self) -> Result<Plan> {
        plan::compile(&self.description)
    }

    /// Makes the process; returns when the program has been executed.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Self::plan), and any failing step, with its name;
    /// nothing is left of the process then.
    pub fn spawn(&self) -> Result<Process> {
        self.plan()?.spawn()
    }

    /// Runs it to its end; the streams are as described.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn) and of [`Process::wait`].
    pub fn status(&self) -> Result<ExitStatus> {
        self.plan()?.status()
    }

    /// Runs it to its end and collects what it wrote: standard output and
    /// error are pipes, standard input is empty.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn) and of reading.
    pub fn output(&self) -> Result<Output> {
        let builder = self.clone();
        builder.stdin(Stdio::Null).stdout(Stdio::Pipe).stderr(Stdio::Pipe).plan()?.run()
    }

    /// The program as given.
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        &self.description.program
    }

    /// The root's path, where it is a directory of the host.
    #[must_use]
    pub fn get_rootfs_directory(&self) -> Option<&Path> {
        match &self.description.rootfs.as_ref()?.source {
            crate::mount::Source::Bind { path, .. } => Some(path),
            _ => None,
        }
    }
}
