//! Roots whose content would lead mounts, devices and settings elsewhere
//! (CVE-2019-19921, CVE-2021-30465, CVE-2024-45310, CVE-2025-52881,
//! CVE-2026-41579).

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use container_core::{Device, Mount, ProcessBuilder};

use crate::common::{in_rootfs, isolated, script};
use crate::support::can_run;

/// A root without `/proc`, `/sys` and `/dev` of its own mounts.
fn bare(rootfs: &testkit::Rootfs) -> ProcessBuilder {
    let builder = ProcessBuilder::new("true").namespaces(isolated()).rootfs(rootfs.path());
    testkit::Rootfs::binds()
        .iter()
        .fold(builder, |builder, path| builder.mount(Mount::bind(path, path).read_only()))
}

fn replace(rootfs: &testkit::Rootfs, name: &str, to: &Path) {
    let _ = std::fs::remove_dir_all(rootfs.join(name));
    symlink(to, rootfs.join(name)).unwrap();
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn kernel_file_systems_are_not_mounted_through_links() {
    if !can_run() {
        return;
    }
    let outside = testkit::TempDir::new();
    for (name, mount) in [
        ("proc", Mount::proc("/proc")),
        ("sys", Mount::sysfs("/sys")),
        ("dev", Mount::dev("/dev")),
        ("dev", Mount::devpts("/dev/pts")),
        ("dev", Mount::mqueue("/dev/mqueue")),
        ("sys", Mount::cgroup("/sys/fs/cgroup")),
    ] {
        for to in [outside.path(), Path::new("etc")] {
            let rootfs = testkit::rootfs_dirs();
            replace(&rootfs, name, to);
            let before = std::fs::read_dir(rootfs.join("etc")).unwrap().count();
            let error = bare(&rootfs).mount(mount.clone()).spawn().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::ELOOP), "{name}: {error}");
            assert!(is_empty(outside.path()));
            assert_eq!(std::fs::read_dir(rootfs.join("etc")).unwrap().count(), before);
        }
    }
}

#[test]
fn devices_are_not_made_through_links() {
    if !can_run() {
        return;
    }
    let outside = testkit::TempDir::new();
    let rootfs = testkit::rootfs_dirs();
    replace(&rootfs, "dev", outside.path());
    let described = bare(&rootfs).device(Device::character("/dev/null", 1, 3));
    for builder in [described, bare(&rootfs).default_devices(true)] {
        let error = builder.spawn().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ELOOP), "{error}");
        assert!(is_empty(outside.path()));
    }
    // Elsewhere a link is resolved in the root.
    let rootfs = testkit::rootfs_dirs();
    symlink(outside.path(), rootfs.join("out")).unwrap();
    let fifo = bare(&rootfs).device(Device::fifo("/out/pipe"));
    let _ = fifo.status();
    assert!(is_empty(outside.path()));
}

#[test]
fn targets_stay_in_the_root() {
    if !can_run() {
        return;
    }
    let (outside, source) = (testkit::TempDir::new(), testkit::TempDir::new());
    std::fs::write(source.join("marker"), "").unwrap();
    std::fs::write(source.join("file"), "content\n").unwrap();
    let rootfs = testkit::rootfs_dirs();
    symlink(outside.path(), rootfs.join("absolute")).unwrap();
    let up = format!("{}{}", "../".repeat(30), outside.path().strip_prefix("/").unwrap().display());
    symlink(up, rootfs.join("relative")).unwrap();
    symlink("/proc/self/fd", rootfs.join("magic")).unwrap();
    for name in ["absolute", "relative"] {
        let inside = rootfs.join(outside.path());
        let text = script(
            in_rootfs(&rootfs, "sh")
                .mount(Mount::bind(source.path(), format!("/{name}/made")))
                .mount(Mount::bind(source.join("file"), format!("/{name}/file"))),
            &format!("ls /{name}/made; cat /{name}/file"),
        );
        assert_eq!(text, "file\nmarker\ncontent\n", "{name}");
        assert!(is_empty(outside.path()), "{name}: made outside");
        std::fs::remove_dir_all(inside).unwrap();
    }
    // A file too, where links lead from one to the other, and to nothing.
    symlink("../chain", rootfs.join("etc/dangling.conf")).unwrap();
    symlink("./run/new/../made/file", rootfs.join("chain")).unwrap();
    let bind = Mount::bind(source.join("file"), "/etc/dangling.conf");
    let text = script(in_rootfs(&rootfs, "sh").mount(bind), "cat /etc/dangling.conf");
    assert_eq!(text, "content\n");
    assert!(rootfs.join("run/made/file").is_file());
    let made = rootfs.join("run/made").metadata().unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&made) & 0o7777, 0o755);
    symlink("loop", rootfs.join("loop")).unwrap();
    let looped = in_rootfs(&rootfs, "true").mount(Mount::tmpfs("/loop/x"));
    assert_eq!(looped.spawn().unwrap_err().raw_os_error(), Some(nix::libc::ELOOP));
    let magic = in_rootfs(&rootfs, "true").mount(Mount::bind(source.path(), "/magic/3/x"));
    assert!(magic.spawn().is_err());
}

/// The target is swapped for a link to the outside all the time; whatever the
/// container gets, nothing outside is made or mounted on.
#[test]
fn raced_targets_stay_in_the_root() {
    if !can_run() {
        return;
    }
    let (outside, source) = (testkit::TempDir::new(), testkit::TempDir::new());
    std::fs::create_dir(outside.join("kept")).unwrap();
    std::fs::write(source.join("marker"), "").unwrap();
    let rootfs = testkit::rootfs_dirs();
    let (real, link) = (rootfs.join("swap"), rootfs.join("swap.link"));
    std::fs::create_dir(&real).unwrap();
    symlink(outside.path(), &link).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let at = nix::fcntl::AT_FDCWD;
                let flags = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
                let _ = nix::fcntl::renameat2(at, &real, at, &link, flags);
            }
        });
        let (mut done, mut refused) = (0, 0);
        for round in 0..60 {
            let builder = in_rootfs(&rootfs, "true")
                .mount(Mount::bind(source.path(), "/swap/kept"))
                .mount(Mount::tmpfs("/swap/t").copy_up())
                .device(Device::fifo(format!("/swap/fifo{round}")));
            match builder.status() {
                Ok(_) => done += 1,
                Err(_) => refused += 1,
            }
            let names: Vec<_> = std::fs::read_dir(outside.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(names, ["kept"], "made outside");
            assert!(is_empty(&outside.join("kept")), "mounted outside");
        }
        stop.store(true, Ordering::Relaxed);
        println!("{done} containers ran, {refused} were refused");
    });
}

/// A file tree that looks like procfs gets no setting and no label.
#[test]
fn a_false_proc_gets_no_settings() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let name = "proc/sys/net/ipv4/ip_unprivileged_port_start";
    rootfs.write(name, "false\n");
    let builder = in_rootfs(&rootfs, "sh").sysctl("net.ipv4.ip_unprivileged_port_start", "9");
    assert_eq!(script(builder, &format!("cat /{name}")), "9\n");
    assert_eq!(std::fs::read_to_string(rootfs.join(name)).unwrap(), "false\n");
}
