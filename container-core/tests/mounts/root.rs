//! The root: how it spreads, how it is entered.

use container_core::{ErrorKind, Mount, Propagation, Rootfs};
use nix::mount::MsFlags;

use crate::common::{in_rootfs, script};
use crate::support::{at, can_run, detach, mounts_of, on_a_host_of_its_own, tmpfs};

#[test]
fn propagation_of_the_root() {
    if !testkit::require_root() {
        return;
    }
    on_a_host_of_its_own(|| {
        // The root lies on a shared mount, as on most machines.
        let dir = testkit::TempDir::new();
        tmpfs(dir.path(), MsFlags::empty());
        let none = None::<&str>;
        nix::mount::mount(none, dir.path(), none, MsFlags::MS_SHARED, none).unwrap();
        let rootfs = testkit::rootfs_dirs();
        let copy = dir.join("rootfs");
        let status = std::process::Command::new("cp")
            .args(["-a".as_ref(), rootfs.path().as_os_str(), copy.as_os_str()])
            .status();
        assert!(status.unwrap().success());
        let kinds = |root: Rootfs, point: &str| {
            let builder = in_rootfs(&rootfs, "sh").rootfs(root).mount(Mount::tmpfs("/m"));
            let mounts = mounts_of(builder);
            let found = at(&mounts, point);
            let kinds = ["shared", "master", "unbindable"];
            kinds.into_iter().filter(|kind| found.is(kind)).collect::<Vec<_>>().join("+")
        };
        let root = || Rootfs::directory(&copy);
        for (propagation, top) in [
            (Propagation::Private, ""),
            (Propagation::Slave, "master"),
            (Propagation::Shared, "shared+master"),
            (Propagation::Unbindable, "unbindable"),
        ] {
            assert_eq!(kinds(root().propagation(propagation), "/"), top, "{propagation:?}");
            assert_eq!(kinds(root().propagation(propagation), "/m"), "", "{propagation:?}");
            let all = root().recursive_propagation(propagation);
            assert_eq!(kinds(all.clone(), "/"), top, "r{propagation:?}");
            let below = match propagation {
                Propagation::Shared => "shared",
                Propagation::Unbindable => "unbindable",
                _ => "",
            };
            assert_eq!(kinds(all, "/m"), below, "r{propagation:?}");
        }
        assert_eq!(kinds(root(), "/"), "");
        detach(dir.path());
    });
}

#[test]
fn a_slave_root_shows_what_the_host_mounts_later() {
    if !testkit::require_root() {
        return;
    }
    let shows = |root: fn(Rootfs) -> Rootfs| {
        on_a_host_of_its_own(move || {
            let dir = testkit::TempDir::new();
            tmpfs(dir.path(), MsFlags::empty());
            let none = None::<&str>;
            nix::mount::mount(none, dir.path(), none, MsFlags::MS_SHARED, none).unwrap();
            let rootfs = testkit::rootfs_dirs();
            let copy = dir.join("rootfs");
            let status = std::process::Command::new("cp")
                .args(["-a".as_ref(), rootfs.path().as_os_str(), copy.as_os_str()])
                .status();
            assert!(status.unwrap().success());
            let mut process = in_rootfs(&rootfs, "/bin/sh")
                .rootfs(root(Rootfs::directory(&copy)))
                .args(["-c", "read line; ls /opt/later | wc -l"])
                .stdin(container_core::Stdio::Pipe)
                .stdout(container_core::Stdio::Pipe)
                .spawn()
                .unwrap();
            tmpfs(&copy.join("opt/later"), MsFlags::empty());
            std::fs::write(copy.join("opt/later/file"), "").unwrap();
            drop(process.take_stdin());
            let mut text = String::new();
            std::io::Read::read_to_string(&mut process.take_stdout().unwrap(), &mut text).unwrap();
            process.wait().unwrap();
            detach(dir.path());
            text
        })
    };
    assert_eq!(shows(|root| root.propagation(Propagation::Slave)), "1\n");
    assert_eq!(shows(|root| root), "0\n");
}

#[test]
fn without_pivot_root() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    std::fs::write(rootfs.join("etc/marker"), "inside\n").unwrap();
    for attached in [false, true] {
        let mut root = Rootfs::directory(rootfs.path()).no_pivot();
        if attached {
            root = root.attached_at(rootfs.path());
        }
        let text = script(
            in_rootfs(&rootfs, "sh").rootfs(root).mount(Mount::tmpfs("/tmp")),
            "cat /etc/marker /../../etc/marker; cd /tmp; pwd; ls /proc/1/root/etc/marker",
        );
        assert_eq!(text, "inside\ninside\n/tmp\n/proc/1/root/etc/marker\n");
    }
    // The host's processes are not left in the namespace.
    let root = Rootfs::directory(rootfs.path()).no_pivot();
    let mounts = mounts_of(in_rootfs(&rootfs, "sh").rootfs(root));
    let processes = mounts.iter().filter(|mount| mount.kind == "proc").count();
    assert_eq!(processes, 1, "{mounts:?}");
}

#[test]
fn attached_at_a_place_and_read_only() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let root = Rootfs::directory(rootfs.path()).attached_at(rootfs.path()).read_only();
    let text = script(
        in_rootfs(&rootfs, "sh").rootfs(root).mount(Mount::tmpfs("/tmp")),
        "touch /x 2>/dev/null || echo ro; touch /tmp/x && ls /tmp",
    );
    assert_eq!(text, "ro\nx\n");
    let wrong = Rootfs::directory(rootfs.path()).attached_at("relative");
    let error = in_rootfs(&rootfs, "true").rootfs(wrong).plan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
