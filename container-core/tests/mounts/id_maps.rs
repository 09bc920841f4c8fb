//! Id-mapped mounts: who a file belongs to, seen from inside.

use std::os::unix::fs::{MetadataExt, chown};

use container_core::idmap::IdExtent;
use container_core::{ErrorKind, IdMap, IdMappings, Mount, ProcessBuilder};
use nix::mount::MsFlags;

use crate::common::{in_rootfs, script};
use crate::support::{detach, in_user_namespace, on_a_host_of_its_own, shifted, tmpfs};

fn volume(owner: u32) -> testkit::TempDir {
    let dir = testkit::TempDir::new();
    std::fs::write(dir.join("file"), "x").unwrap();
    chown(dir.path(), Some(owner), Some(owner)).unwrap();
    chown(dir.join("file"), Some(owner), Some(owner)).unwrap();
    dir
}

/// Root, on a file system that maps ids: overlay never does, tmpfs since 6.3.
fn can_map() -> bool {
    let found = nix::sys::statfs::statfs(&std::env::temp_dir()).unwrap().filesystem_type();
    let tmpfs = found == nix::sys::statfs::TMPFS_MAGIC && !testkit::require_kernel(6, 3);
    let overlay = found == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC;
    if overlay {
        println!("SKIP: the temporary directory is on an overlay, which maps no ids");
    }
    testkit::require_root() && !tmpfs && !overlay
}

fn mapping(inside: u32, outside: u32) -> IdMappings {
    let map = IdMap::new([IdExtent { inside, outside, count: 1 }]).unwrap();
    IdMappings { uids: map.clone(), gids: map }
}

#[track_caller]
fn owner(builder: ProcessBuilder, path: &str) -> String {
    script(builder, &format!("stat -c %u:%g {path}"))
}

#[test]
fn own_mappings_without_a_user_namespace() {
    if !can_map() {
        return;
    }
    let (dir, rootfs) = (volume(1000), testkit::rootfs_dirs());
    let mount = Mount::bind(dir.path(), "/m").id_map(mapping(1000, 33));
    let builder = || in_rootfs(&rootfs, "sh").mount(mount.clone());
    assert_eq!(owner(builder(), "/m/file"), "33:33\n");
    // What 33 makes there belongs to 1000 on disk; what is unmapped can't be made.
    let made = builder().user("33:33".parse::<container_core::UserSpec>().unwrap());
    assert_eq!(script(made, "touch /m/made && stat -c %u /m/made"), "33\n");
    assert_eq!(dir.join("made").metadata().unwrap().uid(), 1000);
    let foreign = script(builder(), "touch /m/by-root 2>/dev/null || echo refused");
    assert_eq!(foreign, "refused\n");
}

#[test]
fn the_mappings_of_the_container() {
    if !can_map() {
        return;
    }
    let (dir, rootfs) = (volume(0), testkit::rootfs_dirs());
    let bind = || Mount::bind(dir.path(), "/m");
    let plain = in_user_namespace(&rootfs, shifted()).mount(bind());
    assert_eq!(owner(plain, "/m/file"), "65534:65534\n");
    let mapped = in_user_namespace(&rootfs, shifted()).mount(bind().container_id_map());
    assert_eq!(owner(mapped.clone(), "/m/file"), "0:0\n");
    script(mapped.clone(), "echo y > /m/made && chown 5:6 /m/made");
    let made = dir.join("made").metadata().unwrap();
    assert_eq!((made.uid(), made.gid()), (5, 6));
    // A plan is good for any number of processes; each gets mounts of its own.
    let plan = mapped.program("/bin/test").args(["-O", "/m/file"]).plan().unwrap();
    assert!(plan.to_string().contains("MOUNT_ATTR_IDMAP"), "{plan}");
    for _ in 0..2 {
        assert!(plan.status().unwrap().success());
    }
}

#[test]
fn recursive_mapping_is_for_all_below() {
    // The mount below is a tmpfs.
    if !can_map() || !testkit::require_kernel(6, 3) {
        return;
    }
    on_a_host_of_its_own(|| {
        let (dir, rootfs) = (volume(1000), testkit::rootfs_dirs());
        let below = dir.join("below");
        tmpfs(&below, MsFlags::empty());
        chown(&below, Some(1000), Some(1000)).unwrap();
        let bind = || Mount::bind(dir.path(), "/m").id_map(mapping(1000, 33));
        let top = in_rootfs(&rootfs, "sh").mount(bind());
        assert_eq!(owner(top, "/m /m/below"), "33:33\n1000:1000\n");
        let tree = in_rootfs(&rootfs, "sh").mount(bind().recursive_id_map());
        assert_eq!(owner(tree, "/m /m/below"), "33:33\n33:33\n");
        detach(&below);
    });
}

#[test]
fn mappings_that_can_not_be() {
    let rootfs = testkit::rootfs_dirs();
    let plan = |mount: Mount| in_rootfs(&rootfs, "sh").mount(mount).plan();
    let error = plan(Mount::tmpfs("/m").id_map(shifted())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    if !testkit::require_root() {
        return;
    }
    let dir = testkit::TempDir::new();
    let error = plan(Mount::bind(dir.path(), "/m").container_id_map()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.way_out().unwrap().contains("id_map"), "{error}");
    // procfs maps no ids.
    let mount = Mount::bind("/proc", "/m").without_submounts().id_map(mapping(0, 5));
    let error = in_rootfs(&rootfs, "true").mount(mount).spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("Linux"), "{error}");
}
