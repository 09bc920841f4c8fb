//! The description of a process, as the caller gives it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::companions::Companions;
use super::handle::{ExitStatus, Output, Process};
use super::stdio::{Stdio, WindowSize};
use crate::capability::Capabilities;
use crate::cgroup::Cgroup;
use crate::error::Result;
use crate::idmap::IdMappings;
use crate::mount::{Mount, Rootfs};
use crate::namespace::{NamespaceKind, Namespaces};
use crate::plan::{self, Plan};
use crate::rlimit::Rlimit;
use crate::seccomp::Program;
use crate::user::UserSpec;

/// The search path of a container that is given none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Namespaces of a running process to enter, all by one descriptor of it.
#[derive(Debug, Clone)]
pub(crate) struct Enter {
    pub(crate) pidfd: Arc<OwnedFd>,
    pub(crate) kinds: Vec<NamespaceKind>,
    /// setgroups(2) is forbidden in its user namespace.
    pub(crate) groups_denied: bool,
    /// Id 0 is mapped there.
    pub(crate) has_root: bool,
    /// The root directory of that process, for user names.
    pub(crate) root: Option<Arc<OwnedFd>>,
    /// Those who will be reaped with it.
    pub(crate) companions: Arc<Companions>,
}

/// What the builder has collected; read by the plan's compiler.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) namespaces: Namespaces,
    pub(crate) enter: Option<Enter>,
    pub(crate) mappings: Option<IdMappings>,
    pub(crate) rootfs: Option<Rootfs>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) read_only: Vec<PathBuf>,
    pub(crate) hostname: Option<OsString>,
    pub(crate) domainname: Option<OsString>,
    pub(crate) user: Option<UserSpec>,
    pub(crate) capabilities: Option<Capabilities>,
    pub(crate) rlimits: Vec<Rlimit>,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: Option<Program>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) parent_death_signal: Option<i32>,
    pub(crate) init: bool,
    pub(crate) new_session: bool,
    pub(crate) terminal: Option<WindowSize>,
    pub(crate) streams: [Stdio; 3],
    pub(crate) passed: Vec<Arc<OwnedFd>>,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) waits_for_start: bool,
}

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
                arguments: Vec::new(),
                environment: Vec::new(),
                directory: None,
                namespaces: Namespaces::none(),
                enter: None,
                mappings: None,
                rootfs: None,
                mounts: Vec::new(),
                masked: Vec::new(),
                read_only: Vec::new(),
                hostname: None,
                domainname: None,
                user: None,
                capabilities: None,
                rlimits: Vec::new(),
                no_new_privileges: false,
                seccomp: None,
                oom_score_adj: None,
                parent_death_signal: None,
                init: false,
                new_session: false,
                terminal: None,
                streams: [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit],
                passed: Vec::new(),
                cgroup: None,
                waits_for_start: false,
            },
        }
    }

    /// Replaces the program and forgets the arguments.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.description.program = program.into();
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

    /// The working directory, absolute, inside the root. `/` where there is a
    /// [`rootfs`](Self::rootfs), else the caller's.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.description.directory = Some(directory.into());
        self
    }

    /// Which namespaces are new, joined or inherited.
    pub fn namespaces(mut self, namespaces: Namespaces) -> Self {
        self.description.namespaces = namespaces;
        self
    }

    /// The ids of a new user namespace.
    ///
    /// Without, a new user namespace gets the best that the caller may do: as
    /// root every id as it is; as an ordinary user with subordinate ids and
    /// `newuidmap` the full range of these, else root alone.
    pub fn id_mappings(mut self, mappings: IdMappings) -> Self {
        self.description.mappings = Some(mappings);
        self
    }

    /// The root: a directory's path, or a [`Rootfs`]. Needs a new mount
    /// namespace.
    pub fn rootfs(mut self, rootfs: impl Into<Rootfs>) -> Self {
        self.description.rootfs = Some(rootfs.into());
        self
    }

    /// Adds a mount; the order counts. Needs a new mount namespace.
    pub fn mount(mut self, mount: Mount) -> Self {
        self.description.mounts.push(mount);
        self
    }

    /// Hides these paths: directories under an empty tmpfs, files under
    /// `/dev/null`. What does not exist is passed over.
    pub fn masked_paths<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.description.masked.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Makes these paths read-only. What does not exist is passed over.
    pub fn read_only_paths<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.description.read_only.extend(paths.into_iter().map(Into::into));
        self
    }

    /// The host name, at most 64 bytes. Needs a new uts namespace.
    pub fn hostname(mut self, name: impl Into<OsString>) -> Self {
        self.description.hostname = Some(name.into());
        self
    }

    /// The NIS domain name, at most 64 bytes. Needs a new uts namespace.
    pub fn domainname(mut self, name: impl Into<OsString>) -> Self {
        self.description.domainname = Some(name.into());
        self
    }

    /// The user to run as; names are those of the root's `/etc/passwd` and
    /// `/etc/group`. Supplementary groups are set to the user's own, and `HOME`
    /// to the home directory of one looked up there, unless it is given.
    pub fn user(mut self, user: impl Into<UserSpec>) -> Self {
        self.description.user = Some(user.into());
        self
    }

    /// The five capability sets ([capabilities(7)]).
    ///
    /// [capabilities(7)]: https://man7.org/linux/man-pages/man7/capabilities.7.html
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.description.capabilities = Some(capabilities);
        self
    }

    /// Sets a resource limit ([getrlimit(2)]).
    ///
    /// [getrlimit(2)]: https://man7.org/linux/man-pages/man2/getrlimit.2.html
    pub fn rlimit(mut self, limit: Rlimit) -> Self {
        self.description.rlimits.push(limit);
        self
    }

    /// No program run from here on gains privileges by set-user-id bits or
    /// file capabilities ([no_new_privs](https://docs.kernel.org/userspace-api/no_new_privs.html)).
    pub fn no_new_privileges(mut self, on: bool) -> Self {
        self.description.no_new_privileges = on;
        self
    }

    /// The system call filter ([seccomp(2)]). Without
    /// [`no_new_privileges`](Self::no_new_privileges) it needs `CAP_SYS_ADMIN`
    /// and is installed before the privileges go.
    ///
    /// [seccomp(2)]: https://man7.org/linux/man-pages/man2/seccomp.2.html
    pub fn seccomp(mut self, program: Program) -> Self {
        self.description.seccomp = Some(program);
        self
    }

    /// Takes the filter away again.
    pub fn without_seccomp(mut self) -> Self {
        self.description.seccomp = None;
        self
    }

    /// How likely the kernel kills it when memory is short, -1000 to 1000.
    /// Less than the caller's own takes `CAP_SYS_RESOURCE`.
    pub fn oom_score_adj(mut self, score: i32) -> Self {
        self.description.oom_score_adj = Some(score);
        self
    }

    /// The signal sent when the *thread* that spawned it ends: a trap in
    /// threaded programs ([prctl(2)], `PR_SET_PDEATHSIG`).
    ///
    /// [prctl(2)]: https://man7.org/linux/man-pages/man2/prctl.2.html
    pub fn parent_death_signal(mut self, signal: i32) -> Self {
        self.description.parent_death_signal = Some(signal);
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
    /// [`Mount::devpts`] where there is a root of its own.
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

    /// The cgroup to run in: entered by the clone itself on v2
    /// (`CLONE_INTO_CGROUP`), by one attach pass on v1.
    pub fn cgroup(mut self, cgroup: Cgroup) -> Self {
        self.description.cgroup = Some(cgroup);
        self
    }

    pub(crate) fn enter(mut self, enter: Enter) -> Self {
        self.description.enter = Some(enter);
        self
    }

    pub(crate) fn wait_for_start(mut self) -> Self {
        self.description.waits_for_start = true;
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
