//! A container that runs on when this program has ended, and what other invocations of it do with
//! the container: what `docker run --detach`, `attach`, `logs`, `wait`, `kill` are made of.
//!
//! ```sh
//! cargo run --example supervise -- run --tty /tmp/web /bin/sh
//! cargo run --example supervise -- attach /tmp/web      # ctrl-p, ctrl-q leaves it running
//! cargo run --example supervise -- logs --follow /tmp/web
//! cargo run --example supervise -- resize /tmp/web 50 132
//! cargo run --example supervise -- kill /tmp/web 15
//! cargo run --example supervise -- wait /tmp/web        # its exit status becomes this program's
//! ```
//!
//! The directory holds all that there is of the container. Without `--rootfs` its root is made of
//! the host's busybox. Works as root and as an ordinary user.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use clap::{Parser, Subcommand};
use container_core::supervisor::{self, Attachment, Event, Log, Supervision};
use container_core::terminal::{self, DetachKeys, RawMode, Relay, RelayEnd, RelayHandle};
use container_core::{Container, Stdio, WindowSize};
use nix::sys::signal::{SigSet, Signal};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Containers that outlive the program that makes them.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Starts a container, tells its process id, and ends.
    Run {
        /// Gives it a terminal.
        #[arg(long)]
        tty: bool,
        /// Its root, in place of one with the host's busybox.
        #[arg(long)]
        rootfs: Option<PathBuf>,
        directory: PathBuf,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Shows its output, and sends what is typed, until it ends or the keys are typed.
    Attach {
        #[arg(long, default_value_t)]
        detach_keys: DetachKeys,
        directory: PathBuf,
    },
    /// Prints its log.
    Logs {
        /// And goes on with what comes, until it ends.
        #[arg(long)]
        follow: bool,
        directory: PathBuf,
    },
    /// Waits for its end.
    Wait { directory: PathBuf },
    /// Sets the size of its terminal.
    Resize { directory: PathBuf, rows: u16, columns: u16 },
    /// Sends it a signal, by number.
    Kill { directory: PathBuf, signal: i32 },
}

fn main() -> Result<ExitCode> {
    match Options::parse().action {
        Action::Run { tty, rootfs, directory, command } => {
            run(&directory, tty, rootfs, &command)?;
        }
        Action::Attach { directory, detach_keys } => return attach(&directory, detach_keys),
        Action::Logs { directory, follow } => logs(&directory, follow)?,
        Action::Wait { directory } => {
            return Ok(code(supervisor::wait(kept_in(&directory))?.status));
        }
        Action::Resize { directory, rows, columns } => {
            let attachment = Attachment::connect_without_output(kept_in(&directory))?;
            attachment.resize(WindowSize { rows, columns })?;
        }
        Action::Kill { directory, signal } => {
            Attachment::connect_without_output(kept_in(&directory))?.signal(signal)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the supervisor has of it.
fn kept_in(directory: &Path) -> PathBuf {
    directory.join("supervised")
}

/// As a shell tells it.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.map_or(1, |code| code as u8))
}

fn run(directory: &Path, tty: bool, rootfs: Option<PathBuf>, command: &[String]) -> Result<()> {
    fs::create_dir_all(directory)?;
    let rootfs = match rootfs {
        Some(rootfs) => rootfs.canonicalize()?,
        None => busybox_root(&directory.join("rootfs"))?,
    };
    let log = Log::cri("log").rotate(1 << 20, 3);
    let supervision = Supervision::new(kept_in(directory).as_path()).log(log);
    let mut builder =
        Container::builder(rootfs).stdin(Stdio::Pipe).supervised(supervision).env("TERM", "xterm");
    if let [program, arguments @ ..] = command {
        builder = builder.command(program).args(arguments);
    }
    if tty {
        let size = terminal::window_size(io::stdout()).unwrap_or_default();
        builder = builder.terminal(size);
    }
    writeln!(io::stdout(), "{}", builder.start()?.detach())?;
    Ok(())
}

/// A root of nothing but busybox under all its names.
fn busybox_root(root: &Path) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let busybox = std::env::split_paths(&path).map(|dir| dir.join("busybox"));
    let busybox = busybox.into_iter().find(|file| file.is_file());
    let busybox = busybox.ok_or("no busybox on PATH: install it, or give --rootfs")?;
    for name in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    let inside = root.join("bin/busybox");
    fs::copy(&busybox, &inside)?;
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755))?;
    let names = Command::new(&busybox).arg("--list").output()?.stdout;
    for name in String::from_utf8(names)?.lines().filter(|name| *name != "busybox") {
        let link = symlink("busybox", root.join("bin").join(name));
        link.or_else(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
        })?;
    }
    Ok(root.canonicalize()?)
}

fn attach(directory: &Path, keys: DetachKeys) -> Result<ExitCode> {
    // A shell whose prompt is on the screen already shows it again for no key.
    let attachment = Attachment::connect_with_tail(kept_in(directory))?;
    let on_terminal = attachment.has_terminal() && terminal::window_size(io::stdin()).is_ok();
    let relay = Relay::attached(attachment, io::stdin(), io::stdout(), io::stderr())?;
    let mut relay = relay.detach_keys(keys);
    let raw = on_terminal.then(|| RawMode::enter(io::stdin())).transpose()?;
    if on_terminal {
        follow_size(relay.handle())?;
    }
    let end = relay.run()?;
    raw.map_or(Ok(()), RawMode::restore)?;
    Ok(match end {
        RelayEnd::Exited(status) => code(status),
        RelayEnd::Detached => {
            writeln!(io::stderr(), "\nit runs on")?;
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    })
}

/// Passes the size of this program's terminal on, now and whenever it changes.
fn follow_size(relay: RelayHandle) -> Result<()> {
    let changes = SigSet::from(Signal::SIGWINCH);
    changes.thread_block()?;
    let pass_on = move || relay.resize(terminal::window_size(io::stdin())?);
    pass_on()?;
    // Ends with this program.
    std::thread::spawn(move || while changes.wait().is_ok() && pass_on().is_ok() {});
    Ok(())
}

fn logs(directory: &Path, follow: bool) -> Result<()> {
    let directory = kept_in(directory);
    // Attached before the log is read, so that nothing falls between the two. What the log and the
    // attachment have both is told twice, which a real client would sort out by the times.
    let attachment = if follow { Attachment::connect(&directory).ok() } else { None };
    for name in ["log.2", "log.1", "log"] {
        match fs::read(directory.join(name)) {
            Ok(lines) => io::stdout().write_all(&lines)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && name != "log" => {}
            Err(error) => return Err(error.into()),
        }
    }
    let Some(attachment) = attachment else { return Ok(()) };
    loop {
        match attachment.next()? {
            Event::Output { bytes, .. } => io::stdout().write_all(&bytes)?,
            Event::Lost(count) => writeln!(io::stderr(), "... {count} bytes ...")?,
            _ => return Ok(()),
        }
        io::stdout().flush()?;
    }
}
