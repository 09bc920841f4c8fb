//! Compiles the tiny init (`init/`) for the target with the compiler that
//! cargo names; the library embeds the result.
//!
//! `CONTAINER_CORE_PROVE_INIT=1` turns any reachable panic of the init into a
//! link error.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=init");
    println!("cargo::rerun-if-env-changed=CONTAINER_CORE_PROVE_INIT");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error=container-core's init: {message}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

fn build() -> Result<(), String> {
    let source = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("init/main.rs");
    let output = PathBuf::from(variable("OUT_DIR")?).join("init.elf");
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        .arg(&source)
        .arg("--target")
        .arg(variable("TARGET")?)
        .arg("-o")
        .arg(&output)
        .args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "container_init"])
        .args(["-C", "opt-level=2", "-C", "codegen-units=1", "-C", "panic=abort"])
        .args(["-C", "relocation-model=static", "-C", "target-feature=+crt-static"])
        .args(["-C", "force-unwind-tables=no"])
        .args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib"])
        .args(["-C", "link-arg=-static"])
        .args(["-C", "link-arg=-Wl,--gc-sections,--build-id=none,-s"])
        .args(["-C", "link-arg=-Wl,-z,noseparate-code,-z,norelro"])
        .args(["--cap-lints", "warn", "-A", "dead_code"]);
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        // The target's own start files are not wanted.
        rustc.args(["-C", "link-self-contained=no"]);
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut argument = OsString::from("linker=");
        argument.push(linker);
        rustc.arg("-C").arg(argument);
    }
    if env::var_os("CONTAINER_CORE_PROVE_INIT").is_some() {
        rustc.args(["--cfg", "prove_no_panic"]);
    }
    let result = rustc
        .output()
        .map_err(|error| format!("{}: {error}", rustc.get_program().to_string_lossy()))?;
    if result.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&result.stderr).replace('\n', "\ncargo::error="))
}
