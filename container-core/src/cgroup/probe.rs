//! What this machine's cgroups can do, and how to get what they cannot.

use std::os::fd::AsFd;

use super::controller::{Controller, Version};
use super::delegation::Delegation;
use super::dir;
use super::hierarchy::Hierarchy;
use super::topology::Layout;
use crate::error::Result;

/// The answer of [`probe`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CgroupSupport {
    /// How the hierarchies are arranged.
    pub layout: Layout,
    /// Each controller that is there, and the version that it is on.
    pub controllers: Vec<(Controller, Version)>,
    /// `cgroup.kill` (Linux 5.14, v2): kills a whole tree in one write.
    pub kill: bool,
    /// The version whose freezer is used; `None` without one.
    pub freeze: Option<Version>,
    /// `CLONE_INTO_CGROUP` (Linux 5.7, v2): children are born inside.
    pub clone_into: bool,
    /// Where this process may make cgroups.
    pub delegation: Option<Delegation>,
    /// What is missing, and the way to get it.
    pub missing: Vec<Missing>,
}

/// A facility that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// Its name.
    pub facility: String,
    /// How to get it.
    pub way_out: String,
}

/// Looks at what is there without changing or creating anything.
///
/// # Errors
///
/// As [`Hierarchy::discover`].
pub fn probe() -> Result<CgroupSupport> {
    Ok(probe_of(&Hierarchy::discover()?))
}

pub(super) fn probe_of(hierarchy: &Hierarchy) -> CgroupSupport {
    let mut missing = Vec::new();
    let mut lacks = |facility: &str, way_out: &str| {
        missing.push(Missing { facility: facility.to_owned(), way_out: way_out.to_owned() });
    };
    let controllers = Controller::ALL
        .into_iter()
        .filter_map(|c| hierarchy.mount_of(c).map(|mount| (c, mount.version())))
        .collect();
    for controller in [Controller::Memory, Controller::Pids, Controller::Cpu, Controller::CpuSet] {
        if let Err(e) = hierarchy.require(controller) {
            lacks(&format!("controller {controller}"), e.way_out().unwrap_or_default());
        }
    }
    let v2 = hierarchy.unified().is_some();
    let kill = v2 && has_file(hierarchy, "cgroup.kill", (5, 14));
    if !kill {
        lacks("cgroup.kill", "Linux 5.14 with cgroup2 mounted; until then: freeze, signal, thaw");
    }
    let freeze = if v2 && has_file(hierarchy, "cgroup.freeze", (5, 2)) {
        Some(Version::V2)
    } else {
        hierarchy.index_of_v1(Controller::Freezer).map(|_| Version::V1)
    };
    if freeze.is_none() {
        lacks("freezer", "Linux 5.2 with cgroup2 mounted, or the v1 freezer hierarchy");
    }
    let clone_into = v2 && kernel_version() >= (5, 7);
    if !clone_into {
        lacks("CLONE_INTO_CGROUP", "Linux 5.7 with cgroup2 mounted; until then: attach");
    }
    let delegation = match hierarchy.delegation() {
        Ok(delegation) => Some(delegation),
        Err(e) => {
            lacks("delegated cgroup", e.way_out().unwrap_or_default());
            None
        }
    };
    CgroupSupport {
        layout: hierarchy.layout(),
        controllers,
        kill,
        freeze,
        clone_into,
        delegation,
        missing,
    }
}

/// Whether v2 cgroups have the file: by looking at one, else by the kernel's version.
///
/// The root itself does not have these files.
fn has_file(hierarchy: &Hierarchy, file: &str, since: (u32, u32)) -> bool {
    let Some(root) = hierarchy.index_of_v2().map(|at| hierarchy.root_fd(at)) else {
        return false;
    };
    let sample = dir::subdirectories(root).ok().and_then(|names| names.into_iter().next());
    match sample.and_then(|name| dir::open_dir(root, &name).ok()) {
        Some(cgroup) => dir::exists(cgroup.as_fd(), file),
        None => kernel_version() >= since,
    }
}

fn kernel_version() -> (u32, u32) {
    let release = nix::sys::utsname::uname()
        .map(|names| names.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    parse_version(&release)
}

fn parse_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(parse_version("6.18.44-x"), (6, 18));
        assert_eq!(parse_version("5.14"), (5, 14));
        assert_eq!(parse_version(""), (0, 0));
    }

    #[test]
    fn every_missing_facility_has_a_way_out() {
        let support = probe_of(&Hierarchy::from_texts("", ""));
        assert_eq!(support.layout, Layout::Absent);
        assert!(support.missing.len() >= 7);
        assert!(support.missing.iter().all(|m| !m.way_out.is_empty()), "{:?}", support.missing);
    }
}
