//! Linux containers as values.

pub mod capability;
pub mod cgroup;
pub mod error;
pub mod idmap;
pub mod namespace;
pub mod probe;
pub mod rlimit;
pub mod seccomp;
pub mod user;

pub use error::{Error, ErrorKind, Result};
pub use probe::{Facility, Probe, probe};
