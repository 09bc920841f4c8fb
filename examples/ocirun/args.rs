//! The command line: runc's, flag by flag, so that this program can stand where runc stood.

mod process;
mod resources;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use process::Exec;
pub(crate) use resources::Update;
use values::signal;

/// Runs containers that are described by OCI bundles.
#[derive(Debug, Parser)]
#[command(name = "ocirun", disable_version_flag = true, args_conflicts_with_subcommands = false)]
pub(crate) struct CommandLine {
    /// Directory of the containers' state [default: /run/ocirun; as an ordinary user
    /// $XDG_RUNTIME_DIR/ocirun]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// File that messages are appended to, beside the standard error stream
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Form of the messages in that file
    #[arg(long, value_enum, value_name = "FORM", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Take cgroup paths as systemd's, `slice:prefix:name`
    #[arg(long)]
    pub(crate) systemd_cgroup: bool,
    /// Who makes cgroups; `disabled` makes none (crun's flag)
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) cgroup_manager: Option<CgroupManager>,
    /// Tell more in the log
    #[arg(long)]
    pub(crate) debug: bool,
    /// Whether to pass over cgroups that can't be made: `true`, `false` or `auto`
    #[arg(long, value_enum, value_name = "WORD", default_value_t = Rootless::Auto)]
    pub(crate) rootless: Rootless,
    /// Print the version
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Forms of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Who makes cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CgroupManager {
    Cgroupfs,
    Systemd,
    Disabled,
}

/// Whether this runs without the privileges of root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rootless {
    True,
    False,
    Auto,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a container: everything but its program's start
    Create(Create),
    /// Start the program of a created container
    Start(Id),
    /// Create and start a container, and wait for its end
    Run(Run),
    /// Run another process in a container
    Exec(Exec),
    /// Print the state of a container as JSON
    State(Id),
    /// Send a signal to a container's first process
    Kill(Kill),
    /// Remove a stopped container
    Delete(Delete),
    /// List the processes of a container
    Ps(Ps),
    /// List the containers
    List(List),
    /// Freeze all processes of a container
    Pause(Id),
    /// Thaw them
    Resume(Id),
    /// Change the limits of a container
    Update(Box<Update>),
    /// Print statistics and out-of-memory events, as JSON lines
    Events(Events),
    /// Write a config.json to start from
    Spec(SpecFile),
    /// Print what this program and this kernel can do, as JSON
    Features,
    /// Save the processes of a container in files, by criu
    Checkpoint(Checkpoint),
    /// Create a container from such files
    Restore(Restore),
}

/// A container.
#[derive(Debug, Args)]
pub(crate) struct Id {
    /// The container's name
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
}

/// Where the container is described, and what it gets beside.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The bundle's directory
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Socket that receives the master of the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Move the root instead of pivoting: for roots on a ramdisk
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
    /// Pass this many descriptors on, from 3
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u32,
    /// Print what would be done, step by step, and do nothing
    #[arg(long)]
    pub(crate) explain: bool,
    /// The container's name
    #[arg(value_name = "CONTAINER", required_unless_present = "explain")]
    pub(crate) id: Option<String>,
}

/// As `create`, and what happens then.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) create: Create,
    /// Do not wait for its end
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Do not remove the container at its end
    #[arg(long)]
    pub(crate) keep: bool,
    /// Leave orphans of the container to the next reaper
    #[arg(long)]
    pub(crate) no_subreaper: bool,
}

/// A signal for a container.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// To every process of the container
    #[arg(short, long)]
    pub(crate) all: bool,
    /// The container's name
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
    /// Name or number
    #[arg(value_name = "SIGNAL", default_value = "TERM", value_parser = signal)]
    pub(crate) signal: i32,
}

/// What to remove.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Kill it first if it runs; no container of this name is no error
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The container's name
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
}

/// How lists are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Table,
    Json,
}

/// Which processes, how.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Form of the list
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = ListFormat::Table)]
    pub(crate) format: ListFormat,
    /// The container's name
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
    /// Options of ps(1) for the table
    #[arg(value_name = "PS-OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) options: Vec<String>,
}

/// How containers are listed.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Form of the list
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = ListFormat::Table)]
    pub(crate) format: ListFormat,
    /// Only the names
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Time between two statistics
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    pub(crate) interval: Duration,
    /// One statistics event, and no more
    #[arg(long)]
    pub(crate) stats: bool,
    /// The container's name
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
}

/// Where the new config.json goes.
#[derive(Debug, Args)]
pub(crate) struct SpecFile {
    /// The bundle's directory
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// For an ordinary user
    #[arg(long)]
    pub(crate) rootless: bool,
}

/// What criu is told on both ways.
#[derive(Debug, Args)]
pub(crate) struct Criu {
    /// Directory of the images
    #[arg(long, value_name = "DIR", default_value = "checkpoint")]
    pub(crate) image_path: PathBuf,
    /// Directory of criu's log and temporary files
    #[arg(long, value_name = "DIR")]
    pub(crate) work_path: Option<PathBuf>,
    /// Established TCP connections may be there
    #[arg(long)]
    pub(crate) tcp_established: bool,
    /// Unix sockets to outside may be there
    #[arg(long)]
    pub(crate) ext_unix_sk: bool,
    /// The processes may belong to a session outside
    #[arg(long)]
    pub(crate) shell_job: bool,
    /// File locks may be held
    #[arg(long)]
    pub(crate) file_locks: bool,
    /// Pages are served when they are touched
    #[arg(long)]
    pub(crate) lazy_pages: bool,
    /// soft, full, strict or ignore
    #[arg(long, value_name = "MODE")]
    pub(crate) manage_cgroups_mode: Option<String>,
    /// Namespaces that are made empty, not restored
    #[arg(long, value_name = "KIND")]
    pub(crate) empty_ns: Vec<String>,
    /// Pages in newer images are dropped from older ones
    #[arg(long)]
    pub(crate) auto_dedup: bool,
}

/// What to save.
#[derive(Debug, Args)]
pub(crate) struct Checkpoint {
    #[command(flatten)]
    pub(crate) criu: Criu,
    /// Images of an earlier pre-dump
    #[arg(long, value_name = "DIR")]
    pub(crate) parent_path: Option<PathBuf>,
    /// Let it run on
    #[arg(long)]
    pub(crate) leave_running: bool,
    /// Descriptor that is told when lazy pages are ready
    #[arg(long, value_name = "FD")]
    pub(crate) status_fd: Option<i32>,
    /// ADDRESS:PORT of a page server
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) page_server: Option<String>,
    /// Only the memory, and let it run on
    #[arg(long)]
    pub(crate) pre_dump: bool,
    /// The container's name
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
}

/// What to bring back.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) criu: Criu,
    /// The bundle's directory
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Socket that receives the master of the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Do not wait for its end
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Leave orphans of the container to the next reaper
    #[arg(long)]
    pub(crate) no_subreaper: bool,
    /// Move the root instead of pivoting
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Security label at the restore, TYPE:NAME
    #[arg(long, value_name = "LABEL")]
    pub(crate) lsm_profile: Option<String>,
    /// Security context of the mounts
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) lsm_mount_context: Option<String>,
    /// The container's name
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
}
