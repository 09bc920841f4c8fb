//! Where the hierarchies are: pure parsers of `/proc/self/mountinfo` and `/proc/self/cgroup`.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::controller::{Controllers, Version};
use super::path::CgroupPath;

/// How the machine arranges its hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// No cgroup file system is mounted here.
    Absent,
    /// Only v1 hierarchies.
    Legacy,
    /// v1 hierarchies and the v2 one, the controllers spread over both.
    Hybrid,
    /// Only the v2 hierarchy.
    Unified,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "absent",
            Self::Legacy => "legacy (v1)",
            Self::Hybrid => "hybrid (v1 and v2)",
            Self::Unified => "unified (v2)",
        })
    }
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HierarchyMount {
    pub(super) mount_point: PathBuf,
    pub(super) version: Version,
    pub(super) controllers: Controllers,
    pub(super) name: Option<String>,
    pub(super) own_path: Option<String>,
    root: String,
    /// Where this view starts below what is mounted: empty, or a path such as `/a/b`.
    pub(super) base: String,
}

impl HierarchyMount {
    /// The directory at which it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// v1 or v2.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its controllers: for v1 those it was mounted with, for v2 those in the
    /// `cgroup.controllers` of the mounted root. Empty for a named v1 hierarchy.
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        self.controllers
    }

    /// The name of a v1 hierarchy mounted with `name=`, such as `systemd`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The cgroup of the process that looked, relative to the mounted root.
    ///
    /// `None` when it lies outside what is mounted here.
    #[must_use]
    pub fn own_path(&self) -> Option<&str> {
        self.own_path.as_deref()
    }

    /// The same hierarchy seen from the cgroup `path` on, as if only that were mounted.
    pub(super) fn below(&self, path: &CgroupPath) -> Self {
        if path.is_root() {
            return self.clone();
        }
        let below = |place: &str| format!("{}{path}", place.trim_end_matches('/'));
        let root = below(&self.root);
        Self {
            mount_point: self.mount_point.join(path.relative()),
            own_path: self.own_path.as_deref().and_then(|own| localize(path.as_str(), own)),
            root,
            base: below(&self.base),
            ..self.clone()
        }
    }

    /// What tells it from the others: `memory`, `cpu,cpuacct`, `name=systemd`, `unified`.
    pub(super) fn key(&self) -> String {
        match (self.version, &self.name) {
            (Version::V2, _) => "unified".to_owned(),
            (Version::V1, Some(name)) => format!("name={name}"),
            (Version::V1, None) => {
                let names = self.controllers.iter().map(|c| c.name(Version::V1));
                names.collect::<Vec<_>>().join(",")
            }
        }
    }

    /// The path seen here for one of `/proc/PID/cgroup`; `None` if it lies outside.
    pub(super) fn localize(&self, path: &str) -> Option<String> {
        localize(&self.root, path)
    }
}

/// The hierarchies that a process can see, from the two texts of /proc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topology {
    pub(super) mounts: Vec<HierarchyMount>,
    /// Controllers bound to a v1 hierarchy that is not mounted here.
    pub(super) unmounted: Controllers,
}

impl Topology {
    /// Never fails: a line that is not understood is passed over.
    pub(super) fn parse(mountinfo: &str, proc_cgroup: &str) -> Self {
        let memberships = parse_memberships(proc_cgroup);
        let mut mounts: Vec<HierarchyMount> = Vec::new();
        for entry in visible(mountinfo.lines().filter_map(MountEntry::parse).collect()) {
            let Some(mut mount) = entry.into_mount() else {
                continue;
            };
            mount.own_path = memberships
                .iter()
                .find(|m| m.belongs_to(&mount))
                .and_then(|m| localize(&mount.root, &m.path));
            match mounts.iter_mut().find(|m| m.same_hierarchy(&mount)) {
                // Of several mounts of one hierarchy, the one that shows most.
                Some(seen) if mount.root.len() < seen.root.len() => *seen = mount,
                Some(_) => {}
                None => mounts.push(mount),
            }
        }
        let bound: Controllers =
            memberships.iter().fold(Controllers::NONE, |all, m| all | m.controllers);
        let mounted = mounts.iter().fold(Controllers::NONE, |all, m| all | m.controllers);
        Self { mounts, unmounted: bound - mounted }
    }

    pub(super) fn layout(&self) -> Layout {
        let has = |version| self.mounts.iter().any(|m| m.version == version);
        match (has(Version::V1), has(Version::V2)) {
            (false, false) => Layout::Absent,
            (true, false) => Layout::Legacy,
            (true, true) => Layout::Hybrid,
            (false, true) => Layout::Unified,
        }
    }
}

impl HierarchyMount {
    fn same_hierarchy(&self, other: &Self) -> bool {
        self.version == other.version
            && (self.version == Version::V2
                || (self.controllers == other.controllers && self.name == other.name))
    }
}

/// A line of `/proc/PID/cgroup`: `4:memory:/path`, `9:name=systemd:/`, `0::/path`.
#[derive(Debug)]
pub(super) struct Membership {
    id: u32,
    controllers: Controllers,
    name: Option<String>,
    pub(super) path: String,
}

impl Membership {
    pub(super) fn belongs_to(&self, mount: &HierarchyMount) -> bool {
        match mount.version {
            Version::V2 => self.id == 0,
            Version::V1 if mount.controllers.is_empty() => {
                self.id != 0 && self.name.is_some() && self.name == mount.name
            }
            Version::V1 => !(self.controllers & mount.controllers).is_empty(),
        }
    }
}

pub(super) fn parse_memberships(text: &str) -> Vec<Membership> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let id = fields.next()?.parse().ok()?;
            let subsystems = fields.next()?;
            let path = fields.next()?.to_owned();
            let name =
                subsystems.split(',').find_map(|s| s.strip_prefix("name=")).map(str::to_owned);
            Some(Membership { id, controllers: Controllers::parse(subsystems), name, path })
        })
        .collect()
}

/// `path` as seen from a mount whose root is the cgroup `root`.
fn localize(root: &str, path: &str) -> Option<String> {
    let inside = if root == "/" { path } else { path.strip_prefix(root)? };
    let outside = inside.split('/').any(|name| name == "..");
    match inside {
        _ if outside => None,
        "" => Some("/".to_owned()),
        _ if inside.starts_with('/') => Some(inside.to_owned()),
        _ => None,
    }
}

/// The fields of a mountinfo line that matter here: proc_pid_mountinfo(5).
#[derive(Debug)]
struct MountEntry {
    id: u32,
    parent: u32,
    root: String,
    mount_point: PathBuf,
    fs_type: String,
    super_options: String,
}

impl MountEntry {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ');
        let id = left.next()?.parse().ok()?;
        let parent = left.next()?.parse().ok()?;
        let _device = left.next()?;
        let root = unescape(left.next()?);
        let mount_point = PathBuf::from(unescape(left.next()?));
        let mut right = right.split(' ');
        let fs_type = right.next()?.to_owned();
        let _source = right.next()?;
        let super_options = right.next().unwrap_or_default().to_owned();
        Some(Self { id, parent, root, mount_point, fs_type, super_options })
    }

    fn into_mount(self) -> Option<HierarchyMount> {
        let version = match self.fs_type.as_str() {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        let (controllers, name) = match version {
            Version::V1 => (
                Controllers::parse(&self.super_options),
                self.super_options
                    .split(',')
                    .find_map(|o| o.strip_prefix("name="))
                    .map(str::to_owned),
            ),
            Version::V2 => (Controllers::NONE, None),
        };
        Some(HierarchyMount {
            mount_point: self.mount_point,
            version,
            controllers,
            name,
            own_path: None,
            root: self.root,
            base: String::new(),
        })
    }
}

/// Leaves out the mounts that a later mount hides.
fn visible(entries: Vec<MountEntry>) -> Vec<MountEntry> {
    let by_id: HashMap<u32, usize> = entries.iter().enumerate().map(|(at, e)| (e.id, at)).collect();
    let mut children: HashMap<u32, Vec<usize>> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        children.entry(entry.parent).or_default().push(at);
    }
    let of = |id: u32| children.get(&id).into_iter().flatten().map(|at| &entries[*at]);
    // A sibling mounted on a directory above covers; a child on the same directory stacks on top.
    let covered = |e: &MountEntry| {
        of(e.parent).any(|x| {
            e.mount_point != x.mount_point
                && e.mount_point.starts_with(&x.mount_point)
                && x.id != e.id
        })
    };
    let stacked = |e: &MountEntry| of(e.id).any(|x| x.mount_point == e.mount_point && x.id != e.id);
    let hidden: HashSet<u32> = entries
        .iter()
        .filter(|entry| {
            let mut at = *entry;
            // Bounded: a table that is not a tree must not turn this into an endless walk.
            for _ in 0..entries.len() {
                if covered(at) {
                    return true;
                }
                match by_id.get(&at.parent) {
                    Some(parent) if entries[*parent].id != at.id => at = &entries[*parent],
                    _ => break,
                }
            }
            stacked(entry)
        })
        .map(|entry| entry.id)
        .collect();
    entries.into_iter().filter(|e| !hidden.contains(&e.id)).collect()
}

/// Undoes the `\040` escapes of mountinfo.
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let bytes = field.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let octal = bytes
            .get(at + 1..at + 4)
            .filter(|_| byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(value) => {
                out.push(value);
                at += 4;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod tests;
