//! Controllers: the kernel's subsystems that account for and limit resources.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

/// The generation of a hierarchy: [cgroups(7)], "Cgroups version 1" and "version 2".
///
/// [cgroups(7)]: https://man7.org/linux/man-pages/man7/cgroups.7.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// One hierarchy per controller or set of controllers.
    V1,
    /// One hierarchy for all.
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// One subsystem of the kernel.
///
/// A controller belongs to one hierarchy at a time for the whole machine: what is
/// mounted as v1 is absent from v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Controller {
    /// Processor time: shares of it and a ceiling.
    Cpu,
    /// Accounting of processor time; on v2 every cgroup has it without a controller.
    CpuAcct,
    /// Which processors and memory nodes may be used.
    CpuSet,
    /// Memory and swap.
    Memory,
    /// Block devices: `blkio` on v1, `io` on v2.
    Io,
    /// The number of tasks.
    Pids,
    /// Access to device nodes: lists on v1, a BPF program on v2.
    Devices,
    /// Stop and continue; on v2 every cgroup has it without a controller.
    Freezer,
    /// Huge pages.
    HugeTlb,
    /// RDMA resources.
    Rdma,
    /// Scalar resources of the hardware, such as encryption ids.
    Misc,
    /// Class ids for traffic control; v1 only.
    NetCls,
    /// Priorities of network traffic; v1 only.
    NetPrio,
    /// Performance events by cgroup; on v2 every cgroup has it without a controller.
    PerfEvent,
}

use Controller as C;

impl Controller {
    /// Every controller that this crate knows.
    pub const ALL: [Self; 14] = [
        C::Cpu,
        C::CpuAcct,
        C::CpuSet,
        C::Memory,
        C::Io,
        C::Pids,
        C::Devices,
        C::Freezer,
        C::HugeTlb,
        C::Rdma,
        C::Misc,
        C::NetCls,
        C::NetPrio,
        C::PerfEvent,
    ];

    /// The kernel's name for it, as in `/proc/self/cgroup` and `cgroup.controllers`.
    #[must_use]
    pub fn name(self, version: Version) -> &'static str {
        match self {
            C::Cpu => "cpu",
            C::CpuAcct => "cpuacct",
            C::CpuSet => "cpuset",
            C::Memory => "memory",
            C::Io if version == Version::V1 => "blkio",
            C::Io => "io",
            C::Pids => "pids",
            C::Devices => "devices",
            C::Freezer => "freezer",
            C::HugeTlb => "hugetlb",
            C::Rdma => "rdma",
            C::Misc => "misc",
            C::NetCls => "net_cls",
            C::NetPrio => "net_prio",
            C::PerfEvent => "perf_event",
        }
    }

    /// The controller of a kernel name of either version; `None` for one unknown here.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name(Version::V1) == name || c.name(Version::V2) == name)
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name(Version::V2))
    }
}

/// A set of [`Controller`]s.
///
/// ```
/// use container_core::cgroup::{Controller, Controllers};
///
/// let wanted = Controllers::from([Controller::Memory, Controller::Pids]);
/// assert!(wanted.contains(Controller::Memory));
/// assert_eq!((wanted - Controller::Pids.into()).to_string(), "memory");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Controllers(u32);

impl Controllers {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// What the statistics of a container need: cpu, cpuacct, memory and pids.
    ///
    /// Intersect it with [`Hierarchy::controllers`](super::Hierarchy::controllers):
    /// what a machine lacks is then left out rather than refused.
    pub const STATISTICS: Self = Self(
        1 << C::Cpu as u32 | 1 << C::CpuAcct as u32 | 1 << C::Memory as u32 | 1 << C::Pids as u32,
    );

    /// What every v2 cgroup does without a controller being enabled.
    pub(super) const BUILT_INTO_V2: Self = Self(
        1 << C::CpuAcct as u32
            | 1 << C::Freezer as u32
            | 1 << C::Devices as u32
            | 1 << C::PerfEvent as u32,
    );

    /// Whether `controller` is in the set.
    #[must_use]
    pub fn contains(self, controller: Controller) -> bool {
        self.0 & controller.bit() != 0
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub fn contains_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order of [`Controller::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Controller> {
        Controller::ALL.into_iter().filter(move |c| self.contains(*c))
    }

    /// Of those, what is taken from v2 even where a v1 hierarchy has it as well.
    pub(super) const BETTER_ON_V2: Self = Self(1 << C::CpuAcct as u32 | 1 << C::Freezer as u32);

    /// The known controllers among names separated by blanks or commas.
    pub(super) fn parse(names: &str) -> Self {
        names.split([' ', ',', '\n']).filter_map(Controller::from_name).collect()
    }

    /// The names in one version's spelling, separated by commas.
    pub(super) fn names(self, version: Version) -> String {
        if self.is_empty() {
            return "none".to_owned();
        }
        self.iter().map(|c| c.name(version)).collect::<Vec<_>>().join(", ")
    }
}

impl From<Controller> for Controllers {
    fn from(controller: Controller) -> Self {
        Self(controller.bit())
    }
}

impl<const N: usize> From<[Controller; N]> for Controllers {
    fn from(controllers: [Controller; N]) -> Self {
        controllers.into_iter().collect()
    }
}

impl FromIterator<Controller> for Controllers {
    fn from_iter<I: IntoIterator<Item = Controller>>(iter: I) -> Self {
        Self(iter.into_iter().fold(0, |bits, c| bits | c.bit()))
    }
}

impl BitOr for Controllers {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Controllers {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Controllers {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Controllers {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names(Version::V2))
    }
}

impl fmt::Debug for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for controller in Controller::ALL {
            for version in [Version::V1, Version::V2] {
                assert_eq!(Controller::from_name(controller.name(version)), Some(controller));
            }
        }
        assert_eq!(Controller::from_name("name=systemd"), None);
    }

    #[test]
    fn sets() {
        let set = Controllers::parse("cpu,cpuacct memory\n");
        assert_eq!(set, Controllers::from([C::Cpu, C::CpuAcct, C::Memory]));
        assert!(set.contains_all(C::Cpu.into()));
        assert!(!set.contains_all(C::Pids.into()));
        assert_eq!((set - C::Cpu.into()).names(Version::V1), "cpuacct, memory");
        assert_eq!(Controllers::NONE.to_string(), "none");
        assert_eq!(Controllers::from(C::Io).names(Version::V1), "blkio");
    }
}
