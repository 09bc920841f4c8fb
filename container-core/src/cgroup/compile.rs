//! Limits to files: which values go where on v1 and on v2, in which order. Pure.

use super::controller::{Controller, Version};
use super::resources::Resources;
use super::values::{CpuMax, Limit};
use crate::error::{Error, ErrorKind, Result};

/// One value for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) controller: Controller,
    pub(super) file: &'static str,
    pub(super) value: String,
}

/// The present values that decide about the order of writes on v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    /// `cpu.cfs_period_us`.
    pub(super) cpu_period: u64,
    /// `memory.limit_in_bytes`.
    pub(super) memory: Limit,
    /// `memory.memsw.limit_in_bytes`; `None` where the kernel has no accounting of swap.
    pub(super) memory_and_swap: Option<Limit>,
}

impl Default for Present {
    fn default() -> Self {
        Self {
            cpu_period: CpuMax::DEFAULT_PERIOD,
            memory: Limit::Unlimited,
            memory_and_swap: Some(Limit::Unlimited),
        }
    }
}

/// The writes that bring the limits about.
pub(super) fn compile(
    limits: &Resources,
    version_of: impl Fn(Controller) -> Version,
    present: &Present,
) -> Result<Vec<Write>> {
    let mut writes = Writes(Vec::new());
    match version_of(Controller::Memory) {
        Version::V1 => writes.memory_v1(limits, present)?,
        Version::V2 => writes.memory_v2(limits),
    }
    if let Some(limit) = limits.pids_max {
        writes.add(Controller::Pids, "pids.max", max(limit));
    }
    match version_of(Controller::Cpu) {
        Version::V1 => writes.cpu_v1(limits, present),
        Version::V2 => writes.cpu_v2(limits),
    }
    if let Some(cpus) = &limits.cpuset_cpus {
        writes.add(Controller::CpuSet, "cpuset.cpus", cpus.to_string());
    }
    if let Some(mems) = &limits.cpuset_mems {
        writes.add(Controller::CpuSet, "cpuset.mems", mems.to_string());
    }
    Ok(writes.0)
}

struct Writes(Vec<Write>);

impl Writes {
    fn add(&mut self, controller: Controller, file: &'static str, value: String) {
        self.0.push(Write { controller, file, value });
    }

    fn memory_v2(&mut self, limits: &Resources) {
        for (file, limit) in [
            ("memory.low", limits.memory_low.map(Limit::At)),
            ("memory.high", limits.memory_high),
            ("memory.max", limits.memory_max),
            ("memory.swap.max", limits.memory_swap_max),
        ] {
            if let Some(limit) = limit {
                self.add(Controller::Memory, file, max(limit));
            }
        }
    }

    fn memory_v1(&mut self, limits: &Resources, present: &Present) -> Result<()> {
        if let Some(high) = limits.memory_high {
            return Err(Error::with(
                ErrorKind::Unsupported,
                "memory_high",
                high.to_string(),
                "v1 has no such limit, and the memory controller of this machine is on v1",
            )
            .hint(
                "use memory_max or memory_low, or boot with systemd.unified_cgroup_hierarchy=1",
            ));
        }
        if let Some(low) = limits.memory_low {
            self.add(Controller::Memory, "memory.soft_limit_in_bytes", low.to_string());
        }
        let memory = limits.memory_max.unwrap_or(present.memory);
        let both = memory_and_swap(limits, present, memory)?;
        let one = limits.memory_max.map(|limit| ("memory.limit_in_bytes", limit));
        let two = both.map(|limit| ("memory.memsw.limit_in_bytes", limit));
        // The kernel keeps memory <= memory+swap at every moment.
        let raises = over(memory, present.memory_and_swap.unwrap_or(Limit::Unlimited));
        let order = if raises { [two, one] } else { [one, two] };
        for (file, limit) in order.into_iter().flatten() {
            self.add(Controller::Memory, file, minus_one(limit));
        }
        Ok(())
    }

    fn cpu_v2(&mut self, limits: &Resources) {
        if let Some(share) = limits.cpu_share {
            self.add(Controller::Cpu, "cpu.weight", share.weight().to_string());
        }
        if let Some(CpuMax { quota, period }) = limits.cpu_max {
            self.add(Controller::Cpu, "cpu.max", format!("{} {period}", max(quota)));
        }
    }

    fn cpu_v1(&mut self, limits: &Resources, present: &Present) {
        if let Some(share) = limits.cpu_share {
            self.add(Controller::Cpu, "cpu.shares", share.shares().to_string());
        }
        if let Some(CpuMax { quota, period }) = limits.cpu_max {
            let quota = ("cpu.cfs_quota_us", minus_one(quota));
            let order = ("cpu.cfs_period_us", period.to_string());
            // The ratio of the two must not pass the parent's in between.
            let shrinks = period < present.cpu_period;
            let order = if shrinks { [quota, order] } else { [order, quota] };
            for (file, value) in order {
                self.add(Controller::Cpu, file, value);
            }
        }
    }
}

/// v1 limits the sum: what to write so that the swap alone is as asked for, or as it was.
fn memory_and_swap(limits: &Resources, present: &Present, memory: Limit) -> Result<Option<Limit>> {
    let swap = match (limits.memory_swap_max, present.memory_and_swap) {
        (Some(swap), _) => swap,
        (None, Some(Limit::At(both))) if limits.memory_max.is_some() => {
            Limit::At(both.saturating_sub(present.memory.value().unwrap_or(both)))
        }
        _ => return Ok(None),
    };
    match (memory, swap) {
        (Limit::At(memory), Limit::At(swap)) => Ok(Some(Limit::At(memory.saturating_add(swap)))),
        (_, Limit::Unlimited) => Ok(Some(Limit::Unlimited)),
        (Limit::Unlimited, Limit::At(_)) if limits.memory_swap_max.is_none() => {
            Ok(Some(Limit::Unlimited))
        }
        (Limit::Unlimited, Limit::At(swap)) => Err(Error::invalid(
            "memory_swap_max",
            swap.to_string(),
            "v1 limits swap only together with memory, which is unlimited",
        )
        .hint("set memory_max as well")),
    }
}

fn over(a: Limit, b: Limit) -> bool {
    match (a, b) {
        (Limit::At(a), Limit::At(b)) => a > b,
        (Limit::Unlimited, Limit::At(_)) => true,
        (_, Limit::Unlimited) => false,
    }
}

fn max(limit: Limit) -> String {
    limit.value().map_or_else(|| "max".to_owned(), |value| value.to_string())
}

fn minus_one(limit: Limit) -> String {
    limit.value().map_or_else(|| "-1".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::IdSet;

    fn lines(limits: &Resources, version: Version, present: Present) -> Vec<String> {
        compile(limits, |_| version, &present)
            .unwrap()
            .into_iter()
            .map(|w| format!("{}={}", w.file, w.value))
            .collect()
    }

    fn all() -> Resources {
        Resources::new()
            .memory_max(1 << 20)
            .memory_swap_max(4096)
            .memory_low(8192)
            .pids_max(10)
            .cpu_quota(20_000, 50_000)
            .cpu_weight(100)
            .cpuset_cpus(IdSet::from(0..2))
            .cpuset_mems(IdSet::from(0..1))
    }

    #[test]
    fn v2() {
        assert_eq!(
            lines(&all().memory_high(Limit::Unlimited), Version::V2, Present::default()),
            [
                "memory.low=8192",
                "memory.high=max",
                "memory.max=1048576",
                "memory.swap.max=4096",
                "pids.max=10",
                "cpu.weight=100",
                "cpu.max=20000 50000",
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
            ]
        );
    }

    #[test]
    fn v1() {
        assert_eq!(
            lines(&all(), Version::V1, Present::default()),
            [
                "memory.soft_limit_in_bytes=8192",
                "memory.limit_in_bytes=1048576",
                "memory.memsw.limit_in_bytes=1052672",
                "pids.max=10",
                "cpu.shares=1024",
                "cpu.cfs_quota_us=20000",
                "cpu.cfs_period_us=50000",
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
            ]
        );
    }

    #[test]
    fn v1_orders_by_what_is_there() {
        let present = Present {
            memory: Limit::At(4096),
            memory_and_swap: Some(Limit::At(12_288)),
            ..Present::default()
        };
        let raised = Resources::new().memory_max(40_960);
        assert_eq!(
            lines(&raised, Version::V1, present),
            ["memory.memsw.limit_in_bytes=49152", "memory.limit_in_bytes=40960"]
        );
        let lifted = Resources::new().memory_max(Limit::Unlimited);
        assert_eq!(
            lines(&lifted, Version::V1, present),
            ["memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1"]
        );
        let longer = Resources::new().cpu_quota(Limit::Unlimited, 200_000);
        assert_eq!(
            lines(&longer, Version::V1, present),
            ["cpu.cfs_period_us=200000", "cpu.cfs_quota_us=-1"]
        );
    }

    #[test]
    fn what_v1_cannot_express() {
        let kind = |limits: Resources| {
            compile(&limits, |_| Version::V1, &Present::default()).unwrap_err().kind()
        };
        assert_eq!(kind(Resources::new().memory_high(4096)), ErrorKind::Unsupported);
        assert_eq!(kind(Resources::new().memory_swap_max(0)), ErrorKind::InvalidInput);
    }

    #[test]
    fn nothing_asked_nothing_written() {
        for version in [Version::V1, Version::V2] {
            assert!(lines(&Resources::new(), version, Present::default()).is_empty());
        }
    }
}
