//! `ocirun`: an OCI runtime on the command line of runc, to stand wherever runc does.
//!
//! ```sh
//! ocirun spec                    # writes config.json; put a root file system in rootfs/
//! ocirun run hello
//! ocirun run --explain           # what that does, step by step, and why
//! podman --runtime $PWD/ocirun run …
//! ctr run --runc-binary $PWD/ocirun …
//! ```
//!
//! All of the work is in `container_core::{runtime, oci, terminal}`; here are the command line,
//! the log and the exit codes: the container's own of `run` and `exec`, else 1 for a failure.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod bundle;
mod change;
mod create;
mod criu;
mod exec;
mod failure;
mod foreground;
mod inherited;
mod inspect;
mod log;
mod resources;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use container_core::oci;
use container_core::runtime::Runtime;

use args::{CgroupManager, Command, CommandLine};
use failure::Failure;
use log::Log;

/// What every command has.
pub(crate) struct Context<'a> {
    pub(crate) runtime: Runtime,
    pub(crate) log: &'a Log,
    pub(crate) manager: CgroupManager,
}

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) if !error.use_stderr() => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("ocirun: {error}");
            return ExitCode::FAILURE;
        }
    };
    let log = match Log::open(line.log.as_deref(), line.log_format, line.debug) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("ocirun: --log {:?}: {error}", line.log.unwrap_or_default());
            return ExitCode::FAILURE;
        }
    };
    match run(line, &log) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            log.error(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Does it; the exit code.
fn run(line: CommandLine, log: &Log) -> Result<u8, Failure> {
    if line.version {
        println!("ocirun version {}\nspec: {}", env!("CARGO_PKG_VERSION"), oci::SPEC_VERSION);
        return Ok(0);
    }
    let Some(command) = line.command else {
        return Err(Failure::new("no command; --help names them"));
    };
    match &command {
        Command::Spec(file) => return bundle::write(file).map(|()| 0),
        Command::Features => return bundle::features().map(|()| 0),
        _ => {}
    }
    let root = line.root.map_or_else(default_root, Ok)?;
    let manager = match line.systemd_cgroup {
        true => CgroupManager::Systemd,
        false => line.cgroup_manager.unwrap_or(CgroupManager::Cgroupfs),
    };
    let context = Context { runtime: Runtime::open(root)?, log, manager };
    dispatch(&context, command)
}

fn dispatch(context: &Context<'_>, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Create(create) => create::create(context, &create)?,
        Command::Start(of) => context.runtime.load(&of.id)?.start()?,
        Command::Run(run) => return create::run(context, &run),
        Command::Exec(exec) => return exec::exec(context, &exec),
        Command::State(of) => inspect::state(context, &of.id)?,
        Command::Kill(kill) => change::kill(context, &kill)?,
        Command::Delete(delete) => change::delete(context, &delete)?,
        Command::Ps(ps) => inspect::ps(context, &ps)?,
        Command::List(list) => inspect::list(context, &list)?,
        Command::Pause(of) => context.runtime.load(&of.id)?.pause()?,
        Command::Resume(of) => context.runtime.load(&of.id)?.resume()?,
        Command::Update(update) => change::update(context, &update)?,
        Command::Events(events) => usage::events(context, &events)?,
        Command::Checkpoint(checkpoint) => criu::checkpoint(context, &checkpoint)?,
        Command::Restore(restore) => return criu::restore(context, &restore),
        Command::Spec(_) | Command::Features => {}
    }
    Ok(0)
}

/// Where the state is kept unless `--root` says so: for root `/run/ocirun`, else below the user's
/// own directory. Who is root in a user namespace, as rootless podman's children are, has that too.
fn default_root() -> Result<PathBuf, Failure> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty());
    let root = nix::unistd::geteuid().is_root();
    let of_root = std::env::var_os("USER").is_some_and(|user| user == "root");
    match own {
        Some(directory) if !root || (in_user_namespace() && !of_root) => {
            Ok(PathBuf::from(directory).join("ocirun"))
        }
        _ if root => Ok("/run/ocirun".into()),
        _ => Err(Failure::new("--root is needed: XDG_RUNTIME_DIR is not set")),
    }
}

/// The initial one maps all ids.
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_whitespace().eq(["0", "0", "4294967295"])
}
