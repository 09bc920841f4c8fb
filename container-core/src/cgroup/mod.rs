//! Cgroups.

mod apply;
mod compile;
mod control;
mod controller;
mod create;
mod delegation;
mod dir;
mod events;
mod freeze;
mod group;
mod guard;
mod hierarchy;
mod path;
mod probe;
mod resources;
mod stats;
mod topology;
mod values;

pub use controller::{Controller, Controllers, Version};
pub use delegation::Delegation;
pub use group::Cgroup;
pub use guard::OwnedCgroup;
pub use hierarchy::Hierarchy;
pub use probe::{CgroupSupport, Missing, probe};
pub use resources::Resources;
pub use stats::{CpuStats, MemoryStats, PidsStats, Stats};
pub use topology::{HierarchyMount, Layout};
pub use values::{CpuMax, IdSet, Limit, shares_from_weight, weight_from_shares};
