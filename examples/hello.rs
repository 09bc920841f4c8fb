//! The ten lines of the README.
#![allow(clippy::print_stdout)]

use container_core::{Container, Error};

fn main() -> Result<(), Error> {
    let rootfs = std::env::args().nth(1).unwrap_or("/srv/rootfs".into());
    let output = Container::builder(&rootfs)
        .command("/bin/sh")
        .args(["-c", "echo hello from process $$; ls /"])
        .output()?;
    println!("{}: {}", output.status, String::from_utf8_lossy(&output.stdout));
    Ok(())
}
