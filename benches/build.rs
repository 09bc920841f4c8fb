//! Builds the two freestanding programs of the measurements: the payload (a `true` of a few
//! hundred bytes, so that what is measured is the spawn and not a libc starting up) and the
//! minimal init of the floor.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    for source in ["payload", "floor-init", "src/floor/sys.rs", "src/floor/steps.rs"] {
        println!("cargo::rerun-if-changed={source}");
    }
    compile(Path::new("payload/main.rs"), &out.join("payload"))?;
    compile(Path::new("floor-init/main.rs"), &out.join("floor-init"))
}

/// Compiles one `no_std` program into a static executable without start files.
fn compile(source: &Path, target: &Path) -> io::Result<()> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--crate-type=bin", "-Cpanic=abort", "-Copt-level=2"]);
    rustc.args(["-Crelocation-model=static", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"]);
    for arg in ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-z,norelro"] {
        rustc.arg(format!("-Clink-arg={arg}"));
    }
    if let Ok(triple) = env::var("TARGET") {
        rustc.arg("--target").arg(triple);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let status = rustc.arg("-o").arg(target).arg(source).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("compiling {}: {status}", source.display())))
    }
}
