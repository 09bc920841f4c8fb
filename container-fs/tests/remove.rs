//! Trees that resist removal.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use common::{Layout, as_ordinary_user, is_child};
use container_fs::{ErrorKind, Root, remove_tree};
use testkit::TempDir;

fn mode(path: std::path::PathBuf, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn links_are_removed_not_followed() {
    let dir = TempDir::new();
    fs::create_dir_all(dir.join("keep/sub")).unwrap();
    fs::create_dir_all(dir.join("tree/a/b")).unwrap();
    fs::write(dir.join("tree/a/file"), "").unwrap();
    symlink(dir.join("keep"), dir.join("tree/a/link")).unwrap();
    symlink(dir.join("keep"), dir.join("link")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    remove_tree(&root, "tree").unwrap();
    remove_tree(&root, "link").unwrap();
    assert!(dir.join("keep/sub").exists() && !dir.join("tree").exists());
    assert!(!dir.join("link").is_symlink());
    assert_eq!(remove_tree(&root, "tree").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(remove_tree(&root, "../keep").unwrap_err().kind(), ErrorKind::InvalidPath);
}

fn directories_without_permissions() {
    let dir = TempDir::new();
    fs::create_dir_all(dir.join("tree/none/below")).unwrap();
    fs::create_dir_all(dir.join("tree/read/below")).unwrap();
    fs::create_dir_all(dir.join("tree/search/below")).unwrap();
    for name in ["none", "read", "search"] {
        fs::write(dir.join(format!("tree/{name}/file")), "").unwrap();
    }
    mode(dir.join("tree/none"), 0o000);
    mode(dir.join("tree/read"), 0o400);
    mode(dir.join("tree/search"), 0o100);
    mode(dir.join("tree"), 0o555);
    remove_tree(Root::open(dir.path()).unwrap(), "tree").unwrap();
    assert!(!dir.join("tree").exists());
}

#[test]
fn directories_without_permissions_are_removed() {
    if !is_child() {
        directories_without_permissions();
        as_ordinary_user("directories_without_permissions_are_removed");
        return;
    }
    // Without the capabilities of its user namespace: as any user's process.
    let none = rustix::thread::CapabilitySet::empty();
    let sets =
        rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).unwrap();
    directories_without_permissions();
}

/// The kernel leaves `work/work` behind with mode 000.
#[test]
fn the_work_directory_of_an_overlay_is_removed() {
    if is_child() {
        let layout = Layout::new(2);
        drop(layout.stack().mount().unwrap());
        let left = fs::metadata(layout.at("work/work")).unwrap();
        assert_eq!(left.permissions().mode() & 0o777, 0);
        let none = rustix::thread::CapabilitySet::empty();
        let sets =
            rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets).unwrap();
        remove_tree(Root::open(layout.dir.path()).unwrap(), "work").unwrap();
        assert!(!layout.at("work").exists());
    }
    as_ordinary_user("the_work_directory_of_an_overlay_is_removed");
}

#[test]
fn a_mount_in_the_tree_is_reported_not_emptied() {
    if is_child() {
        let layout = Layout::new(2);
        fs::write(layout.layers[0].join("precious"), "").unwrap();
        fs::create_dir_all(layout.at("tree/mnt")).unwrap();
        fs::create_dir_all(layout.at("tree/other")).unwrap();
        rustix::mount::mount_bind(&layout.layers[0], layout.at("tree/mnt")).unwrap();
        let root = Root::open(layout.dir.path()).unwrap();
        let error = remove_tree(&root, "tree").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete);
        assert_eq!(error.failures().len(), 1, "{error}");
        assert_eq!(error.failures()[0].kind(), ErrorKind::CrossDevice, "{error}");
        assert!(layout.layers[0].join("precious").exists());
        assert!(!layout.at("tree/other").exists());
        rustix::mount::unmount(layout.at("tree/mnt"), rustix::mount::UnmountFlags::DETACH).unwrap();
        remove_tree(&root, "tree").unwrap();
    }
    as_ordinary_user("a_mount_in_the_tree_is_reported_not_emptied");
}

#[test]
fn trees_deeper_than_a_path_can_be_long() {
    let dir = TempDir::new();
    let root = Root::open(dir.path()).unwrap();
    let name = "d".repeat(200);
    let mut below = root.create_dir("tree", 0o755).unwrap();
    for _ in 0..600 {
        below.create_file("file", 0o600).unwrap();
        below = below.create_dir(&name, 0o755).unwrap();
    }
    drop(below);
    remove_tree(&root, "tree").unwrap();
    assert!(!dir.join("tree").exists());
}
