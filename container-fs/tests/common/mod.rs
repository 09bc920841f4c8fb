//! What the kernel tests share.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use container_fs::{Change, Stack};
use testkit::TempDir;

const CHILD: &str = "CONTAINER_FS_TEST_CHILD";
const NOBODY: u32 = 65_534;

/// Is this the process that [`as_ordinary_user`] started?
pub fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Runs the test of that name once more, in a process of an ordinary user that is root of a new
/// user namespace and has a mount namespace of its own. Root plays the user `nobody`.
pub fn as_ordinary_user(test: &str) {
    if is_child() || !testkit::require_unprivileged_userns() {
        return;
    }
    let (dir, programs) = (temp_dir(), TempDir::new());
    let exe = env::current_exe().unwrap();
    let mut command = if testkit::is_root() {
        // The build directory may be out of nobody's reach. Copied by another process: a
        // descriptor open for writing here could be inherited by what other tests start, and
        // the copy would be busy.
        let copy = programs.join("test");
        let copied = Command::new("cp").args([&exe, &copy]).status().unwrap();
        assert!(copied.success());
        std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let mut command = Command::new("setpriv");
        let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        command.args(ids).args(["--clear-groups", "unshare", "-Urm"]).arg(copy);
        command
    } else {
        let mut command = Command::new("unshare");
        command.arg("-Urm").arg(exe);
        command
    };
    let output = command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("TMPDIR", dir.path())
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "as an ordinary user: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// May this process mount? Root of the machine, or the child in its own user namespace.
pub fn can_mount() -> bool {
    is_child() || testkit::require_root()
}

/// A directory that an overlay can write to: not on an overlay itself, as `/tmp` is in many a
/// container.
pub fn temp_dir() -> TempDir {
    const OVERLAYFS_MAGIC: rustix::fs::FsWord = 0x794c_7630;
    match rustix::fs::statfs(env::temp_dir()).unwrap().f_type {
        OVERLAYFS_MAGIC => TempDir::new_in("/dev/shm"),
        _ => TempDir::new(),
    }
}

/// Directories for a stack, in a directory of their own.
pub struct Layout {
    pub dir: TempDir,
    pub layers: Vec<PathBuf>,
}

impl Layout {
    pub fn new(count: usize) -> Self {
        let dir = temp_dir();
        let layers: Vec<PathBuf> = (0..count).map(|index| dir.join(format!("l{index}"))).collect();
        for path in layers.iter().cloned().chain(["upper", "work", "merged"].map(|n| dir.join(n))) {
            fs::create_dir(path).unwrap();
        }
        Self { dir, layers }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Without the syncs, which wait for all that is written on the machine.
    pub fn stack(&self) -> Stack {
        Stack::new(&self.layers).writable(self.at("upper"), self.at("work")).volatile(true)
    }
}

pub fn lines(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

/// The options of the mount at `path`, as the kernel shows them.
pub fn mount_options(path: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(4) == path.to_str())?;
    line.split(' ').next_back().map(str::to_owned)
}
