//! `process`: the program, who it runs as and what it may do.

use std::collections::HashSet;

use oci_spec::runtime::{
    Capabilities as Names, LinuxCapabilities, PosixRlimit, Process, User as Ids,
};

use super::field::{inside, invalid, no_nul};
use super::scheduling;
use crate::capability::{Capabilities, Capability, CapabilitySet};
use crate::error::Result;
use crate::lsm;
use crate::namespace::{Namespace, NamespaceKind};
use crate::process::{Description, ProcessBuilder, WindowSize};
use crate::rlimit::{Resource, Rlimit};
use crate::user::UserSpec;

/// Puts what the spec says about a process on top of `base`; what it does not
/// mention stays as it is there, but capabilities that neither has are none. For a process that joins a container `base`
/// is what the container's
/// [`exec`](crate::container::Container::exec) gives.
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) or
/// [`Unsupported`](crate::ErrorKind::Unsupported) naming the field.
pub fn process(spec: &Process, base: ProcessBuilder) -> Result<ProcessBuilder> {
    process_noting(spec, base, &mut Vec::new())
}

/// Likewise; `ignored` gets what the specification wants to be warned about.
pub(super) fn process_noting(
    spec: &Process,
    base: ProcessBuilder,
    ignored: &mut Vec<String>,
) -> Result<ProcessBuilder> {
    let mut builder = program(spec, base)?;
    builder = builder.new_session(true).exact_environment().user(user(spec.user())?);
    if !spec.cwd().is_absolute() {
        return Err(invalid("process.cwd", "required, an absolute path"));
    }
    builder = builder.current_dir(inside("process.cwd", spec.cwd())?);
    if spec.terminal() == Some(true) {
        builder = builder.terminal(window(spec)?);
    }
    if let Some(names) = spec.capabilities() {
        let available = available(&builder.description)?;
        builder = builder.capabilities(capabilities(names, available, ignored)?);
    } else if builder.description.capabilities.is_none() {
        // What runtimes have agreed on where the specification is silent.
        builder = builder.capabilities(Capabilities::none());
    }
    for limit in rlimits(spec.rlimits().as_deref().unwrap_or_default())? {
        builder = builder.rlimit(limit);
    }
    if let Some(on) = spec.no_new_privileges() {
        builder = builder.no_new_privileges(on);
    }
    if let Some(score) = spec.oom_score_adj() {
        if !(-1000..=1000).contains(&score) {
            return Err(invalid("process.oomScoreAdj", format!("{score}: out of -1000 to 1000")));
        }
        builder = builder.oom_score_adj(score);
    }
    if spec.command_line().is_some() {
        ignored.push("process.commandLine: for Windows only".into());
    }
    if spec.user().username().is_some() {
        ignored.push("process.user.username: for Windows only".into());
    }
    settings(spec, builder)
}

/// Settings of the kernel for this process.
fn settings(spec: &Process, mut builder: ProcessBuilder) -> Result<ProcessBuilder> {
    if let Some(described) = spec.scheduler() {
        builder = builder.scheduler(scheduling::scheduler(described)?);
    }
    if let Some(described) = spec.io_priority() {
        builder = builder.io_priority(scheduling::io_priority(described)?);
    }
    if let Some(described) = spec.exec_cpu_affinity() {
        builder = builder.cpu_affinity(scheduling::affinity(described)?);
    }
    if let Some(profile) = spec.apparmor_profile().as_deref().filter(|text| !text.is_empty()) {
        let field = "process.apparmorProfile";
        no_nul(field, profile)?;
        lsm::apparmor_attribute(profile.as_ref()).map_err(|error| error.in_field(field))?;
        builder = builder.apparmor_profile(profile);
    }
    if let Some(label) = spec.selinux_label().as_deref().filter(|text| !text.is_empty()) {
        let field = "process.selinuxLabel";
        no_nul(field, label)?;
        lsm::selinux_attribute(label.as_ref()).map_err(|error| error.in_field(field))?;
        builder = builder.selinux_label(label);
    }
    Ok(builder)
}

fn program(spec: &Process, mut builder: ProcessBuilder) -> Result<ProcessBuilder> {
    let arguments = spec.args().as_deref().unwrap_or_default();
    for (index, argument) in arguments.iter().enumerate() {
        no_nul(format_args!("process.args[{index}]"), argument)?;
    }
    let Some((program, arguments)) = arguments.split_first() else {
        return Err(invalid("process.args", "required, with the program at least"));
    };
    if program.is_empty() {
        return Err(invalid("process.args[0]", "the program is empty"));
    }
    builder = builder.program(program).args(arguments);
    for (index, variable) in spec.env().iter().flatten().enumerate() {
        let field = format!("process.env[{index}]");
        no_nul(&field, variable)?;
        match variable.split_once('=') {
            Some((name, value)) if !name.is_empty() => builder = builder.env(name, value),
            _ => return Err(invalid(field, format!("{variable:?} is not NAME=VALUE"))),
        }
    }
    Ok(builder)
}

fn user(ids: &Ids) -> Result<UserSpec> {
    let field = "process.user";
    let user: UserSpec = format!("{}:{}", ids.uid(), ids.gid())
        .parse()
        .map_err(|error: crate::Error| error.in_field(field))?;
    let gids = ids.additional_gids().clone().unwrap_or_default();
    let user = user
        .with_home()
        .with_additional_gids(gids)
        .map_err(|error| error.in_field(format_args!("{field}.additionalGids")))?;
    match ids.umask() {
        Some(umask) => {
            user.with_umask(umask).map_err(|error| error.in_field(format_args!("{field}.umask")))
        }
        None => Ok(user),
    }
}

fn window(spec: &Process) -> Result<WindowSize> {
    let Some(size) = spec.console_size() else {
        return Ok(WindowSize { rows: 0, columns: 0 });
    };
    let cells = |value: u64, name: &str| {
        u16::try_from(value)
            .map_err(|_| invalid(format!("process.consoleSize.{name}"), "above 65535"))
    };
    Ok(WindowSize { rows: cells(size.height(), "height")?, columns: cells(size.width(), "width")? })
}

/// What can be granted: what the kernel has, and outside of a user namespace
/// the caller too.
fn available(description: &Description) -> Result<CapabilitySet> {
    let known = CapabilitySet::ALL.difference(CapabilitySet::ALL.unknown_to(last_capability()));
    let user = NamespaceKind::User;
    let own = !matches!(description.namespaces.get(user), Namespace::Inherit);
    let entered = description.enter.iter().any(|enter| enter.kinds.contains(&user));
    match own || entered {
        true => Ok(known),
        false => Ok(known.intersection(CapabilitySet::of_caller()?)),
    }
}

/// The five sets. What can't be granted is left out and noted, as the
/// specification says.
fn capabilities(
    names: &LinuxCapabilities,
    available: CapabilitySet,
    ignored: &mut Vec<String>,
) -> Result<Capabilities> {
    let mut set = |names: &Option<Names>, field: &str| -> Result<CapabilitySet> {
        let mut set = CapabilitySet::EMPTY;
        for name in names.iter().flatten() {
            let name = name.to_string();
            let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
            let capability: Capability = name
                .parse()
                .map_err(|error: crate::Error| error.in_field(capability_field(field)))?;
            set.insert(capability);
        }
        let missing = set.difference(available);
        if !missing.is_empty() {
            let field = capability_field(field);
            ignored.push(format!("{field}: the kernel or the caller lacks {missing}"));
        }
        Ok(set.difference(missing))
    };
    let mut all = Capabilities {
        bounding: set(names.bounding(), "bounding")?,
        effective: set(names.effective(), "effective")?,
        permitted: set(names.permitted(), "permitted")?,
        inheritable: set(names.inheritable(), "inheritable")?,
        ambient: set(names.ambient(), "ambient")?,
    };
    let over = all.effective.difference(all.permitted);
    if !over.is_empty() {
        ignored.push(format!("{}: not permitted: {over}", capability_field("effective")));
        all.effective = all.effective.difference(over);
    }
    let over = all.ambient.difference(all.permitted.intersection(all.inheritable));
    if !over.is_empty() {
        let field = capability_field("ambient");
        ignored.push(format!("{field}: not both permitted and inheritable: {over}"));
        all.ambient = all.ambient.difference(over);
    }
    Ok(all)
}

fn capability_field(set: &str) -> String {
    format!("process.capabilities.{set}")
}

/// The highest capability of the running kernel.
fn last_capability() -> u8 {
    std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(Capability::ALL.len() as u8 - 1)
}

fn rlimits(list: &[PosixRlimit]) -> Result<Vec<Rlimit>> {
    let mut seen = HashSet::new();
    let mut limits = Vec::with_capacity(list.len());
    for (index, limit) in list.iter().enumerate() {
        let field = format!("process.rlimits[{index}]");
        let resource: Resource = limit
            .typ()
            .to_string()
            .parse()
            .map_err(|error: crate::Error| error.in_field(format_args!("{field}.type")))?;
        if !seen.insert(resource) {
            return Err(invalid(format_args!("{field}.type"), format!("a second {resource}")));
        }
        limits.push(
            Rlimit::new(resource, limit.soft(), limit.hard())
                .map_err(|error| error.in_field(format_args!("{field}.soft")))?,
        );
    }
    Ok(limits)
}
