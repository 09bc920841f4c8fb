//! Cgroups: sets of processes with common accounts and limits, on v1, v2 and hybrid machines.
//!
//! # Hierarchy, controller, cgroup
//!
//! A **cgroup** is a directory of the kernel's cgroup file system. A process is in exactly one
//! cgroup of each hierarchy, its children start there too, and whatever the cgroup limits,
//! it limits for all of them and for the cgroups below. A **controller** (or subsystem) is the part
//! of the kernel that accounts for and limits one kind of resource: memory, processor time, the
//! number of tasks. A **hierarchy** is one mounted tree of cgroups, with some
//! controllers bound to it; a controller is bound to one hierarchy on the whole machine.
//!
//! ```text
//! v1: a tree per controller                      v2: one tree
//! /sys/fs/cgroup/memory/web/memory.limit_in_bytes    /sys/fs/cgroup/web/memory.max
//! /sys/fs/cgroup/pids/web/pids.max                   /sys/fs/cgroup/web/pids.max
//! /sys/fs/cgroup/cpu/web/cpu.cfs_quota_us            /sys/fs/cgroup/web/cpu.max
//! ```
//!
//! - **v1**: a process may be at a different place in each tree, and moving it takes a write in each.
//! - **v2**: one place for all. A cgroup's children have the controllers that its
//!   `cgroup.subtree_control` names, and a cgroup that hands controllers down holds no processes
//!   itself (the root is exempt). Freezing, killing and counting processor time need no
//!   controller. A child can be born inside: `CLONE_INTO_CGROUP`.
//! - **hybrid**: v2 is mounted beside v1 hierarchies that have all or most of the controllers.
//!
//! **Delegation** gives a v2 cgroup to an ordinary user: the directory and its `cgroup.procs` and
//! `cgroup.subtree_control` are his. He makes cgroups below and moves processes between
//! them, but none from outside in. [`Hierarchy::delegation`] finds such a place.
//!
//! # How this module maps it
//!
//! [`Hierarchy`] is the machine: where which controller is. [`Cgroup`] is one path in it, spanning as
//! many directories as the layout needs: one on v2, one for each needed controller on v1, both
//! on a hybrid machine. [`Resources`] are limits and [`Stats`] readings, the same on every layout.
//!
//! ```
//! use container_core::cgroup::{Controller, Hierarchy};
//!
//! let hierarchy = Hierarchy::discover()?;
//! println!("{} with {}", hierarchy.layout(), hierarchy.controllers());
//! if let Err(error) = hierarchy.require([Controller::Memory, Controller::Pids]) {
//!     println!("{error}"); // names the controller, the layout and the way out
//! }
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! A program under limits, stopped, continued and killed:
//!
//! ```
//! use std::process::Command;
//! use container_core::cgroup::{Hierarchy, Resources};
//!
//! let hierarchy = Hierarchy::discover()?;
//! let limits = Resources::new().memory_max(64 << 20).pids_max(32).cpus(0.5);
//! # if !hierarchy.delegation().is_ok_and(|d| d.prefix == "/") {
//! #     return Ok(()); // an ordinary user
//! # }
//! # if hierarchy.require(limits.controllers()).is_err() {
//! #     return Ok(());
//! # }
//! let path = format!("/cc-example-{}", std::process::id());
//! let group = hierarchy.create(&path, limits.controllers())?.owned();
//! group.apply(&limits)?;
//!
//! let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
//! group.attach(child.id())?;
//! assert_eq!(group.processes()?, [child.id()]);
//! assert_eq!(group.stats()?.pids.current, Some(1));
//!
//! group.freeze()?; // returns when everything in it has stopped
//! group.thaw()?;
//! group.kill()?; // returns when nothing in it is alive
//! assert!(!child.wait().expect("wait").success());
//! // Dropping `group` removes it; `close` does so and says what went wrong.
//! group.close()?;
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! # Why no other crate does the writing
//!
//! `cgroups-rs` 0.5.1 was considered as the backend. Creating a cgroup, setting three limits
//! (memory, tasks, quota), attaching a process and removing it, on a hybrid machine, medians of
//! 400 alternating rounds in µs (4 busy processors, Linux 6.18):
//!
//! | | all | without attaching |
//! |---|---|---|
//! | plain writes to the three v1 hierarchies | 370 | 268 |
//! | this module, v1 only (the freezer is a fourth) | 484 | 333 |
//! | this module, v1 and v2 | 574 | 386 |
//! | cgroups-rs, told to use these three controllers | 570 | 434 |
//! | cgroups-rs, its default (every controller) | 1,118 | 833 |
//!
//! It is not slow when told what to use. It is passed over for what it does not do: it leaves
//! the v2 hierarchy of a hybrid machine alone, looks for v2 at `/sys/fs/cgroup` only, ignores a
//! refused `cgroup.subtree_control`, keeps the first of several limits when the second is refused,
//! stops removing at the first failure, kills on v2 only, panics on file contents that it does not
//! expect (`unwrap` on the numbers of `io.stat`), and brings a D-Bus client and some 70 crates
//! along. The tests use it the other way round: what is set here, it must read back.
//!
//! See [cgroups(7)](https://man7.org/linux/man-pages/man7/cgroups.7.html) and the kernel's
//! [cgroup v2](https://docs.kernel.org/admin-guide/cgroup-v2.html) document.

mod apply;
mod compile;
mod control;
mod controller;
mod create;
mod delegation;
mod devices;
mod dir;
mod events;
mod exec;
mod freeze;
mod group;
mod guard;
mod hierarchy;
mod oci;
mod path;
mod placement;
mod probe;
mod record;
mod resources;
mod stats;
mod to_oci;
mod topology;
mod values;
mod watch;

pub use controller::{Controller, Controllers, Version};
pub use delegation::Delegation;
pub use devices::{DeviceAccess, DeviceClass, DeviceRule};
pub use group::Cgroup;
pub use guard::OwnedCgroup;
pub use hierarchy::Hierarchy;
pub use placement::Placement;
pub use probe::{CgroupSupport, Missing, probe};
pub use record::{CgroupRecord, HierarchyRecord};
pub use resources::{BlockIo, DeviceNumber, Ignored, RdmaLimit, Resources};
pub use stats::{
    CpuStats, CpuTime, DeviceIo, HugepageStats, IoStats, MemoryStats, PidsStats, Pressure,
    PressureShare, PressureStats, RdmaStats, Stats,
};
pub use topology::{HierarchyMount, Layout};
pub use values::{CpuMax, IdSet, Limit, shares_from_weight, weight_from_shares};
pub use watch::{CgroupEvent, Watch};
