//! Making a cgroup's directories: all of them, or none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::controller::{Controller, Controllers, Version};
use super::dir;
use super::group::Node;
use super::hierarchy::Hierarchy;
use super::path::CgroupPath;
use crate::error::{Error, ErrorKind, Result};

/// Makes `path` in every hierarchy that `wanted` calls for.
pub(super) fn create(
    hierarchy: &Hierarchy,
    path: &CgroupPath,
    wanted: Controllers,
) -> Result<Vec<Node>> {
    hierarchy.require(wanted)?;
    let mut undo = Undo { hierarchy, made: Vec::new() };
    let mut nodes = Vec::new();
    for (mount, controllers) in span(hierarchy, wanted)? {
        nodes.push(make(hierarchy, mount, path, Wanted::only(controllers), &mut undo)?);
    }
    // A v2 hierarchy before Linux 5.2 cannot freeze: take the v1 freezer along.
    if let Some(freezer) = hierarchy.index_of_v1(Controller::Freezer)
        && !nodes
            .iter()
            .any(|node| node.mount == freezer || dir::exists(node.fd(), "cgroup.freeze"))
    {
        nodes.push(make(hierarchy, freezer, path, Wanted::only(Controllers::NONE), &mut undo)?);
    }
    undo.made.clear();
    Ok(nodes)
}

/// Makes `path` in every hierarchy, or takes over what is there and empty.
pub(super) fn create_everywhere(
    hierarchy: &Hierarchy,
    path: &CgroupPath,
    needed: Controllers,
) -> Result<Vec<Node>> {
    hierarchy.require(needed)?;
    if hierarchy.mounts().is_empty() {
        return Err(no_hierarchy("create cgroup", hierarchy));
    }
    let mut undo = Undo { hierarchy, made: Vec::new() };
    let mut nodes = Vec::new();
    for mount in 0..hierarchy.mounts().len() {
        let own = |controller: &Controller| hierarchy.index_of(*controller) == Some(mount);
        let needed: Controllers = needed.iter().filter(own).collect();
        let wanted = Wanted { needed, rest: true, takes_over: true };
        nodes.push(make(hierarchy, mount, path, wanted, &mut undo)?);
    }
    undo.made.clear();
    Ok(nodes)
}

/// Which hierarchies to use, and for which controllers; v2 first.
fn span(hierarchy: &Hierarchy, wanted: Controllers) -> Result<Vec<(usize, Controllers)>> {
    let mut span: Vec<(usize, Controllers)> = Vec::new();
    let v2 = hierarchy.index_of_v2().map(|at| (at, Controllers::NONE));
    let served = wanted.iter().filter_map(|c| hierarchy.index_of(c).map(|at| (at, c.into())));
    for (at, controllers) in v2.into_iter().chain(served) {
        match span.iter_mut().find(|(seen, _)| *seen == at) {
            Some((_, all)) => *all |= controllers,
            None => span.push((at, controllers)),
        }
    }
    if span.is_empty() {
        // v1 and nothing asked for: any hierarchy can hold processes together.
        let any = hierarchy
            .index_of_v1(Controller::Freezer)
            .or_else(|| (!hierarchy.mounts().is_empty()).then_some(0));
        span.push((
            any.ok_or_else(|| no_hierarchy("create cgroup", hierarchy))?,
            Controllers::NONE,
        ));
    }
    Ok(span)
}

pub(super) fn no_hierarchy(step: &'static str, hierarchy: &Hierarchy) -> Error {
    Error::with(
        ErrorKind::Unsupported,
        step,
        hierarchy.layout().to_string(),
        "no cgroup file system is mounted",
    )
    .hint("mount -t cgroup2 none /sys/fs/cgroup")
}

/// What a new directory is to have.
#[derive(Clone, Copy)]
struct Wanted {
    needed: Controllers,
    /// On v2, all other controllers that the ancestors can hand down.
    rest: bool,
    /// An existing cgroup will do.
    takes_over: bool,
}

impl Wanted {
    fn only(needed: Controllers) -> Self {
        Self { needed, rest: false, takes_over: false }
    }
}

fn make(
    hierarchy: &Hierarchy,
    mount: usize,
    path: &CgroupPath,
    wanted: Wanted,
    undo: &mut Undo<'_>,
) -> Result<Node> {
    let site = Site { hierarchy, mount, root: hierarchy.root_fd(mount) };
    let kind = &hierarchy.mounts()[mount];
    let last = path.relative();
    let mut parent = ".";
    let mut made = 0;
    for prefix in path.prefixes() {
        if kind.version == Version::V2 {
            site.enable(parent, wanted.needed - Controllers::BUILT_INTO_V2)?;
            if wanted.rest {
                site.enable_rest(parent);
            }
        }
        match dir::make_dir(site.root, prefix) {
            Ok(()) => {
                undo.made.push((mount, prefix.to_owned()));
                made += 1;
                if kind.controllers.contains(Controller::CpuSet) && kind.version == Version::V1 {
                    site.inherit_cpuset(parent, prefix)?;
                }
            }
            Err(e)
                if e.kind() == io::ErrorKind::AlreadyExists
                    && (prefix != last || wanted.takes_over) => {}
            Err(e) => return Err(site.mkdir_failed(prefix, e)),
        }
        parent = prefix;
    }
    let dir =
        dir::open_dir(site.root, last).map_err(|e| Error::os("open cgroup", site.name(last), e))?;
    Ok(Node { mount, dir, made })
}

/// One mounted hierarchy while directories are made in it.
struct Site<'a> {
    hierarchy: &'a Hierarchy,
    mount: usize,
    root: BorrowedFd<'a>,
}

impl Site<'_> {
    fn name(&self, directory: &str) -> String {
        let root = self.hierarchy.mounts()[self.mount].mount_point().display();
        if directory == "." { root.to_string() } else { format!("{root}/{directory}") }
    }

    fn read(&self, file: &str) -> Result<String> {
        dir::read(self.root, file).map_err(|e| Error::os("read", self.name(file), e))
    }

    /// Makes `controllers` available to the children of `directory`.
    fn enable(&self, directory: &str, controllers: Controllers) -> Result<()> {
        if controllers.is_empty() {
            return Ok(());
        }
        let file = format!("{directory}/cgroup.subtree_control");
        let missing = controllers - Controllers::parse(&self.read(&file)?);
        if missing.is_empty() {
            return Ok(());
        }
        let offered = Controllers::parse(&self.read(&format!("{directory}/cgroup.controllers"))?);
        if let Some(absent) = (missing - offered).iter().next() {
            return Err(Error::with(
                ErrorKind::Unsupported,
                "enable cgroup controller",
                absent.to_string(),
                format!("the ancestor {} does not have it, only {offered}", self.name(directory)),
            )
            .hint("enable it in the cgroup.subtree_control of every cgroup above that one"));
        }
        let names = missing.iter().map(|c| format!("+{}", c.name(Version::V2)));
        let value = names.collect::<Vec<_>>().join(" ");
        dir::write(self.root, &file, &value)
            .map_err(|e| self.enable_failed(directory, &value, e))?;
        // Never taken back: another cgroup may count on it from this moment on, and would lose
        // its limits without a word.
        Ok(())
    }

    fn enable_failed(&self, directory: &str, value: &str, error: io::Error) -> Error {
        let hint = match error.raw_os_error() {
            Some(libc::EBUSY) => {
                let inside = dir::read(self.root, &format!("{directory}/cgroup.procs"))
                    .unwrap_or_default()
                    .split_whitespace()
                    .take(8)
                    .collect::<Vec<_>>()
                    .join(" ");
                format!(
                    "a v2 cgroup with processes of its own cannot hand controllers to children; \
                     move these into a leaf first: {inside}"
                )
            }
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
                "ask for the controller to be delegated (systemd: Delegate=yes), or run as root"
                    .to_owned()
            }
            _ => "the controller may be bound to a v1 hierarchy elsewhere".to_owned(),
        };
        let step = format!("write cgroup.subtree_control = {value}");
        Error::os(step, self.name(directory), error).hint(hint)
    }

    /// As many as there are; each by itself, as one refusal would refuse all.
    fn enable_rest(&self, directory: &str) {
        let offered = self.read(&format!("{directory}/cgroup.controllers")).unwrap_or_default();
        let file = format!("{directory}/cgroup.subtree_control");
        let missing = Controllers::parse(&offered)
            - Controllers::parse(&self.read(&file).unwrap_or_default());
        for controller in missing.iter() {
            // Nobody asked for it; whoever does later is told why it is not there.
            let _ = dir::write(self.root, &file, &format!("+{}", controller.name(Version::V2)));
        }
    }

    /// A new v1 cpuset has no processors and accepts no process until it gets some.
    fn inherit_cpuset(&self, parent: &str, child: &str) -> Result<()> {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let target = format!("{child}/{file}");
            if !self.read(&target)?.trim().is_empty() {
                continue;
            }
            let value = self.read(&format!("{parent}/{file}"))?;
            dir::write(self.root, &target, value.trim()).map_err(|e| {
                Error::os(format!("write {file} = {}", value.trim()), self.name(child), e)
            })?;
        }
        Ok(())
    }

    fn mkdir_failed(&self, directory: &str, error: io::Error) -> Error {
        let hint = match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => {
                "create below a delegated cgroup (Hierarchy::delegation tells where), or run as root"
            }
            Some(libc::EROFS) => "the cgroup file system is mounted read-only",
            Some(libc::EEXIST) => "choose another name, or open the one that is there",
            Some(libc::EAGAIN) => {
                "an ancestor's cgroup.max.descendants or cgroup.max.depth is reached"
            }
            _ => return Error::os("mkdir", self.name(directory), error),
        };
        Error::os("mkdir", self.name(directory), error).hint(hint)
    }
}

/// The directories made, as mount and path; dropped with some in it, it removes them again.
struct Undo<'a> {
    hierarchy: &'a Hierarchy,
    made: Vec<(usize, String)>,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        for (mount, directory) in self.made.drain(..).rev() {
            // The first failure is what the caller is told; this one can only follow from it.
            let _ = dir::remove_dir(self.hierarchy.root_fd(mount), &directory);
        }
    }
}

impl Node {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        OwnedFd::as_fd(&self.dir)
    }
}
