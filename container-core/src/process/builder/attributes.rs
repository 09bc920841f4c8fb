//! What the kernel keeps about the process: scheduling, labels, keys; and what
//! the builder holds, to be read.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::ProcessBuilder;
use crate::process::OomScore;
use crate::scheduling::{CpuAffinity, IoPriority, MemoryPolicy, Personality, Scheduler};

impl ProcessBuilder {
    /// What the program is told to be its name (`argv[0]`); unless given, how
    /// it was given. A shell becomes a login shell by `-sh`.
    pub fn arg0(mut self, name: impl Into<OsString>) -> Self {
        self.description.arg0 = Some(name.into());
        self
    }

    /// Its scheduling policy. Real-time policies, deadlines and nice values
    /// below the caller's own take `CAP_SYS_NICE` in the first user namespace.
    pub fn scheduler(mut self, scheduler: Scheduler) -> Self {
        self.description.scheduler = Some(scheduler);
        self
    }

    /// Its i/o priority.
    pub fn io_priority(mut self, priority: IoPriority) -> Self {
        self.description.io_priority = Some(priority);
        self
    }

    /// The processors that it runs on.
    pub fn cpu_affinity(mut self, affinity: CpuAffinity) -> Self {
        self.description.cpu_affinity = affinity;
        self
    }

    /// From which NUMA nodes its memory comes.
    pub fn memory_policy(mut self, policy: MemoryPolicy) -> Self {
        self.description.memory_policy = Some(policy);
        self
    }

    /// As which kernel the system shows itself.
    pub fn personality(mut self, personality: Personality) -> Self {
        self.description.personality = Some(personality);
        self
    }

    /// The AppArmor profile to run under, which has to be loaded. Where
    /// AppArmor is not enabled, [`plan`](Self::plan) answers
    /// [`Unsupported`](crate::ErrorKind::Unsupported); see [`lsm`](crate::lsm).
    pub fn apparmor_profile(mut self, profile: impl Into<OsString>) -> Self {
        self.description.apparmor_profile = Some(profile.into());
        self
    }

    /// The SELinux label to run under: `user:role:type:level`. Where SELinux
    /// is not enabled, [`plan`](Self::plan) answers
    /// [`Unsupported`](crate::ErrorKind::Unsupported); see [`lsm`](crate::lsm).
    pub fn selinux_label(mut self, label: impl Into<OsString>) -> Self {
        self.description.selinux_label = Some(label.into());
        self
    }

    /// A session keyring of this name in place of the caller's
    /// ([session-keyring(7)]): joined if the user namespace has one that may be
    /// searched, as that of a container when another process is executed in
    /// it, else made. An empty name makes one without a name. A kernel without
    /// keys has nothing to protect, so this does nothing there.
    ///
    /// [session-keyring(7)]: https://man7.org/linux/man-pages/man7/session-keyring.7.html
    pub fn session_keyring(mut self, name: impl Into<OsString>) -> Self {
        self.description.session_keyring = Some(name.into());
        self
    }

    /// How likely the kernel kills it when memory is short, -1000 to 1000.
    /// Less than the caller's own takes `CAP_SYS_RESOURCE`.
    pub fn oom_score_adj(mut self, score: i32) -> Self {
        self.description.oom_score_adj = Some(OomScore { score, if_permitted: false });
        self
    }

    /// Likewise, but a score that the caller may not set leaves it as it is.
    pub fn oom_score_adj_if_permitted(mut self, score: i32) -> Self {
        self.description.oom_score_adj = Some(OomScore { score, if_permitted: true });
        self
    }

    /// The arguments behind the program's name.
    pub fn get_args(&self) -> impl ExactSizeIterator<Item = &OsStr> {
        self.description.arguments.iter().map(OsString::as_os_str)
    }

    /// The variables of the environment that were set, in order. The program
    /// gets a `PATH` and a `HOME` besides, where these are not among them.
    pub fn get_envs(&self) -> impl ExactSizeIterator<Item = (&OsStr, &OsStr)> {
        self.description
            .environment
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The working directory, if it was given.
    #[must_use]
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.description.directory.as_deref()
    }
}
