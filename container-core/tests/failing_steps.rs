//! Steps that fail in the new process: the error names them, nothing is left.
//! Alone in its program, so that every descriptor and child is of its making.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::in_rootfs;
use container_core::{ErrorKind, Mount, ProcessBuilder};
use testkit::Leaks;

#[track_caller]
fn refused(builder: &ProcessBuilder, kind: ErrorKind, words: &str) {
    let error = builder.output().expect_err("must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{words:?} not in: {error}");
}

#[test]
fn failures_in_the_init_name_the_step_and_leave_nothing() {
    if !testkit::is_root() && !testkit::require_unprivileged_userns() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    rootfs.write("plain", "not a program");
    // The init's image is made once and kept.
    assert!(ProcessBuilder::new("/bin/true").output().unwrap().status.success());
    let leaks = Leaks::snapshot();
    let program = |path: &str| in_rootfs(&rootfs, path);
    refused(&program("/no/such/program"), ErrorKind::NotFound, "execve \"/no/such/program\"");
    refused(&program("no-such-name"), ErrorKind::NotFound, "/usr/bin/no-such-name");
    refused(&program("/plain"), ErrorKind::PermissionDenied, "execve \"/plain\"");
    refused(&program("/etc"), ErrorKind::PermissionDenied, "execve \"/etc\"");
    refused(&program("/bin/true").current_dir("/gone"), ErrorKind::NotFound, "chdir");
    let bogus = Mount::file_system("no-such-fs", "/mnt");
    refused(&program("/bin/true").mount(bogus), ErrorKind::Unsupported, "no-such-fs");
    let option = Mount::tmpfs("/mnt").option("size", "nonsense");
    refused(&program("/bin/true").mount(option), ErrorKind::Os, "size=nonsense");
    std::os::unix::fs::symlink("/etc", rootfs.join("trap")).unwrap();
    std::fs::remove_dir(rootfs.join("proc")).unwrap();
    std::os::unix::fs::symlink("/trap", rootfs.join("proc")).unwrap();
    refused(&program("/bin/true"), ErrorKind::Os, "/proc");
    leaks.assert_unchanged();
}
