//! [`Hierarchy`]: what is mounted, which controllers are where, where this process sits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};

use super::controller::{Controller, Controllers, Version};
use super::dir;
use super::group::Cgroup;
use super::path::CgroupPath;
use super::topology::{HierarchyMount, Layout, Topology};
use crate::error::{Error, ErrorKind, Result};

/// The cgroup hierarchies that this process can see, on any layout, as one value.
///
/// It holds one descriptor for each mounted hierarchy. A clone is cheap and shares
/// them. Nothing is remembered between two calls of [`discover`](Self::discover):
/// keep the value, a second one sees a machine that may have changed.
#[derive(Debug, Clone)]
pub struct Hierarchy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layout: Layout,
    mounts: Vec<HierarchyMount>,
    roots: Vec<OwnedFd>,
    unmounted: Controllers,
}

impl Hierarchy {
    /// Looks at `/proc/self/mountinfo` and `/proc/self/cgroup` and opens every hierarchy.
    ///
    /// A machine without cgroups is not an error: [`layout`](Self::layout) is then
    /// [`Layout::Absent`] and creating a cgroup says what is missing.
    ///
    /// # Errors
    ///
    /// When /proc is not mounted or cannot be read.
    pub fn discover() -> Result<Self> {
        let text = |path: &str| {
            dir::read_proc(path)
                .map_err(|e| Error::os("read", path, e).hint("mount a proc file system at /proc"))
        };
        Ok(Self::from_texts(&text("/proc/self/mountinfo")?, &text("/proc/self/cgroup")?))
    }

    /// The same from given texts, such as those of another process.
    ///
    /// `mountinfo` has the form of `/proc/PID/mountinfo`, `cgroup` that of
    /// `/proc/PID/cgroup`. The mount points named are opened in the caller's own mount
    /// namespace; one that is no cgroup file system here is passed over.
    #[must_use]
    pub fn from_texts(mountinfo: &str, cgroup: &str) -> Self {
        let Topology { mounts: found, mut unmounted } = Topology::parse(mountinfo, cgroup);
        let mut mounts = Vec::with_capacity(found.len());
        let mut roots = Vec::with_capacity(found.len());
        for mut mount in found {
            let Ok(root) = open_checked(&mount) else {
                unmounted |= mount.controllers;
                continue;
            };
            if mount.version == Version::V2 {
                mount.controllers = dir::read(root.as_fd(), "cgroup.controllers")
                    .map(|names| Controllers::parse(&names))
                    .unwrap_or_default();
            }
            mounts.push(mount);
            roots.push(root);
        }
        let topology = Topology { mounts, unmounted };
        let layout = topology.layout();
        Self(Arc::new(Inner { layout, mounts: topology.mounts, roots, unmounted }))
    }

    /// How the hierarchies are arranged.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The mounted hierarchies.
    #[must_use]
    pub fn mounts(&self) -> &[HierarchyMount] {
        &self.0.mounts
    }

    /// Every controller that a cgroup made here can have.
    ///
    /// With a v2 hierarchy this includes what it does without a controller:
    /// accounting of processor time, freezing, device rules, performance events.
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        self.mounts()
            .iter()
            .fold(Controllers::NONE, |all, mount| all | mount.controllers | built_in(mount))
    }

    /// The hierarchy that serves `controller`.
    ///
    /// On a hybrid layout freezing and the accounting of processor time are taken from
    /// v2, also where a v1 hierarchy has them: one directory less to make and enter.
    #[must_use]
    pub fn mount_of(&self, controller: Controller) -> Option<&HierarchyMount> {
        self.index_of(controller).map(|at| &self.0.mounts[at])
    }

    /// The v2 hierarchy, on a unified or hybrid layout.
    #[must_use]
    pub fn unified(&self) -> Option<&HierarchyMount> {
        self.index_of_v2().map(|at| &self.0.mounts[at])
    }

    /// Fails unless every one of `controllers` can be used here.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] naming the first missing controller, the layout and
    /// the way to get it.
    pub fn require(&self, controllers: impl Into<Controllers>) -> Result<()> {
        let missing = controllers.into() - self.controllers();
        missing.iter().next().map_or(Ok(()), |controller| Err(self.lacks(controller)))
    }

    /// The same hierarchies, each seen from another cgroup on: what is there called `/` is here
    /// `path_of` of the hierarchy. One that lacks the cgroup is left out.
    pub(super) fn rebased(
        &self,
        path_of: impl Fn(&HierarchyMount) -> Result<Option<CgroupPath>>,
    ) -> Result<Self> {
        self.rebased_by_index(|at| path_of(&self.0.mounts[at]))
    }

    /// The same by the place of the hierarchy among [`mounts`](Self::mounts).
    pub(super) fn rebased_by_index(
        &self,
        mut path_of: impl FnMut(usize) -> Result<Option<CgroupPath>>,
    ) -> Result<Self> {
        let mut mounts = Vec::new();
        let mut roots = Vec::new();
        let mut unmounted = self.0.unmounted;
        for (at, mount) in self.mounts().iter().enumerate() {
            let opened = path_of(at)?.and_then(|path| {
                let root = dir::open_dir(self.root_fd(at), path.relative()).ok()?;
                Some((mount.below(&path), root))
            });
            let Some((mut below, root)) = opened else {
                unmounted |= mount.controllers;
                continue;
            };
            if below.version == Version::V2 {
                below.controllers = dir::read(root.as_fd(), "cgroup.controllers")
                    .map_or(Controllers::NONE, |names| Controllers::parse(&names));
            }
            mounts.push(below);
            roots.push(root);
        }
        let topology = Topology { mounts, unmounted };
        let layout = topology.layout();
        Ok(Self(Arc::new(Inner { layout, mounts: topology.mounts, roots, unmounted })))
    }

    /// The root cgroup of every hierarchy.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] when no hierarchy is mounted.
    pub fn root(&self) -> Result<Cgroup> {
        Cgroup::open(self, CgroupPath::root())
    }

    /// Opens the cgroup `path` in every hierarchy that has it.
    ///
    /// `path` is absolute, `/` being the mounted root.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a relative path or one with `..`, an empty name,
    /// a NUL or a newline in it; [`ErrorKind::NotFound`] when no hierarchy has it.
    pub fn open(&self, path: &str) -> Result<Cgroup> {
        Cgroup::open(self, CgroupPath::parse(path)?)
    }

    /// Makes the cgroup `path`, and missing parents, with the controllers asked for.
    ///
    /// On v2 that is one directory, and the controllers get enabled in every ancestor's
    /// `cgroup.subtree_control` (and stay so). On v1 it is one directory in each hierarchy
    /// that has one of the controllers. On a hybrid layout it is both: the v2 directory
    /// for freezing and killing, and the v1 hierarchies of the controllers. A v1 layout
    /// always includes the freezer, if there is one, to stop and kill without a race.
    ///
    /// On failure the directories made are removed again. A controller that was enabled in an
    /// ancestor stays enabled: another cgroup may count on it already.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) for a bad path; [`ErrorKind::AlreadyExists`] when one
    /// hierarchy has the path; [`ErrorKind::Unsupported`] for a controller that this machine
    /// lacks, naming it; [`ErrorKind::PermissionDenied`] without a delegated
    /// cgroup: see [`delegation`](Self::delegation).
    pub fn create(&self, path: &str, controllers: impl Into<Controllers>) -> Result<Cgroup> {
        Cgroup::create(self, CgroupPath::parse(path)?, controllers.into())
    }

    /// Makes the cgroup `path` in every hierarchy, named ones too, whoever has which controller.
    ///
    /// So that each tool finds it in the hierarchy where it looks, and every limit can be set
    /// later on. `needed` must be there; of the other controllers, those that can be had are. A
    /// cgroup that exists is taken over if it is empty.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create); [`ErrorKind::Busy`] when the cgroup exists and has
    /// processes, [`ErrorKind::WrongState`] when it is frozen.
    pub fn create_everywhere(&self, path: &str, needed: impl Into<Controllers>) -> Result<Cgroup> {
        let path = CgroupPath::parse(path)?;
        if path.is_root() {
            return Err(Error::invalid("create cgroup", "/", "the root holds the whole machine"));
        }
        Cgroup::create_everywhere(self, path, needed.into())
    }

    pub(super) fn root_fd(&self, mount: usize) -> BorrowedFd<'_> {
        self.0.roots[mount].as_fd()
    }

    pub(super) fn index_of_v2(&self) -> Option<usize> {
        self.mounts().iter().position(|m| m.version == Version::V2)
    }

    pub(super) fn index_of(&self, controller: Controller) -> Option<usize> {
        let v2_if = |set: Controllers| self.index_of_v2().filter(|_| set.contains(controller));
        v2_if(Controllers::BETTER_ON_V2)
            .or_else(|| self.mounts().iter().position(|m| m.controllers.contains(controller)))
            .or_else(|| v2_if(Controllers::BUILT_INTO_V2))
    }

    pub(super) fn index_of_v1(&self, controller: Controller) -> Option<usize> {
        self.mounts()
            .iter()
            .position(|m| m.version == Version::V1 && m.controllers.contains(controller))
    }

    /// The error for a controller that is nowhere.
    pub(super) fn lacks(&self, controller: Controller) -> Error {
        let layout = self.layout();
        let v1 = controller.name(Version::V1);
        let way_out = if self.0.unmounted.contains(controller) {
            format!(
                "it belongs to a v1 hierarchy that is not mounted here: mount -t cgroup -o {v1} \
                 cgroup /sys/fs/cgroup/{v1}"
            )
        } else if layout == Layout::Absent {
            "mount -t cgroup2 none /sys/fs/cgroup".to_owned()
        } else if matches!(controller, Controller::NetCls | Controller::NetPrio)
            || layout == Layout::Legacy
        {
            format!("if /proc/cgroups lists it: mount -t cgroup -o {v1} cgroup /sys/fs/cgroup/{v1}")
        } else {
            "the kernel lacks it or turned it off (cgroup_disable= on its command line), or the \
             parent of the mounted root did not delegate it"
                .to_owned()
        };
        Error::with(
            ErrorKind::Unsupported,
            "find cgroup controller",
            controller.to_string(),
            format!("no hierarchy has it; the layout is {layout} with {}", self.controllers()),
        )
        .hint(way_out)
    }
}

/// What the hierarchy does without a controller.
fn built_in(mount: &HierarchyMount) -> Controllers {
    match mount.version {
        Version::V1 => Controllers::NONE,
        Version::V2 => Controllers::BUILT_INTO_V2,
    }
}

/// Opens a mount point, making sure that it shows the file system that the table says.
fn open_checked(mount: &HierarchyMount) -> io::Result<OwnedFd> {
    let root = dir::open_root(mount.mount_point())?;
    let wanted = match mount.version {
        Version::V1 => CGROUP_SUPER_MAGIC,
        Version::V2 => CGROUP2_SUPER_MAGIC,
    };
    if fstatfs(&root)?.filesystem_type() == wanted {
        Ok(root)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}
