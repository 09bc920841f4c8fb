//! [`Cgroup`]: one node of the tree, in every hierarchy that it spans.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::controller::{Controllers, Version};
use super::create;
use super::dir;
use super::guard::OwnedCgroup;
use super::hierarchy::Hierarchy;
use super::path::CgroupPath;
use crate::error::{Error, ErrorKind, Result};

/// How long [`Cgroup::remove`] waits for dying processes to be gone.
const REMOVE_TIME: Duration = Duration::from_millis(500);

/// A cgroup: a set of processes with common accounts and limits.
///
/// The value holds a descriptor of the cgroup's directory in each hierarchy that it
/// spans: one on v2, one for each of its controllers' hierarchies on v1. All reads and
/// writes go through these. A clone shares them. Dropping the last one closes them and leaves
/// the cgroup as it is; for one that goes with its owner see [`owned`](Self::owned).
#[derive(Debug, Clone)]
pub struct Cgroup {
    pub(super) hierarchy: Hierarchy,
    pub(super) path: CgroupPath,
    pub(super) nodes: Arc<[Node]>,
}

/// The cgroup's directory in one hierarchy.
#[derive(Debug)]
pub(super) struct Node {
    /// Index into the hierarchy's mounts.
    pub(super) mount: usize,
    pub(super) dir: OwnedFd,
    /// How many directories at the end of the path this value made.
    pub(super) made: usize,
}

impl Cgroup {
    pub(super) fn create(
        hierarchy: &Hierarchy,
        path: CgroupPath,
        wanted: Controllers,
    ) -> Result<Self> {
        let nodes = create::create(hierarchy, &path, wanted)?;
        Ok(Self { hierarchy: hierarchy.clone(), path, nodes: nodes.into() })
    }

    pub(super) fn create_everywhere(
        hierarchy: &Hierarchy,
        path: CgroupPath,
        needed: Controllers,
    ) -> Result<Self> {
        let nodes = create::create_everywhere(hierarchy, &path, needed)?;
        let cgroup = Self { hierarchy: hierarchy.clone(), path, nodes: nodes.into() };
        match cgroup.refuse_used() {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                cgroup.forget_made();
                Err(error)
            }
        }
    }

    /// A cgroup that was taken over must be free to be used.
    fn refuse_used(&self) -> Result<()> {
        let inside = self.processes_recursive()?;
        if !inside.is_empty() {
            let inside: Vec<String> = inside.iter().take(8).map(u32::to_string).collect();
            let reason = format!("it exists and has processes: {}", inside.join(" "));
            return Err(Error::with(ErrorKind::Busy, "create cgroup", self.path(), reason)
                .hint("give linux.cgroupsPath a path of its own"));
        }
        if self.is_frozen().unwrap_or(false) {
            let reason = "it, or a cgroup above it, is frozen: nothing can start in it";
            return Err(Error::with(ErrorKind::WrongState, "create cgroup", self.path(), reason)
                .hint("thaw it first"));
        }
        Ok(())
    }

    /// Removes what this value made, and nothing that was there before.
    fn forget_made(&self) {
        for node in self.nodes.iter() {
            let prefixes: Vec<&str> = self.path.prefixes().collect();
            for directory in prefixes.iter().rev().take(node.made) {
                let _ = dir::remove_dir(self.hierarchy.root_fd(node.mount), directory);
            }
        }
    }

    pub(super) fn open(hierarchy: &Hierarchy, path: CgroupPath) -> Result<Self> {
        let mut nodes = Vec::new();
        for mount in 0..hierarchy.mounts().len() {
            match dir::open_dir(hierarchy.root_fd(mount), path.relative()) {
                Ok(dir) => nodes.push(Node { mount, dir, made: 0 }),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => {
                    let mount = hierarchy.mounts()[mount].mount_point().display();
                    return Err(Error::os("open cgroup", format!("{mount}{path}"), e));
                }
            }
        }
        if hierarchy.mounts().is_empty() {
            return Err(create::no_hierarchy("open cgroup", hierarchy));
        }
        if nodes.is_empty() {
            let missing = io::Error::from_raw_os_error(libc::ENOENT);
            return Err(Error::os("open cgroup", path.as_str(), missing));
        }
        Ok(Self { hierarchy: hierarchy.clone(), path, nodes: nodes.into() })
    }

    /// The absolute path below the root of the hierarchies, such as `/container-7`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    /// The last name of the path; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.as_str().rsplit('/').next().unwrap_or_default()
    }

    /// The hierarchies that it was made in or opened from.
    #[must_use]
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// The directories, one for each hierarchy spanned, for people and messages.
    pub fn directories(&self) -> impl Iterator<Item = std::path::PathBuf> {
        self.nodes.iter().map(|node| self.directory_of(node).into())
    }

    /// The controllers that this cgroup has: what can be limited and counted in it.
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        self.nodes.iter().fold(Controllers::NONE, |all, node| {
            all | match self.version(node) {
                Version::V1 => self.hierarchy.mounts()[node.mount].controllers,
                Version::V2 => {
                    let names = dir::read(node.fd(), "cgroup.controllers").unwrap_or_default();
                    Controllers::parse(&names) | Controllers::BUILT_INTO_V2
                }
            }
        })
    }

    /// The v2 directory, for `CLONE_INTO_CGROUP` ([clone(2)]); `None` on a v1 layout.
    ///
    /// On a hybrid layout a child so made still has to be [attached](Self::attach) for
    /// the v1 hierarchies: see [`needs_attach`](Self::needs_attach).
    ///
    /// [clone(2)]: https://man7.org/linux/man-pages/man2/clone.2.html
    #[must_use]
    pub fn enter_fd(&self) -> Option<BorrowedFd<'_>> {
        self.v2().map(Node::fd)
    }

    /// Whether it spans v1 hierarchies, which a process only enters by [`attach`](Self::attach).
    #[must_use]
    pub fn needs_attach(&self) -> bool {
        self.nodes.iter().any(|node| self.version(node) == Version::V1)
    }

    /// The cgroup that this one lies in; `None` for the root.
    ///
    /// # Errors
    ///
    /// When its directories cannot be opened.
    pub fn parent(&self) -> Result<Option<Self>> {
        self.path.parent().map(|path| Self::open(&self.hierarchy, path)).transpose()
    }

    /// Opens the child `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name with a slash in it, `..` and the like;
    /// [`ErrorKind::NotFound`].
    pub fn child(&self, name: &str) -> Result<Self> {
        Self::open(&self.hierarchy, self.path.join(name)?)
    }

    /// Makes the child `name`: see [`Hierarchy::create`].
    ///
    /// # Errors
    ///
    /// As [`Hierarchy::create`]. On v2 this fails for controllers as long as this cgroup
    /// has processes of its own.
    pub fn create_child(&self, name: &str, controllers: impl Into<Controllers>) -> Result<Self> {
        Self::create(&self.hierarchy, self.path.join(name)?, controllers.into())
    }

    /// The children, by name, whichever hierarchy they are in.
    ///
    /// # Errors
    ///
    /// When a directory cannot be listed. A child removed meanwhile is left out.
    pub fn children(&self) -> Result<Vec<Self>> {
        let mut names = BTreeSet::new();
        for node in self.nodes.iter() {
            match dir::subdirectories(node.fd()) {
                Ok(found) => names.extend(found),
                Err(e) if e.raw_os_error() == Some(libc::ENODEV) => {}
                Err(e) => return Err(Error::os("list cgroup", self.directory_of(node), e)),
            }
        }
        names
            .iter()
            .map(|name| self.child(name))
            .filter(|child| !matches!(child, Err(e) if e.kind() == ErrorKind::NotFound))
            .collect()
    }

    /// Removes the cgroup from every hierarchy.
    ///
    /// It must have neither processes nor children. As the last process may be dying still, a
    /// busy one is tried again for half a second. One that is gone already is no error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] naming what is inside. All hierarchies are tried, whatever fails.
    pub fn remove(&self) -> Result<()> {
        self.remove_within(REMOVE_TIME)
    }

    /// Removes the cgroup and everything below it, the deepest first; kills nothing.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn remove_recursive(&self) -> Result<()> {
        self.remove_recursive_within(REMOVE_TIME)
    }

    /// [Kills](Self::kill) all processes in it and removes it with everything below,
    /// and with the parents that were made for it if they are empty.
    ///
    /// # Errors
    ///
    /// As [`kill`](Self::kill) and [`remove`](Self::remove).
    pub fn destroy(&self) -> Result<()> {
        self.kill()?;
        self.remove_recursive()?;
        self.remove_made_parents();
        Ok(())
    }

    /// Ties the cgroup's life to the value returned.
    pub fn owned(self) -> OwnedCgroup {
        OwnedCgroup::new(self)
    }

    pub(super) fn remove_recursive_within(&self, limit: Duration) -> Result<()> {
        let mut failures = Vec::new();
        for child in self.children()? {
            failures.extend(child.remove_recursive_within(limit).err());
        }
        failures.extend(self.remove_within(limit).err());
        all_of(failures)
    }

    pub(super) fn remove_within(&self, limit: Duration) -> Result<()> {
        if self.path.is_root() {
            return Err(Error::invalid("remove cgroup", "/", "the root cannot be removed"));
        }
        let deadline = Instant::now() + limit;
        let removed = self.nodes.iter().map(|node| self.remove_node(node, deadline));
        all_of(removed.filter_map(Result::err).collect())
    }

    fn remove_node(&self, node: &Node, deadline: Instant) -> Result<()> {
        let root = self.hierarchy.root_fd(node.mount);
        let mut pause = Duration::from_micros(200);
        loop {
            match dir::remove_dir(root, self.path.relative()) {
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                    let children = dir::subdirectories(node.fd()).unwrap_or_default();
                    if !children.is_empty() || Instant::now() >= deadline {
                        return Err(self.remove_failed(node, &children, e));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(Error::os("rmdir", self.directory_of(node), e)),
                Ok(()) => return Ok(()),
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn remove_failed(&self, node: &Node, children: &[String], error: io::Error) -> Error {
        let hint = if children.is_empty() {
            let inside = dir::read(node.fd(), "cgroup.procs").unwrap_or_default();
            let inside: Vec<_> = inside.split_whitespace().take(8).collect();
            format!("processes are inside ({}): kill or move them first", inside.join(" "))
        } else {
            format!("children are inside ({}): remove_recursive removes them", children.join(" "))
        };
        Error::os("rmdir", self.directory_of(node), error).hint(hint)
    }

    /// Best effort: a parent that others came to use is theirs to keep.
    pub(super) fn remove_made_parents(&self) {
        for node in self.nodes.iter() {
            let parents: Vec<&str> = self.path.prefixes().collect();
            for directory in parents.iter().rev().skip(1).take(node.made.saturating_sub(1)) {
                if dir::remove_dir(self.hierarchy.root_fd(node.mount), directory).is_err() {
                    break;
                }
            }
        }
    }

    pub(super) fn version(&self, node: &Node) -> Version {
        self.hierarchy.mounts()[node.mount].version
    }

    pub(super) fn v2(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| self.version(node) == Version::V2)
    }

    /// The node that serves a controller, and its version.
    pub(super) fn node_of(&self, controller: super::Controller) -> Option<(&Node, Version)> {
        let mount = self.hierarchy.index_of(controller)?;
        let node = self.nodes.iter().find(|node| node.mount == mount)?;
        Some((node, self.version(node)))
    }

    pub(super) fn directory_of(&self, node: &Node) -> String {
        let mount = self.hierarchy.mounts()[node.mount].mount_point().display();
        if self.path.is_root() { mount.to_string() } else { format!("{mount}{}", self.path) }
    }
}

/// The first failure, with the others in its way out.
pub(super) fn all_of(failures: Vec<Error>) -> Result<()> {
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else {
        return Ok(());
    };
    let others: Vec<String> = failures.map(|e| e.to_string()).collect();
    if others.is_empty() {
        return Err(first);
    }
    let own = first.way_out().map(|hint| format!("{hint}; ")).unwrap_or_default();
    Err(first.hint(format!("{own}also failed: {}", others.join(" | "))))
}
