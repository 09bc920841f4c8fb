//! Descriptions that can't be are refused before anything is touched, and the
//! steps of those that can be say what is done.

use container_core::{ErrorKind, Mount, Plan};

use crate::common::in_rootfs;
use crate::support::shifted;

fn plan(mount: Mount) -> container_core::Result<Plan> {
    let rootfs = testkit::rootfs_dirs();
    in_rootfs(&rootfs, "true").mount(mount).plan()
}

#[test]
fn what_a_mount_can_not_be() {
    let dir = testkit::TempDir::new();
    let bind = || Mount::bind(dir.path(), "/m");
    for wrong in [
        bind().option("size", "1m"),
        bind().copy_up(),
        bind().mode_of_target(),
        Mount::proc("/proc").copy_up(),
        Mount::tmpfs("/m").id_map(shifted()),
        Mount::tmpfs("/m").option("size", "1".repeat(256).as_str()),
        Mount::bind(dir.path(), "/"),
        Mount::bind("relative", "/m"),
        Mount::cgroup("/a/../b"),
    ] {
        let shown = format!("{wrong:?}");
        assert_eq!(plan(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{shown}");
    }
    let missing = plan(Mount::bind(dir.join("none"), "/m")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn a_label_needs_selinux() {
    let rootfs = testkit::rootfs_dirs();
    let builder = in_rootfs(&rootfs, "true").mount_label("system_u:object_r:container_file_t:s0");
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        let text = builder.plan().unwrap().to_string();
        assert!(text.contains("context=system_u"), "{text}");
        return;
    }
    let error = builder.plan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("SELinux"), "{error}");
}

#[test]
fn the_steps_say_what_is_done() {
    let dir = testkit::TempDir::new();
    let rootfs = testkit::rootfs_dirs();
    let text = in_rootfs(&rootfs, "true")
        .mount(Mount::bind(dir.path(), "/m").set(container_core::mount::Attribute::ReadOnly))
        .mount(Mount::tmpfs("/run").copy_up())
        .device(container_core::Device::fifo("/run/pipe"))
        .sysctl("net.ipv4.ip_forward", "1")
        .plan()
        .unwrap()
        .to_string();
    for expected in [
        "mount_setattr private,recursive",
        "mount_setattr ro\n",
        "copy up /run",
        "mknodat /run/pipe",
        "write /proc/sys/net/ipv4/ip_forward 1",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
