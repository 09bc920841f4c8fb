//! `exec`: a process beside the first one.

use std::path::PathBuf;

use clap::Args;

use super::values::{user, variable};

/// The process, by flags or by a file.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// File with the process as JSON, as in config.json
    #[arg(short, long, value_name = "FILE")]
    pub(crate) process: Option<PathBuf>,
    /// Socket that receives the master of the process's terminal
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Working directory
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// A variable of its environment
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<String>,
    /// With a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Its ids
    #[arg(short, long, value_name = "UID[:GID]", value_parser = user)]
    pub(crate) user: Option<(u32, Option<u32>)>,
    /// Groups beside
    #[arg(short = 'g', long, value_name = "GID")]
    pub(crate) additional_gids: Vec<u32>,
    /// Do not wait for its end
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    pub(crate) process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor: Option<String>,
    /// Whether no program may raise its privileges
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    /// A capability more
    #[arg(short, long, value_name = "NAME")]
    pub(crate) cap: Vec<String>,
    /// Pass this many descriptors on, from 3
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u32,
    /// A cgroup below the container's
    #[arg(long, value_name = "[CONTROLLER:]PATH")]
    pub(crate) cgroup: Vec<String>,
    /// Also where the container is paused
    #[arg(long)]
    pub(crate) ignore_paused: bool,
    /// The container's name
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
    /// The program and its arguments
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present = "process"
    )]
    pub(crate) command: Vec<String>,
}
