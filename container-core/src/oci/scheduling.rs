//! How the kernel serves the process: `process.scheduler`, `ioPriority`,
//! `execCPUAffinity`, `linux.memoryPolicy` and `personality`.

use std::fmt::Display;

use oci_spec::runtime::{
    ExecCPUAffinity, LinuxIOPriority, LinuxMemoryPolicy, LinuxPersonality, LinuxSchedulerFlag,
    Scheduler as Described,
};

use super::field::{invalid, unsupported};
use crate::cgroup::IdSet;
use crate::error::{Error, Result};
use crate::scheduling::{
    CpuAffinity, IoPriority, MemoryPolicy, Personality, Policy, Scheduler, SchedulerFlag,
};

/// A name of the specification as a typed value; the name as the crate's type
/// prints it.
fn named<T: std::str::FromStr<Err = Error>>(field: &str, name: impl Display) -> Result<T> {
    name.to_string().parse().map_err(|error: Error| error.in_field(field))
}

pub(super) fn scheduler(described: &Described) -> Result<Scheduler> {
    let field = "process.scheduler";
    let policy: Policy = named(&format!("{field}.policy"), described.policy())?;
    let mut scheduler = Scheduler::new(policy);
    if let Some(nice) = *described.nice() {
        scheduler = scheduler.nice(nice);
    }
    if let Some(priority) = *described.priority() {
        let wrong = |_| invalid(format!("{field}.priority"), format!("{priority}: negative"));
        scheduler = scheduler.priority(u32::try_from(priority).map_err(wrong)?);
    }
    let time = |time: &Option<u64>| time.unwrap_or_default();
    scheduler = scheduler.deadline(
        time(described.runtime()),
        time(described.deadline()),
        time(described.period()),
    );
    for (index, flag) in described.flags().iter().flatten().enumerate() {
        let field = format!("{field}.flags[{index}]");
        let flag = scheduler_flag(*flag);
        if matches!(flag, SchedulerFlag::UtilClampMin | SchedulerFlag::UtilClampMax) {
            return Err(unsupported(field, "the specification has no field for the utilisation"));
        }
        scheduler = scheduler.flag(flag);
    }
    scheduler.check().map_err(|error| error.in_field(field))?;
    Ok(scheduler)
}

fn scheduler_flag(flag: LinuxSchedulerFlag) -> SchedulerFlag {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => SchedulerFlag::ResetOnFork,
        LinuxSchedulerFlag::SchedFlagReclaim => SchedulerFlag::Reclaim,
        LinuxSchedulerFlag::SchedFlagDLOverrun => SchedulerFlag::DeadlineOverrun,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => SchedulerFlag::KeepPolicy,
        LinuxSchedulerFlag::SchedFlagKeepParams => SchedulerFlag::KeepParams,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => SchedulerFlag::UtilClampMin,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => SchedulerFlag::UtilClampMax,
    }
}

pub(super) fn io_priority(described: &LinuxIOPriority) -> Result<IoPriority> {
    let field = "process.ioPriority";
    let class = named(&format!("{field}.class"), described.class())?;
    let level = u8::try_from(described.priority()).unwrap_or(u8::MAX);
    IoPriority::new(class, level).map_err(|error| error.in_field(format!("{field}.priority")))
}

pub(super) fn affinity(described: &ExecCPUAffinity) -> Result<CpuAffinity> {
    let field = "process.execCPUAffinity";
    let set = |name: &str, list: &Option<String>| -> Result<Option<IdSet>> {
        match list.as_deref() {
            Some(list) if !list.is_empty() => named(&format!("{field}.{name}"), list).map(Some),
            _ => Ok(None),
        }
    };
    let mut affinity = CpuAffinity::none();
    if let Some(cpus) = set("initial", described.initial())? {
        affinity = affinity.before(cpus);
    }
    if let Some(cpus) = set("final", described.cpu_affinity_final())? {
        affinity = affinity.after(cpus);
    }
    affinity.check().map_err(|error| error.in_field(field))?;
    Ok(affinity)
}

pub(super) fn memory_policy(described: &LinuxMemoryPolicy) -> Result<MemoryPolicy> {
    let field = "linux.memoryPolicy";
    let mut policy = MemoryPolicy::new(named(&format!("{field}.mode"), described.mode())?);
    if let Some(nodes) = described.nodes().as_deref().filter(|nodes| !nodes.is_empty()) {
        policy = policy.nodes(named(&format!("{field}.nodes"), nodes)?);
    }
    for (index, flag) in described.flags().iter().flatten().enumerate() {
        policy = policy.flag(named(&format!("{field}.flags[{index}]"), flag)?);
    }
    policy.check().map_err(|error| error.in_field(field))?;
    Ok(policy)
}

pub(super) fn personality(described: &LinuxPersonality) -> Result<Personality> {
    let field = "linux.personality";
    if described.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        let reason = "the specification defines no flag yet";
        return Err(unsupported(format!("{field}.flags"), reason));
    }
    let name = serde_json::to_value(described.domain()).unwrap_or_default();
    named(&format!("{field}.domain"), name.as_str().unwrap_or_default())
}
