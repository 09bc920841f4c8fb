//! What is written about a container.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxNamespaceType};
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::identity::{Identity, boot_id};
use crate::cgroup::CgroupRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::process::start::StartWords;

/// The form of the file; another is not read.
const VERSION: u32 = 1;
pub(super) const STATE_FILE: &str = "state.json";
pub(super) const CONFIG_FILE: &str = "config.json";
pub(super) const START_SOCKET: &str = "start.sock";

/// `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    pub(super) id: String,
    #[serde(rename = "ociVersion")]
    pub(super) oci_version: String,
    pub(super) bundle: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rootfs: Option<PathBuf>,
    /// RFC 3339.
    pub(super) created: String,
    pub(super) owner: u32,
    pub(super) boot: String,
    pub(super) creator: Identity,
    /// None while it is being created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<Identity>,
    pub(super) started: bool,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    /// Without a pid namespace of its own, its processes outlive the first one.
    #[serde(default)]
    pub(super) shares_pids: bool,
    /// Where its cgroup is, in every hierarchy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cgroup: Option<CgroupRecord>,
    #[serde(default)]
    pub(super) words: StartWords,
}

impl Record {
    pub(super) fn new(id: &str, bundle: &crate::oci::Bundle) -> Result<Self> {
        let spec = bundle.spec();
        let annotations = spec.annotations().iter().flatten();
        Ok(Self {
            version: VERSION,
            id: id.to_owned(),
            oci_version: spec.version().clone(),
            bundle: bundle.directory().to_owned(),
            rootfs: bundle.rootfs(),
            created: humantime::format_rfc3339_nanos(std::time::SystemTime::now()).to_string(),
            owner: nix::unistd::geteuid().as_raw(),
            boot: boot_id().to_owned(),
            creator: Identity::of(std::process::id())?,
            process: None,
            started: false,
            annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
            shares_pids: !spec.linux().as_ref().is_some_and(has_pid_namespace),
            cgroup: None,
            words: StartWords::default(),
        })
    }

    /// Reads and checks; what is not whole or not ours is told, not guessed at.
    pub(super) fn read(directory: &Directory, id: &str) -> Result<Self> {
        let path = directory.path.join(STATE_FILE);
        let damaged = |reason: String| {
            Error::with(ErrorKind::Damaged, "read state", path.to_string_lossy(), reason)
                .hint("delete it with force")
        };
        let bytes = match directory.read(STATE_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(damaged("there is no state in this directory".into()));
            }
            Err(error) => return Err(error),
        };
        let mut record: Self =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if record.version != VERSION {
            return Err(damaged(format!("of version {}, not {VERSION}", record.version)));
        }
        if record.id != id {
            return Err(damaged(format!("it is that of {:?}", record.id)));
        }
        if !record.is_of_this_boot() {
            // What has their numbers and names now is another's.
            record.process = None;
            record.cgroup = None;
        }
        Ok(record)
    }

    pub(super) fn write(&self, directory: &Directory) -> Result<()> {
        directory.replace(STATE_FILE, &self.to_json()?)
    }

    /// What [`write`](Self::write) replaces, for the first time.
    pub(super) fn put(&self, directory: &Directory) -> Result<()> {
        directory.put(STATE_FILE, &self.to_json()?)
    }

    fn to_json(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)
            .map_err(|error| Error::invalid("write state", &*self.id, error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn is_of_this_boot(&self) -> bool {
        self.boot == boot_id()
    }

    /// Its process, if it lives.
    pub(super) fn living(&self) -> Option<Identity> {
        self.process.filter(Identity::lives)
    }
}

/// A new one, that is.
fn has_pid_namespace(linux: &Linux) -> bool {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.any(|it| it.typ() == LinuxNamespaceType::Pid && it.path().is_none())
}
