//! A command in a container on a root directory, with safe defaults:
//!
//! ```sh
//! cargo run --example run -- ROOTFS COMMAND [ARGUMENT…]
//! ```
//!
//! It gets namespaces of its own, `/proc`, `/dev` and `/sys` as containers have them, the usual 14
//! capabilities, `no_new_privs`, the default seccomp filter, and nothing of this environment. Works
//! as root and as an ordinary user. Its exit status becomes this program's.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use container_core::{Container, Stdio};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let rootfs = arguments.next().ok_or("usage: run ROOTFS COMMAND [ARGUMENT…]")?;
    let command = arguments.next().ok_or("usage: run ROOTFS COMMAND [ARGUMENT…]")?;
    let container = Container::builder(&rootfs)
        .command(command)
        .args(arguments)
        .stdin(Stdio::Inherit)
        .start()?;
    let status = container.wait()?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(ExitCode::from(code.map_or(1, |code| code as u8)))
}
