//! What all rows share: the payload, one rootfs, one bundle for the OCI runtimes.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use container_core::oci;
use serde_json::json;
use tempfile::TempDir;

use crate::Result;

/// The payload's path in the rootfs.
pub const PROGRAM: &str = "/bin/true";
/// The host name given to every container.
pub const HOSTNAME: &str = "versus";
/// The id map of the rows with a user namespace, for root.
pub const ROOT_MAP: &str = "0 100000 65536";

const PAYLOAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/payload"));

/// The user and group of this process.
///
/// # Errors
///
/// There is no `/proc`.
pub fn ids() -> Result<(u32, u32)> {
    let process = fs::metadata("/proc/self")?;
    Ok((process.uid(), process.gid()))
}

/// A temporary directory with `rootfs/`, `bundle/` and the runtimes' `state/`.
#[derive(Debug)]
pub struct Fixture {
    dir: PathBuf,
    /// Removes the directory in the process that made it.
    _owner: Option<TempDir>,
}

impl Fixture {
    /// Makes the directory; it is removed on drop.
    pub fn new() -> Result<Self> {
        let owner = tempfile::Builder::new().prefix("versus-").tempdir()?;
        let dir = owner.path().to_path_buf();
        // The mapped root of the rows with a user namespace has to get in.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        for name in ["rootfs/bin", "rootfs/dev", "rootfs/proc", "rootfs/sys", "bundle", "state"] {
            fs::create_dir_all(dir.join(name))?;
        }
        let program = dir.join("rootfs").join("bin/true");
        fs::write(&program, PAYLOAD)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let fixture = Self { dir, _owner: Some(owner) };
        fs::write(fixture.bundle().join("config.json"), fixture.runtime_config().to_string())?;
        fs::create_dir(fixture.usual_bundle())?;
        fs::write(fixture.usual_bundle().join("config.json"), fixture.usual_config()?)?;
        Ok(fixture)
    }

    /// The directory that another process made.
    #[must_use]
    pub fn borrowed(dir: PathBuf) -> Self {
        Self { dir, _owner: None }
    }

    /// The whole directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The root file system of every container.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// [`rootfs`](Self::rootfs) as a C string.
    pub fn rootfs_c(&self) -> Result<CString> {
        Ok(CString::new(self.rootfs().as_os_str().as_bytes())?)
    }

    /// The payload on the host.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.rootfs().join("bin/true")
    }

    /// The OCI bundle.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    /// The OCI bundle that the runtimes' own `spec` command writes, without limits, for the same
    /// payload.
    #[must_use]
    pub fn usual_bundle(&self) -> PathBuf {
        self.dir.join("usual")
    }

    /// A runtime's `--root`.
    #[must_use]
    pub fn state(&self, runtime: &str) -> PathBuf {
        self.dir.join("state").join(runtime)
    }

    /// The name of the cgroup that the runtimes make, at the root of the hierarchies.
    #[must_use]
    pub fn cgroup(&self) -> String {
        self.dir.file_name().map_or_else(|| "versus".into(), |n| n.to_string_lossy().into_owned())
    }

    /// What `runc spec` writes, with our root, program and cgroup, and without limits.
    fn usual_config(&self) -> Result<String> {
        let bundle = oci::Bundle::new(&self.dir, oci::default_spec())?;
        let mut config: serde_json::Value = serde_json::from_str(&bundle.to_json())?;
        // The oldest that all of them take.
        config["ociVersion"] = json!("1.0.2");
        config["root"]["path"] = json!(self.rootfs());
        config["process"]["args"] = json!([PROGRAM]);
        config["process"]["terminal"] = json!(false);
        // For device rules crun 1.8 raises RLIMIT_MEMLOCK, which takes CAP_SYS_RESOURCE.
        config["linux"]["resources"] = json!({});
        config["linux"]["cgroupsPath"] = json!(format!("/{}", self.cgroup()));
        Ok(config.to_string())
    }

    /// The same namespaces and mounts as the floor, and no limits: the least that a runtime does.
    fn runtime_config(&self) -> serde_json::Value {
        let namespaces: Vec<_> = ["pid", "mount", "uts", "ipc", "cgroup", "network"]
            .map(|kind| json!({ "type": kind }))
            .into();
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": { "uid": 0, "gid": 0 },
                "args": [PROGRAM],
                "env": ["PATH=/bin"],
                "cwd": "/",
            },
            "root": { "path": self.rootfs() },
            "hostname": HOSTNAME,
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc",
                  "options": ["nosuid", "noexec", "nodev"] },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                  "options": ["nosuid", "noexec", "mode=755"] },
            ],
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": format!("/{}", self.cgroup()),
            },
        })
    }
}
