//! Carrying out a plan: the parent's side of the control socket.
//!
//! ```text
//! parent                                  init
//! send Launch, slots, plan
//! clone3(CLONE_VM|CLONE_VFORK) ─────────► execveat(init)
//! write id maps, attach to cgroup         read, validate, run ...
//! send GO ──────────────────────────────► WAIT_HOST
//! read records until end of file ◄─────── execve(payload) closes the socket
//! ```

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::sync::Mutex;

use super::clone::Born;
use super::handle::{ExitStatus, Output, Process, Streams, Waiting, read_both};
use super::launch::{GO, Launched, Unborn, launch, send_blocking};
use super::receive::Receiver;
use super::supervised::Supervisor;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Event, Plan};
use crate::supervisor::Opened;

/// Makes the process that the plan describes; returns when its program has
/// been executed, or waits to be started.
pub(crate) fn spawn(plan: &Plan) -> Result<Process> {
    spawn_with(plan, |_| Ok(()), |_| Ok(()))
}

/// Likewise; where the plan stops before the root is switched, `before_pivot`
/// runs then, with the number of the process, which waits and so keeps it: in
/// its namespaces hooks are to run. `finish` does what still belongs to the
/// making. A failure of either ends the process, and what the host had given
/// to it is taken back.
pub(crate) fn spawn_with(
    plan: &Plan,
    before_pivot: impl FnOnce(u32) -> Result<()>,
    finish: impl FnOnce(&mut Process) -> Result<()>,
) -> Result<Process> {
    let Launched { files, unborn, control, streams, lent, early } = launch(plan)?;
    let first = Some(unborn.pid()).filter(|_| !plan.second_clone);
    let mut receiver = Receiver::new(plan, &control, first).after(early);
    if plan.stops_before_pivot {
        receiver.run_until(&[Event::BeforePivot], true)?;
        let mut second = receiver.forked.take().map(|pidfd| Unborn::new(Born { pid: 0, pidfd }));
        if let Some(second) = &mut second {
            second.find_pid();
        }
        before_pivot(second.as_ref().unwrap_or(&unborn).pid())?;
        send_blocking(&control, GO);
        receiver.forked = second.and_then(Unborn::finish).map(|born| born.pidfd);
    }
    let created = receiver.run(plan.waits_for_start);
    let Receiver { forked, terminal, listener, .. } = receiver;
    let second = forked.map(|pidfd| Unborn::new(Born { pid: 0, pidfd }));
    let created = created?;
    let directory = files.as_ref().map(Opened::directory);
    let (born, supervisor) = take_over(plan, unborn, second)?;
    let supervisor =
        supervisor.zip(directory).map(|(pidfd, directory)| Supervisor { pidfd, directory });
    // Over a start socket anyone starts it; the init has let go of this one.
    let waits_here = created && !plan.has_start_socket();
    let waiting = if waits_here {
        Some(Waiting { control, plan: plan.clone(), files })
    } else {
        if let Some(files) = files {
            files.keep();
        }
        None
    };
    let streams = Streams { ours: streams, terminal, listener: Mutex::new(listener) };
    let mut process = Process::new(born, supervisor, streams, waiting);
    if let Some(companions) = &plan.companions {
        process.join(companions)?;
    }
    finish(&mut process)?;
    lent.keep();
    Ok(process)
}

/// Runs it to its end. The caller is woken once, at the end: what spawning
/// would have told (that the program was executed, or why not) is read then.
pub(crate) fn run(plan: &Plan) -> Result<Output> {
    let stops = plan.waits_for_start || plan.stops_before_pivot || plan.supervision.is_some();
    if plan.second_clone || stops || plan.listener.is_some() {
        return spawn(plan)?.wait_with_output();
    }
    let Launched { unborn, control, streams: [stdin, stdout, stderr], lent, .. } = launch(plan)?;
    drop(stdin);
    let (stdout, stderr) = read_both(stdout.map(Into::into), stderr.map(Into::into))
        .map_err(|error| Error::os("read", "standard output and error", error))?;
    let status = unborn.wait()?;
    Receiver::new(plan, &control, Some(0)).run(false)?;
    lent.keep();
    Ok(Output { status: ExitStatus::from_raw(status), stdout, stderr })
}

/// Lets a created process run its program; see [`Process::start`]. Returns the
/// listener of its filter, if it notifies and no agent has it.
pub(super) fn start(waiting: Waiting, pid: u32) -> Result<Option<OwnedFd>> {
    let Waiting { control, plan, files } = waiting;
    send_blocking(&control, GO);
    let mut receiver = Receiver::new(&plan, &control, Some(pid));
    receiver.run(false)?;
    if let Some(files) = files {
        files.keep();
    }
    Ok(receiver.listener)
}

/// The process to hand out: the second clone, if there was one.
fn take_over(
    plan: &Plan,
    mut unborn: Unborn,
    second: Option<Unborn>,
) -> Result<(Born, Option<OwnedFd>)> {
    let lost = || Error::with(ErrorKind::Init, "clone", "second process", "the init did not say");
    let supervisor = unborn.take_supervisor();
    if !plan.second_clone {
        return unborn.finish().ok_or_else(lost).map(|born| (born, supervisor));
    }
    if supervisor.is_some() {
        // It has something to tell its parent yet, who reaps it.
        let _ = unborn.finish();
    } else {
        let _ = unborn.wait();
    }
    let mut second = second.ok_or_else(lost)?;
    second.find_pid();
    second.finish().ok_or_else(lost).map(|born| (born, supervisor))
}
