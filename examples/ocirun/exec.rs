//! `exec`: a process of a file, or the container's own with what the flags change.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use container_core::oci;
use container_core::runtime::{CreateOptions, ExecOptions};
use oci_spec::runtime::{Capability, Process};

use crate::args::Exec;
use crate::foreground::{Caught, attend, exit_code};
use crate::{Context, Failure, inherited};

/// The exit code where the process itself could not be started.
const NOT_STARTED: u8 = 255;

/// Starts it, and waits for its end unless detached.
pub(crate) fn exec(context: &Context<'_>, exec: &Exec) -> Result<u8, Failure> {
    started(context, exec).map_err(|failure| match failure.code {
        1 => failure.within("exec").code(NOT_STARTED),
        _ => failure,
    })
}

fn started(context: &Context<'_>, exec: &Exec) -> Result<u8, Failure> {
    let passed = inherited::from_three(exec.preserve_fds)?;
    let container = context.runtime.load(&exec.id)?;
    let described = match &exec.process {
        Some(file) => read(file)?,
        None => {
            let bundle = container.bundle()?;
            let own = bundle.spec().process().clone();
            by_flags(exec, own.ok_or_else(|| Failure::new("the container has no process"))?)?
        }
    };
    let mut io = CreateOptions::new();
    for descriptor in passed {
        io = io.pass_fd(descriptor);
    }
    match &exec.console_socket {
        Some(socket) => io = io.console_socket(socket),
        None if exec.detach => {}
        None => io = io.keep_terminal(),
    }
    let mut options = ExecOptions::new().io(io).ignore_paused(exec.ignore_paused);
    if let Some(file) = &exec.pid_file {
        options = options.pid_file(file);
    }
    match exec.cgroup.as_slice() {
        [] => {}
        [path] => options = options.cgroup(path),
        _ => return Err(Failure::new("--cgroup: one path for all controllers, please")),
    }
    let caught = if exec.detach { None } else { Some(Caught::new()?) };
    let mut process = container.exec(&described, &options)?;
    let Some(caught) = caught else {
        process.detach();
        return Ok(0);
    };
    let terminal = process.take_terminal();
    let process = Arc::new(process);
    let same = Arc::clone(&process);
    let signal = move |signal| {
        let _ = same.signal(signal);
    };
    attend(caught, terminal, signal, || process.wait()).map(exit_code)
}

fn read(file: &Path) -> Result<Process, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format!("--process {}: {error}", file.display()))
    };
    let text = std::fs::read(file).map_err(|error| failed(&error))?;
    oci::parse_process(&text).map_err(|error| failed(&error))
}

fn by_flags(exec: &Exec, mut process: Process) -> Result<Process, Failure> {
    process.set_args(Some(exec.command.clone()));
    process.set_terminal(Some(exec.tty));
    if let Some(cwd) = &exec.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(exec.env.iter().cloned());
    process.set_env(Some(env));
    let mut user = process.user().clone();
    if let Some((uid, gid)) = exec.user {
        user.set_uid(uid);
        user.set_gid(gid.unwrap_or(user.gid()));
    }
    if !exec.additional_gids.is_empty() {
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&exec.additional_gids);
        user.set_additional_gids(Some(groups));
    }
    process.set_user(user);
    if let Some(label) = &exec.process_label {
        process.set_selinux_label(Some(label.clone()));
    }
    if let Some(profile) = &exec.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if exec.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    add_capabilities(&mut process, &exec.cap)?;
    Ok(process)
}

/// To the sets that a program of root gets them from; none becomes inheritable or ambient.
fn add_capabilities(process: &mut Process, names: &[String]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let mut new = HashSet::new();
    for name in names {
        let upper = name.to_ascii_uppercase();
        let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        let known = serde_json::from_value::<Capability>(full.into());
        new.insert(known.map_err(|_| Failure::new(format!("--cap {name}: no such capability")))?);
    }
    let mut all = process.capabilities().clone().unwrap_or_default();
    let with = |old: &Option<HashSet<Capability>>| {
        Some(old.clone().unwrap_or_default().union(&new).copied().collect::<HashSet<_>>())
    };
    let (bounding, permitted) = (with(all.bounding()), with(all.permitted()));
    let effective = with(all.effective());
    all.set_bounding(bounding).set_permitted(permitted).set_effective(effective);
    process.set_capabilities(Some(all));
    Ok(())
}
