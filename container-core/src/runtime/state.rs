//! What others are told of a container.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use oci_spec::runtime as oci;
use serde::Serialize;

use super::record::Record;
use crate::error::{Error, Result};

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// It is being made.
    Creating,
    /// Set up; its program waits to be started.
    Created,
    /// Its program was started and has not ended.
    Running,
    /// Created or running, and frozen.
    Paused,
    /// Its process has ended, or never came to be.
    Stopped,
}

impl Status {
    /// The word that the specification has for it; `paused` is the field's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A container as it was when it was looked at; as JSON it has the fields of the specification's
/// [state] and those that runtimes add.
///
/// [state]: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct State {
    /// The version of the specification that its spec is of.
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    /// Its name.
    pub id: String,
    /// The number of its process, 0 when it has ended.
    pub pid: u32,
    /// Where it is in its life.
    pub status: Status,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Its root file system on the host.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339.
    pub created: String,
    /// Annotations of the spec.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The user id of who created it.
    #[serde(skip)]
    pub owner: u32,
}

impl State {
    pub(super) fn new(record: &Record, status: Status) -> Self {
        let pid = match status {
            Status::Stopped => 0,
            _ => record.process.map_or(0, |process| process.pid),
        };
        Self {
            oci_version: record.oci_version.clone(),
            id: record.id.clone(),
            pid,
            status,
            bundle: record.bundle.clone(),
            rootfs: record.rootfs.clone().unwrap_or_default(),
            created: record.created.clone(),
            annotations: record.annotations.clone(),
            owner: record.owner,
        }
    }

    /// The state in the specification's own form: what hooks read. A paused container is a
    /// running one there.
    ///
    /// # Errors
    ///
    /// None that is known: the type's builder wants every field, and gets them.
    pub fn to_oci(&self) -> Result<oci::State> {
        let status = match self.status {
            Status::Creating => oci::ContainerState::Creating,
            Status::Created => oci::ContainerState::Created,
            Status::Running | Status::Paused => oci::ContainerState::Running,
            Status::Stopped => oci::ContainerState::Stopped,
        };
        let annotations: HashMap<String, String> = self.annotations.clone().into_iter().collect();
        let mut state = oci::StateBuilder::default()
            .version(self.oci_version.clone())
            .id(self.id.clone())
            .status(status)
            .bundle(self.bundle.clone());
        if self.pid != 0 {
            state = state.pid(self.pid as i32);
        }
        if !annotations.is_empty() {
            state = state.annotations(annotations);
        }
        state
            .build()
            .map_err(|error| Error::invalid("describe state", &*self.id, error.to_string()))
    }
}
