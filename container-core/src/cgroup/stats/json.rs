//! The form that `runc events --stats` prints, which engines read.

use serde_json::{Map, Value, json};

use super::{DeviceIo, IoStats, Pressure, PressureShare, Stats};
use crate::cgroup::values::Limit;

impl Stats {
    /// The reading as the `data` of `runc events`: times in nanoseconds, sizes in bytes.
    ///
    /// As there, swap is counted together with memory, no limit is the largest number
    /// (but 0 for tasks), and what is not known is 0 or left out.
    ///
    /// ```
    /// use container_core::cgroup::Stats;
    ///
    /// let json = Stats::default().to_runc_json();
    /// assert_eq!(json["memory"]["usage"]["usage"], 0);
    /// ```
    #[must_use]
    pub fn to_runc_json(&self) -> Value {
        let hugepages = self.hugepages.iter().map(|(size, stats)| {
            let count = json!({
                "usage": or_zero(stats.current),
                "max": or_zero(stats.peak),
                "failcnt": or_zero(stats.limit_hits),
            });
            (size.clone(), count)
        });
        json!({
            "cpu": self.cpu_json(),
            "cpuset": {},
            "memory": self.memory_json(),
            "pids": {
                "current": or_zero(self.pids.current),
                "limit": self.pids.limit.and_then(Limit::value).unwrap_or(0),
            },
            "blkio": block_json(&self.io, self.pressure.io),
            "hugetlb": hugepages.collect::<Map<_, _>>(),
            "intel_rdt": {},
            "network_interfaces": null,
        })
    }

    fn cpu_json(&self) -> Value {
        let cpu = &self.cpu;
        let mut usage = json!({
            "total": or_zero(cpu.usage_ns),
            "kernel": or_zero(cpu.system_ns),
            "user": or_zero(cpu.user_ns),
        });
        if !cpu.per_cpu.is_empty() {
            let each = |time: fn(&super::CpuTime) -> u64| {
                cpu.per_cpu.iter().map(|one| Value::from(time(one))).collect::<Vec<_>>()
            };
            usage["percpu"] = each(|one| one.user_ns + one.system_ns).into();
            usage["percpu_user"] = each(|one| one.user_ns).into();
            usage["percpu_kernel"] = each(|one| one.system_ns).into();
        }
        let throttling = json!({
            "periods": or_zero(cpu.periods),
            "throttledPeriods": or_zero(cpu.throttled_periods),
            "throttledTime": or_zero(cpu.throttled_ns),
        });
        with_pressure(json!({ "usage": usage, "throttling": throttling }), self.pressure.cpu)
    }

    fn memory_json(&self) -> Value {
        let memory = &self.memory;
        let used = or_zero(memory.current);
        let together = json!({
            "limit": limit(memory.swap_limit),
            "usage": used.saturating_add(or_zero(memory.swap)),
            "max": or_zero(memory.swap_peak),
            "failcnt": or_zero(memory.swap_limit_hits),
        });
        let counted =
            |usage: Option<u64>| json!({ "limit": 0, "usage": or_zero(usage), "failcnt": 0 });
        let all = json!({
            "cache": or_zero(memory.cache),
            "usage": {
                "limit": limit(memory.limit),
                "usage": used,
                "max": or_zero(memory.peak),
                "failcnt": or_zero(memory.limit_hits),
            },
            "swap": together,
            "kernel": counted(memory.kernel),
            "kernelTCP": counted(memory.kernel_tcp),
            "raw": memory.details,
        });
        with_pressure(all, self.pressure.memory)
    }
}

fn block_json(io: &IoStats, pressure: Option<Pressure>) -> Value {
    let entries = |counts: fn(&DeviceIo) -> [(&'static str, u64); 3]| {
        let all = io.devices.iter().flat_map(|(device, io)| {
            counts(io).map(|(op, value)| {
                json!({ "major": device.major, "minor": device.minor, "op": op, "value": value })
            })
        });
        all.collect::<Vec<_>>()
    };
    let bytes = entries(|io| {
        [("Read", io.read_bytes), ("Write", io.written_bytes), ("Discard", io.discarded_bytes)]
    });
    let served = entries(|io| [("Read", io.reads), ("Write", io.writes), ("Discard", io.discards)]);
    let mut all = Map::new();
    if !bytes.is_empty() {
        all.insert("ioServiceBytesRecursive".to_owned(), bytes.into());
        all.insert("ioServicedRecursive".to_owned(), served.into());
    }
    with_pressure(all.into(), pressure)
}

fn with_pressure(mut value: Value, pressure: Option<Pressure>) -> Value {
    let share = |share: PressureShare| {
        json!({
            "avg10": share.avg10,
            "avg60": share.avg60,
            "avg300": share.avg300,
            "total": share.total_us,
        })
    };
    if let Some(pressure) = pressure {
        value["psi"] = json!({ "some": share(pressure.some), "full": share(pressure.full) });
    }
    value
}

fn or_zero(count: Option<u64>) -> u64 {
    count.unwrap_or(0)
}

fn limit(limit: Option<Limit>) -> u64 {
    match limit {
        Some(Limit::At(at)) => at,
        Some(Limit::Unlimited) => u64::MAX,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::resources::DeviceNumber;

    #[test]
    fn the_form_of_runc() {
        let mut stats = Stats::default();
        stats.memory.current = Some(100);
        stats.memory.swap = Some(7);
        stats.memory.limit = Some(Limit::Unlimited);
        stats.pids.limit = Some(Limit::Unlimited);
        stats.pressure.memory = Some(Pressure::default());
        let io = DeviceIo { read_bytes: 5, writes: 2, ..DeviceIo::default() };
        stats.io.devices.insert(DeviceNumber { major: 8, minor: 1 }, io);
        let json = stats.to_runc_json();
        assert_eq!(json["memory"]["swap"]["usage"], 107);
        assert_eq!(json["memory"]["usage"]["limit"], u64::MAX);
        assert_eq!(json["memory"]["psi"]["some"]["total"], 0);
        assert_eq!(json["pids"]["limit"], 0);
        let first = json!({ "major": 8, "minor": 1, "op": "Read", "value": 5 });
        assert_eq!(json["blkio"]["ioServiceBytesRecursive"][0], first);
        assert_eq!(json["blkio"]["ioServicedRecursive"][1]["value"], 2);
        assert!(json["cpu"].get("psi").is_none());
    }
}
