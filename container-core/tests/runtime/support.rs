//! Bundles with the host's shell, and a runtime's root of the test's own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use container_core::oci::{self, Bundle};
use container_core::runtime::{CreateOptions, Runtime, Status, StoredContainer};
use serde_json::{Value, json};
use testkit::{Rootfs, TempDir};

/// A directory with a runtime's root and a root file system, removed when dropped.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) runtime: Runtime,
    pub(crate) rootfs: Rootfs,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new();
        let runtime = Runtime::open(directory.join("run")).unwrap();
        Self { directory, runtime, rootfs: testkit::rootfs_copy(&["sh", "sleep", "cat", "tty"]) }
    }

    /// The default spec with this script, changed by `change`.
    pub(crate) fn bundle(&self, script: &str, change: impl FnOnce(&mut Value)) -> Bundle {
        let root = testkit::is_root();
        let spec = if root { oci::default_spec() } else { oci::default_rootless_spec() };
        let mut spec = serde_json::to_value(spec).unwrap();
        spec["root"] = json!({ "path": self.rootfs.path(), "readonly": false });
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["/bin/sh", "-c", script]);
        spec["process"].as_object_mut().unwrap().remove("rlimits");
        change(&mut spec);
        Bundle::parse(self.directory.path(), spec.to_string().as_bytes()).unwrap()
    }

    pub(crate) fn create(&self, id: &str, script: &str) -> StoredContainer {
        let bundle = self.bundle(script, |_| {});
        self.runtime.create(id, &bundle, &CreateOptions::new()).unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.rootfs.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in self.runtime.list().into_iter().flatten() {
            if let Ok(container) = entry.container {
                let _ = container.delete(true);
            }
        }
    }
}

/// Whether containers can be made here at all.
pub(crate) fn ready() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

/// A name that no other test has: cgroups are named by it.
pub(crate) fn id(name: &str) -> String {
    testkit::unique(name)
}

/// Waits until it is in this state.
#[track_caller]
pub(crate) fn await_status(container: &StoredContainer, status: Status) {
    let start = Instant::now();
    while container.state().unwrap().status != status {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", container.state().unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a file has this text.
#[track_caller]
pub(crate) fn await_text(path: &std::path::Path, text: &str) {
    let start = Instant::now();
    while std::fs::read_to_string(path).unwrap_or_default() != text {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}
