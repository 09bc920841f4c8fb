//! Refusing what no machine can take, by the name of the OCI field.

use super::Resources;
use crate::cgroup::values::{
    CpuShare, Limit, SHARES_MAX, SHARES_MIN, SwapLimit, WEIGHT_MAX, page_size,
};
use crate::error::{Error, Result};

impl Resources {
    /// Refuses values that no machine can take, without looking at this one.
    ///
    /// [`Cgroup::apply`](crate::cgroup::Cgroup::apply) does this before it writes anything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) naming the OCI field
    /// (`linux.resources.…`), its value and the bounds.
    pub fn validate(&self) -> Result<()> {
        self.validate_memory()?;
        if let Some(Limit::At(pids)) = self.pids_max {
            let reason = "must lie between 1 and 4194304";
            within("pids.limit", pids, 1, PID_LIMIT, reason)?;
        }
        self.validate_cpu()?;
        for (name, set) in [("cpu.cpus", &self.cpuset_cpus), ("cpu.mems", &self.cpuset_mems)] {
            let Some(set) = set else { continue };
            if set.is_empty() {
                return Err(refuse(name, "", "is empty; name at least one id"));
            }
            if let Some(id) = set.impossible() {
                return Err(refuse(name, id, "is beyond 8191"));
            }
        }
        self.validate_block_io()?;
        self.validate_names()
    }

    fn validate_memory(&self) -> Result<()> {
        let page = page_size();
        let memory = &self.memory;
        let swap = memory.swap.map(SwapLimit::limit);
        for (name, limit, least) in [
            ("memory.limit", memory.max, page),
            ("memory.high", memory.high, page),
            ("memory.swap", swap, 0),
            ("memory.reservation", memory.low, 0),
        ] {
            let Some(Limit::At(bytes)) = limit else {
                continue;
            };
            let reason =
                "must be at least one page and fit the kernel's counter; unlimited (-1) lifts it";
            within(name, bytes, least, BYTES_LIMIT, reason)?;
        }
        if let Some(percent) = memory.swappiness {
            within("memory.swappiness", percent, 0, 100, "must lie between 0 and 100")?;
        }
        match (memory.max, memory.swap) {
            (Some(Limit::At(max)), Some(SwapLimit::Total(Limit::At(total)))) if total < max => {
                let reason = format!(
                    "is memory and swap together, and less than memory.limit, which is {max}"
                );
                Err(Error::invalid(field("memory.swap"), total.to_string(), reason))
            }
            (Some(Limit::Unlimited), Some(swap)) if swap.limit() != Limit::Unlimited => {
                let reason = "swap is limited only together with memory, which is to be unlimited";
                Err(refuse("memory.swap", swap.limit(), reason))
            }
            _ => Ok(()),
        }
    }

    fn validate_cpu(&self) -> Result<()> {
        let cpu = &self.cpu;
        if let Some(period) = cpu.period {
            let reason = "must lie between 1000 and 1000000 microseconds";
            within("cpu.period", period, 1_000, 1_000_000, reason)?;
        }
        if let Some(Limit::At(quota)) = cpu.quota {
            let reason = "must be at least 1000 microseconds, and less than 2^44";
            within("cpu.quota", quota, 1_000, QUOTA_LIMIT, reason)?;
        }
        if let Some(burst) = cpu.burst {
            let most = cpu.quota.and_then(Limit::value).unwrap_or(QUOTA_LIMIT);
            within("cpu.burst", burst, 0, most, "must not be more than the quota")?;
        }
        match cpu.share {
            Some(CpuShare::Weight(weight)) => {
                within("cpu.weight", weight, 1, WEIGHT_MAX, "must lie between 1 and 10000")?;
            }
            Some(CpuShare::Shares(shares)) => {
                let reason = "must lie between 2 and 262144";
                within("cpu.shares", shares, SHARES_MIN, SHARES_MAX, reason)?;
            }
            None => {}
        }
        let period = cpu.realtime_period;
        if let Some(period) = period {
            let reason = "must lie between 1 and 2^32 - 1 microseconds";
            within("cpu.realtimePeriod", period, 1, u64::from(u32::MAX), reason)?;
        }
        match cpu.realtime_runtime {
            Some(runtime) if runtime < -1 => {
                Err(refuse("cpu.realtimeRuntime", runtime, "is negative; -1 is no limit"))
            }
            Some(runtime)
                if period.is_some_and(|p| u64::try_from(runtime).is_ok_and(|r| r > p)) =>
            {
                let reason = "must not be more than cpu.realtimePeriod";
                Err(refuse("cpu.realtimeRuntime", runtime, reason))
            }
            _ => Ok(()),
        }
    }

    fn validate_block_io(&self) -> Result<()> {
        let block = &self.block_io;
        let weights = block.weight.into_iter().chain(block.device_weight.values().copied());
        let leaves =
            block.leaf_weight.into_iter().chain(block.device_leaf_weight.values().copied());
        let named = weights.map(|w| ("blockIO.weight", w));
        for (name, weight) in named.chain(leaves.map(|w| ("blockIO.leafWeight", w))) {
            within(name, u64::from(weight), 10, 1000, "must lie between 10 and 1000")?;
        }
        let numbers = [
            block.device_weight.keys().chain(block.device_leaf_weight.keys()).collect::<Vec<_>>(),
            block.read_bps.keys().chain(block.write_bps.keys()).collect(),
            block.read_iops.keys().chain(block.write_iops.keys()).collect(),
        ];
        for number in numbers.into_iter().flatten() {
            if number.major > MAJOR_MAX || number.minor > MINOR_MAX {
                return Err(refuse("blockIO", number, "majors have 12 bits, minors 20"));
            }
        }
        Ok(())
    }

    fn validate_names(&self) -> Result<()> {
        for size in self.hugepages.keys() {
            if !is_page_size(size) {
                let reason = "is no size such as 2MB or 1GB";
                return Err(refuse("hugepageLimits.pageSize", size, reason));
            }
        }
        for name in self.priorities.keys() {
            if name.is_empty() || name.len() > 15 || name.contains(['/', ' ', '\t', '\n', '\0']) {
                let reason = "is no name of a network interface";
                return Err(refuse("network.priorities.name", name, reason));
            }
        }
        for name in self.rdma.keys() {
            if name.is_empty() || name.contains(['/', ' ', '\t', '\n', '\0', '=']) {
                return Err(refuse("rdma", name, "is no name of an RDMA device"));
            }
        }
        for (file, value) in &self.unified {
            if let Some(reason) = fault_in_unified(file) {
                return Err(refuse("unified", file, reason));
            }
            if value.contains('\0') {
                return Err(refuse("unified", file, "its value has a NUL in it"));
            }
        }
        Ok(())
    }
}

fn is_page_size(text: &str) -> bool {
    let digits = text.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
    digits.len() + 2 == text.len()
        && !digits.is_empty()
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
}

fn fault_in_unified(file: &str) -> Option<&'static str> {
    const OF_EVERY_CGROUP: [&str; 3] =
        ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if file.contains('/') || !file.bytes().all(plain) {
        return Some("is no name of a file in a cgroup's directory");
    }
    match file.split_once('.') {
        None | Some(("", _)) | Some((_, "")) => Some("is not of the form CONTROLLER.PARAMETER"),
        Some(("cgroup", _)) if !OF_EVERY_CGROUP.contains(&file) => {
            Some("would move, stop or rearrange the cgroup; a limit is CONTROLLER.PARAMETER")
        }
        _ => None,
    }
}

/// The error for a field below `linux.resources`.
pub(in crate::cgroup) fn refuse(name: &str, value: impl ToString, reason: &'static str) -> Error {
    Error::invalid(field(name), value.to_string(), reason)
}

/// The full name of a field.
pub(in crate::cgroup) fn field(name: &str) -> String {
    format!("linux.resources.{name}")
}

fn within(name: &str, value: u64, least: u64, most: u64, reason: &'static str) -> Result<()> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(refuse(name, value, reason)) }
}

/// `PID_MAX_LIMIT` of a 64-bit kernel.
const PID_LIMIT: u64 = 4_194_304;
/// `MAX_BW` of the scheduler, in microseconds.
const QUOTA_LIMIT: u64 = (1 << 44) - 1;
/// The kernel takes from here on for "no limit".
const BYTES_LIMIT: u64 = (1 << 63) - 1 - 0xffff;
/// The kernel's `dev_t`: 12 bits and 20.
pub(in crate::cgroup) const MAJOR_MAX: u32 = 0xfff;
pub(in crate::cgroup) const MINOR_MAX: u32 = 0xf_ffff;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{DeviceNumber, IdSet, RdmaLimit};
    use crate::error::ErrorKind;

    #[test]
    fn impossible_values_are_refused() {
        let new = Resources::new;
        let far = DeviceNumber { major: 8, minor: 1 << 20 };
        for (what, bad) in [
            ("memory.limit", new().memory_max(0)),
            ("memory.limit", new().memory_max(100)),
            ("memory.limit", new().memory_max(u64::MAX)),
            ("memory.high", new().memory_high(1)),
            ("memory.swap", new().memory_max(8192).memory_and_swap_max(4096)),
            ("memory.swap", new().memory_max(Limit::Unlimited).memory_swap_max(4096)),
            ("memory.swappiness", new().memory_swappiness(101)),
            ("pids.limit", new().pids_max(0)),
            ("pids.limit", new().pids_max(5_000_000)),
            ("cpu.quota", new().cpu_quota(0, 100_000)),
            ("cpu.quota", new().cpu_quota(999, 100_000)),
            ("cpu.quota", new().cpu_quota(u64::MAX, 100_000)),
            ("cpu.period", new().cpu_quota(5_000, 999)),
            ("cpu.period", new().cpu_quota(5_000, 1_000_001)),
            ("cpu.quota", new().cpus(0.0)),
            ("cpu.quota", new().cpus(f64::NAN)),
            ("cpu.quota", new().cpus(f64::INFINITY)),
            ("cpu.quota", new().cpus(-2.0)),
            ("cpu.burst", new().cpu_quota(5_000, 10_000).cpu_burst(5_001)),
            ("cpu.weight", new().cpu_weight(0)),
            ("cpu.weight", new().cpu_weight(10_001)),
            ("cpu.shares", new().cpu_shares(1)),
            ("cpu.realtimeRuntime", new().cpu_realtime(2, 1)),
            ("cpu.realtimePeriod", new().cpu_realtime(0, 0)),
            ("cpu.cpus", new().cpuset_cpus(IdSet::default())),
            ("cpu.mems", new().cpuset_mems([9000].into_iter().collect())),
            ("blockIO.weight", new().block_weight(9)),
            ("blockIO", new().read_bps(far, 1)),
            ("hugepageLimits.pageSize", new().hugepages("2M", 0)),
            ("hugepageLimits.pageSize", new().hugepages("02MB", 0)),
            ("hugepageLimits.pageSize", new().hugepages("MB", 0)),
            ("network.priorities.name", new().network_priority("a b", 1)),
            ("rdma", new().rdma("", RdmaLimit::default())),
            ("unified", new().unified("../memory.max", "1")),
            ("unified", new().unified("memory", "1")),
            ("unified", new().unified("cgroup.procs", "1")),
            ("unified", new().unified("memory.", "1")),
        ] {
            let error = bad.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.step(), field(what), "{bad:?}");
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
        let raw = Resources::new().unified("io.latency", "8:0 target=5").hugepages("1GB", 0);
        raw.validate().unwrap();
        assert_eq!(raw.controllers().to_string(), "io, hugetlb");
    }
}
