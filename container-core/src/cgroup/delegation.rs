//! [`Delegation`]: where an unprivileged process may make cgroups.

use std::io;
use std::os::fd::AsFd;

use super::controller::Controllers;
use super::dir;
use super::hierarchy::Hierarchy;
use super::path::CgroupPath;
use crate::error::{Error, ErrorKind, Result};

/// A part of the tree in which this process may create cgroups and move processes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delegation {
    /// The topmost cgroup of that part, as a path to put names behind: [`path_of`](Self::path_of).
    pub prefix: String,
    /// The controllers that cgroups made there can have.
    pub controllers: Controllers,
}

impl Delegation {
    /// The path of a cgroup `name` there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name with a slash, `..` and the like.
    pub fn path_of(&self, name: &str) -> Result<String> {
        Ok(CgroupPath::parse(&self.prefix)?.join(name)?.as_str().to_owned())
    }
}

impl Hierarchy {
    /// Where this process may create cgroups: `/` for root, a delegated part for others.
    ///
    /// Root writes everywhere. An ordinary user needs a cgroup that was given to him, and in which
    /// his process is: moving a process takes write access to the nearest common
    /// ancestor of both ends. Delegation exists on v2 (on a hybrid layout
    /// it is looked for there); v1 hierarchies are not delegated safely.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`], "no delegated cgroup", with the way to get one.
    pub fn delegation(&self) -> Result<Delegation> {
        if self.mounts().is_empty() {
            return Err(super::create::no_hierarchy("find delegated cgroup", self));
        }
        let at_root = (0..self.mounts().len())
            .try_for_each(|m| dir::writable(self.root_fd(m), "cgroup.procs"));
        let Err(refusal) = at_root else {
            return Ok(Delegation { prefix: "/".to_owned(), controllers: self.controllers() });
        };
        let own = self.unified().and_then(|mount| mount.own_path());
        let own = own.map(CgroupPath::parse).transpose()?;
        own.as_ref()
            .and_then(|own| self.topmost_writable(own))
            .ok_or_else(|| self.no_delegation(own.as_ref(), &refusal))
    }

    fn topmost_writable(&self, own: &CgroupPath) -> Option<Delegation> {
        let root = self.root_fd(self.index_of_v2()?);
        own.prefixes().find_map(|path| {
            let directory = dir::open_dir(root, path).ok()?;
            let fd = directory.as_fd();
            for file in [".", "cgroup.procs", "cgroup.subtree_control"] {
                dir::writable(fd, file).ok()?;
            }
            let names = dir::read(fd, "cgroup.controllers").unwrap_or_default();
            Some(Delegation {
                prefix: format!("/{path}"),
                controllers: Controllers::parse(&names) | Controllers::BUILT_INTO_V2,
            })
        })
    }

    fn no_delegation(&self, own: Option<&CgroupPath>, refusal: &io::Error) -> Error {
        let place = match own {
            Some(own) => format!("this process is in {own}"),
            None if self.unified().is_some() => {
                "this process is outside the mounted tree".to_owned()
            }
            None => "a v1 layout has none".to_owned(),
        };
        let hint = if refusal.kind() == io::ErrorKind::ReadOnlyFilesystem {
            "the cgroup file systems are mounted read-only"
        } else {
            "start under `systemd-run --user --scope -p Delegate=yes`, have root make a v2 cgroup and \
             give it away (chown the directory, cgroup.procs and cgroup.subtree_control), or run \
             as root"
        };
        Error::with(
            ErrorKind::PermissionDenied,
            "find delegated cgroup",
            self.layout().to_string(),
            format!("no delegated cgroup: {place}"),
        )
        .hint(hint)
    }
}
