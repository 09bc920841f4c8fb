//! The README's program is `hello.rs`, and it does what the README says.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The example that cargo built beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join(name)
}

#[test]
fn the_readme_has_the_program_word_for_word() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
    let (_, program) = include_str!("../hello.rs").split_once("\n\n").unwrap();
    let block = format!("```rust,no_run\n{program}```\n");
    assert!(readme.unwrap().contains(&block), "README.md and examples/hello.rs differ");
}

#[test]
fn the_readme_program_runs_a_command_in_a_container() {
    if !testkit::is_root() && !testkit::require_unprivileged_userns() {
        return;
    }
    let rootfs = testkit::rootfs_copy(&["/bin/sh", "/bin/ls"]);
    std::fs::write(rootfs.join("made-by-the-test"), "").unwrap();
    let output = Command::new(example("hello")).arg(rootfs.path()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stdout.starts_with("exit status: 0: hello from process 1\n"), "{stdout}{stderr}");
    assert!(stdout.lines().any(|line| line == "made-by-the-test"), "{stdout}");
}

#[test]
fn a_missing_root_is_an_error_that_names_it() {
    let output = Command::new(example("hello")).arg("/does/not/exist").output().unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("check rootfs \"/does/not/exist\""), "{stderr}");
}
