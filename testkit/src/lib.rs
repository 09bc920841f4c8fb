//! Test support shared by the workspace: what a test may assume, what it may leave behind.
//!
//! A test that needs something of the machine asks for it first, and says so when it is missing:
//!
//! ```
//! if !testkit::require_root() {
//!     return; // printed `SKIP …: needs root`; a panic instead where REQUIRE_ROOT=1
//! }
//! let dir = testkit::TempDir::new();
//! assert!(dir.path().is_dir());
//! ```
//!
//! The gates are in [`gate`](mod@gate), a directory to run a container in comes from
//! [`rootfs_dirs`] and [`rootfs_copy`], and two values compare the world before and after:
//! [`Leaks`] (descriptors, children, mounts, cgroups, links) and [`HostState`] (everything of the
//! host process that a library must not change).
//!
//! This crate is for tests only: its functions panic with a message when they cannot do their work.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

pub mod gate;
mod host;
mod leaks;
mod proc;
mod rootfs;
mod temp;

pub use gate::{
    is_root, kernel_version, peer, require_cgroup1, require_cgroup2, require_criu, require_kernel,
    require_peer, require_root, require_subids, require_unprivileged_userns,
};
pub use host::HostState;
pub use leaks::Leaks;
pub use rootfs::{Rootfs, rootfs_copy, rootfs_dirs};
pub use temp::{TempDir, unique, unique_link};
