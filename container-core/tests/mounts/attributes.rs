//! Attributes and propagation of binds: of the top, of the tree, set, cleared.

use container_core::mount::Attribute;
use container_core::{ErrorKind, Mount, Propagation};
use nix::mount::MsFlags;

use crate::common::{in_rootfs, script};
use crate::support::{at, can_run, detach, mounts_of, on_a_host_of_its_own, seen, tmpfs};

const ALL: [(Attribute, &str); 8] = [
    (Attribute::ReadOnly, "ro"),
    (Attribute::NoSuid, "nosuid"),
    (Attribute::NoDev, "nodev"),
    (Attribute::NoExec, "noexec"),
    (Attribute::NoSymFollow, "nosymfollow"),
    (Attribute::NoDirAtime, "nodiratime"),
    (Attribute::NoAtime, "noatime"),
    (Attribute::RelAtime, "relatime"),
];

#[test]
fn every_attribute_of_a_new_file_system_shows() {
    if !can_run() {
        return;
    }
    for (attribute, name) in ALL {
        let found = seen(Mount::tmpfs("/m").set(attribute));
        assert!(found.has(name), "{name}: {found:?}");
        let found = seen(Mount::tmpfs("/m").set_recursive(attribute));
        assert!(found.has(name), "r{name}: {found:?}");
        if attribute != Attribute::RelAtime {
            let found = seen(Mount::tmpfs("/m").set(attribute).clear(attribute));
            assert!(!found.has(name), "no {name}: {found:?}");
        }
    }
    let strict = seen(Mount::tmpfs("/m").set(Attribute::StrictAtime));
    assert!(!strict.has("relatime") && !strict.has("noatime"), "{strict:?}");
}

/// Root only: in a user namespace the host's access time settings are locked.
#[test]
fn every_attribute_of_a_bind_is_set_and_cleared() {
    if !testkit::require_root() {
        return;
    }
    on_a_host_of_its_own(|| {
        let dir = testkit::TempDir::new();
        for (attribute, name) in ALL {
            let found = seen(Mount::bind(dir.path(), "/m").set(attribute));
            assert!(found.has(name), "{name}: {found:?}");
        }
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        tmpfs(
            dir.path(),
            flags | MsFlags::MS_NOATIME | MsFlags::MS_NODIRATIME | MsFlags::MS_RDONLY,
        );
        let kept = seen(Mount::bind(dir.path(), "/m"));
        for (attribute, name) in ALL {
            if matches!(attribute, Attribute::RelAtime | Attribute::NoSymFollow) {
                continue;
            }
            assert!(kept.has(name), "the source's {name} is kept: {kept:?}");
            let cleared = seen(Mount::bind(dir.path(), "/m").clear(attribute));
            assert!(!cleared.has(name), "{name} cleared: {cleared:?}");
        }
        let strict = seen(Mount::bind(dir.path(), "/m").set(Attribute::StrictAtime));
        assert!(!strict.has("noatime") && !strict.has("relatime"), "{strict:?}");
        detach(dir.path());
    });
}

#[test]
fn top_and_tree_are_told_apart() {
    if !testkit::require_root() {
        return;
    }
    on_a_host_of_its_own(|| {
        let dir = testkit::TempDir::new();
        tmpfs(dir.path(), MsFlags::empty());
        tmpfs(&dir.join("below"), MsFlags::MS_NOSUID);
        let rootfs = testkit::rootfs_dirs();
        let both = |mount: Mount| {
            let mounts = mounts_of(in_rootfs(&rootfs, "sh").mount(mount));
            let of = |point: &str| at(&mounts, point).options.clone();
            (of("/m"), of("/m/below"))
        };
        let has = |options: &[String], name: &str| options.iter().any(|own| own == name);
        let bind = || Mount::bind(dir.path(), "/m");
        let (top, below) = both(bind().set(Attribute::ReadOnly));
        assert!(has(&top, "ro") && has(&below, "rw"), "{top:?} {below:?}");
        let (top, below) = both(bind().set_recursive(Attribute::ReadOnly));
        assert!(has(&top, "ro") && has(&below, "ro"), "{top:?} {below:?}");
        let (top, below) =
            both(bind().set_recursive(Attribute::ReadOnly).clear(Attribute::ReadOnly));
        assert!(has(&top, "rw") && has(&below, "ro"), "{top:?} {below:?}");
        let (top, below) = both(bind().set(Attribute::NoSuid).clear_recursive(Attribute::NoSuid));
        assert!(has(&top, "nosuid") && !has(&below, "nosuid"), "{top:?} {below:?}");
        let alone = mounts_of(in_rootfs(&rootfs, "sh").mount(bind().without_submounts()));
        assert!(!alone.iter().any(|mount| mount.point == "/m/below"));
        detach(dir.path());
    });
}

#[test]
fn read_only_and_noexec_are_felt() {
    if !can_run() {
        return;
    }
    let dir = testkit::TempDir::new();
    let rootfs = testkit::rootfs_dirs();
    let text = script(
        in_rootfs(&rootfs, "sh")
            .mount(Mount::bind(dir.path(), "/m").set(Attribute::ReadOnly))
            .mount(Mount::tmpfs("/x").set(Attribute::NoExec))
            .mount(Mount::tmpfs("/s").set(Attribute::NoSymFollow)),
        "touch /m/a 2>/dev/null || echo ro; cp /bin/true /x/t; /x/t 2>/dev/null || echo noexec; \
         ln -s /etc/passwd /s/l; cat /s/l >/dev/null 2>&1 || echo nosymfollow",
    );
    assert_eq!(text, "ro\nnoexec\nnosymfollow\n");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn propagation_of_the_top_and_of_all() {
    if !testkit::require_root() {
        return;
    }
    on_a_host_of_its_own(|| {
        let dir = testkit::TempDir::new();
        tmpfs(dir.path(), MsFlags::empty());
        tmpfs(&dir.join("below"), MsFlags::empty());
        let none = None::<&str>;
        let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
        nix::mount::mount(none, dir.path(), none, flags, none).unwrap();
        let rootfs = testkit::rootfs_dirs();
        let both = |mount: Mount| {
            let mounts = mounts_of(in_rootfs(&rootfs, "sh").mount(mount));
            let of = |point: &str| {
                let found = at(&mounts, point);
                let kinds = ["shared", "master", "unbindable"];
                kinds.into_iter().filter(|kind| found.is(kind)).collect::<Vec<_>>().join("+")
            };
            (of("/m"), of("/m/below"))
        };
        let expect = |mount: Mount, top: &str, below: &str| {
            assert_eq!(both(mount), (top.to_owned(), below.to_owned()));
        };
        let bind = || Mount::bind(dir.path(), "/m");
        expect(bind(), "", "");
        expect(bind().propagation(Propagation::Private), "", "");
        expect(bind().propagation(Propagation::Slave), "master", "master");
        expect(bind().propagation(Propagation::Shared), "shared", "shared");
        expect(bind().propagation(Propagation::Unbindable), "unbindable", "unbindable");
        expect(bind().top_propagation(Propagation::Private), "", "");
        expect(bind().top_propagation(Propagation::Slave), "master", "master");
        expect(bind().top_propagation(Propagation::Shared), "shared", "shared");
        expect(bind().top_propagation(Propagation::Unbindable), "unbindable", "");
        detach(dir.path());
    });
}

/// What the host has locked stays in a user namespace, and clearing it says
/// why it can't be (as an ordinary user: root opens its binds outside).
#[test]
fn locked_attributes_stay() {
    if testkit::is_root() || !can_run() {
        return;
    }
    // A procfs of the host is nosuid everywhere.
    let nosuid = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let Some(path) = nosuid.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let point = fields.nth(4)?;
        let options = fields.next()?;
        (options.contains("nosuid") && ["/dev/shm", "/run", "/sys", "/proc"].contains(&point))
            .then(|| point.to_owned())
    }) else {
        println!("SKIP: the host has no nosuid mount to bind");
        return;
    };
    let found = seen(Mount::bind(&path, "/m").set(Attribute::NoExec));
    assert!(found.has("nosuid") && found.has("noexec"), "{found:?}");
    let rootfs = testkit::rootfs_dirs();
    let cleared = Mount::bind(&path, "/m").clear(Attribute::NoSuid);
    let error = in_rootfs(&rootfs, "true").mount(cleared).spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.way_out().unwrap().contains("locked"), "{error}");
}
