//! Linux containers as values, inside any Rust program.
//!
//! # Containers in one page
//!
//! A container is a process that sees less than its host and may do less. The
//! kernel has no object of that name; it has the parts, and each part is a
//! module here:
//!
//! | what the process gets | kernel facility | here |
//! |---|---|---|
//! | its own view: processes, mounts, network, names, ids, clocks | namespaces | [`namespace`], [`idmap`] |
//! | its own file tree | mounts, `pivot_root` | [`mount`] |
//! | a share of the machine | cgroups, rlimits, scheduling | [`cgroup`], [`rlimit`], [`scheduling`] |
//! | fewer privileges | users, capabilities, `no_new_privs`, seccomp, security modules | [`user`], [`capability`], [`seccomp`], [`lsm`] |
//!
//! [`ProcessBuilder`] puts any of these together; [`Container`] puts all of
//! them together with safe defaults, and gives the result a life: created,
//! running, stopped.
//!
//! ```no_run
//! use container_core::Container;
//!
//! # fn main() -> Result<(), container_core::Error> {
//! let output = Container::builder("/srv/rootfs").command("/bin/echo").arg("hello").output()?;
//! assert_eq!(output.stdout, b"hello\n");
//! # Ok(())
//! # }
//! ```
//!
//! # How a process is made
//!
//! None of the host program's code runs in the new process. The description is
//! compiled to a [`Plan`]: plain data, every operation with its reason, to be
//! printed before anything happens. One `clone3` makes the process, which
//! executes at once a **tiny init** of our own, a static program of some
//! kilobytes in a sealed memfd. It checks the whole plan, carries it out with
//! raw system calls, and ends in the program's `execve`.
//!
//! ```text
//! host, any number of threads             new process
//! ───────────────────────────             ────────────────────────────────────
//! description ─► Plan
//! clone3(CLONE_VM|CLONE_VFORK|NEW…) ────► close_range, execveat(init)
//! id maps, cgroup (where needed) ───────► read plan, check it, then per step:
//!                                           mounts, pivot_root, ids, limits,
//! Process ◄── end of file, or the ◄───────  capabilities, seccomp
//!             failing step and errno        execve(program)
//! ```
//!
//! So it does not matter what the host's threads hold (locks, the allocator),
//! how large the host is, or what it left open: nothing of it is copied,
//! shared or inherited. And the host stays as it was: no working directory,
//! umask, limit, signal disposition or environment of it is touched.
//!
//! # What is promised
//!
//! - Handles are `Send + Sync`; any thread may spawn at any time.
//! - A handle owns what it stands for. Dropping it ends the processes, reaps
//!   them and removes the cgroup.
//! - Bad input is refused before anything is touched; a failing step is named,
//!   with its errno and the way out ([`Error`]), and leaves nothing behind.
//! - The library never panics, prints, exits, or changes the calling process.
//! - No C library but libc; a fully static build works.
//!
//! What a machine can do, and how to get what it can't, tells [`probe()`].
//!
//! Linux 5.12 or newer (`mount_setattr`), x86-64 or AArch64; the tests run on
//! x86-64 only.

#[cfg(not(target_os = "linux"))]
compile_error!("containers are a facility of the Linux kernel");

pub mod capability;
pub mod cgroup;
pub mod container;
pub mod error;
pub mod hooks;
pub mod idmap;
pub mod intel_rdt;
pub mod lsm;
pub mod mount;
pub mod namespace;
pub mod net_device;
pub mod oci;
pub mod plan;
pub mod probe;
pub mod process;
pub mod rlimit;
pub mod runtime;
pub mod scheduling;
pub mod seccomp;
pub mod supervisor;
mod sys;
pub mod terminal;
pub mod user;

pub use capability::{Capabilities, Capability, CapabilitySet};
pub use container::{Container, ContainerBuilder};
pub use error::{Error, ErrorKind, Result};
pub use idmap::{IdMap, IdMappings};
pub use mount::{Device, Mount, Propagation, Rootfs};
pub use namespace::{NamespaceKind, Namespaces};
pub use plan::Plan;
pub use probe::{Facility, Probe, probe};
pub use process::{ExitStatus, Output, Process, ProcessBuilder, Stdio, WindowSize};
pub use rlimit::Rlimit;
pub use user::{User, UserSpec};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
