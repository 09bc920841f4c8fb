//! What the host mounts later shows inside, or not, as described.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use common::in_rootfs;
use container_core::{Mount, Propagation, Stdio};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Runs on a thread with a mount namespace of its own, which stands for the
/// host's; it ends with the thread.
fn on_a_host_of_its_own<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let host = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).unwrap();
            work()
        });
        host.join().unwrap()
    })
}

fn tmpfs(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
    mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
}

/// Whether a mount made on the host after the start shows in the container.
fn later_mount_shows(propagation: Option<Propagation>) -> bool {
    on_a_host_of_its_own(|| {
        let dir = testkit::TempDir::new();
        let volume = dir.join("volume");
        tmpfs(&volume);
        let none = None::<&str>;
        mount(none, &volume, none, MsFlags::MS_SHARED, none).unwrap();
        std::fs::create_dir(volume.join("later")).unwrap();
        let rootfs = testkit::rootfs_dirs();
        let mut bind = Mount::bind(&volume, "/volume");
        if let Some(propagation) = propagation {
            bind = bind.propagation(propagation);
        }
        let mut process = in_rootfs(&rootfs, "/bin/sh")
            .args(["-c", "read line; ls /volume/later"])
            .mount(bind)
            .stdin(Stdio::Pipe)
            .stdout(Stdio::Pipe)
            .spawn()
            .unwrap();
        tmpfs(&volume.join("later"));
        std::fs::write(volume.join("later/file"), "").unwrap();
        process.take_stdin().unwrap().write_all(b"go\n").unwrap();
        let mut line = String::new();
        BufReader::new(process.take_stdout().unwrap()).read_line(&mut line).unwrap();
        process.wait().unwrap();
        nix::mount::umount(&volume.join("later")).unwrap();
        nix::mount::umount2(&volume, nix::mount::MntFlags::MNT_DETACH).unwrap();
        line == "file\n"
    })
}

#[test]
fn private_is_the_default_and_slave_follows_the_host() {
    if !testkit::require_root() {
        return;
    }
    assert!(!later_mount_shows(None));
    assert!(!later_mount_shows(Some(Propagation::Private)));
    assert!(later_mount_shows(Some(Propagation::Slave)));
    assert!(later_mount_shows(Some(Propagation::Shared)));
}

#[test]
fn shared_shows_the_containers_mounts_on_the_host() {
    if !testkit::require_root() {
        return;
    }
    let shows = |propagation| {
        on_a_host_of_its_own(move || {
            let dir = testkit::TempDir::new();
            let volume = dir.join("volume");
            tmpfs(&volume);
            let none = None::<&str>;
            mount(none, &volume, none, MsFlags::MS_SHARED, none).unwrap();
            std::fs::create_dir(volume.join("made")).unwrap();
            let rootfs = testkit::rootfs_dirs();
            let script = "mount -t tmpfs none /volume/made && touch /volume/made/inside";
            let status = in_rootfs(&rootfs, "/bin/sh")
                .args(["-c", script])
                .mount(Mount::bind(&volume, "/volume").propagation(propagation))
                .status()
                .unwrap();
            assert!(status.success());
            let found = volume.join("made/inside").exists();
            let _ = nix::mount::umount(&volume.join("made"));
            nix::mount::umount2(&volume, nix::mount::MntFlags::MNT_DETACH).unwrap();
            found
        })
    };
    assert!(shows(Propagation::Shared));
    assert!(!shows(Propagation::Slave));
    assert!(!shows(Propagation::Private));
}
