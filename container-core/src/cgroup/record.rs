//! [`CgroupRecord`]: a cgroup written down, for another process to find it again.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::group::Cgroup;
use super::hierarchy::Hierarchy;
use super::path::CgroupPath;
use crate::error::{Error, ErrorKind, Result};

/// Where a cgroup is, in each hierarchy that it spans.
///
/// A plain value that serde can write and read. [`Cgroup::record`] makes it,
/// [`Hierarchy::reopen`] finds the cgroup again, in another process and later on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CgroupRecord {
    /// The path in every hierarchy, below the hierarchy's `base`.
    pub path: String,
    /// The hierarchies that it spans.
    pub hierarchies: Vec<HierarchyRecord>,
}

/// One hierarchy of a [`CgroupRecord`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HierarchyRecord {
    /// `unified` for v2, the controllers (`cpu,cpuacct`) or the name (`name=systemd`) for v1.
    pub name: String,
    /// The cgroup that the path starts at; empty for the root of the mount.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// The directory as the writer saw it, for people and other tools.
    pub directory: PathBuf,
}

impl Cgroup {
    /// Where it is, as a value to be stored.
    #[must_use]
    pub fn record(&self) -> CgroupRecord {
        let hierarchies = self.nodes.iter().map(|node| {
            let mount = &self.hierarchy.mounts()[node.mount];
            HierarchyRecord {
                name: mount.key(),
                base: mount.base.clone(),
                directory: self.directory_of(node).into(),
            }
        });
        CgroupRecord { path: self.path().to_owned(), hierarchies: hierarchies.collect() }
    }
}

impl Hierarchy {
    /// Opens the cgroup that was written down, in those of its hierarchies that have it still.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a path that none can have, as in a damaged record;
    /// [`ErrorKind::NotFound`] when no hierarchy has it any more.
    pub fn reopen(&self, record: &CgroupRecord) -> Result<Cgroup> {
        let path = CgroupPath::parse(&record.path)?;
        let view = self.rebased(|mount| {
            let key = mount.key();
            let Some(found) = record.hierarchies.iter().find(|one| one.name == key) else {
                return Ok(None);
            };
            match found.base.as_str() {
                "" => Ok(Some(CgroupPath::root())),
                base => CgroupPath::parse(base).map(Some),
            }
        })?;
        if view.mounts().is_empty() {
            let reason = "none of the hierarchies that it was in is mounted, or has it";
            return Err(Error::with(ErrorKind::NotFound, "open cgroup", path.as_str(), reason));
        }
        Cgroup::open(&view, path)
    }
}
