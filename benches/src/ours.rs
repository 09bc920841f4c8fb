//! The rows `ours/…`: the container of [`floor`](crate::floor) described to
//! [`container_core::ProcessBuilder`].
//!
//! The description is made ahead; compiling it to a plan is part of the measured time, as it is for
//! a caller. Beside the floor's list our child makes the links `/dev/fd`, `/dev/stdin`,
//! `/dev/stdout`, `/dev/stderr` and `/dev/ptmx`, and reports each failing step over a socket.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use container_core::{ExitStatus, IdMappings, Mount, NamespaceKind, ProcessBuilder};

use crate::Result;
use crate::fixture::{self, Fixture};
use crate::row::{Namespaces, Row};

/// Describes a container that runs `argv` (a path in the rootfs, then its arguments).
///
/// # Errors
///
/// No program, or no process file system.
pub fn describe(
    fixture: &Fixture,
    namespaces: Namespaces,
    argv: &[&str],
) -> Result<ProcessBuilder> {
    let (program, arguments) = argv.split_first().ok_or("no program")?;
    let isolated = container_core::Namespaces::isolated();
    let kinds = match namespaces {
        Namespaces::Full => isolated,
        Namespaces::NoNet => isolated.inherit(NamespaceKind::Net),
        Namespaces::User => isolated.with(NamespaceKind::User),
    };
    let builder = ProcessBuilder::new(*program)
        .args(arguments.iter().copied())
        .namespaces(kinds)
        .rootfs(fixture.rootfs())
        .mount(Mount::proc("/proc"))
        .mount(Mount::dev("/dev"))
        .hostname(fixture::HOSTNAME);
    Ok(match namespaces {
        Namespaces::User => builder.id_mappings(mappings()?),
        Namespaces::Full | Namespaces::NoNet => builder,
    })
}

/// The floor's id maps.
fn mappings() -> Result<IdMappings> {
    let (uid, gid) = fixture::ids()?;
    Ok(if uid == 0 {
        IdMappings::shifted(100_000, 65_536)?
    } else {
        IdMappings::root_only(uid, gid)?
    })
}

/// Spawns the container and waits for it: the wall time and the exit code, 128 and the signal's
/// number where one ended it.
///
/// # Errors
///
/// Those of the engine.
pub fn run(builder: &ProcessBuilder) -> Result<(Duration, i32)> {
    let start = Instant::now();
    let process = builder.spawn()?;
    let status: ExitStatus = process.wait()?;
    drop(process);
    let time = start.elapsed();
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    Ok((time, code.ok_or("neither exited nor killed")?))
}

/// One set of namespaces as a row.
///
/// # Errors
///
/// See [`describe`].
pub fn row(fixture: &Fixture, namespaces: Namespaces) -> Result<Row> {
    let builder = describe(fixture, namespaces, &[fixture::PROGRAM])?;
    let name = format!("ours/{}", namespaces.name());
    Ok(Row::new(name, namespaces.floor(), move || match run(&builder)? {
        (time, 0) => Ok(time),
        (_, code) => Err(format!("exit code {code}").into()),
    }))
}
