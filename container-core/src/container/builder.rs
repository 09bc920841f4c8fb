//! Describing a container.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::defaults;
use super::defaults::{MASKED_PATHS, READ_ONLY_PATHS};
use super::lifecycle::{Container, Created, Running};
use super::parts::Parts;
use crate::capability::Capabilities;
use crate::cgroup::{Cgroup, Controllers, Hierarchy, OwnedCgroup, Placement, Resources};
use crate::error::{Error, ErrorKind, Result};
use crate::hooks::Hooks;
use crate::intel_rdt::IntelRdt;
use crate::mount::{Mount, Rootfs};
use crate::namespace::{NamespaceKind, Namespaces};
use crate::plan::Plan;
use crate::process::{Output, ProcessBuilder, RdtStep, Stdio, WindowSize};
use crate::seccomp::{Filter, Program};
use crate::supervisor::Supervision;
use crate::user::UserSpec;

/// The longest id; also the longest host name, which defaults to it.
const MAX_ID: usize = 64;

/// Describes a container: a [`ProcessBuilder`] with safe defaults, an id and,
/// if wanted, a cgroup of its own.
///
/// The defaults: new mount, pid, net, uts, ipc and cgroup namespaces, for an
/// ordinary user a user namespace too; `/proc`, `/dev`, `/sys` as containers
/// have them, with the host's secrets masked; the usual 14 capabilities;
/// `no_new_privs`; the default [seccomp profile](crate::seccomp); a session of
/// its own; an empty environment but for `PATH` and the user's `HOME`; empty standard input, standard
/// output and error inherited; no cgroup (and so no limits, no pause and no
/// statistics) unless [`resources`](Self::resources) or
/// [`cgroup`](Self::cgroup) asks for one, as making one costs more than all
/// the rest.
#[derive(Debug)]
#[must_use = "a builder does nothing until run, started or created"]
pub struct ContainerBuilder {
    pub(super) process: ProcessBuilder,
    pub(super) id: Option<String>,
    pub(super) hostname: HostName,
    pub(super) seccomp: Seccomp,
    pub(super) resources: Option<Resources>,
    pub(super) parent: Option<Cgroup>,
    pub(crate) intel_rdt: Option<IntelRdt>,
    pub(crate) hooks: Hooks,
    /// Where its cgroup is to be, from the top of the hierarchy.
    pub(crate) cgroups_path: Option<PathBuf>,
    pub(super) annotations: BTreeMap<String, String>,
    /// Where the namespaces to join were opened.
    pub(super) namespace_paths: Vec<(NamespaceKind, PathBuf)>,
    pub(super) ignored: Vec<String>,
}

#[derive(Debug)]
pub(super) enum HostName {
    /// The id, in a new uts namespace.
    Id,
    Given(OsString),
    /// That of the uts namespace, whichever it is.
    Inherited,
}

#[derive(Debug)]
pub(super) enum Seccomp {
    Default,
    Program(Program),
    Filter(Box<Filter>, Program),
    None,
}

impl ContainerBuilder {
    pub(super) fn new(rootfs: Rootfs) -> Self {
        let mut namespaces = Namespaces::isolated();
        if !nix::unistd::geteuid().is_root() {
            namespaces = namespaces.with(NamespaceKind::User);
        }
        let process = ProcessBuilder::new("")
            .rootfs(rootfs)
            .namespaces(namespaces)
            .masked_paths(MASKED_PATHS)
            .read_only_paths(READ_ONLY_PATHS)
            .capabilities(Capabilities::container_default())
            .no_new_privileges(true)
            .new_session(true)
            .make_current_dir(true)
            .user(UserSpec::root())
            .stdin(Stdio::Null);
        let process = defaults::mounts().into_iter().fold(process, ProcessBuilder::mount);
        Self {
            process,
            id: None,
            hostname: HostName::Id,
            seccomp: Seccomp::Default,
            resources: None,
            parent: None,
            intel_rdt: None,
            hooks: Hooks::new(),
            cgroups_path: None,
            annotations: BTreeMap::new(),
            namespace_paths: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// The id: 1 to 64 letters, digits, `_`, `.`, `-`, the first a letter or a
    /// digit. Also the host name, unless that is given. The default is made of
    /// the process id and a counter.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Everything that has no method here.
    ///
    /// ```
    /// use container_core::{Container, Rlimit};
    /// use container_core::rlimit::Resource;
    ///
    /// let builder = Container::builder("/rootfs")
    ///     .process(|process| process.rlimit(Rlimit::fixed(Resource::Nofile, 1024)));
    /// # let _ = builder;
    /// ```
    pub fn process(mut self, change: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Self {
        self.process = change(self.process);
        self
    }

    /// The program to run: a path, or a name that is looked up in `PATH`
    /// inside.
    pub fn command(self, program: impl Into<OsString>) -> Self {
        self.process(|process| process.program(program))
    }

    /// Adds an argument.
    pub fn arg(self, argument: impl Into<OsString>) -> Self {
        self.process(|process| process.arg(argument))
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.process(|process| process.args(arguments))
    }

    /// Sets a variable of the environment.
    pub fn env(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.process(|process| process.env(name, value))
    }

    /// The working directory, absolute; `/` unless given.
    pub fn current_dir(self, directory: impl Into<PathBuf>) -> Self {
        self.process(|process| process.current_dir(directory))
    }

    /// The user, root inside unless given.
    pub fn user(self, user: impl Into<UserSpec>) -> Self {
        self.process(|process| process.user(user))
    }

    /// The host name; the id unless given.
    pub fn hostname(mut self, name: impl Into<OsString>) -> Self {
        self.hostname = HostName::Given(name.into());
        self
    }

    /// Adds a mount behind the default ones.
    pub fn mount(self, mount: Mount) -> Self {
        self.process(|process| process.mount(mount))
    }

    /// The capabilities in place of the default ones.
    pub fn capabilities(self, capabilities: Capabilities) -> Self {
        self.process(|process| process.capabilities(capabilities))
    }

    /// The filter in place of the default one.
    pub fn seccomp(mut self, program: Program) -> Self {
        self.seccomp = Seccomp::Program(program);
        self
    }

    /// No filter at all.
    pub fn without_seccomp(mut self) -> Self {
        self.seccomp = Seccomp::None;
        self
    }

    /// Which namespaces are new, joined or inherited, in place of the default:
    /// the function gets that.
    pub fn namespaces(mut self, change: impl FnOnce(Namespaces) -> Namespaces) -> Self {
        let namespaces = self.process.description.namespaces.clone();
        self.process = self.process.namespaces(change(namespaces));
        self
    }

    /// Keeps the tiny init as PID 1, which reaps orphans and forwards signals.
    pub fn init(self, on: bool) -> Self {
        self.process(|process| process.init(on))
    }

    /// Standard input; empty unless given.
    pub fn stdin(self, stdio: Stdio) -> Self {
        self.process(|process| process.stdin(stdio))
    }

    /// Standard output; inherited unless given.
    pub fn stdout(self, stdio: Stdio) -> Self {
        self.process(|process| process.stdout(stdio))
    }

    /// Standard error; inherited unless given.
    pub fn stderr(self, stdio: Stdio) -> Self {
        self.process(|process| process.stderr(stdio))
    }

    /// A terminal of its own in place of the three streams.
    pub fn terminal(self, size: WindowSize) -> Self {
        self.process(|process| process.terminal(size))
    }

    /// Puts a [supervisor](crate::supervisor) between the calling process and
    /// the container: its output, terminal and exit status outlive the caller.
    ///
    /// A standard stream that would be the caller's own ([`Stdio::Inherit`]) or
    /// a pipe to the caller ([`Stdio::Pipe`]) is the supervisor's then; so is
    /// the terminal. Standard input stays empty unless it is
    /// [asked for](Self::stdin) as a pipe.
    pub fn supervised(self, supervision: Supervision) -> Self {
        self.process(|process| process.supervised(supervision))
    }

    /// Makes a cgroup with these limits for it, named `container-ID`, and
    /// removes it with the container.
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = Some(resources);
        self
    }

    /// The cgroup below which [`resources`](Self::resources) makes its own; by
    /// default the top, for an ordinary user the part delegated to him.
    pub fn cgroup_parent(mut self, parent: Cgroup) -> Self {
        self.parent = Some(parent);
        self
    }

    /// An existing cgroup to run in; it stays when the container goes.
    pub fn cgroup(self, cgroup: Cgroup) -> Self {
        self.process(|process| process.cgroup(cgroup))
    }

    /// What will be done, step by step; nothing is touched.
    ///
    /// # Errors
    ///
    /// Those of [`ProcessBuilder::plan`].
    pub fn plan(&self) -> Result<Plan> {
        let id = self.chosen_id()?;
        self.finished(&id)?.plan()
    }

    /// Sets everything up and waits before the program: the moment to attach a
    /// network to its [namespaces](Container::namespace).
    ///
    /// # Errors
    ///
    /// Those of [`ProcessBuilder::spawn`] and of the cgroup; nothing is left.
    pub fn create(self) -> Result<Container<Created>> {
        let id = self.chosen_id()?;
        if !self.hooks.is_empty() {
            let reason = "hooks are run for stored containers only";
            return Err(Error::with(ErrorKind::Unsupported, "create", "hooks", reason)
                .hint("create it by runtime::Runtime"));
        }
        let mut process = self.finished(&id)?.wait_for_start();
        let none = Resources::new();
        let at_path = self.cgroups_path.as_ref().map(|_| &none);
        let cgroup = match self.resources.as_ref().or(at_path) {
            None => None,
            Some(resources) => {
                // A description that can't be is refused before a cgroup is made.
                process.plan()?;
                let cgroup = self.make_cgroup(&id, resources)?;
                if let Some(cgroup) = &cgroup {
                    process = process.cgroup((**cgroup).clone());
                }
                cgroup
            }
        };
        let parts = Parts::new(id, process.spawn()?, cgroup, process.description)?;
        Ok(Container::new(parts))
    }

    /// Creates and starts it.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create) and [`Container::start`].
    pub fn start(self) -> Result<Container<Running>> {
        self.create()?.start()
    }

    /// Runs it to its end and collects what it wrote.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start) and of reading.
    pub fn output(self) -> Result<Output> {
        self.stdout(Stdio::Pipe).stderr(Stdio::Pipe).start()?.wait_with_output()
    }

    /// The limits that were asked for.
    pub(crate) fn wanted_resources(&self) -> Option<&Resources> {
        self.resources.as_ref()
    }

    /// The process alone, for who looks after id and cgroup.
    pub(crate) fn into_process(self, id: &str) -> Result<ProcessBuilder> {
        self.finished(id)
    }

    pub(super) fn chosen_id(&self) -> Result<String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(id) = &self.id else {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            return Ok(format!("c{}-{next}", std::process::id()));
        };
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let first = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !first || id.len() > MAX_ID || !id.bytes().all(good) {
            let reason = "1 to 64 letters, digits, '_', '.' and '-' make an id";
            return Err(Error::invalid("check container id", id.clone(), reason));
        }
        Ok(id.clone())
    }

    /// The process with what depends on the id and on other settings.
    pub(super) fn finished(&self, id: &str) -> Result<ProcessBuilder> {
        let mut process = self.process.clone();
        match &self.hostname {
            HostName::Id if process.description.namespaces.is_new(NamespaceKind::Uts) => {
                process = process.hostname(id);
            }
            HostName::Given(name) => process = process.hostname(name),
            HostName::Id | HostName::Inherited => {}
        }
        if let Some(rdt) = &self.intel_rdt {
            rdt.check()?;
            let (rdt, root, container) = (rdt.clone(), IntelRdt::root()?, id.to_owned());
            process.description.intel_rdt = Some(RdtStep { rdt, root, container });
        }
        let agent = &mut process.description.seccomp_listener;
        *agent = agent.take().map(|agent| agent.or_of_container(id, &self.annotations));
        if let Some(user) = process.description.user.take() {
            process = process.user(user.with_home());
        }
        match &self.seccomp {
            Seccomp::Default => Ok(process.seccomp(Program::container_default()?)),
            Seccomp::Program(program) | Seccomp::Filter(_, program) => {
                Ok(process.seccomp(program.clone()))
            }
            Seccomp::None => Ok(process),
        }
    }

    /// `None` if a specification places it where the caller can make none, and nothing asks for
    /// limits.
    fn make_cgroup(&self, id: &str, resources: &Resources) -> Result<Option<OwnedCgroup>> {
        resources.validate()?;
        let name = format!("container-{id}");
        let hierarchy = match &self.parent {
            Some(parent) => parent.hierarchy().clone(),
            None => Hierarchy::discover()?,
        };
        let statistics = Controllers::STATISTICS & hierarchy.controllers();
        let controllers = resources.controllers() | statistics;
        let cgroup = match &self.parent {
            // One that is placed by others may be looked at by them in every hierarchy.
            _ if self.cgroups_path.is_some() => {
                let placement = Placement::from_oci(self.cgroups_path.as_deref(), id)?;
                match hierarchy.place(&placement, resources)? {
                    Some(cgroup) => cgroup,
                    None => return Ok(None),
                }
            }
            Some(parent) => parent.create_child(&name, controllers)?,
            None => {
                let delegation = hierarchy.delegation()?;
                let controllers = resources.controllers() | (statistics & delegation.controllers);
                hierarchy.create(&delegation.path_of(&name)?, controllers)?
            }
        };
        let cgroup = cgroup.owned();
        cgroup.apply(resources)?;
        Ok(Some(cgroup))
    }
}
