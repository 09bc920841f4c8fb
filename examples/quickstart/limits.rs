//! The cgroup: limits that hold, and what is counted.

use std::os::unix::process::ExitStatusExt;

use container_core::cgroup::{Cgroup, Controllers, Hierarchy, Limit, OwnedCgroup, Resources};
use container_core::{Container, Error, ErrorKind, Stdio};

use crate::image::mebibytes;
use crate::made::Made;
use crate::story::Told;
use crate::{Result, ensure};

/// The ceilings: memory in bytes, tasks, processors.
const MEMORY: u64 = 64 << 20;
const TASKS: u64 = 32;
const CPUS: f64 = 0.5;

/// The container's cgroup, as far as this user may have one.
pub(crate) enum Limits {
    /// With the limits in force.
    Full(OwnedCgroup),
    /// It can be paused and counted, and not limited; and one beside it for who must not be.
    Bare(OwnedCgroup, OwnedCgroup),
    /// None at all.
    Absent,
}

impl Limits {
    /// The cgroup, if there is one.
    pub(crate) fn cgroup(&self) -> Option<&OwnedCgroup> {
        match self {
            Self::Full(cgroup) | Self::Bare(cgroup, _) => Some(cgroup),
            Self::Absent => None,
        }
    }

    /// A cgroup for processes that go on while the container is paused.
    pub(crate) fn beside(&self) -> Option<&Cgroup> {
        match self {
            Self::Bare(_, beside) => Some(beside),
            _ => None,
        }
    }

    /// Removes it.
    pub(crate) fn close(self) -> Result<()> {
        match self {
            Self::Full(cgroup) => Ok(cgroup.close()?),
            Self::Bare(cgroup, beside) => Ok(cgroup.close().and(beside.close())?),
            Self::Absent => Ok(()),
        }
    }
}

/// Makes the cgroup with the limits; what an ordinary user can't have is told and left out.
pub(crate) fn make(told: &mut Told, made: &mut Made, name: &str) -> Result<Limits> {
    let resources = Resources::new().memory_max(MEMORY).pids_max(TASKS).cpus(CPUS);
    let refusal = match try_make(name, Some(&resources)) {
        Ok(cgroup) => {
            note(made, &cgroup);
            verify(&cgroup)?;
            let memory = mebibytes(MEMORY);
            told.say(format!("{memory} of memory, {TASKS} tasks, {CPUS} processors"));
            told.say(format!("{} hierarchy, as {}", cgroup.hierarchy().layout(), cgroup.path()));
            return Ok(Limits::Full(cgroup));
        }
        Err(error) if is_refusal(&error) => error,
        Err(error) => return Err(error.into()),
    };
    let bare = || Ok((try_make(name, None)?, try_make(&format!("{name}-client"), None)?));
    match bare() {
        Ok((cgroup, beside)) => {
            note(made, &cgroup);
            note(made, &beside);
            told.say(format!(
                "one to pause and to count; limits on memory, tasks and processors were left out, \
                 because of: {refusal}"
            ));
            Ok(Limits::Bare(cgroup, beside))
        }
        Err::<_, Error>(_) => {
            told.say(format!("left out, and limits with it, because of: {refusal}"));
            Ok(Limits::Absent)
        }
    }
}

/// Whether this user, or this machine, has no cgroups to give.
fn is_refusal(error: &Error) -> bool {
    let read_only = error.raw_os_error() == Some(nix::errno::Errno::EROFS as i32);
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) || read_only
}

fn try_make(name: &str, resources: Option<&Resources>) -> container_core::Result<OwnedCgroup> {
    let hierarchy = Hierarchy::discover()?;
    let delegation = hierarchy.delegation()?;
    let mut controllers = Controllers::NONE;
    if let Some(resources) = resources {
        controllers = resources.controllers() | (Controllers::STATISTICS & delegation.controllers);
    }
    let cgroup = hierarchy.create(&delegation.path_of(name)?, controllers)?.owned();
    if let Some(resources) = resources {
        cgroup.apply(resources)?;
    }
    Ok(cgroup)
}

fn note(made: &mut Made, cgroup: &OwnedCgroup) {
    for directory in cgroup.directories() {
        made.path("cgroup", directory);
    }
}

/// Reads back from the kernel what it will enforce.
fn verify(cgroup: &OwnedCgroup) -> Result<()> {
    let stats = cgroup.stats()?;
    let found = (stats.memory.limit, stats.pids.limit);
    let wanted = (Some(Limit::At(MEMORY)), Some(Limit::At(TASKS)));
    ensure(found == wanted, || format!("the kernel has other limits: {found:?}"))
}

/// Runs into each of the limits, and tells what was counted.
pub(crate) fn prove(told: &mut Told, limits: &Limits, container: &Container) -> Result<()> {
    if matches!(limits, Limits::Full(_)) {
        let refused = tasks(container)?;
        let took = processor(container)?;
        let end = memory(container)?;
        told.say(format!(
            "limits hold: task {refused} was refused, 120 ms of work took {took} ms,"
        ));
        told.say(format!("a program that wanted 128 MiB {end}"));
    }
    if limits.cgroup().is_none() {
        let resident = resident(container)?;
        told.say(format!("without a cgroup only /proc tells: the first process uses {resident}"));
        return Ok(());
    }
    let stats = container.stats()?;
    let mut used = Vec::new();
    if let Some(bytes) = stats.memory.current {
        let peak = stats.memory.peak.map(|peak| format!(" (at most {})", mebibytes(peak)));
        used.push(format!("memory {}{}", mebibytes(bytes), peak.unwrap_or_default()));
    } else {
        used.push(format!("memory {} by its first process", resident(container)?));
    }
    if let Some(time) = stats.cpu.usage_ns {
        used.push(format!("processor {} ms", time / 1_000_000));
    }
    if let Some(tasks) = stats.pids.current {
        used.push(format!("tasks {tasks}"));
    }
    ensure(stats.cpu.usage_ns.is_some_and(|time| time > 0), || {
        "the cgroup counted no processor time".into()
    })?;
    told.say(format!("used: {}", used.join(", ")));
    Ok(())
}

/// The memory of the first process, as proc_pid_status(5) has it.
fn resident(container: &Container) -> Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.ok_or("no VmRSS of the container's first process")?.trim().to_owned())
}

fn tasks(container: &Container) -> Result<u64> {
    let output = container.exec("/bin/quickstart-server")?.args(["threads", "64"]).output()?;
    let started: u64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    let refused = container.stats()?.pids.refused;
    ensure(started < TASKS && refused.is_some_and(|count| count > 0), || {
        format!("{started} threads were started, {refused:?} refused, with {TASKS} tasks allowed")
    })?;
    // Beside these there are the first thread and the server.
    Ok(started + 3)
}

fn processor(container: &Container) -> Result<u64> {
    let output = container.exec("/bin/quickstart-server")?.args(["burn", "120"]).output()?;
    let took: u64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    let throttled = container.stats()?.cpu.throttled_periods;
    ensure(throttled.is_some_and(|periods| periods > 0), || {
        format!("120 ms of work took {took} ms and was not throttled: {throttled:?}")
    })?;
    Ok(took)
}

fn memory(container: &Container) -> Result<&'static str> {
    let status = container
        .exec("/bin/quickstart-server")?
        .args(["take", "128"])
        .stdout(Stdio::Null)
        .spawn()?
        .wait()?;
    let stats = container.stats()?.memory;
    let bounded = stats.limit_hits.is_some_and(|hits| hits > 0)
        && stats.peak.is_none_or(|peak| peak <= MEMORY);
    let end = match (status.signal(), status.success()) {
        (Some(9), _) => "was killed",
        // With swap space the kernel moves pages there instead.
        (_, true) => "was held down by swapping",
        _ => return Err(format!("a program took 128 MiB and ended with {status}").into()),
    };
    ensure(bounded, || format!("128 MiB were taken of {MEMORY} bytes: {stats:?}"))?;
    Ok(end)
}
