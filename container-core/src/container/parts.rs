//! What a container consists of, in every state, and how it goes.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::cgroup::{Cgroup, OwnedCgroup};
use crate::error::{Error, ErrorKind, Result};
use crate::namespace::{Namespace, NamespaceKind};
use crate::process::{Companions, Description, Enter, Process, ProcessBuilder, Stdio, WindowSize};
use crate::supervisor::Attachment;

/// The parts; dropping them kills, reaps and removes, in that order.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) id: String,
    pub(super) process: Process,
    /// Made for it and removed with it; after the process, whose reaping
    /// empties it.
    owned_cgroup: Option<OwnedCgroup>,
    pub(super) description: Description,
    companions: Arc<Companions>,
}

impl Parts {
    pub(super) fn new(
        id: String,
        mut process: Process,
        owned_cgroup: Option<OwnedCgroup>,
        description: Description,
    ) -> Result<Self> {
        let companions = Companions::new()?;
        process.lead(Arc::clone(&companions));
        Ok(Self { id, process, owned_cgroup, description, companions })
    }

    /// The cgroup it runs in, if it has one of its own or was given one.
    pub(super) fn cgroup(&self) -> Option<&Cgroup> {
        self.description.cgroup.as_ref()
    }

    /// Likewise, or the error that says how to get one.
    pub(super) fn need_cgroup(&self, step: &'static str) -> Result<&Cgroup> {
        self.cgroup().ok_or_else(|| {
            let reason = "the container has no cgroup";
            Error::with(ErrorKind::WrongState, step, self.id.clone(), reason)
                .hint("give it one by ContainerBuilder::resources or ::cgroup")
        })
    }

    /// A file below `/proc/PID`, opened while the process is surely the one.
    fn open_proc(&self, name: &str, flags: OFlag) -> Result<OwnedFd> {
        let path = format!("/proc/{}/{name}", self.process.id());
        let opened = open(path.as_str(), flags | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|error| Error::os("open", path, error))?;
        // Not reaped by us yet, so the number can't be another's; it may have
        // ended, and then its namespaces are no use.
        match self.process.try_wait()? {
            None if self.process.is_there() => Ok(opened),
            ended => {
                let status = ended.map_or_else(String::new, |status| format!(": {status}"));
                let reason = format!("the container has ended{status}");
                Err(Error::with(ErrorKind::WrongState, "open", name.to_owned(), reason))
            }
        }
    }

    pub(super) fn namespace(&self, kind: NamespaceKind) -> Result<OwnedFd> {
        self.open_proc(&format!("ns/{}", kind.name()), OFlag::O_RDONLY)
    }

    /// A description of a process to run inside, with the container's own
    /// user, capabilities, filter and limits.
    pub(super) fn exec(&self, program: std::ffi::OsString) -> Result<ProcessBuilder> {
        let own = &self.description;
        self.check_not_paused()?;
        let pidfd = self
            .process
            .pidfd()
            .try_clone_to_owned()
            .map_err(|error| Error::os("dup", "pidfd", error))?;
        let root = self.open_proc("root", OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let kinds = own
            .namespaces
            .iter()
            .filter(|(_, namespace)| !matches!(namespace, Namespace::Inherit))
            .map(|(kind, _)| kind)
            .collect();
        let enter = Enter {
            pidfd: Arc::new(pidfd),
            kinds,
            groups_denied: self.groups_denied(),
            has_root: self.has_root("uid_map") && self.has_root("gid_map"),
            root: Some(Arc::new(root)),
            companions: Arc::clone(&self.companions),
        };
        let mut builder = ProcessBuilder::new(program)
            .envs(own.environment.clone())
            .no_new_privileges(own.no_new_privileges)
            .new_session(own.new_session)
            .stdin(Stdio::Null)
            .enter(enter);
        let to = &mut builder.description;
        to.directory.clone_from(&own.directory);
        to.user.clone_from(&own.user);
        to.capabilities = own.capabilities;
        to.rlimits.clone_from(&own.rlimits);
        to.memory_policy.clone_from(&own.memory_policy);
        to.personality = own.personality;
        to.apparmor_profile.clone_from(&own.apparmor_profile);
        to.selinux_label.clone_from(&own.selinux_label);
        to.session_keyring.clone_from(&own.session_keyring);
        to.seccomp.clone_from(&own.seccomp);
        let agent = own.seccomp_listener.clone();
        to.seccomp_listener = agent.map(|agent| agent.container_pid(self.process.id()));
        to.cgroup.clone_from(&own.cgroup);
        to.intel_rdt.clone_from(&own.intel_rdt);
        Ok(builder)
    }

    /// In a frozen cgroup the new process would stop at birth, and the caller
    /// with it.
    fn check_not_paused(&self) -> Result<()> {
        match self.cgroup() {
            // Without a freezer nothing pauses it.
            Some(cgroup) if cgroup.is_frozen().unwrap_or(false) => {
                let reason = "the container is paused";
                Err(Error::with(ErrorKind::WrongState, "exec", self.id.clone(), reason)
                    .hint("resume it first"))
            }
            _ => Ok(()),
        }
    }

    /// Whether id 0 exists in its user namespace; the first column of each
    /// line is where a range starts inside.
    fn has_root(&self, map: &str) -> bool {
        let text = std::fs::read_to_string(format!("/proc/{}/{map}", self.process.id()));
        text.is_ok_and(|text| text.lines().any(|line| line.split_whitespace().next() == Some("0")))
    }

    fn groups_denied(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/setgroups", self.process.id()))
            .is_ok_and(|text| text.trim() == "deny")
    }

    /// Kills what is left, waits for the end and removes the cgroup.
    pub(super) fn delete(mut self) -> Result<()> {
        let killed = self.kill_all();
        if self.process.try_wait()?.is_none() {
            let _ = self.kill();
            self.process.wait()?;
        }
        let removed = self.owned_cgroup.take().map_or(Ok(()), OwnedCgroup::close);
        killed.and(removed).and(self.leave_class())
    }

    /// Sends `SIGKILL`; a process that is frozen by cgroup v1 dies only when it
    /// is thawed.
    pub(super) fn kill(&self) -> Result<()> {
        let frozen = self.cgroup().filter(|cgroup| cgroup.is_frozen().unwrap_or(false));
        self.process.kill()?;
        frozen.map_or(Ok(()), Cgroup::thaw)
    }

    /// Gives up its class of service, once.
    fn leave_class(&mut self) -> Result<()> {
        self.description.intel_rdt.take().map_or(Ok(()), |step| step.rdt.remove(&step.container))
    }

    /// Leaves it alone when this value is dropped; what was made for it stays.
    pub(super) fn let_go(&mut self) {
        self.process.let_live();
        if let Some(cgroup) = self.owned_cgroup.take() {
            let _ = cgroup.release();
        }
    }

    /// Whoever has the master sets its size.
    pub(super) fn resize(&self, size: WindowSize) -> Result<()> {
        match &self.description.supervision {
            Some(supervision) if self.description.terminal.is_some() => {
                Attachment::connect_without_output(&supervision.directory)?.resize(size)
            }
            _ => self.process.resize(size),
        }
    }

    /// Every process of its own cgroup, frozen or not.
    fn kill_all(&self) -> Result<()> {
        self.owned_cgroup.as_ref().map_or(Ok(()), |cgroup| cgroup.kill())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if self.process.is_detached() {
            return;
        }
        // A frozen process of cgroup v1 does not die by a signal alone.
        if self.owned_cgroup.is_some() {
            let _ = self.kill_all();
        } else if let Some(cgroup) = self.cgroup()
            && self.process.try_wait().is_ok_and(|status| status.is_none())
            && self.process.kill().is_ok()
        {
            let _ = cgroup.thaw();
        }
        // A class goes whoever is still in it.
        let _ = self.leave_class();
    }
}
