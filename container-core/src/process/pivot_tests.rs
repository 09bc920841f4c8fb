//! The stop before the root is switched.

use std::path::Path;

use super::{Process, ProcessBuilder};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::{Mount, NamespaceKind, Namespaces, Rootfs};

fn builder(rootfs: &Path) -> ProcessBuilder {
    let mut namespaces = Namespaces::isolated();
    if !nix::unistd::geteuid().is_root() {
        namespaces = namespaces.with(NamespaceKind::User);
    }
    let builder = ProcessBuilder::new("/bin/sh")
        .args(["-c", "read line < /made-by-hook && test \"$line\" = hook"])
        .namespaces(namespaces)
        .rootfs(rootfs)
        .mount(Mount::proc("/proc"))
        .mount(Mount::tmpfs("/m"));
    let binds = testkit::Rootfs::binds();
    let builder =
        binds.iter().fold(builder, |builder, path| builder.mount(Mount::bind(path, path)));
    builder.stop_before_pivot()
}

fn can_run() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

fn spawn_with(plan: &Plan, hook: impl FnOnce(u32) -> Result<()>) -> Result<Process> {
    super::spawn_with(plan, hook, |_| Ok(()))
}

#[test]
fn mounts_are_seen_below_the_roots_path_before_it_is_the_root() {
    if !can_run() {
        return;
    }
    for time in [false, true] {
        let rootfs = testkit::rootfs_dirs();
        let mut builder = builder(rootfs.path()).masked_paths(["/etc"]);
        if time {
            // The process is a second clone then.
            let namespaces = builder.description.namespaces.clone();
            builder = builder.namespaces(namespaces.with(NamespaceKind::Time));
        }
        let mut seen = String::new();
        let process = spawn_with(&builder.plan().unwrap(), |pid| {
            let path = format!("/proc/{pid}/mountinfo");
            seen = std::fs::read_to_string(path).unwrap();
            rootfs.write("made-by-hook", "hook\n");
            Ok(())
        })
        .unwrap();
        assert!(process.wait().unwrap().success());
        let shown = rootfs.path().to_str().unwrap();
        for place in ["", "/proc", "/m", "/usr"] {
            assert!(seen.contains(&format!(" {shown}{place} ")), "{place}: {seen}");
        }
        // Masks come after the hooks, who may still look.
        assert!(!seen.contains(&format!(" {shown}/etc ")), "{seen}");
    }
}

#[test]
fn a_failing_hook_ends_the_process() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let mut number = 0;
    let error = spawn_with(&builder(rootfs.path()).plan().unwrap(), |pid| {
        number = pid;
        Err(Error::with(ErrorKind::TimedOut, "hook", "", "too slow"))
    })
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(!Path::new(&format!("/proc/{number}")).exists());
    // A failure before the stop is told as ever, and no hook is run.
    let wrong = builder(rootfs.path()).mount(Mount::tmpfs("/x").option("no-such", "1"));
    let error = spawn_with(&wrong.plan().unwrap(), |_| panic!("a hook was run")).unwrap_err();
    assert!(error.to_string().contains("no-such"), "{error}");
}

#[test]
fn hooks_need_a_path_of_the_root() {
    let options = [("lowerdir", "/a:/b")];
    let root = || Rootfs::file_system("overlay", options);
    let rootfs = testkit::rootfs_dirs();
    let error = builder(rootfs.path()).rootfs(root()).plan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let placed = builder(rootfs.path()).rootfs(root().attached_at("/mnt")).plan().unwrap();
    assert!(placed.to_string().contains("move_mount /mnt"), "{placed}");
}
