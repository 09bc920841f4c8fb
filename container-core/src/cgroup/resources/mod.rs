//! [`Resources`]: what a cgroup may use, as a value.

mod block_io;
mod controlled;
mod validate;

use std::collections::BTreeMap;

pub use self::block_io::{BlockIo, DeviceNumber};
pub(super) use self::controlled::controller_of;
pub use self::controlled::{Ignored, RdmaLimit};
pub(super) use self::validate::{MAJOR_MAX, MINOR_MAX, field, refuse};
use super::devices::DeviceRule;
use super::values::{CpuMax, CpuShare, IdSet, Limit, SwapLimit};

/// Limits for a cgroup; what is not set is left as it is.
///
/// The same value works on every layout: each limit is written to the file of the version
/// that the machine has, converted where the scales differ. It has every field of the OCI
/// `linux.resources` object (see [`Resources::from_oci`]) and a few more.
///
/// ```
/// use container_core::cgroup::{Controller, Resources};
///
/// let limits = Resources::new().memory_max(64 << 20).pids_max(100).cpus(0.5);
/// limits.validate()?;
/// assert!(limits.controllers().contains(Controller::Pids));
///
/// let impossible = Resources::new().cpu_quota(0, 100_000);
/// assert!(impossible.validate().is_err());
/// # Ok::<(), container_core::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Resources {
    pub(super) memory: Memory,
    pub(super) cpu: Cpu,
    pub(super) cpuset_cpus: Option<IdSet>,
    pub(super) cpuset_mems: Option<IdSet>,
    pub(super) pids_max: Option<Limit>,
    pub(super) block_io: BlockIo,
    pub(super) hugepages: BTreeMap<String, Limit>,
    pub(super) class_id: Option<u32>,
    pub(super) priorities: BTreeMap<String, u32>,
    pub(super) rdma: BTreeMap<String, RdmaLimit>,
    pub(super) unified: BTreeMap<String, String>,
    pub(super) devices: Option<Vec<DeviceRule>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) max: Option<Limit>,
    pub(super) swap: Option<SwapLimit>,
    pub(super) high: Option<Limit>,
    pub(super) low: Option<Limit>,
    pub(super) kernel: Option<Limit>,
    pub(super) kernel_tcp: Option<Limit>,
    pub(super) swappiness: Option<u64>,
    pub(super) disable_oom_killer: Option<bool>,
    pub(super) use_hierarchy: Option<bool>,
    pub(super) check_before_update: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) share: Option<CpuShare>,
    pub(super) quota: Option<Limit>,
    pub(super) period: Option<u64>,
    pub(super) burst: Option<u64>,
    pub(super) idle: Option<bool>,
    pub(super) realtime_runtime: Option<i64>,
    pub(super) realtime_period: Option<u64>,
}

impl Resources {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of memory, beyond which the kernel reclaims and then kills.
    ///
    /// v2 `memory.max`, v1 `memory.limit_in_bytes`. The kernel rounds down to whole pages;
    /// less than a page is refused.
    pub fn memory_max(mut self, bytes: impl Into<Limit>) -> Self {
        self.memory.max = Some(bytes.into());
        self
    }

    /// Bytes of swap, on top of the memory; 0 for none.
    ///
    /// v2 `memory.swap.max`. v1 limits memory and swap together in
    /// `memory.memsw.limit_in_bytes`: the sum is written there.
    pub fn memory_swap_max(mut self, bytes: impl Into<Limit>) -> Self {
        self.memory.swap = Some(SwapLimit::Alone(bytes.into()));
        self
    }

    /// Bytes of memory and swap together, as v1 and OCI (`memory.swap`) count.
    ///
    /// v1 `memory.memsw.limit_in_bytes`; on v2 the memory limit, which is the one given
    /// here or the one in force, is taken off and the rest written to `memory.swap.max`.
    pub fn memory_and_swap_max(mut self, bytes: impl Into<Limit>) -> Self {
        self.memory.swap = Some(SwapLimit::Total(bytes.into()));
        self
    }

    /// Bytes of memory beyond which the processes are slowed and reclaimed from, not killed.
    ///
    /// v2 `memory.high`; v1 has no such thing, and applying it there is an error.
    pub fn memory_high(mut self, bytes: impl Into<Limit>) -> Self {
        self.memory.high = Some(bytes.into());
        self
    }

    /// Bytes of memory that are not reclaimed as long as others have some to give.
    ///
    /// v2 `memory.low`, v1 `memory.soft_limit_in_bytes` (OCI: `memory.reservation`).
    pub fn memory_low(mut self, bytes: impl Into<Limit>) -> Self {
        self.memory.low = Some(bytes.into());
        self
    }

    /// How readily anonymous memory is swapped out: 0 to 100 (v1 `memory.swappiness`).
    ///
    /// v2 has no such file, and applying it there is an error.
    pub fn memory_swappiness(mut self, percent: u64) -> Self {
        self.memory.swappiness = Some(percent);
        self
    }

    /// Lets processes wait instead of being killed when the memory is used up
    /// (v1 `memory.oom_control`). v2 cannot, and applying `true` there is an error.
    pub fn disable_oom_killer(mut self, disable: bool) -> Self {
        self.memory.disable_oom_killer = Some(disable);
        self
    }

    /// Refuses a memory limit below what is in use now, before anything is written.
    ///
    /// OCI `memory.checkBeforeUpdate`. v1 refuses by itself; v2 would reclaim and then kill.
    pub fn memory_check_before_update(mut self, check: bool) -> Self {
        self.memory.check_before_update = check;
        self
    }

    /// The number of tasks (processes and threads); beyond it fork answers `EAGAIN`.
    pub fn pids_max(mut self, tasks: impl Into<Limit>) -> Self {
        self.pids_max = Some(tasks.into());
        self
    }

    /// Microseconds of processor time in every period of so many microseconds.
    ///
    /// v2 `cpu.max`, v1 `cpu.cfs_quota_us` and `cpu.cfs_period_us`. The period lies between
    /// 1,000 and 1,000,000, the quota is at least 1,000.
    pub fn cpu_quota(self, quota_us: impl Into<Limit>, period_us: u64) -> Self {
        self.cpu_max(CpuMax { quota: quota_us.into(), period: period_us })
    }

    /// Processor time as a number of processors: 0.5 is half of one, 2.0 two full ones.
    pub fn cpus(self, cpus: f64) -> Self {
        self.cpu_max(CpuMax::of_cpus(cpus))
    }

    /// The ceiling of processor time as a value.
    pub fn cpu_max(mut self, max: CpuMax) -> Self {
        self.cpu.quota = Some(max.quota);
        self.cpu.period = Some(max.period);
        self
    }

    /// Microseconds that may be saved up from quiet periods and used on top of the quota.
    ///
    /// v2 `cpu.max.burst`, v1 `cpu.cfs_burst_us`; Linux 5.14. At most the quota.
    pub fn cpu_burst(mut self, microseconds: u64) -> Self {
        self.cpu.burst = Some(microseconds);
        self
    }

    /// Runs only when nobody else wants to, whatever the weight (`cpu.idle`, Linux 5.15).
    pub fn cpu_idle(mut self, idle: bool) -> Self {
        self.cpu.idle = Some(idle);
        self
    }

    /// Microseconds of real-time scheduling in every period of so many microseconds.
    ///
    /// v1 `cpu.rt_runtime_us` and `cpu.rt_period_us`, where the kernel was built with
    /// `CONFIG_RT_GROUP_SCHED`; v2 has none, and applying it there is an error.
    pub fn cpu_realtime(mut self, runtime_us: i64, period_us: u64) -> Self {
        self.cpu.realtime_runtime = Some(runtime_us);
        self.cpu.realtime_period = Some(period_us);
        self
    }

    /// The share of processor time relative to siblings: 1 to 10,000, by default 100.
    ///
    /// v2 `cpu.weight`; on v1 [converted](super::shares_from_weight) to `cpu.shares`.
    pub fn cpu_weight(mut self, weight: u64) -> Self {
        self.cpu.share = Some(CpuShare::Weight(weight));
        self
    }

    /// The same in v1's and OCI's scale: 2 to 262,144, by default 1,024.
    ///
    /// v1 `cpu.shares`; on v2 [converted](super::weight_from_shares) to `cpu.weight`.
    pub fn cpu_shares(mut self, shares: u64) -> Self {
        self.cpu.share = Some(CpuShare::Shares(shares));
        self
    }

    /// The processors that may be used.
    pub fn cpuset_cpus(mut self, cpus: IdSet) -> Self {
        self.cpuset_cpus = Some(cpus);
        self
    }

    /// The memory nodes that may be used.
    pub fn cpuset_mems(mut self, mems: IdSet) -> Self {
        self.cpuset_mems = Some(mems);
        self
    }
}

#[cfg(test)]
mod tests;
