//! Root with a user namespace: sources that the mapped ids can't reach.

use std::os::unix::fs::PermissionsExt;

use container_core::{Mount, Propagation};
use nix::mount::MsFlags;

use crate::common::script;
use crate::support::{
    at, detach, in_user_namespace, mounts_of, on_a_host_of_its_own, shifted, tmpfs,
};

fn close(path: &std::path::Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn sources_behind_closed_directories_are_bound() {
    if !testkit::require_root() {
        return;
    }
    let (dir, rootfs) = (testkit::TempDir::new(), testkit::rootfs_dirs());
    std::fs::create_dir(dir.join("volume")).unwrap();
    std::fs::write(dir.join("volume/file"), "content\n").unwrap();
    std::fs::write(dir.join("single"), "alone\n").unwrap();
    close(dir.path());
    let builder = in_user_namespace(&rootfs, shifted())
        .mount(Mount::bind(dir.join("volume"), "/m"))
        .mount(Mount::bind(dir.join("single"), "/etc/single").read_only());
    let command = "cat /m/file /etc/single; touch /etc/single 2>/dev/null || echo ro";
    assert_eq!(script(builder, command), "content\nalone\nro\n");
}

#[test]
fn a_root_behind_a_closed_directory_is_entered() {
    if !testkit::require_root() {
        return;
    }
    let outer = testkit::TempDir::new();
    let source = testkit::rootfs_dirs();
    // The same skeleton where only root can go.
    let inner = outer.join("rootfs");
    let status = std::process::Command::new("cp")
        .args(["-a".as_ref(), source.path().as_os_str(), inner.as_os_str()])
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::create_dir(inner.join("m")).unwrap();
    close(outer.path());
    let builder = in_user_namespace(&source, shifted()).rootfs(&inner);
    let builder = builder.mount(Mount::tmpfs("/m"));
    assert_eq!(script(builder, "echo in; id -u"), "in\n0\n");
}

/// A user namespace takes what the host mounts, and gives nothing back.
#[test]
fn a_shared_bind_of_a_user_namespace_is_one_way() {
    if !testkit::require_root() {
        return;
    }
    on_a_host_of_its_own(|| {
        let (dir, rootfs) = (testkit::TempDir::new(), testkit::rootfs_dirs());
        tmpfs(dir.path(), MsFlags::empty());
        let none = None::<&str>;
        nix::mount::mount(none, dir.path(), none, MsFlags::MS_SHARED, none).unwrap();
        std::fs::create_dir(dir.join("made")).unwrap();
        std::os::unix::fs::chown(dir.join("made"), Some(200_000), Some(200_000)).unwrap();
        let bind = Mount::bind(dir.path(), "/m").propagation(Propagation::Shared);
        let builder = || in_user_namespace(&rootfs, shifted()).mount(bind.clone());
        let mounts = mounts_of(builder());
        assert!(at(&mounts, "/m").is("master") && at(&mounts, "/m").is("shared"), "{mounts:?}");
        script(builder(), "mount -t tmpfs none /m/made && touch /m/made/inside");
        assert!(!dir.join("made/inside").exists());
        detach(dir.path());
    });
}
