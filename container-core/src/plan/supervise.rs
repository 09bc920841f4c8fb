//! The supervisor's part of a plan: which of its descriptors is what, and the
//! clone that leaves it outside.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::assemble::Assembly;
use super::op::{Op, Slot};
use super::validate::c_string;
use super::{HostSteps, wire};
use crate::error::{Error, Result};
use crate::process::{Description, Stdio};
use crate::supervisor::Opened;

/// The standard streams whose other ends the supervisor gets, in the order in
/// which these follow the supervision's own files.
pub(crate) fn kept_streams(streams: &[Stdio; 3]) -> impl Iterator<Item = usize> {
    streams.iter().enumerate().filter(|(_, stream)| matches!(stream, Stdio::Pipe)).map(|it| it.0)
}

/// With a supervisor, what would be the caller's own or a pipe to the caller
/// is a pipe to the supervisor.
pub(super) fn supervised(streams: [Stdio; 3]) -> [Stdio; 3] {
    streams.map(|stream| match stream {
        Stdio::Inherit | Stdio::Pipe => Stdio::Pipe,
        other => other,
    })
}

/// How many descriptors are opened for the supervisor at each launch.
pub(super) fn count_slots(description: &Description, streams: &[Stdio; 3]) -> u32 {
    let files = description.supervision.as_ref().map(Opened::count);
    files.map_or(0, |files| files + kept_streams(streams).count() as u32)
}

/// The cgroup's directory, to be cloned into.
pub(super) fn cgroup_of(
    description: &Description,
    host: &HostSteps,
) -> Result<Option<Arc<OwnedFd>>> {
    let entered = description.supervision.as_ref().and_then(|_| host.born_in());
    let copied = entered.map(|fd| fd.try_clone_to_owned()).transpose();
    copied.map(|fd| fd.map(Arc::new)).map_err(|error| Error::os("dup", "cgroup", error))
}

/// Adds the operations up to the clone; the first slot of the supervisor's is
/// `first`.
pub(super) fn add(
    assembly: &mut Assembly,
    description: &Description,
    host: &HostSteps,
    streams: &[Stdio; 3],
    first: u32,
    cgroup: Option<&Arc<OwnedFd>>,
) -> Result<()> {
    let Some(supervision) = &description.supervision else {
        return Ok(());
    };
    let slot = |index: u32| Slot(first + index);
    for (index, which) in kept_streams(streams).enumerate() {
        let slot = slot(Opened::count(supervision) + index as u32);
        let op = Op::SuperviseStream { slot, which: which as u32 };
        assembly.push(op, "its other end stays with the supervisor when the creator goes");
    }
    if let Some(log) = &supervision.log {
        let names = log.names();
        let names: Result<_> = names.iter().map(|name| c_string("check log", name)).collect();
        assembly.push(
            Op::SuperviseLog {
                file: slot(3),
                directory: slot(4),
                cri: log.is_cri(),
                max_size: log.max_size(),
                names: names?,
            },
            "where it writes output down",
        );
    }
    if let (Some(cgroup), Some(described)) = (cgroup, &description.cgroup) {
        let missing = || Error::invalid("make plan", "cgroup", "a descriptor without a slot");
        let slot = assembly.slot_of(cgroup).ok_or_else(missing)?;
        let path = described.path().to_string();
        let why = "the container is born in it; the supervisor stays outside";
        assembly.push(Op::SuperviseCgroup { slot, path }, why);
    }
    let op = Op::Supervise {
        directory: slot(0),
        exit_file: slot(1),
        listener: slot(2),
        flags: host.clone_flags,
    };
    let why = "this process stays outside as the supervisor; the container's goes on from here";
    assembly.push(op, why);
    Ok(())
}

const _: () = assert!(wire::MAX_SLOTS > 16, "the supervisor's descriptors find room");
