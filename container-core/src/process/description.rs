//! What a builder has collected about a process; the plan's compiler reads it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::companions::Companions;
use super::stdio::{Stdio, WindowSize};
use crate::capability::Capabilities;
use crate::cgroup::Cgroup;
use crate::idmap::IdMappings;
use crate::intel_rdt::IntelRdt;
use crate::mount::{Device, Mount, Rootfs};
use crate::namespace::{NamespaceKind, Namespaces};
use crate::net_device::NetDevice;
use crate::rlimit::Rlimit;
use crate::scheduling::{CpuAffinity, IoPriority, MemoryPolicy, Personality, Scheduler};
use crate::seccomp::{Program, SeccompListener};
use crate::supervisor::Supervision;
use crate::user::UserSpec;

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

/// How likely the kernel kills it when memory is short.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OomScore {
    pub(crate) score: i32,
    /// A score that the caller may not set is not an error.
    pub(crate) if_permitted: bool,
}

/// A class of service for a container.
#[derive(Debug, Clone)]
pub(crate) struct RdtStep {
    pub(crate) rdt: IntelRdt,
    /// Where the kernel offers it.
    pub(crate) root: PathBuf,
    /// The container's id.
    pub(crate) container: String,
}

/// What the builder has collected; read by the plan's compiler.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    pub(crate) program: OsString,
    /// The program's own name for itself, in place of how it was given.
    pub(crate) arg0: Option<OsString>,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Nothing is added to it but `HOME`.
    pub(crate) exact_environment: bool,
    /// Likewise, and not even the user's `HOME` is added.
    pub(crate) bare_environment: bool,
    pub(crate) directory: Option<PathBuf>,
    /// It is made in the root where it is missing.
    pub(crate) make_directory: bool,
    pub(crate) namespaces: Namespaces,
    pub(crate) enter: Option<Enter>,
    pub(crate) mappings: Option<IdMappings>,
    pub(crate) rootfs: Option<Rootfs>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) net_devices: Vec<NetDevice>,
    pub(crate) intel_rdt: Option<RdtStep>,
    pub(crate) mount_label: Option<OsString>,
    pub(crate) devices: Vec<Device>,
    /// The usual devices and links are made in whatever `/dev` is.
    pub(crate) default_devices: bool,
    pub(crate) sysctls: Vec<(String, OsString)>,
    /// The init reports and waits when all mounts are there, before the root
    /// is switched.
    pub(crate) stops_before_pivot: bool,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) read_only: Vec<PathBuf>,
    pub(crate) hostname: Option<OsString>,
    pub(crate) domainname: Option<OsString>,
    pub(crate) user: Option<UserSpec>,
    pub(crate) capabilities: Option<Capabilities>,
    pub(crate) rlimits: Vec<Rlimit>,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: Option<Program>,
    pub(crate) seccomp_listener: Option<SeccompListener>,
    pub(crate) oom_score_adj: Option<OomScore>,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) io_priority: Option<IoPriority>,
    pub(crate) cpu_affinity: CpuAffinity,
    pub(crate) memory_policy: Option<MemoryPolicy>,
    pub(crate) personality: Option<Personality>,
    pub(crate) apparmor_profile: Option<OsString>,
    pub(crate) selinux_label: Option<OsString>,
    /// The name of the session keyring; empty for one without.
    pub(crate) session_keyring: Option<OsString>,
    pub(crate) parent_death_signal: Option<i32>,
    pub(crate) init: bool,
    pub(crate) new_session: bool,
    pub(crate) terminal: Option<WindowSize>,
    pub(crate) streams: [Stdio; 3],
    pub(crate) passed: Vec<Arc<OwnedFd>>,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) waits_for_start: bool,
    pub(crate) supervision: Option<Supervision>,
    /// The listening socket over which another process starts it.
    pub(crate) start_socket: Option<Arc<OwnedFd>>,
}
