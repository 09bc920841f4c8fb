//! How the kernel serves the process, as a spec says it.

use std::fmt::Display;

use oci_spec::runtime::{
    ExecCPUAffinity, IOPriorityClass, LinuxIOPriority, LinuxIOPriorityBuilder, LinuxMemoryPolicy,
    LinuxPersonality, LinuxSchedulerFlag, Scheduler as Described,
};

use super::{built, unsayable};
use crate::cgroup::IdSet;
use crate::error::Result;
use crate::scheduling::{
    CpuAffinity, IoPriority, MemoryPolicy, MemoryPolicyFlag, Personality, Policy, Scheduler,
    SchedulerFlag,
};

pub(super) fn scheduler(scheduler: &Scheduler) -> Result<Described> {
    let field = "process.scheduler";
    if scheduler.util_min != 0 || scheduler.util_max != 0 {
        return Err(unsayable(field, "a utilisation"));
    }
    let policy = named(field, scheduler.policy().name())?;
    let real_time = matches!(scheduler.policy(), Policy::Fifo | Policy::RoundRobin);
    let flags: Vec<_> =
        SchedulerFlag::ALL.into_iter().filter(|flag| scheduler.has(*flag)).map(flag).collect();
    let mut described = Described::default();
    described
        .set_policy(policy)
        .set_nice((scheduler.nice != 0).then_some(scheduler.nice))
        .set_priority(real_time.then_some(scheduler.priority as i32))
        .set_flags((!flags.is_empty()).then_some(flags));
    if scheduler.policy() == Policy::Deadline {
        described
            .set_runtime(Some(scheduler.runtime))
            .set_deadline(Some(scheduler.deadline))
            .set_period(Some(scheduler.period));
    }
    Ok(described)
}

fn flag(flag: SchedulerFlag) -> LinuxSchedulerFlag {
    match flag {
        SchedulerFlag::ResetOnFork => LinuxSchedulerFlag::SchedResetOnFork,
        SchedulerFlag::Reclaim => LinuxSchedulerFlag::SchedFlagReclaim,
        SchedulerFlag::DeadlineOverrun => LinuxSchedulerFlag::SchedFlagDLOverrun,
        SchedulerFlag::KeepPolicy => LinuxSchedulerFlag::SchedFlagKeepPolicy,
        SchedulerFlag::KeepParams => LinuxSchedulerFlag::SchedFlagKeepParams,
        SchedulerFlag::UtilClampMin => LinuxSchedulerFlag::SchedFlagUtilClampMin,
        SchedulerFlag::UtilClampMax => LinuxSchedulerFlag::SchedFlagUtilClampMax,
    }
}

pub(super) fn io_priority(priority: IoPriority) -> Result<LinuxIOPriority> {
    let field = "process.ioPriority";
    let class: IOPriorityClass = named(field, priority.class().name())?;
    let described = LinuxIOPriorityBuilder::default().class(class).priority(priority.level());
    built(field, described.build())
}

pub(super) fn affinity(affinity: &CpuAffinity) -> Option<ExecCPUAffinity> {
    let list = |cpus: Option<&IdSet>| cpus.map(ToString::to_string);
    let (before, after) = (list(affinity.get_before()), list(affinity.get_after()));
    (before.is_some() || after.is_some()).then(|| {
        let mut described = ExecCPUAffinity::default();
        described.set_initial(before).set_cpu_affinity_final(after);
        described
    })
}

pub(super) fn memory_policy(policy: &MemoryPolicy) -> Result<LinuxMemoryPolicy> {
    let field = "linux.memoryPolicy";
    let flags = MemoryPolicyFlag::ALL
        .into_iter()
        .filter(|flag| policy.flags & flag.bit() != 0)
        .map(|flag| named(field, flag.name()))
        .collect::<Result<Vec<_>>>()?;
    let nodes = (!policy.nodes.is_empty()).then(|| policy.nodes.to_string());
    let mut described = LinuxMemoryPolicy::default();
    described
        .set_mode(named(field, policy.mode.name())?)
        .set_nodes(nodes)
        .set_flags((!flags.is_empty()).then_some(flags));
    Ok(described)
}

pub(super) fn personality(personality: Personality) -> Result<LinuxPersonality> {
    let mut described = LinuxPersonality::default();
    described.set_domain(named("linux.personality", personality.name())?);
    Ok(described)
}

fn named<T: std::str::FromStr>(field: impl Display, name: &str) -> Result<T> {
    name.parse().map_err(|_| unsayable(field, name))
}
