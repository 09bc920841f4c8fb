//! A container's cgroup, by its path.

use oci_spec::runtime::Spec;

use super::record::Record;
use super::stored::StoredContainer;
use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::{Error, ErrorKind, Result};

impl StoredContainer {
    /// Its cgroup; none if it has none, or no more.
    pub(super) fn cgroup_of(&self, record: &Record) -> Result<Option<Cgroup>> {
        let Some(path) = &record.cgroup else {
            return Ok(None);
        };
        match Hierarchy::discover()?.open(path) {
            Ok(cgroup) => Ok(Some(cgroup)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn need_cgroup(&self, step: &'static str, record: &Record) -> Result<Cgroup> {
        self.cgroup_of(record)?.ok_or_else(|| {
            Error::with(ErrorKind::WrongState, step, self.id.clone(), "the container has no cgroup")
                .hint("create it as root, or with a delegated cgroup")
        })
    }
}

/// Where the cgroup of a container belongs; `None` if it gets none.
pub(super) fn path(spec: &Spec, id: &str) -> Result<Option<String>> {
    let linux = spec.linux().as_ref();
    let given = linux.and_then(|linux| linux.cgroups_path().as_ref());
    match given {
        Some(path) => Ok(Some(format!("/{}", path.to_string_lossy().trim_start_matches('/')))),
        None if nix::unistd::geteuid().is_root() => Ok(Some(format!("/container-{id}"))),
        None => Ok(None),
    }
}
