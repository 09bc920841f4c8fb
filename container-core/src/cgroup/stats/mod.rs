//! [`Stats`]: what a cgroup uses and has used, in plain units.

mod counters;
mod devices;
mod json;
mod pressure;

use std::collections::BTreeMap;
use std::io;

pub use self::devices::{DeviceIo, HugepageStats, IoStats, RdmaStats};
pub use self::pressure::{Pressure, PressureShare, PressureStats};
use super::controller::{Controller, Version};
use super::dir;
use super::group::{Cgroup, Node};
use super::values::Limit;
use crate::error::{Error, Result};

/// A reading of a cgroup's accounts. `None`: this kernel or this cgroup does not count it.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Memory, in bytes.
    pub memory: MemoryStats,
    /// Processor time, in nanoseconds.
    pub cpu: CpuStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block devices.
    pub io: IoStats,
    /// Huge pages by size, such as `2MB`.
    pub hugepages: BTreeMap<String, HugepageStats>,
    /// RDMA devices by name.
    pub rdma: BTreeMap<String, RdmaStats>,
    /// How long tasks waited for resources (v2 with pressure stall information).
    pub pressure: PressureStats,
}

/// Memory of the cgroup and everything below, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// In use now, caches of files included.
    pub current: Option<u64>,
    /// The most that was in use; on v2 since Linux 5.19.
    pub peak: Option<u64>,
    /// The ceiling.
    pub limit: Option<Limit>,
    /// Swapped out now.
    pub swap: Option<u64>,
    /// The ceiling of swap: alone on v2, together with memory on v1.
    pub swap_limit: Option<Limit>,
    /// The most that was swapped out (v2) or in use with swap (v1).
    pub swap_peak: Option<u64>,
    /// How often the use was about to pass the ceiling.
    pub limit_hits: Option<u64>,
    /// How often the ceiling of swap was met.
    pub swap_limit_hits: Option<u64>,
    /// Processes killed because the ceiling was met.
    pub oom_kills: Option<u64>,
    /// Caches of files.
    pub cache: Option<u64>,
    /// Of the kernel's own, for these processes.
    pub kernel: Option<u64>,
    /// Buffers of TCP sockets.
    pub kernel_tcp: Option<u64>,
    /// All of `memory.stat`, in the kernel's names.
    pub details: BTreeMap<String, u64>,
}

/// Processor time of the cgroup and everything below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuStats {
    /// Nanoseconds used, over all processors.
    pub usage_ns: Option<u64>,
    /// Of these, in programs.
    pub user_ns: Option<u64>,
    /// Of these, in the kernel.
    pub system_ns: Option<u64>,
    /// Nanoseconds used on each processor (v1 `cpuacct`; v2 does not tell).
    pub per_cpu: Vec<CpuTime>,
    /// Periods of the quota that passed with something to run.
    pub periods: Option<u64>,
    /// Of these, how many saw the quota used up.
    pub throttled_periods: Option<u64>,
    /// Nanoseconds that tasks spent waiting for the next period, over all processors.
    pub throttled_ns: Option<u64>,
    /// Periods in which more than the quota was used, out of the burst.
    pub bursts: Option<u64>,
    /// Nanoseconds used beyond the quota.
    pub burst_ns: Option<u64>,
}

/// Nanoseconds used on one processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuTime {
    /// In programs.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
}

/// Tasks (processes and threads) of the cgroup and everything below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PidsStats {
    /// Now.
    pub current: Option<u64>,
    /// The ceiling.
    pub limit: Option<Limit>,
    /// How often a fork was refused because of the ceiling.
    pub refused: Option<u64>,
}

impl Cgroup {
    /// Reads the accounts: a few files, a few microseconds each.
    ///
    /// What the cgroup has no controller for is `None`.
    ///
    /// # Errors
    ///
    /// When a file that exists cannot be read, and when the cgroup has been removed.
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        if let Some((node, version)) = self.node_of(Controller::Memory) {
            let reader = Reader { cgroup: self, node };
            stats.memory = match version {
                Version::V1 => reader.memory_v1()?,
                Version::V2 => reader.memory_v2()?,
            };
        }
        self.read_cpu(&mut stats.cpu)?;
        if let Some((node, _)) = self.node_of(Controller::Pids) {
            stats.pids = Reader { cgroup: self, node }.pids()?;
        }
        self.read_devices(&mut stats)?;
        if let Some(node) = self.v2() {
            stats.pressure = Reader { cgroup: self, node }.pressure()?;
        }
        if stats == Stats::default() {
            self.still_there()?;
        }
        Ok(stats)
    }

    /// Tells "nothing is counted" from "the cgroup is gone".
    fn still_there(&self) -> Result<()> {
        let root_of = |node: &Node| self.hierarchy.root_fd(node.mount);
        match self.nodes.iter().find(|node| !dir::exists(root_of(node), self.path.relative())) {
            None => Ok(()),
            Some(node) => {
                let gone = io::Error::from_raw_os_error(libc::ENOENT);
                Err(Error::os("read cgroup", self.directory_of(node), gone))
            }
        }
    }
}

struct Reader<'a> {
    cgroup: &'a Cgroup,
    node: &'a Node,
}

impl Reader<'_> {
    fn text(&self, file: &str) -> Result<Option<String>> {
        match dir::read(self.node.fd(), file) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
            Err(e) => {
                Err(Error::os(format!("read {file}"), self.cgroup.directory_of(self.node), e))
            }
        }
    }

    fn number(&self, file: &str) -> Result<Option<u64>> {
        Ok(self.text(file)?.and_then(|text| text.trim().parse().ok()))
    }

    fn limit(&self, file: &str) -> Result<Option<Limit>> {
        Ok(self.text(file)?.as_deref().and_then(limit_of))
    }
}

/// From here on v1 means "no limit": the largest count of pages, whatever their size.
const V1_UNLIMITED: u64 = (1 << 63) - 1 - 0xffff;

/// A limit as the kernel prints it.
pub(super) fn limit_of(text: &str) -> Option<Limit> {
    match text.trim() {
        "max" | "-1" => Some(Limit::Unlimited),
        digits => digits
            .parse()
            .ok()
            .map(|value| if value >= V1_UNLIMITED { Limit::Unlimited } else { Limit::At(value) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::events::value_of;

    #[test]
    fn limits_of_both_versions() {
        assert_eq!(limit_of("max\n"), Some(Limit::Unlimited));
        assert_eq!(limit_of("9223372036854771712\n"), Some(Limit::Unlimited));
        assert_eq!(limit_of("4096\n"), Some(Limit::At(4096)));
        assert_eq!(limit_of("x"), None);
    }

    #[test]
    fn keyed_values() {
        let text = "max 3\noom 1\noom_kill 2\n";
        assert_eq!(value_of(text, "oom"), Some(1));
        assert_eq!(value_of(text, "oom_kill"), Some(2));
        assert_eq!(value_of(text, "oom_group_kill"), None);
    }
}
