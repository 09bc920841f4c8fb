//! [`Resources`]: what a cgroup may use, as a value.

use super::controller::{Controller, Controllers};
use super::values::{CpuMax, CpuShare, IdSet, Limit, SHARES_MAX, SHARES_MIN, WEIGHT_MAX};
use crate::error::{Error, Result};

/// Limits for a cgroup; what is not set is left as it is.
///
/// The same value works on every layout: each limit is written to the file of the version
/// that the machine has, converted where the scales differ.
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
    pub(super) memory_max: Option<Limit>,
    pub(super) memory_swap_max: Option<Limit>,
    pub(super) memory_high: Option<Limit>,
    pub(super) memory_low: Option<u64>,
    pub(super) pids_max: Option<Limit>,
    pub(super) cpu_max: Option<CpuMax>,
    pub(super) cpu_share: Option<CpuShare>,
    pub(super) cpuset_cpus: Option<IdSet>,
    pub(super) cpuset_mems: Option<IdSet>,
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
        self.memory_max = Some(bytes.into());
        self
    }

    /// Bytes of swap, on top of the memory; 0 for none.
    ///
    /// v2 `memory.swap.max`. v1 limits memory and swap together in
    /// `memory.memsw.limit_in_bytes`: the sum is written there.
    pub fn memory_swap_max(mut self, bytes: impl Into<Limit>) -> Self {
        self.memory_swap_max = Some(bytes.into());
        self
    }

    /// Bytes of memory beyond which the processes are slowed and reclaimed from, not killed.
    ///
    /// v2 `memory.high`; v1 has no such thing, and applying it there is an error.
    pub fn memory_high(mut self, bytes: impl Into<Limit>) -> Self {
        self.memory_high = Some(bytes.into());
        self
    }

    /// Bytes of memory that are not reclaimed as long as others have some to give.
    ///
    /// v2 `memory.low`, v1 `memory.soft_limit_in_bytes` (OCI: `reservation`).
    pub fn memory_low(mut self, bytes: u64) -> Self {
        self.memory_low = Some(bytes);
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
        self.cpu_max = Some(max);
        self
    }

    /// The share of processor time relative to siblings: 1 to 10,000, by default 100.
    ///
    /// v2 `cpu.weight`; on v1 [converted](super::shares_from_weight) to `cpu.shares`.
    pub fn cpu_weight(mut self, weight: u64) -> Self {
        self.cpu_share = Some(CpuShare::Weight(weight));
        self
    }

    /// The same in v1's and OCI's scale: 2 to 262,144, by default 1,024.
    ///
    /// v1 `cpu.shares`; on v2 [converted](super::weight_from_shares) to `cpu.weight`.
    pub fn cpu_shares(mut self, shares: u64) -> Self {
        self.cpu_share = Some(CpuShare::Shares(shares));
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

    /// The controllers that these limits need: what to pass to
    /// [`Hierarchy::create`](super::Hierarchy::create).
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        let memory = self.memory_max.is_some()
            || self.memory_swap_max.is_some()
            || self.memory_high.is_some()
            || self.memory_low.is_some();
        [
            (memory, Controller::Memory),
            (self.pids_max.is_some(), Controller::Pids),
            (self.cpu_max.is_some() || self.cpu_share.is_some(), Controller::Cpu),
            (self.cpuset_cpus.is_some() || self.cpuset_mems.is_some(), Controller::CpuSet),
        ]
        .into_iter()
        .filter_map(|(needed, controller)| needed.then_some(controller))
        .collect()
    }

    /// Refuses values that no machine can take, without looking at this one.
    ///
    /// [`Cgroup::apply`](super::Cgroup::apply) does this before it writes anything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) naming the limit, its value and the bounds.
    pub fn validate(&self) -> Result<()> {
        self.validate_memory()?;
        if let Some(Limit::At(pids)) = self.pids_max {
            let reason = "must lie between 1 and 4194304";
            within("pids_max", pids, 1, PID_LIMIT, reason)?;
        }
        if let Some(max) = self.cpu_max {
            let reason = "must lie between 1000 and 1000000 microseconds";
            within("cpu period", max.period, 1_000, 1_000_000, reason)?;
            if let Limit::At(quota) = max.quota {
                let reason = "must be at least 1000 microseconds, and less than 2^44";
                within("cpu quota", quota, 1_000, QUOTA_LIMIT, reason)?;
            }
        }
        match self.cpu_share {
            Some(CpuShare::Weight(weight)) => {
                within("cpu_weight", weight, 1, WEIGHT_MAX, "must lie between 1 and 10000")?;
            }
            Some(CpuShare::Shares(shares)) => {
                let reason = "must lie between 2 and 262144";
                within("cpu_shares", shares, SHARES_MIN, SHARES_MAX, reason)?;
            }
            None => {}
        }
        for (name, set) in [("cpuset_cpus", &self.cpuset_cpus), ("cpuset_mems", &self.cpuset_mems)]
        {
            let Some(set) = set else { continue };
            if set.is_empty() {
                return Err(Error::invalid(name, "", "is empty; name at least one id"));
            }
            if let Some(id) = set.impossible() {
                return Err(Error::invalid(name, id.to_string(), "is beyond 8191"));
            }
        }
        Ok(())
    }

    fn validate_memory(&self) -> Result<()> {
        let page = page_size();
        for (name, limit, least) in [
            ("memory_max", self.memory_max, page),
            ("memory_high", self.memory_high, page),
            ("memory_swap_max", self.memory_swap_max, 0),
            ("memory_low", self.memory_low.map(Limit::At), 0),
        ] {
            let Some(Limit::At(bytes)) = limit else {
                continue;
            };
            let reason =
                "must be at least one page and fit the kernel's counter; Limit::Unlimited lifts it";
            within(name, bytes, least, BYTES_LIMIT, reason)?;
        }
        Ok(())
    }
}

/// `PID_MAX_LIMIT` of a 64-bit kernel.
const PID_LIMIT: u64 = 4_194_304;
/// `MAX_BW` of the scheduler, in microseconds.
const QUOTA_LIMIT: u64 = (1 << 44) - 1;
/// The kernel takes from here on for "no limit".
const BYTES_LIMIT: u64 = (1 << 63) - 1 - 0xffff;

fn page_size() -> u64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096)
}

fn within(
    name: &'static str,
    value: u64,
    least: u64,
    most: u64,
    reason: &'static str,
) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(name, value.to_string(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn impossible_values_are_refused() {
        let new = Resources::new;
        for (what, bad) in [
            ("memory_max", new().memory_max(0)),
            ("memory_max", new().memory_max(100)),
            ("memory_max", new().memory_max(u64::MAX)),
            ("memory_high", new().memory_high(1)),
            ("pids_max", new().pids_max(0)),
            ("pids_max", new().pids_max(5_000_000)),
            ("cpu quota", new().cpu_quota(0, 100_000)),
            ("cpu quota", new().cpu_quota(999, 100_000)),
            ("cpu quota", new().cpu_quota(u64::MAX, 100_000)),
            ("cpu period", new().cpu_quota(5_000, 999)),
            ("cpu period", new().cpu_quota(5_000, 1_000_001)),
            ("cpu quota", new().cpus(0.0)),
            ("cpu quota", new().cpus(f64::NAN)),
            ("cpu quota", new().cpus(f64::INFINITY)),
            ("cpu quota", new().cpus(-2.0)),
            ("cpu_weight", new().cpu_weight(0)),
            ("cpu_weight", new().cpu_weight(10_001)),
            ("cpu_shares", new().cpu_shares(1)),
            ("cpuset_cpus", new().cpuset_cpus(IdSet::default())),
            ("cpuset_mems", new().cpuset_mems([9000].into_iter().collect())),
        ] {
            let error = bad.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.step(), what, "{bad:?}");
        }
    }

    #[test]
    fn possible_values_are_not() {
        let limits = Resources::new()
            .memory_max(4096 << 8)
            .memory_swap_max(0)
            .memory_high(Limit::Unlimited)
            .memory_low(0)
            .pids_max(1)
            .cpus(0.001)
            .cpu_weight(1)
            .cpuset_cpus((0..2).into())
            .cpuset_mems((0..1).into());
        limits.validate().unwrap();
        assert_eq!(limits.controllers().to_string(), "cpu, cpuset, memory, pids");
        assert!(Resources::new().controllers().is_empty());
        Resources::new().cpu_quota(Limit::Unlimited, 100_000).validate().unwrap();
    }
}
