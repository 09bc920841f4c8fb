//! Attacks on whoever writes into a tree that somebody else arranges. Each is carried out, and
//! each time what lies outside the root is looked at afterwards.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use container_fs::{ErrorKind, Root, remove_tree};
use rustix::fs::{CWD, RenameFlags};
use testkit::TempDir;

/// A root, and beside it a directory that must stay as it is.
struct Ground {
    dir: TempDir,
    root: Root,
}

impl Ground {
    fn new() -> Self {
        let dir = TempDir::new();
        fs::create_dir(dir.join("root")).unwrap();
        fs::create_dir(dir.join("outside")).unwrap();
        fs::write(dir.join("outside/precious"), "precious").unwrap();
        fs::set_permissions(dir.join("outside/precious"), fs::Permissions::from_mode(0o640))
            .unwrap();
        let root = Root::open(dir.join("root")).unwrap();
        Self { dir, root }
    }

    fn outside(&self) -> PathBuf {
        self.dir.join("outside")
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.dir.join("root").join(path)
    }

    fn assert_outside_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(self.outside()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["precious"]);
        assert_eq!(fs::read_to_string(self.outside().join("precious")).unwrap(), "precious");
        let metadata = fs::metadata(self.outside().join("precious")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&metadata), 1);
    }
}

/// CVE-2025-47290: a layer makes `x -> /outside`, its next entry writes `x/y`.
#[test]
fn writing_through_a_link_stays_inside() {
    let ground = Ground::new();
    let root = &ground.root;
    let up = "../".repeat(30) + ground.outside().to_str().unwrap();
    for (index, target) in [ground.outside(), up.into(), "../outside".into()].iter().enumerate() {
        let x = format!("x{index}");
        root.symlink(target, &x).unwrap();
        let y = format!("{x}/y");
        assert_eq!(root.create_file(&y, 0o644).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(root.create_dir(&y, 0o755).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(root.symlink("t", &y).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            root.open_file(format!("{x}/precious")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let error = root.create_dir_all(format!("{x}/a/b"), 0o755).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = root.remove_file(format!("{x}/precious")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    ground.assert_outside_untouched();

    // What the links mean inside the root works.
    root.create_dir_all(ground.outside(), 0o755).unwrap();
    root.create_file("x0/y", 0o644).unwrap().write_all(b"y").unwrap();
    let inside = ground.outside();
    let inside = inside.strip_prefix("/").unwrap().join("y");
    assert_eq!(fs::read(ground.inside(inside.to_str().unwrap())).unwrap(), b"y");
    ground.assert_outside_untouched();
}

#[test]
fn dots_do_not_climb_out() {
    let ground = Ground::new();
    for path in ["../outside/precious", "/../outside/precious", "a/../../outside/precious"] {
        assert!(ground.root.open_file(path).is_err(), "{path}");
        assert!(ground.root.remove_file(path).is_err(), "{path}");
    }
    ground.root.create_file("../../../here", 0o600).unwrap();
    assert!(ground.inside("here").exists());
    ground.assert_outside_untouched();
}

/// CVE-2018-20990, CVE-2021-38511: a hard link to a file outside.
#[test]
fn hard_links_to_outside_are_not_made() {
    let ground = Ground::new();
    symlink(ground.outside(), ground.inside("x")).unwrap();
    symlink(ground.outside().join("precious"), ground.inside("direct")).unwrap();
    assert!(ground.root.hard_link("x/precious", "stolen").is_err());
    assert!(ground.root.hard_link("../outside/precious", "stolen").is_err());
    // The link itself gets a second name, not what it points to.
    ground.root.hard_link("direct", "second").unwrap();
    assert!(ground.inside("second").is_symlink());
    ground.assert_outside_untouched();
}

/// CVE-2021-32760, CVE-2026-33056: mode, owner, time and attributes set through a link.
#[test]
fn attributes_are_not_set_through_a_link() {
    let ground = Ground::new();
    symlink(ground.outside().join("precious"), ground.inside("x")).unwrap();
    let before = fs::metadata(ground.outside().join("precious")).unwrap().modified().unwrap();
    let dir = ground.root.open_dir("/").unwrap();
    assert_eq!(dir.set_mode("x", 0o777).unwrap_err().kind(), ErrorKind::Symlink);
    assert!(dir.set_xattr("x", "user.stolen", b"1").is_err());
    dir.set_mtime("x", 1, 1).unwrap();
    let me = rustix::process::geteuid().as_raw();
    dir.set_owner("x", me, rustix::process::getegid().as_raw()).unwrap();
    let after = fs::metadata(ground.outside().join("precious")).unwrap().modified().unwrap();
    assert_eq!(before, after);
    ground.assert_outside_untouched();
}

/// CVE-2021-29136: an entry that is the root itself.
#[test]
fn the_root_itself_is_not_replaced() {
    let ground = Ground::new();
    for path in ["", "/", ".", "./", "..", "a/..", "//"] {
        let kind = ErrorKind::InvalidPath;
        assert_eq!(ground.root.symlink("/", path).unwrap_err().kind(), kind, "{path:?}");
        assert_eq!(ground.root.remove_tree(path).unwrap_err().kind(), kind, "{path:?}");
        assert_eq!(ground.root.create_file(path, 0o600).unwrap_err().kind(), kind, "{path:?}");
    }
    assert!(ground.inside("").is_dir());
}

/// CVE-2024-21626 in another form: the links of procfs lead out of any root.
#[test]
fn magic_links_are_refused() {
    let root = Root::open("/proc").unwrap();
    for path in ["self/root/etc/passwd", "self/cwd", "thread-self/exe"] {
        let error = root.open_file(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Symlink, "{path}: {error}");
    }
}

#[test]
fn a_link_leaf_is_replaced_not_followed() {
    let ground = Ground::new();
    symlink(ground.outside().join("precious"), ground.inside("leaf")).unwrap();
    let error = ground.root.create_file("leaf", 0o644).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    ground.root.remove_file("leaf").unwrap();
    ground.root.create_file("leaf", 0o644).unwrap().write_all(b"mine").unwrap();
    assert_eq!(fs::read(ground.inside("leaf")).unwrap(), b"mine");
    ground.assert_outside_untouched();
}

#[test]
fn the_umask_has_no_say() {
    let ground = Ground::new();
    ground.root.create_dir_all("a/b", 0o777).unwrap();
    ground.root.create_file("a/b/c", 0o666).unwrap();
    for (path, mode) in [("a", 0o777), ("a/b", 0o777), ("a/b/c", 0o666)] {
        assert_eq!(ground.root.metadata(path).unwrap().mode, mode, "{path}");
    }
}

/// Swaps `root/x` between a directory and a link to the outside for as long as `work` runs.
fn while_swapping(ground: &Ground, work: impl FnOnce()) {
    let (dir, link) = (ground.inside("x"), ground.inside("swap"));
    symlink(ground.outside(), &link).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = rustix::fs::renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE);
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
}

/// CVE-2018-15664: the target swapped for a link while it is in use.
#[test]
fn a_racing_swap_does_not_lead_outside() {
    let ground = Ground::new();
    ground.root.create_dir("x", 0o755).unwrap();
    let (mut made, mut refused) = (0, 0);
    while_swapping(&ground, || {
        for index in 0..5_000 {
            let path = format!("x/f{index}");
            match ground.root.create_file(&path, 0o600) {
                Ok(mut file) => {
                    file.write_all(b"x").unwrap();
                    made += 1;
                }
                Err(_) => refused += 1,
            }
            let _ = ground.root.create_dir_all(format!("x/d{index}/e"), 0o700);
            let _ = ground.root.remove_tree("x/precious");
        }
    });
    ground.assert_outside_untouched();
    assert!(made > 0 && refused > 0, "no race: {made} made, {refused} refused");
}

/// Removal of a tree in which a directory is swapped for a link to the outside.
#[test]
fn a_racing_swap_does_not_lead_removal_outside() {
    let ground = Ground::new();
    for _ in 0..300 {
        let _ = ground.root.create_dir_all("tree/x/y", 0o755);
        let (dir, link) = (ground.inside("tree/x"), ground.inside("tree/swap"));
        let _ = symlink(ground.outside(), &link);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..50 {
                    let _ = rustix::fs::renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE);
                }
            });
            let _ = remove_tree(&ground.root, "tree");
        });
    }
    ground.assert_outside_untouched();
}
