//! Directories and names that belong to one test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::{UnmountFlags, unmount};

use crate::proc;

/// A directory of mode 0755 that is removed on drop, whatever the test left in it:
/// directories without permissions, files of mapped ids.
///
/// A mount below it would let the removal run into what is mounted there (the host's `/usr`, say).
/// So mounts are detached first; a directory whose mounts can't be detached stays, and unless the
/// test is failing already, a mount left behind fails it.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// A new directory in `TMPDIR`, or `/tmp`.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        Self::new_in(std::env::temp_dir())
    }

    /// A new directory in `parent`, for example `/dev/shm` for a tmpfs. Its name holds the process
    /// id, so that one left behind is told from one in use.
    #[must_use]
    pub fn new_in(parent: impl AsRef<Path>) -> Self {
        let parent = fs::canonicalize(parent.as_ref()).expect("the parent of a TempDir exists");
        let dir = tempfile::Builder::new()
            .prefix(&format!("testkit-{}-", std::process::id()))
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .expect("make a temporary directory");
        let path = dir.keep();
        // The umask may have taken bits away.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod a TempDir");
        Self { path }
    }

    /// The directory's path: absolute, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `path()` joined with `name`.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl AsRef<Path> for TempDir {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let left = proc::mounts_below(&self.path);
        for point in left.iter().rev() {
            let _ = unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
        if proc::mounts_below(&self.path).is_empty() {
            remove(&self.path);
        }
        if !left.is_empty() && !std::thread::panicking() {
            panic!("mounts left below a TempDir: {left:?}");
        }
    }
}

/// Removes a tree: permissions opened first, then as root of a user namespace with all the ids
/// that this user may map. A tree that still stands is reported, not fatal.
fn remove(path: &Path) {
    if fs::remove_dir_all(path).is_ok() {
        return;
    }
    open_up(path);
    if fs::remove_dir_all(path).is_ok() || !path.exists() {
        return;
    }
    let mut unshare = Command::new("unshare");
    let unshare = unshare.args(["--map-root-user", "--map-auto", "rm", "-rf"]).arg(path);
    if !unshare.status().is_ok_and(|status| status.success()) {
        eprintln!("not removed: {}", path.display());
    }
}

fn open_up(dir: &Path) {
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// A name that no other test uses: `prefix-PID-N`. For cgroups, containers, files.
#[must_use]
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}-{}", std::process::id(), next())
}

/// A unique name of at most 15 bytes, as the kernel wants for links: up to four bytes of `prefix`,
/// then the process id and a counter in base 36.
#[must_use]
pub fn unique_link(prefix: &str) -> String {
    let prefix = prefix.get(..prefix.len().min(4)).unwrap_or("t");
    let name = format!("{prefix}{}x{}", base36(std::process::id()), base36(next()));
    assert!(name.len() <= 15, "link name {name} is too long");
    name
}

fn next() -> u32 {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(number % 36, 36).expect("below 36"));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_closed_tree_is_removed_and_links_are_not_followed() {
        let outside = TempDir::new();
        fs::write(outside.join("kept"), "").unwrap();
        let dir = TempDir::new();
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("a/b/file"), "x").unwrap();
        symlink(outside.path(), dir.join("a/out")).unwrap();
        for closed in ["a/b", "a"] {
            fs::set_permissions(dir.join(closed), fs::Permissions::from_mode(0o000)).unwrap();
        }
        let path = dir.path().to_owned();
        drop(dir);
        assert!(!path.exists());
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn link_names_fit() {
        let (one, two) = (unique_link("bridge"), unique_link("bridge"));
        assert_ne!(one, two);
        assert!(one.len() <= 15 && one.starts_with("brid"));
        assert_eq!(base36(36 * 36 - 1), "zz");
    }
}
