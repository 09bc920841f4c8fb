//! Reading memory, processor time and tasks.

use std::collections::BTreeMap;

use super::{CpuStats, CpuTime, MemoryStats, PidsStats, Reader};
use crate::cgroup::controller::{Controller, Version};
use crate::cgroup::events::value_of;
use crate::cgroup::group::Cgroup;
use crate::error::Result;

impl Cgroup {
    pub(super) fn read_cpu(&self, cpu: &mut CpuStats) -> Result<()> {
        for controller in [Controller::CpuAcct, Controller::Cpu] {
            match self.node_of(controller) {
                Some((node, Version::V2)) => Reader { cgroup: self, node }.cpu_v2(cpu)?,
                Some((node, Version::V1)) if controller == Controller::Cpu => {
                    Reader { cgroup: self, node }.throttling_v1(cpu)?;
                }
                Some((node, Version::V1)) => Reader { cgroup: self, node }.usage_v1(cpu)?,
                None => {}
            }
        }
        // Only v1 tells processors apart, also beside v2.
        let v1 = self.hierarchy.index_of_v1(Controller::CpuAcct);
        if let Some(node) = self.nodes.iter().find(|node| Some(node.mount) == v1) {
            cpu.per_cpu = Reader { cgroup: self, node }.per_cpu()?;
        }
        Ok(())
    }
}

impl Reader<'_> {
    pub(super) fn memory_v2(&self) -> Result<MemoryStats> {
        let events = self.text("memory.events")?.unwrap_or_default();
        let swap_events = self.text("memory.swap.events")?.unwrap_or_default();
        let details = self.table("memory.stat")?;
        Ok(MemoryStats {
            current: self.number("memory.current")?,
            peak: self.number("memory.peak")?,
            limit: self.limit("memory.max")?,
            swap: self.number("memory.swap.current")?,
            swap_limit: self.limit("memory.swap.max")?,
            swap_peak: self.number("memory.swap.peak")?,
            limit_hits: value_of(&events, "max"),
            swap_limit_hits: value_of(&swap_events, "max"),
            oom_kills: value_of(&events, "oom_kill"),
            cache: details.get("file").copied(),
            kernel: details.get("kernel").copied(),
            kernel_tcp: details.get("sock").copied(),
            details,
        })
    }

    pub(super) fn memory_v1(&self) -> Result<MemoryStats> {
        let current = self.number("memory.usage_in_bytes")?;
        let with_swap = self.number("memory.memsw.usage_in_bytes")?;
        let events = self.text("memory.oom_control")?.unwrap_or_default();
        let details = self.table("memory.stat")?;
        Ok(MemoryStats {
            current,
            peak: self.number("memory.max_usage_in_bytes")?,
            limit: self.limit("memory.limit_in_bytes")?,
            // Two counters read one after the other may cross.
            swap: with_swap.zip(current).map(|(both, memory)| both.saturating_sub(memory)),
            swap_limit: self.limit("memory.memsw.limit_in_bytes")?,
            swap_peak: self.number("memory.memsw.max_usage_in_bytes")?,
            limit_hits: self.number("memory.failcnt")?,
            swap_limit_hits: self.number("memory.memsw.failcnt")?,
            oom_kills: value_of(&events, "oom_kill"),
            cache: details.get("total_cache").copied(),
            kernel: self.number("memory.kmem.usage_in_bytes")?,
            kernel_tcp: self.number("memory.kmem.tcp.usage_in_bytes")?,
            details,
        })
    }

    /// A file of `key value` lines.
    fn table(&self, file: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.text(file)?.unwrap_or_default();
        let pairs = text.lines().filter_map(|line| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_owned(), value.parse().ok()?))
        });
        Ok(pairs.collect())
    }

    /// Usage is there for every v2 cgroup, throttling only with the cpu controller.
    fn cpu_v2(&self, cpu: &mut CpuStats) -> Result<()> {
        let Some(text) = self.text("cpu.stat")? else {
            return Ok(());
        };
        let nanoseconds = |key| value_of(&text, key).map(|us| us.saturating_mul(1000));
        cpu.usage_ns = nanoseconds("usage_usec");
        cpu.user_ns = nanoseconds("user_usec");
        cpu.system_ns = nanoseconds("system_usec");
        cpu.periods = value_of(&text, "nr_periods");
        cpu.throttled_periods = value_of(&text, "nr_throttled");
        cpu.throttled_ns = nanoseconds("throttled_usec");
        cpu.bursts = value_of(&text, "nr_bursts");
        cpu.burst_ns = nanoseconds("burst_usec");
        Ok(())
    }

    fn usage_v1(&self, cpu: &mut CpuStats) -> Result<()> {
        cpu.usage_ns = self.number("cpuacct.usage")?;
        cpu.user_ns = self.number("cpuacct.usage_user")?;
        cpu.system_ns = self.number("cpuacct.usage_sys")?;
        Ok(())
    }

    fn per_cpu(&self) -> Result<Vec<CpuTime>> {
        let text = self.text("cpuacct.usage_all")?.unwrap_or_default();
        // The first line is `cpu user system`.
        let times = text.lines().skip(1).filter_map(|line| {
            let mut fields = line.split(' ').skip(1).map(|field| field.parse().ok());
            Some(CpuTime { user_ns: fields.next()??, system_ns: fields.next()?? })
        });
        Ok(times.collect())
    }

    fn throttling_v1(&self, cpu: &mut CpuStats) -> Result<()> {
        let Some(text) = self.text("cpu.stat")? else {
            return Ok(());
        };
        cpu.periods = value_of(&text, "nr_periods");
        cpu.throttled_periods = value_of(&text, "nr_throttled");
        cpu.throttled_ns = value_of(&text, "throttled_time");
        cpu.bursts = value_of(&text, "nr_bursts");
        cpu.burst_ns = value_of(&text, "burst_time");
        Ok(())
    }

    pub(super) fn pids(&self) -> Result<PidsStats> {
        let events = self.text("pids.events")?.unwrap_or_default();
        Ok(PidsStats {
            current: self.number("pids.current")?,
            limit: self.limit("pids.max")?,
            refused: value_of(&events, "max"),
        })
    }
}
