//! What the engine's tests share: a builder with a root of the host's programs.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use container_core::{Mount, NamespaceKind, Namespaces, ProcessBuilder};
use testkit::Rootfs;

/// Full isolation: as root without a user namespace, else with one.
pub(crate) fn isolated() -> Namespaces {
    if testkit::is_root() {
        Namespaces::isolated()
    } else {
        Namespaces::isolated().with(NamespaceKind::User)
    }
}

/// A root in which the host's programs run; `/proc` and `/dev` are mounted.
pub(crate) fn in_rootfs(rootfs: &Rootfs, program: &str) -> ProcessBuilder {
    let mut builder = ProcessBuilder::new(program).namespaces(isolated()).rootfs(rootfs.path());
    for path in Rootfs::binds() {
        builder = builder.mount(Mount::bind(&path, &path).read_only());
    }
    builder.mount(Mount::proc("/proc")).mount(Mount::dev("/dev"))
}

/// Runs a shell script in it and returns what it printed.
#[track_caller]
pub(crate) fn script(builder: ProcessBuilder, script: &str) -> String {
    let output = builder.program("/bin/sh").args(["-c", script]).output().expect("spawn");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
