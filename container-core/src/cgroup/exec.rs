//! Where a process that is executed in a container belongs.

use super::control::memberships_of;
use super::controller::{Controller, Version};
use super::dir;
use super::group::{Cgroup, Node};
use super::path::CgroupPath;
use crate::error::{Error, ErrorKind, Result};

impl Cgroup {
    /// The cgroup for one more process of a container, this being the container's.
    ///
    /// `below` has runc's form for `exec --cgroup`: a path below the container's cgroup, which
    /// has to exist in one hierarchy at least and applies in those that have it, or on v1
    /// `CONTROLLERS:PATH` (`cpu,memory:worker`) for these hierarchies alone. Without it it is the container's cgroup itself, unless something inside (systemd,
    /// a nested engine) has moved all processes further down and handed controllers on: then v2
    /// lets no process in here, and it is that of `init`, the container's first process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a path with `..` in it or a controller on v2,
    /// [`ErrorKind::NotFound`] for one that does not exist.
    pub fn for_exec(&self, init: u32, below: Option<&str>) -> Result<Self> {
        match below {
            Some(below) => self.for_exec_below(below),
            None if self.v2().is_some_and(hands_controllers_down) => self.for_exec_beside(init),
            None => Ok(self.clone()),
        }
    }

    fn for_exec_below(&self, below: &str) -> Result<Self> {
        let (controllers, path) = match below.split_once(':') {
            Some((controllers, path)) => (Some(controllers), path),
            None => (None, below),
        };
        let path = match path.trim_matches('/') {
            "" => CgroupPath::root(),
            inner => CgroupPath::parse(&format!("/{inner}"))?,
        };
        let chosen = controllers.map(|names| self.mounts_of(names)).transpose()?;
        let (mut found, mut missing) = (false, false);
        let view = self.hierarchy.rebased_by_index(|at| {
            if !self.nodes.iter().any(|node| node.mount == at) {
                return Ok(None);
            }
            let place = self.path.append(&path);
            let there = dir::exists(self.hierarchy.root_fd(at), place.relative());
            let applies = match &chosen {
                Some(chosen) => chosen.contains(&at),
                None => there,
            };
            found |= applies;
            missing |= applies && !there;
            Ok(Some(if applies { place } else { self.path.clone() }))
        })?;
        if missing || !found {
            let reason = format!("{} has no such cgroup below it", self.path);
            return Err(Error::with(ErrorKind::NotFound, "exec in cgroup", below, reason));
        }
        Cgroup::open(&view, CgroupPath::root())
    }

    fn mounts_of(&self, names: &str) -> Result<Vec<usize>> {
        let refuse =
            |name: &str, reason: &'static str| Err(Error::invalid("exec in cgroup", name, reason));
        let mut mounts = Vec::new();
        for name in names.split(',') {
            let Some(controller) = Controller::from_name(name) else {
                return refuse(name, "is no controller");
            };
            match self.hierarchy.index_of_v1(controller) {
                Some(at) if self.nodes.iter().any(|node| node.mount == at) => mounts.push(at),
                _ => return refuse(name, "has no v1 hierarchy here that the container is in"),
            }
        }
        Ok(mounts)
    }

    /// As this one, but on v2 where `init` is.
    fn for_exec_beside(&self, init: u32) -> Result<Self> {
        let memberships = memberships_of(&init.to_string());
        let view = self.hierarchy.rebased_by_index(|at| {
            let Some(node) = self.nodes.iter().find(|node| node.mount == at) else {
                return Ok(None);
            };
            let of_init = match self.version(node) {
                Version::V2 => self.place_in(node, &memberships),
                Version::V1 => None,
            };
            match of_init.filter(|path| self.path.covers(path)) {
                Some(path) => CgroupPath::parse(&path).map(Some),
                None => Ok(Some(self.path.clone())),
            }
        })?;
        Cgroup::open(&view, CgroupPath::root())
    }
}

fn hands_controllers_down(node: &Node) -> bool {
    dir::read(node.fd(), "cgroup.subtree_control").is_ok_and(|names| !names.trim().is_empty())
}
