//! [`Stats`]: what a cgroup uses and has used, in plain units.

use std::io;

use super::controller::{Controller, Version};
use super::dir;
use super::events::value_of;
use super::group::{Cgroup, Node};
use super::values::Limit;
use crate::error::{Error, Result};

/// A reading of a cgroup's accounts. `None`: this kernel or this cgroup does not count it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Memory, in bytes.
    pub memory: MemoryStats,
    /// Processor time, in nanoseconds.
    pub cpu: CpuStats,
    /// Tasks.
    pub pids: PidsStats,
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
    /// How often the use was about to pass the ceiling.
    pub limit_hits: Option<u64>,
    /// Processes killed because the ceiling was met.
    pub oom_kills: Option<u64>,
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
    /// Periods of the quota that passed with something to run.
    pub periods: Option<u64>,
    /// Of these, how many saw the quota used up.
    pub throttled_periods: Option<u64>,
    /// Nanoseconds that tasks spent waiting for the next period, over all processors.
    pub throttled_ns: Option<u64>,
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
        for controller in [Controller::CpuAcct, Controller::Cpu] {
            match self.node_of(controller) {
                Some((node, Version::V2)) => {
                    Reader { cgroup: self, node }.cpu_v2(&mut stats.cpu)?
                }
                Some((node, Version::V1)) if controller == Controller::Cpu => {
                    Reader { cgroup: self, node }.throttling_v1(&mut stats.cpu)?;
                }
                Some((node, Version::V1)) => {
                    Reader { cgroup: self, node }.usage_v1(&mut stats.cpu)?;
                }
                None => {}
            }
        }
        if let Some((node, _)) = self.node_of(Controller::Pids) {
            stats.pids = Reader { cgroup: self, node }.pids()?;
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

    fn memory_v2(&self) -> Result<MemoryStats> {
        let events = self.text("memory.events")?.unwrap_or_default();
        Ok(MemoryStats {
            current: self.number("memory.current")?,
            peak: self.number("memory.peak")?,
            limit: self.limit("memory.max")?,
            swap: self.number("memory.swap.current")?,
            limit_hits: value_of(&events, "max"),
            oom_kills: value_of(&events, "oom_kill"),
        })
    }

    fn memory_v1(&self) -> Result<MemoryStats> {
        let current = self.number("memory.usage_in_bytes")?;
        let with_swap = self.number("memory.memsw.usage_in_bytes")?;
        let events = self.text("memory.oom_control")?.unwrap_or_default();
        Ok(MemoryStats {
            current,
            peak: self.number("memory.max_usage_in_bytes")?,
            limit: self.limit("memory.limit_in_bytes")?,
            // Two counters read one after the other may cross.
            swap: with_swap.zip(current).map(|(both, memory)| both.saturating_sub(memory)),
            limit_hits: self.number("memory.failcnt")?,
            oom_kills: value_of(&events, "oom_kill"),
        })
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
        Ok(())
    }

    fn usage_v1(&self, cpu: &mut CpuStats) -> Result<()> {
        cpu.usage_ns = self.number("cpuacct.usage")?;
        cpu.user_ns = self.number("cpuacct.usage_user")?;
        cpu.system_ns = self.number("cpuacct.usage_sys")?;
        Ok(())
    }

    fn throttling_v1(&self, cpu: &mut CpuStats) -> Result<()> {
        let Some(text) = self.text("cpu.stat")? else {
            return Ok(());
        };
        cpu.periods = value_of(&text, "nr_periods");
        cpu.throttled_periods = value_of(&text, "nr_throttled");
        cpu.throttled_ns = value_of(&text, "throttled_time");
        Ok(())
    }

    fn pids(&self) -> Result<PidsStats> {
        let events = self.text("pids.events")?.unwrap_or_default();
        Ok(PidsStats {
            current: self.number("pids.current")?,
            limit: self.limit("pids.max")?,
            refused: value_of(&events, "max"),
        })
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
