//! The rows `ours/…`: the container of [`floor`](crate::floor) described to
//! [`container_core::ProcessBuilder`].
//!
//! The plan is compiled ahead, as the floors' is: a plan is data, good for any number of processes.
//! `ours/full-compile` is the long way: compiled each time, and the caller woken twice, at the exec
//! and at the end. Beside the floor's list our child resolves each target inside the root, checks
//! its plan, and reports a failing step over a socket.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use container_core::{IdMappings, Mount, NamespaceKind, Plan, ProcessBuilder};

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

/// Runs the container to its end: the wall time and the exit code, 128 and the signal's
/// number where one ended it.
///
/// # Errors
///
/// Those of the engine.
pub fn run(plan: &Plan) -> Result<(Duration, i32)> {
    let start = Instant::now();
    let status = plan.status()?;
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
    let plan = describe(fixture, namespaces, &[fixture::PROGRAM])?.plan()?;
    let name = format!("ours/{}", namespaces.name());
    Ok(Row::new(name, namespaces.floor(), move || checked(run(&plan)?)))
}

/// The full set, from the description on: compiled, spawned, waited for.
///
/// # Errors
///
/// See [`describe`].
pub fn compiling_row(fixture: &Fixture) -> Result<Row> {
    let namespaces = Namespaces::Full;
    let builder = describe(fixture, namespaces, &[fixture::PROGRAM])?;
    Ok(Row::new("ours/full-compile", namespaces.floor(), move || {
        let start = Instant::now();
        let status = builder.spawn()?.wait()?;
        checked((start.elapsed(), status.code().ok_or("killed")?))
    }))
}

fn checked((time, code): (Duration, i32)) -> Result<Duration> {
    match code {
        0 => Ok(time),
        code => Err(format!("exit code {code}").into()),
    }
}
