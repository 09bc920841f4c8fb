//! A container's cgroup, by its path.

use oci_spec::runtime::Spec;

use super::record::Record;
use super::stored::StoredContainer;
use crate::cgroup::{Cgroup, Controller, DeviceRule, Hierarchy, OwnedCgroup, Placement, Resources};
use crate::error::{Error, ErrorKind, Result};

impl StoredContainer {
    /// Its cgroup; none if it has none, or no more.
    pub(super) fn cgroup_of(&self, record: &Record) -> Result<Option<Cgroup>> {
        // One of an earlier boot is gone; what has its name now is another's.
        let Some(cgroup) = record.cgroup.as_ref().filter(|_| record.is_of_this_boot()) else {
            return Ok(None);
        };
        match Hierarchy::discover()?.reopen(cgroup) {
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

/// Removes what a creator has made that was killed before it could write it down. Only if it is
/// empty: it may as well be another's, which the creator would have refused to take.
pub(super) fn remove_abandoned(spec: &Spec, id: &str) {
    let found = placement(spec, id).and_then(|placement| Hierarchy::discover()?.placed(&placement));
    if let Ok(cgroup) = found
        && cgroup.processes_recursive().is_ok_and(|inside| inside.is_empty())
    {
        let _ = cgroup.remove_recursive();
    }
}

/// Where the cgroup of a container belongs.
pub(super) fn placement(spec: &Spec, id: &str) -> Result<Placement> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    Placement::from_oci(path, id)
}

/// Makes it, in every hierarchy and with all controllers: limits may come by an update, and
/// engines look for accounts in each. `None` for an ordinary user who can have none and asks
/// for no limits.
pub(super) fn make(
    placement: &Placement,
    limits: Option<&Resources>,
) -> Result<Option<OwnedCgroup>> {
    let hierarchy = Hierarchy::discover()?;
    let mut limits = limits.cloned().unwrap_or_default();
    if limits.device_rules().is_none()
        && DeviceRule::can_be_set()
        && hierarchy.controllers().contains(Controller::Devices)
    {
        // As runtimes do: what no rule allows is denied, also where there is no rule.
        limits = limits.devices(DeviceRule::runtime_defaults());
    }
    let made = hierarchy.place(placement, &limits)?;
    let Some(cgroup) = made.map(Cgroup::owned) else {
        return Ok(None);
    };
    cgroup.apply(&limits)?;
    Ok(Some(cgroup))
}
