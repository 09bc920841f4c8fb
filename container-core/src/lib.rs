//! Linux containers as values.

pub mod capability;
pub mod cgroup;
pub mod container;
pub mod error;
pub mod idmap;
pub mod mount;
pub mod namespace;
pub mod plan;
pub mod probe;
pub mod process;
pub mod rlimit;
pub mod seccomp;
mod sys;
pub mod user;

pub use capability::{Capabilities, Capability, CapabilitySet};
pub use container::{Container, ContainerBuilder};
pub use error::{Error, ErrorKind, Result};
pub use idmap::{IdMap, IdMappings};
pub use mount::{Mount, Propagation, Rootfs};
pub use namespace::{NamespaceKind, Namespaces};
pub use plan::Plan;
pub use probe::{Facility, Probe, probe};
pub use process::{ExitStatus, Output, Process, ProcessBuilder, Stdio, WindowSize};
pub use rlimit::Rlimit;
pub use user::{User, UserSpec};
