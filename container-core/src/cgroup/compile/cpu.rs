//! Processor time.

use super::{Present, Writes, max, minus_one, no_such_limit};
use crate::cgroup::controller::{Controller, Version};
use crate::cgroup::resources::Cpu;
use crate::cgroup::values::Limit;
use crate::error::Result;

impl Writes {
    pub(super) fn cpu_v2(&mut self, cpu: &Cpu, present: &Present) -> Result<()> {
        if cpu.realtime_runtime.is_some() || cpu.realtime_period.is_some() {
            return Err(no_such_limit("cpu.realtimeRuntime", Version::V2, "leave it out"));
        }
        self.share(cpu, "cpu.weight", cpu.share.map(|share| share.weight()));
        let ceiling = (cpu.quota.is_some() || cpu.period.is_some()).then(|| {
            let quota = cpu.quota.unwrap_or(present.cpu.quota);
            let period = cpu.period.unwrap_or(present.cpu.period);
            vec![("cpu.max", format!("{} {period}", max(quota)))]
        });
        self.with_burst(cpu, present, "cpu.max.burst", ceiling.unwrap_or_default());
        Ok(())
    }

    pub(super) fn cpu_v1(&mut self, cpu: &Cpu, present: &Present) {
        self.share(cpu, "cpu.shares", cpu.share.map(|share| share.shares()));
        let quota = cpu.quota.map(|quota| ("cpu.cfs_quota_us", minus_one(quota)));
        let period = cpu.period.map(|period| ("cpu.cfs_period_us", period.to_string()));
        // The ratio of the two must not pass the parent's in between.
        let shrinks = cpu.period.is_some_and(|period| period < present.cpu.period);
        let order = if shrinks { [quota, period] } else { [period, quota] };
        let ceiling = order.into_iter().flatten().collect();
        self.with_burst(cpu, present, "cpu.cfs_burst_us", ceiling);
        if let Some(period) = cpu.realtime_period {
            self.add(Controller::Cpu, "cpu.rt_period_us", period.to_string());
        }
        if let Some(runtime) = cpu.realtime_runtime {
            self.add(Controller::Cpu, "cpu.rt_runtime_us", runtime.to_string());
        }
    }

    /// An idle cgroup takes no share: idle last when it is to be, first when no more.
    fn share(&mut self, cpu: &Cpu, file: &'static str, share: Option<u64>) {
        if cpu.idle == Some(false) {
            self.add(Controller::Cpu, "cpu.idle", "0".to_owned());
            self.optionally();
        }
        if let Some(share) = share {
            self.add(Controller::Cpu, file, share.to_string());
        }
        if cpu.idle == Some(true) {
            self.add(Controller::Cpu, "cpu.idle", "1".to_owned());
        }
    }

    /// The kernel keeps the burst within the quota at every moment.
    fn with_burst(
        &mut self,
        cpu: &Cpu,
        present: &Present,
        file: &'static str,
        ceiling: Vec<(&'static str, String)>,
    ) {
        let burst = cpu.burst.map(|burst| (file, burst.to_string()));
        let lowers = match (cpu.quota, present.cpu.quota) {
            (Some(Limit::At(new)), Limit::At(old)) => new < old,
            (Some(Limit::At(_)), Limit::Unlimited) => false,
            _ => false,
        };
        let (first, last) = if lowers { (burst, None) } else { (None, burst) };
        for (file, value) in first.into_iter().chain(ceiling).chain(last) {
            self.add(Controller::Cpu, file, value);
        }
    }
}
