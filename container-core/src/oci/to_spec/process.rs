//! The process, as a spec says it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;

use oci_spec::runtime::{
    BoxBuilder, Capabilities as Names, LinuxCapabilities, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType, Process, User as Ids,
};

use super::{built, scheduling, text, unsayable};
use crate::capability::{Capabilities, CapabilitySet};
use crate::error::Result;
use crate::process::{DEFAULT_PATH, Description, WindowSize};
use crate::rlimit::Rlimit;
use crate::user::User;

pub(super) fn process(description: &Description, user: Option<&User>) -> Result<Process> {
    let mut process = Process::default();
    let arguments = std::iter::once(&description.program).chain(&description.arguments);
    let arguments = arguments.map(|word| text("process.args", word)).collect::<Result<_>>()?;
    let directory = description.directory.clone().unwrap_or_else(|| PathBuf::from("/"));
    let size = |size: WindowSize| {
        let cells = BoxBuilder::default().height(size.rows).width(size.columns).build();
        built("process.consoleSize", cells)
    };
    let size = description.terminal.map(size).transpose()?;
    let limits = description.rlimits.iter().map(rlimit).collect::<Result<Vec<_>>>()?;
    let capabilities = description.capabilities.as_ref().map(capabilities).transpose()?;
    process
        .set_args(Some(arguments))
        .set_env(Some(environment(description, user)?))
        .set_cwd(directory)
        .set_terminal(size.is_some().then_some(true))
        .set_console_size(size)
        .set_user(ids(user))
        .set_capabilities(capabilities)
        .set_rlimits((!limits.is_empty()).then_some(limits))
        .set_no_new_privileges(Some(description.no_new_privileges))
        .set_oom_score_adj(description.oom_score_adj.map(|oom| oom.score))
        .set_scheduler(description.scheduler.as_ref().map(scheduling::scheduler).transpose()?)
        .set_io_priority(description.io_priority.map(scheduling::io_priority).transpose()?)
        .set_exec_cpu_affinity(scheduling::affinity(&description.cpu_affinity))
        .set_apparmor_profile(label("process.apparmorProfile", &description.apparmor_profile)?)
        .set_selinux_label(label("process.selinuxLabel", &description.selinux_label)?);
    if description.arg0.as_ref().is_some_and(|name| *name != description.program) {
        return Err(unsayable("process.args", "a name of its own for the program"));
    }
    if !description.new_session && description.terminal.is_none() {
        return Err(unsayable("process", "a program in the caller's session"));
    }
    if description.init {
        return Err(unsayable("process", "an init of the library's own"));
    }
    if description.parent_death_signal.is_some() {
        return Err(unsayable("process", "a signal at the parent's death"));
    }
    if !description.passed.is_empty() {
        return Err(unsayable("process", "descriptors that are passed on"));
    }
    Ok(process)
}

fn label(field: &str, label: &Option<OsString>) -> Result<Option<String>> {
    label.as_ref().map(|label| text(field, label)).transpose()
}

/// With what the builder adds by itself: a spec's process gets nothing but
/// what is listed.
fn environment(description: &Description, user: Option<&User>) -> Result<Vec<String>> {
    let mut variables = description.environment.clone();
    let has = |variables: &[(OsString, OsString)], name: &str| {
        variables.iter().any(|(other, _)| other == name)
    };
    if !has(&variables, "PATH") {
        variables.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    if let Some(home) = user.and_then(User::home)
        && !has(&variables, "HOME")
    {
        variables.push(("HOME".into(), home.into()));
    }
    let line = |(name, value): &(OsString, OsString)| {
        Ok(format!("{}={}", text("process.env", name)?, text("process.env", value)?))
    };
    variables.iter().map(line).collect()
}

fn ids(user: Option<&User>) -> Ids {
    let mut ids = Ids::default();
    if let Some(user) = user {
        let gids = user.additional_gids();
        ids.set_uid(user.uid())
            .set_gid(user.gid())
            .set_umask(user.umask())
            .set_additional_gids((!gids.is_empty()).then(|| gids.to_vec()));
    }
    ids
}

fn rlimit(limit: &Rlimit) -> Result<PosixRlimit> {
    let name = limit.resource().name();
    let field = "process.rlimits";
    let typ: PosixRlimitType = name.parse().map_err(|_| unsayable(field, name))?;
    let described = PosixRlimitBuilder::default().typ(typ);
    built(field, described.soft(limit.soft()).hard(limit.hard()).build())
}

fn capabilities(capabilities: &Capabilities) -> Result<LinuxCapabilities> {
    let mut described = LinuxCapabilities::default();
    described
        .set_bounding(names(capabilities.bounding)?)
        .set_effective(names(capabilities.effective)?)
        .set_permitted(names(capabilities.permitted)?)
        .set_inheritable(names(capabilities.inheritable)?)
        .set_ambient(names(capabilities.ambient)?);
    Ok(described)
}

fn names(set: CapabilitySet) -> Result<Option<Names>> {
    if set.is_empty() {
        return Ok(None);
    }
    let name = |name: &str| {
        let json = serde_json::Value::from(name);
        serde_json::from_value(json).map_err(|_| unsayable("process.capabilities", name))
    };
    set.iter().map(|one| name(one.name())).collect::<Result<HashSet<_>>>().map(Some)
}
