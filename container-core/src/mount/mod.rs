//! Mounts: what a container sees where.
//!
//! A mount puts a tree of files at a place of the file tree: a **bind** mount
//! an existing directory or file, a **file system** mount a new instance of
//! `proc`, `tmpfs`, `devpts` and so on, a **detached** mount one that another
//! library prepared and hands over as a descriptor ([`fsmount(2)`],
//! [`open_tree(2)`]).
//!
//! Targets are resolved inside the container's root by descriptor
//! ([`openat2(2)`], `RESOLVE_IN_ROOT`) and mounted on by descriptor, so that
//! no content of the root can lead a mount elsewhere. What is missing is made.
//!
//! ```
//! use container_core::Mount;
//! use container_core::mount::Attribute;
//!
//! let mounts = [
//!     Mount::proc("/proc"),
//!     Mount::dev("/dev"),
//!     Mount::tmpfs("/tmp").option("size", "64m").nosuid().nodev(),
//!     Mount::bind("/usr/share/zoneinfo", "/usr/share/zoneinfo").read_only(),
//!     // Only the topmost mount.
//!     Mount::bind("/srv", "/srv").set(Attribute::ReadOnly).clear(Attribute::NoExec),
//!     Mount::tmpfs("/run").option("mode", "755").copy_up(),
//! ];
//! assert_eq!(mounts[3].target().to_str(), Some("/usr/share/zoneinfo"));
//! ```
//!
//! # Attributes of what is there already
//!
//! A bind mount keeps the attributes of its source, apart from those that are
//! [set](Mount::set) or [cleared](Mount::clear). In a new user namespace those
//! of the host are locked: `nosuid`, `nodev`, `noexec`, read-only and access
//! times stay as they are, and asking to clear one is refused by the kernel.
//!
//! # Ids
//!
//! An [id-mapped](Mount::id_map) bind shows its files with other owners than
//! they have on disk. The host prepares it, as a user namespace can't.
//!
//! [`fsmount(2)`]: https://man7.org/linux/man-pages/man2/fsmount.2.html
//! [`open_tree(2)`]: https://man7.org/linux/man-pages/man2/open_tree.2.html
//! [`openat2(2)`]: https://man7.org/linux/man-pages/man2/openat2.2.html

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::idmap::IdMappings;

mod attribute;
mod device;
mod kinds;
mod propagation;
mod rootfs;
mod source;

pub use attribute::Attribute;
pub use device::{Device, DeviceKind};
pub use propagation::Propagation;
pub use rootfs::Rootfs;
pub use source::OptionValue;

pub(crate) use attribute::{
    ATIME, Attributes, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY,
    STRICTATIME, attribute_names,
};
pub(crate) use source::{FileSystemOptions, MountIdMap, Source};

/// One mount of a container: what, where, and with which attributes.
#[derive(Debug, Clone)]
#[must_use]
pub struct Mount {
    pub(crate) source: Source,
    pub(crate) target: PathBuf,
    /// Of all mounts below the source.
    pub(crate) tree: Attributes,
    /// Of the topmost mount, on top of these.
    pub(crate) top: Attributes,
    pub(crate) propagation: Option<Propagation>,
    /// The propagation is meant for the topmost mount only.
    pub(crate) propagates_top: bool,
    pub(crate) id_map: Option<MountIdMap>,
    /// The new file system gets a copy of what it covers.
    pub(crate) copy_up: bool,
    /// The new file system gets the permissions of the directory it covers.
    pub(crate) mode_of_target: bool,
    /// A devpts belongs to group 5 where that is mapped.
    pub(crate) tty_group: bool,
    /// The target must be reached without any symlink: kernel file systems
    /// belong at their true place or nowhere (CVE-2019-19921).
    pub(crate) strict: bool,
    /// An option that this kind of mount does not take.
    pub(crate) misplaced: Option<OsString>,
    /// What it is good for, as a plan explains it.
    pub(crate) why: &'static str,
}

impl Mount {
    fn new(source: Source, target: impl Into<PathBuf>) -> Self {
        Self {
            source,
            target: target.into(),
            tree: Attributes::default(),
            top: Attributes::default(),
            propagation: None,
            propagates_top: false,
            id_map: None,
            copy_up: false,
            mode_of_target: false,
            tty_group: false,
            strict: false,
            misplaced: None,
            why: "something of the host's, seen in the container",
        }
    }

    /// The host's `source`, with all that is mounted below it (`rbind`). A file
    /// is mounted on a file, a directory on a directory.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self::new(Source::Bind { path: source.into(), recursive: true }, target)
    }

    /// A new instance of a file system of this type, as [fsopen(2)] takes it.
    /// The option `source` names its device, where it has one.
    ///
    /// [fsopen(2)]: https://man7.org/linux/man-pages/man2/fsopen.2.html
    pub fn file_system(kind: impl Into<OsString>, target: impl Into<PathBuf>) -> Self {
        let source = Source::FileSystem { kind: kind.into(), options: Vec::new() };
        Self { why: "a file system of the container's own", ..Self::new(source, target) }
    }

    /// A mount that another library made and did not attach yet, such as an
    /// overlay of `container-fs`. It can be attached once.
    pub fn detached(mount: impl Into<OwnedFd>, target: impl Into<PathBuf>) -> Self {
        let why = "a mount that was prepared before";
        Self { why, ..Self::new(Source::Detached(Arc::new(mount.into())), target) }
    }

    /// Adds a file system option: `option("size", "1m")`, or a flag by
    /// `option("newinstance", None::<&str>)`. Bind and detached mounts take
    /// none; giving one is refused when the plan is made.
    ///
    /// `sync`, `dirsync`, `mand` and `lazytime` (and `async`, `nomand`,
    /// `nolazytime`) are such flags, of any file system.
    pub fn option<'a>(
        mut self,
        key: impl Into<OsString>,
        value: impl Into<OptionValue<'a>>,
    ) -> Self {
        let (key, value) = (key.into(), value.into().0.map(OsStr::to_owned));
        match self.source.options_mut() {
            Some(options) => options.push((key, value)),
            // Found by the plan's compiler, with the target's name.
            None => self.misplaced = Some(key),
        }
        self
    }

    /// Sets an attribute of the mount itself, not of what is mounted below it.
    pub fn set(mut self, attribute: Attribute) -> Self {
        self.top = self.top.set(attribute);
        self
    }

    /// Clears an attribute of the mount itself, where its source has it.
    pub fn clear(mut self, attribute: Attribute) -> Self {
        self.top = self.top.clear(attribute);
        self
    }

    /// Sets an attribute of the mount and of all that is mounted below its
    /// source.
    pub fn set_recursive(mut self, attribute: Attribute) -> Self {
        self.tree = self.tree.set(attribute);
        self
    }

    /// Clears an attribute of the mount and of all that is mounted below its
    /// source.
    pub fn clear_recursive(mut self, attribute: Attribute) -> Self {
        self.tree = self.tree.clear(attribute);
        self
    }

    /// Nothing can be written, in all that lies below too.
    pub fn read_only(self) -> Self {
        self.set_recursive(Attribute::ReadOnly)
    }

    /// Set-user-id, set-group-id and file capabilities count for nothing, in
    /// all that lies below too.
    pub fn nosuid(self) -> Self {
        self.set_recursive(Attribute::NoSuid)
    }

    /// Device files can't be opened, in all that lies below too.
    pub fn nodev(self) -> Self {
        self.set_recursive(Attribute::NoDev)
    }

    /// Programs can't be executed, in all that lies below too.
    pub fn noexec(self) -> Self {
        self.set_recursive(Attribute::NoExec)
    }

    /// Reading doesn't update access times, in all that lies below too.
    pub fn noatime(self) -> Self {
        self.set_recursive(Attribute::NoAtime)
    }

    /// Symlinks are not followed (Linux 5.14), in all that lies below too.
    pub fn nosymfollow(self) -> Self {
        self.set_recursive(Attribute::NoSymFollow)
    }

    /// Without what is mounted below the source: `bind` instead of `rbind`.
    /// As an ordinary user the kernel refuses this where something is mounted
    /// below, lest hidden files show.
    pub fn without_submounts(mut self) -> Self {
        if let Source::Bind { recursive, .. } = &mut self.source {
            *recursive = false;
        }
        self
    }

    /// How the mount and all that is mounted below its source spread; private
    /// unless given.
    pub fn propagation(mut self, propagation: Propagation) -> Self {
        (self.propagation, self.propagates_top) = (Some(propagation), false);
        self
    }

    /// How the mount itself spreads. What is mounted below its source is then
    /// private, but slave below a slave, and as on the host below a shared one.
    pub fn top_propagation(mut self, propagation: Propagation) -> Self {
        (self.propagation, self.propagates_top) = (Some(propagation), true);
        self
    }

    /// Shows the files with other owners than they have on disk (Linux 5.12
    /// and a file system that can): ids on disk are `inside` the mappings, those
    /// that the host would see are `outside`. For bind mounts only; the caller
    /// must be root where the file system was mounted.
    pub fn id_map(mut self, mappings: IdMappings) -> Self {
        self.id_map = Some(MountIdMap { mappings: Some(mappings), recursive: false });
        self
    }

    /// Shows files that belong to id n on disk as belonging to id n inside the
    /// container: [`id_map`](Self::id_map) by the mappings of its user
    /// namespace, which it must have.
    pub fn container_id_map(mut self) -> Self {
        self.id_map = Some(MountIdMap { mappings: None, recursive: false });
        self
    }

    /// The mapping counts for all that is mounted below the source too.
    pub fn recursive_id_map(mut self) -> Self {
        if let Some(map) = &mut self.id_map {
            map.recursive = true;
        }
        self
    }

    /// Starts a tmpfs with a copy of what lies below it in the root: files,
    /// directories and symlinks with modes, owners, times and extended
    /// attributes.
    pub fn copy_up(mut self) -> Self {
        self.copy_up = true;
        self
    }

    /// Gives a new file system's top directory the permissions of the directory
    /// that it covers, if there is one.
    pub fn mode_of_target(mut self) -> Self {
        self.mode_of_target = true;
        self
    }

    /// Where it is mounted, as the container sees it.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_file_systems_are_strict_and_harmless() {
        let mount = Mount::proc("/proc");
        assert!(mount.strict);
        assert_eq!(attribute_names(mount.tree.set, 0), "nosuid,nodev,noexec");
        assert!(!Mount::bind("/a", "/b").strict);
    }

    #[test]
    fn options_go_to_file_systems_only() {
        let bind = Mount::bind("/a", "/b").option("x", "y");
        assert_eq!(bind.misplaced.as_deref(), Some(OsStr::new("x")));
        assert_eq!(Mount::tmpfs("/b").option("size", "1m").misplaced, None);
    }
}
