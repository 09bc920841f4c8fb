//! Containers of one user are not another's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use container_core::ErrorKind;
use container_core::runtime::{Runtime, Status};

use crate::support::{Place, id};

const NOBODY: u32 = 65534;

/// What the stranger does: everything is refused.
#[test]
fn stranger() {
    let (Ok(root), Ok(id)) = (std::env::var("STRANGE_ROOT"), std::env::var("STRANGE_ID")) else {
        return;
    };
    assert_eq!(nix::unistd::geteuid().as_raw(), NOBODY);
    let error = Runtime::open(&root).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let socket = format!("{root}/{id}/start.sock");
    let refused = std::os::unix::net::UnixStream::connect(socket).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn a_stranger_neither_sees_nor_starts_it() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    // The stranger may go there, and run this program.
    fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.directory.join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let container = place.create(&id("mine"), "sleep 100");
    let root = place.directory.join("run");
    let mode = fs::metadata(&root).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o700);
    let status = Command::new(&program)
        .args(["--exact", "users::stranger", "--nocapture"])
        .env("STRANGE_ROOT", &root)
        .env("STRANGE_ID", container.id())
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .status()
        .unwrap();
    assert!(status.success());
    // Even where the root is opened to all, as shims make it, each container's own stays shut.
    fs::set_permissions(&root, fs::Permissions::from_mode(0o711)).unwrap();
    let status = Command::new(&program)
        .args(["--exact", "users::stranger", "--nocapture"])
        .env("STRANGE_ROOT", &root)
        .env("STRANGE_ID", container.id())
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(container.state().unwrap().status, Status::Created);
    container.delete(true).unwrap();
}
