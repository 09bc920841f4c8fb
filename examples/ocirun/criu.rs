//! `checkpoint` and `restore`.

use container_core::runtime::{CheckpointOptions, CriuOptions, ManageCgroups, RestoreOptions};

use crate::args::{CgroupManager, Checkpoint, Criu, Restore};
use crate::create::removed;
use crate::foreground::{Caught, attend, exit_code};
use crate::{Context, Failure, bundle};

/// Saves the processes.
pub(crate) fn checkpoint(context: &Context<'_>, flags: &Checkpoint) -> Result<(), Failure> {
    let container = context.runtime.load(&flags.id)?;
    if flags.status_fd.is_some() {
        return Err(Failure::new("--status-fd: lazy pages are not supported"));
    }
    let mut options = CheckpointOptions::new(criu(&flags.criu)?)
        .leave_running(flags.leave_running)
        .pre_dump(flags.pre_dump);
    if let Some(parent) = &flags.parent_path {
        options = options.parent(parent);
    }
    if let Some(server) = &flags.page_server {
        let parts = server.rsplit_once(':');
        let parts = parts.and_then(|(address, port)| Some((address, port.parse().ok()?)));
        let (address, port) = parts
            .ok_or_else(|| Failure::new(format!("--page-server {server}: not ADDRESS:PORT")))?;
        options = options.page_server(address, port);
    }
    container.checkpoint(&options)?;
    match flags.leave_running || flags.pre_dump {
        true => Ok(()),
        false => removed(context, container, true),
    }
}

/// Brings them back, and then either nothing more or the wait for the end.
pub(crate) fn restore(context: &Context<'_>, flags: &Restore) -> Result<u8, Failure> {
    if flags.console_socket.is_some() {
        return Err(Failure::new("--console-socket: a terminal can't be restored"));
    }
    let mut options = RestoreOptions::new(criu(&flags.criu)?)
        .without_cgroup(context.manager == CgroupManager::Disabled);
    if let Some(file) = &flags.pid_file {
        options = options.pid_file(file);
    }
    if let Some(label) = &flags.lsm_profile {
        options = options.lsm_profile(label);
    }
    if let Some(mounts) = &flags.lsm_mount_context {
        options = options.lsm_mount_context(mounts);
    }
    let caught = if flags.detach { None } else { Some(Caught::new()?) };
    let bundle = bundle::load(context, &flags.bundle)?;
    let container = context.runtime.restore(&flags.id, &bundle, &options)?;
    let Some(caught) = caught else { return Ok(0) };
    let same = context.runtime.load(container.id())?;
    let signal = move |signal| {
        // It may have ended by now.
        let _ = same.kill(signal);
    };
    let status = attend(caught, None, signal, || container.wait())?;
    removed(context, container, true)?;
    status.map(exit_code).ok_or_else(|| Failure::new("its exit status is lost"))
}

/// What both are told.
fn criu(flags: &Criu) -> Result<CriuOptions, Failure> {
    if flags.lazy_pages {
        return Err(Failure::new("--lazy-pages: not supported"));
    }
    let mut options = CriuOptions::new(&flags.image_path)
        .tcp_established(flags.tcp_established)
        .external_unix_sockets(flags.ext_unix_sk)
        .shell_job(flags.shell_job)
        .file_locks(flags.file_locks)
        .auto_dedup(flags.auto_dedup);
    if let Some(work) = &flags.work_path {
        options = options.work_directory(work);
    }
    if let Some(mode) = &flags.manage_cgroups_mode {
        options = options.manage_cgroups(match mode.as_str() {
            "ignore" => ManageCgroups::Ignore,
            "soft" => ManageCgroups::Soft,
            "full" => ManageCgroups::Full,
            "strict" => ManageCgroups::Strict,
            _ => return Err(Failure::new(format!("--manage-cgroups-mode {mode}: unknown"))),
        });
    }
    for kind in &flags.empty_ns {
        match kind.as_str() {
            "network" => options = options.empty_network(true),
            _ => return Err(Failure::new(format!("--empty-ns {kind}: only for network"))),
        }
    }
    Ok(options)
}
