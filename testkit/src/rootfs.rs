//! Directories that can be a container's root.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{TempDir, peer};

/// Where a dynamic linker may be; `--list` on it prints a program's libraries.
const LOADERS: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
/// Top directories that are links into `/usr` on a merged system.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// A directory laid out as a root file system, readable by all, removed on drop.
#[derive(Debug)]
pub struct Rootfs {
    dir: TempDir,
}

impl Rootfs {
    /// The root directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The host's path of something inside; `inside` may be absolute.
    #[must_use]
    pub fn join(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        self.path().join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Host directories to bind read-only at the same path inside, so that the host's programs run:
    /// `/usr`, and where the host's `/bin` and its like are no links into it, those too.
    #[must_use]
    pub fn binds() -> Vec<PathBuf> {
        let tops = MERGED.into_iter().filter(|name| link_of(name).is_none());
        let tops = tops.map(|name| Path::new("/").join(name)).filter(|top| top.is_dir());
        std::iter::once(PathBuf::from("/usr")).chain(tops).collect()
    }

    /// Writes a file inside, making its directories; mode 0644.
    pub fn write(&self, inside: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
        let file = self.join(inside);
        make_dir(file.parent().expect("a file has a parent"));
        fs::write(&file, contents).expect("write a file in the rootfs");
        chmod(&file, 0o644);
    }

    /// Copies one host program and its libraries to the same paths inside.
    fn copy_program(&self, program: &str) {
        let path = if program.contains('/') {
            PathBuf::from(program)
        } else {
            peer(program).unwrap_or_else(|| panic!("no program {program} in PATH"))
        };
        for file in std::iter::once(path.clone()).chain(libraries(&path)) {
            let target = self.join(&file);
            make_dir(target.parent().expect("a file has a parent"));
            fs::copy(&file, &target)
                .unwrap_or_else(|error| panic!("copy {}: {error}", file.display()));
            chmod(&target, 0o755);
        }
    }
}

impl AsRef<Path> for Rootfs {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

/// A skeleton: mount points (`proc sys dev tmp usr run …`), the links `bin -> usr/bin` and so on as
/// the host has them, and small `/etc` files with the users `root` (0), `app` (1000) and
/// `nobody` (65534). Nothing runs in it until [`Rootfs::binds`] are mounted.
#[must_use]
pub fn rootfs_dirs() -> Rootfs {
    let rootfs = Rootfs { dir: TempDir::new() };
    for name in ["dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "var"] {
        make_dir(&rootfs.join(name));
    }
    chmod(&rootfs.join("tmp"), 0o1777);
    for name in MERGED {
        match link_of(name) {
            Some(target) => {
                make_dir(&rootfs.join(&target));
                symlink(target, rootfs.join(name)).expect("make a link in the rootfs");
            }
            None if Path::new("/").join(name).is_dir() => make_dir(&rootfs.join(name)),
            None => {}
        }
    }
    rootfs.write(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n",
    );
    rootfs.write("etc/group", "root:x:0:\nstaff:x:50:app\napp:x:1000:\nnogroup:x:65534:\n");
    for name in ["hostname", "hosts", "resolv.conf"] {
        rootfs.write(Path::new("etc").join(name), "");
    }
    rootfs
}

/// The skeleton of [`rootfs_dirs`] with copies of host programs and of the libraries they load,
/// so that they run in it without any bind mount. A name without `/` is looked up in `PATH`;
/// scripts do not bring their interpreter.
///
/// ```
/// let rootfs = testkit::rootfs_copy(&["/bin/sh", "cat"]);
/// assert!(rootfs.join("/bin/sh").is_file());
/// ```
#[must_use]
pub fn rootfs_copy(programs: &[&str]) -> Rootfs {
    let rootfs = rootfs_dirs();
    for program in programs {
        rootfs.copy_program(program);
    }
    rootfs
}

/// Absolute paths of the libraries that a program loads, the dynamic linker among them; none for a
/// static program.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let Some(loader) = LOADERS.iter().find(|loader| Path::new(loader).exists()) else {
        return Vec::new();
    };
    let output = Command::new(loader).arg("--list").arg(program).output().expect("run the loader");
    if !output.status.success() {
        return Vec::new();
    }
    // `libc.so.6 => /lib/…/libc.so.6 (0x…)`, or `/lib64/ld-… (0x…)`, or a vdso without a path.
    let listed = String::from_utf8_lossy(&output.stdout);
    let paths = listed.lines().filter_map(|line| {
        let line = line.trim();
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        let path = path.split(" (").next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    paths.chain([PathBuf::from(loader)]).collect()
}

/// Target of the host's `/name` if that is a link relative to the root.
fn link_of(name: &str) -> Option<PathBuf> {
    let target = fs::read_link(Path::new("/").join(name)).ok()?;
    Some(target.strip_prefix("/").map(Path::to_owned).unwrap_or(target))
}

fn make_dir(dir: &Path) {
    if dir.is_dir() {
        return;
    }
    make_dir(dir.parent().expect("below the rootfs"));
    fs::create_dir(dir).expect("make a directory in the rootfs");
    chmod(dir, 0o755);
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod in the rootfs");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_programs_run_in_a_chroot() {
        if !crate::require_unprivileged_userns() {
            return;
        }
        let rootfs = rootfs_copy(&["/bin/sh", "cat"]);
        rootfs.write("/data/greeting", "hello");
        let output = Command::new("unshare")
            .args(["--map-root-user", "--root"])
            .arg(rootfs.path())
            .args(["/bin/sh", "-c", "cat /data/greeting && test -d /proc"])
            .env("PATH", "/bin")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"hello");
    }

    #[test]
    fn the_skeleton_follows_the_host() {
        let rootfs = rootfs_dirs();
        let mode = |name| fs::metadata(rootfs.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("proc"), mode("tmp")), (0o755, 0o1777));
        assert_eq!(rootfs.join("/bin").is_symlink(), Path::new("/bin").is_symlink());
        assert_eq!(Rootfs::binds()[0], Path::new("/usr"));
    }
}
