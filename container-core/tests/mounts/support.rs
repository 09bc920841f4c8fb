//! What these tests share.

use std::path::Path;

use container_core::{IdMappings, Mount, NamespaceKind, Namespaces, ProcessBuilder};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use testkit::Rootfs;

use crate::common::{in_rootfs, script};

/// Containers can be made, with a user namespace if need be.
pub(crate) fn can_run() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) point: String,
    /// Of the mount, such as `ro`, `nosuid`.
    pub(crate) options: Vec<String>,
    /// Such as `shared:1`; empty for a private mount.
    pub(crate) propagation: Vec<String>,
    pub(crate) kind: String,
    pub(crate) source: String,
    /// Of the file system.
    pub(crate) data: Vec<String>,
}

impl Entry {
    fn parse(line: &str) -> Self {
        let words = |text: &str| text.split(',').map(str::to_owned).collect();
        let (left, right) = line.split_once(" - ").unwrap();
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        Self {
            point: left[4].to_owned(),
            options: words(left[5]),
            propagation: left[6..].iter().map(|word| (*word).to_owned()).collect(),
            kind: right[0].to_owned(),
            source: right[1].to_owned(),
            data: words(right[2]),
        }
    }

    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    pub(crate) fn is(&self, propagation: &str) -> bool {
        self.propagation.iter().any(|own| own.split(':').next() == Some(propagation))
    }
}

/// The mounts that the process sees.
#[track_caller]
pub(crate) fn mounts_of(builder: ProcessBuilder) -> Vec<Entry> {
    script(builder, "cat /proc/self/mountinfo").lines().map(Entry::parse).collect()
}

/// The topmost mount there.
#[track_caller]
pub(crate) fn at<'a>(mounts: &'a [Entry], point: &str) -> &'a Entry {
    mounts.iter().rev().find(|mount| mount.point == point).expect(point)
}

/// The mount at `/m` when just this one is added.
#[track_caller]
pub(crate) fn seen(mount: Mount) -> Entry {
    let rootfs = testkit::rootfs_dirs();
    let mounts = mounts_of(in_rootfs(&rootfs, "sh").mount(mount));
    mounts.into_iter().rev().find(|mount| mount.point == "/m").expect("/m")
}

/// Ids 0 to 65535 inside are 200000 and following.
pub(crate) fn shifted() -> IdMappings {
    IdMappings::shifted(200_000, 65536).unwrap()
}

/// A root of the host's programs in a user namespace of these ids.
pub(crate) fn in_user_namespace(rootfs: &Rootfs, ids: IdMappings) -> ProcessBuilder {
    let root = ids.uids.to_outside(0).unwrap();
    let owner = format!("{root}:{}", ids.gids.to_outside(0).unwrap());
    let mut chown = std::process::Command::new("chown");
    assert!(chown.args(["-Rh", &owner]).arg(rootfs.path()).status().unwrap().success());
    in_rootfs(rootfs, "sh")
        .namespaces(Namespaces::isolated().with(NamespaceKind::User))
        .id_mappings(ids)
}

/// Runs on a thread with a mount namespace of its own, which stands for the
/// host's; it ends with the thread.
pub(crate) fn on_a_host_of_its_own<T: Send>(work: impl FnOnce() -> T + Send) -> T {
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

pub(crate) fn tmpfs(path: &Path, flags: MsFlags) {
    std::fs::create_dir_all(path).unwrap();
    mount(Some("none"), path, Some("tmpfs"), flags, None::<&str>).unwrap();
}

pub(crate) fn detach(path: &Path) {
    nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH).unwrap();
}
