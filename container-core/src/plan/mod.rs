//! Plans: everything that will happen, decided before anything happens.
//!
//! A [`Plan`] is what a [`ProcessBuilder`](crate::ProcessBuilder) compiles to:
//! the flags of the clone, the parent's own steps, and a flat list of
//! operations for the tiny init, each with the reason why it is there. It is
//! made by pure code and is plain data: it can be printed, compared and tested
//! without any privilege, and a failure names the operation.
//!
//! ```
//! use container_core::{Mount, Namespaces, ProcessBuilder};
//!
//! let plan = ProcessBuilder::new("/bin/true")
//!     .namespaces(Namespaces::isolated())
//!     .hostname("demo")
//!     .mount(Mount::proc("/proc"))
//!     .plan()?;
//! let text = plan.to_string();
//! assert!(text.contains("sethostname demo"));
//! assert!(text.contains("execve /bin/true"));
//! # Ok::<(), container_core::Error>(())
//! ```

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::capability::CapabilitySet;
use crate::cgroup::{Cgroup, IdSet};
use crate::error::{Error, Result};
use crate::idmap::IdMappings;
use crate::net_device::NetDevice;
use crate::process::{self, Companions, ExitStatus, Output, Process, RdtStep, Stdio};
use crate::supervisor::Supervision;

mod assemble;
mod attributes;
mod compile;
mod credentials;
mod encode;
mod ending;
mod exec;
mod mounts;
mod notifications;
mod op;
mod root_files;
mod streams;
mod supervise;
mod sysctl;
mod validate;
mod way_out;
mod words;
// `contains` would bring code with landing pads into the init.
#[allow(missing_docs, dead_code, unreachable_pub, clippy::manual_contains)]
#[path = "../../init/wire.rs"]
pub(crate) mod wire;

pub(crate) use assemble::InitStep;
pub(crate) use compile::compile;
pub(crate) use credentials::resolve_user;
pub(crate) use mounts::{HostMount, IdSource, maps_tty_group};
pub(crate) use notifications::Handover;
pub(crate) use op::Event;
pub(crate) use supervise::kept_streams;
pub(crate) use sysctl::check as check_sysctls;
pub use words::StartWords;

/// Who carries a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// The calling process.
    Host,
    /// The tiny init, in the new process.
    Init,
}

/// One step of a plan, as [`Plan::steps`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Who does it.
    pub actor: Actor,
    /// The system call and its object, such as `move_mount /proc`.
    pub call: String,
    /// Why it is there.
    pub why: &'static str,
}

/// What the parent does besides sending the plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostSteps {
    pub(crate) clone_flags: u64,
    pub(crate) mappings: Option<IdMappings>,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) net_devices: Vec<NetDevice>,
    pub(crate) intel_rdt: Option<RdtStep>,
    /// The net namespace that is joined, if there is one.
    pub(crate) net_namespace: Option<Arc<OwnedFd>>,
    /// The processors before the cgroup is entered.
    pub(crate) initial_affinity: Option<IdSet>,
    /// Capabilities that only a caller who holds them can give.
    pub(crate) needed: CapabilitySet,
    /// The init waits for one go-ahead before it depends on these.
    pub(crate) waits: bool,
    /// Mounts that are opened for each process, for slots after the plan's own
    /// descriptors.
    pub(crate) mounts: Vec<HostMount>,
}

impl HostSteps {
    /// The cgroup that the process is born in.
    pub(crate) fn born_in(&self) -> Option<BorrowedFd<'_>> {
        // Its first processors come before the cgroup.
        self.cgroup.as_ref().filter(|_| self.initial_affinity.is_none())?.enter_fd()
    }

    /// The cgroup that it is moved to.
    pub(crate) fn attached(&self) -> Option<&Cgroup> {
        let moved = |cgroup: &&Cgroup| cgroup.needs_attach() || self.initial_affinity.is_some();
        self.cgroup.as_ref().filter(moved)
    }
}

/// A compiled description: immutable, printable, good for any number of
/// processes unless it holds a detached mount.
#[derive(Clone)]
pub struct Plan {
    pub(crate) steps: Vec<InitStep>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) host: HostSteps,
    /// The standard streams that are opened for each process.
    pub(crate) streams: [Stdio; 3],
    pub(crate) descriptors: Vec<Arc<OwnedFd>>,
    /// Descriptors 0 to this are the payload's own numbers.
    pub(crate) reserved: u32,
    /// The payload is started by a later call.
    pub(crate) waits_for_start: bool,
    /// The init reports before it switches the root, and waits.
    pub(crate) stops_before_pivot: bool,
    /// Of the container that it is executed in: they are reaped with it.
    pub(crate) companions: Option<Arc<Companions>>,
    /// The exec'd process is a second clone, whose pidfd the init sends.
    pub(crate) second_clone: bool,
    /// What becomes of the listener of a filter that notifies.
    pub(crate) listener: Option<Handover>,
    /// A supervisor is cloned in its place, which makes it.
    pub(crate) supervision: Option<Supervision>,
    /// The user, as the host sees it, who is to own the streams' pipes.
    pub(crate) stream_owner: Option<u32>,
}

impl Plan {
    /// Every step in order: those of the host first as far as they precede.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let host = |call: String, why| Step { actor: Actor::Host, call, why };
        let mut steps: Vec<Step> =
            self.host.mounts.iter().map(|mount| host(mount.to_string(), mount.why())).collect();
        steps.push(host(
            self.clone_call(),
            "one system call makes the process and its namespaces; sharing memory until exec, it \
             copies nothing of the host",
        ));
        if let Some(mappings) = &self.host.mappings {
            let uids = mappings.uids.to_string().trim_end().replace('\n', ", ");
            steps.push(host(
                format!("write uid_map, gid_map {uids}"),
                "ids inside get their meaning outside; only a process outside may say so",
            ));
        }
        if let Some(cpus) = &self.host.initial_affinity {
            steps.push(host(
                format!("sched_setaffinity {cpus}"),
                "where it is set up, before the cgroup has its say",
            ));
        }
        if let Some(cgroup) = self.host.attached() {
            steps.push(host(
                format!("write cgroup.procs {}", cgroup.path()),
                "no entry by clone (cgroup v1 has none): one attach pass before the payload runs",
            ));
        }
        if let Some(step) = &self.host.intel_rdt {
            let class = step.rdt.get_class().unwrap_or(&step.container);
            steps.push(host(
                format!("write tasks {}", step.root.join(class).display()),
                "its part of the cache and of the memory bandwidth",
            ));
        }
        steps.extend(self.host.net_devices.iter().map(|device| {
            host(
                format!("RTM_NEWLINK {} as {}", device.name(), device.name_inside()),
                "a device of the host's becomes the container's, with its addresses",
            )
        }));
        steps.extend(self.steps.iter().map(|step| Step {
            actor: Actor::Init,
            call: step.op.to_string(),
            why: step.why,
        }));
        steps
    }

    /// The call that makes the process.
    pub(crate) fn clone_call(&self) -> String {
        let supervised = self.supervision.is_some().then(HostSteps::default);
        format!("clone3 {}", clone_flag_names(supervised.as_ref().unwrap_or(&self.host)))
    }

    /// Makes a process of it; what
    /// [`ProcessBuilder::spawn`](crate::ProcessBuilder::spawn) does after
    /// compiling. A plan kept saves the compilation.
    ///
    /// # Errors
    ///
    /// Any failing step, with its name; nothing is left of the process then.
    pub fn spawn(&self) -> Result<Process> {
        process::spawn(self)
    }

    /// Makes a process of it and waits for its end.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn) and of [`Process::wait`].
    pub fn status(&self) -> Result<ExitStatus> {
        self.run().map(|output| output.status)
    }

    /// Likewise, and reads the streams that are pipes to their ends.
    pub(crate) fn run(&self) -> Result<Output> {
        process::run(self)
    }

    /// The failing operation in words.
    pub(crate) fn failure(&self, index: u32, errno: i32, text: &str) -> Error {
        let Some(step) = self.steps.get(index as usize) else {
            return words::unknown(index, errno);
        };
        let (call, object) = step.op.call_and_object();
        let error = words::failure(index, call, object, errno, text);
        match way_out::way_out(&step.op, errno) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

fn clone_flag_names(host: &HostSteps) -> String {
    let mut names = vec!["CLONE_VM", "CLONE_VFORK", "CLONE_PIDFD"];
    if host.born_in().is_some() {
        names.push("CLONE_INTO_CGROUP");
    }
    let kinds = crate::namespace::NamespaceKind::ALL.into_iter();
    names.extend(
        kinds.filter(|kind| host.clone_flags & kind.clone_flag() != 0).map(|kind| kind.flag_name()),
    );
    names.join("|")
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps().iter().map(|step| &step.call)).finish()
    }
}

/// A table: number, actor, call, reason.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut op = 0;
        for step in self.steps() {
            let number = match step.actor {
                Actor::Host => "host".to_owned(),
                Actor::Init => {
                    op += 1;
                    (op - 1).to_string()
                }
            };
            let call: String = step.call.chars().take(160).collect();
            writeln!(f, "{number:>5}  {call}")?;
            writeln!(f, "       {}", step.why)?;
        }
        Ok(())
    }
}
