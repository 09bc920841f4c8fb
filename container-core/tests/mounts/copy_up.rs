//! A tmpfs that starts as a copy of what it covers.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use container_core::{Mount, ProcessBuilder};

use crate::common::{in_rootfs, script};
use crate::support::can_run;

/// What tells one tree from another: kinds, modes, owners, times, contents.
const SHOW: &str = "cd /m && find . -printf '%P %y %m %U:%G %T@ %l\\n' | sort && \
                    find . -type f -exec cksum {} + | sort && getfattr -d -m user -R . 2>/dev/null | sort";

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn fill(dir: &Path) {
    std::fs::create_dir_all(dir.join("a/b/c")).unwrap();
    std::fs::write(dir.join("a/small"), "text").unwrap();
    let large: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(dir.join("a/b/large"), large).unwrap();
    std::fs::write(dir.join("empty"), "").unwrap();
    symlink("../../outside", dir.join("a/link")).unwrap();
    symlink("/etc/passwd", dir.join("absolute")).unwrap();
    nix::unistd::mkfifo(&dir.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o640))
        .unwrap();
    set_mode(&dir.join("a/small"), 0o4751);
    for index in 0..200 {
        let name = format!("a/b/c/a rather long name, so that one read is not enough {index}");
        std::fs::write(dir.join(name), index.to_string()).unwrap();
    }
    if testkit::is_root() {
        chown(dir.join("a/small"), Some(1000), Some(33)).unwrap();
        set_mode(&dir.join("a/small"), 0o4751);
        std::os::unix::fs::lchown(dir.join("a/link"), Some(7), Some(8)).unwrap();
    }
    set_mode(&dir.join("a/b"), 0o1770);
    for name in ["a/small", "empty", "a/b/c", "a", ""] {
        let file = std::fs::File::open(dir.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000, 123_000))
            .unwrap();
    }
    set_mode(dir, 0o711);
}

#[test]
fn the_copy_is_what_it_covers() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    std::fs::create_dir(rootfs.join("m")).unwrap();
    fill(&rootfs.join("m"));
    let builder = |mount: Option<Mount>| {
        let builder = in_rootfs(&rootfs, "sh");
        mount.into_iter().fold(builder, ProcessBuilder::mount)
    };
    let below = script(builder(None), SHOW);
    assert!(below.contains("a/link l 777") && below.lines().count() > 400, "{below}");
    let copy = script(builder(Some(Mount::tmpfs("/m").copy_up())), SHOW);
    // Symlinks keep their owner and time too.
    assert_eq!(copy, below);
    let changed = script(
        builder(Some(Mount::tmpfs("/m").copy_up())),
        "rm -r /m/a; echo new > /m/empty; ls /m; stat -f -c %T /m",
    );
    assert_eq!(changed, "absolute\nempty\npipe\ntmpfs\n");
    assert!(rootfs.join("m/a/b/large").exists(), "the root is as it was");
    assert_eq!(std::fs::read(rootfs.join("m/empty")).unwrap(), b"");
}

#[test]
fn nothing_below_is_an_empty_tmpfs() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let builder = in_rootfs(&rootfs, "sh").mount(Mount::tmpfs("/new/place").copy_up());
    assert_eq!(script(builder, "ls -A /new/place | wc -l"), "0\n");
}

#[test]
fn too_large_and_too_deep_say_where() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    std::fs::create_dir(rootfs.join("m")).unwrap();
    std::fs::write(rootfs.join("m/much"), vec![1u8; 200_000]).unwrap();
    let small = Mount::tmpfs("/m").option("size", "64k").copy_up();
    let error = in_rootfs(&rootfs, "true").mount(small).spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENOSPC), "{error}");
    assert!(error.to_string().contains("much"), "{error}");
    std::fs::remove_file(rootfs.join("m/much")).unwrap();
    std::fs::create_dir_all(rootfs.join(format!("m{}", "/d".repeat(70)))).unwrap();
    let error = in_rootfs(&rootfs, "true").mount(Mount::tmpfs("/m").copy_up()).spawn().unwrap_err();
    assert!(error.to_string().contains("64 directories"), "{error}");
}

/// A symlink below is copied, never followed, and the covered path itself is
/// resolved in the root.
#[test]
fn links_lead_nowhere() {
    if !can_run() {
        return;
    }
    let (secret, rootfs) = (testkit::TempDir::new(), testkit::rootfs_dirs());
    std::fs::write(secret.join("secret"), "secret").unwrap();
    symlink(secret.path(), rootfs.join("m")).unwrap();
    let builder = || in_rootfs(&rootfs, "sh").mount(Mount::tmpfs("/m").copy_up());
    // It leads to a place in the root, which is made.
    assert_eq!(script(builder(), "ls -A /m/ | wc -l"), "0\n");
    assert!(rootfs.join(secret.path()).is_dir());
    std::fs::write(rootfs.join(secret.path()).join("own"), "").unwrap();
    assert_eq!(script(builder(), "ls -A /m/"), "own\n");
}
