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
//!
//! let mounts = [
//!     Mount::proc("/proc"),
//!     Mount::dev("/dev"),
//!     Mount::tmpfs("/tmp").option("size", "64m").nosuid().nodev(),
//!     Mount::bind("/usr/share/zoneinfo", "/usr/share/zoneinfo").read_only(),
//! ];
//! assert_eq!(mounts[3].target().to_str(), Some("/usr/share/zoneinfo"));
//! ```
//!
//! [`fsmount(2)`]: https://man7.org/linux/man-pages/man2/fsmount.2.html
//! [`open_tree(2)`]: https://man7.org/linux/man-pages/man2/open_tree.2.html
//! [`openat2(2)`]: https://man7.org/linux/man-pages/man2/openat2.2.html

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
pub(crate) const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
pub(crate) const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
pub(crate) const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
pub(crate) const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
/// All values of the access time setting.
pub(crate) const ATIME: u64 = libc::MOUNT_ATTR__ATIME;
pub(crate) const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;

/// How mounts and unmounts spread between peers ([mount_namespaces(7)]).
///
/// [mount_namespaces(7)]: https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Propagation {
    /// Neither way: the default.
    Private,
    /// From the host into the container.
    Slave,
    /// Both ways.
    Shared,
    /// Neither way, and not to be bind-mounted again.
    Unbindable,
}

impl Propagation {
    pub(crate) const fn flag(self) -> u64 {
        match self {
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
            Self::Shared => libc::MS_SHARED,
            Self::Unbindable => libc::MS_UNBINDABLE,
        }
    }
}

/// What is mounted.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Bind { path: PathBuf, recursive: bool },
    FileSystem { kind: OsString, options: Vec<(OsString, Option<OsString>)> },
    Detached(Arc<OwnedFd>),
    Dev { options: Vec<(OsString, Option<OsString>)> },
}

/// One mount of a container: what, where, and with which attributes.
#[derive(Debug, Clone)]
#[must_use]
pub struct Mount {
    pub(crate) source: Source,
    pub(crate) target: PathBuf,
    pub(crate) attributes: u64,
    pub(crate) propagation: Option<Propagation>,
    /// The target must be reached without any symlink: kernel file systems
    /// belong at their true place or nowhere (CVE-2019-19921).
    pub(crate) strict: bool,
    /// What it is good for, as a plan explains it.
    pub(crate) why: &'static str,
}

impl Mount {
    fn new(source: Source, target: impl Into<PathBuf>) -> Self {
        Self {
            source,
            target: target.into(),
            attributes: 0,
            propagation: None,
            strict: false,
            why: "something of the host's, seen in the container",
        }
    }

    /// The host's `source`, with all that is mounted below it (`rbind`). A file
    /// is mounted on a file, a directory on a directory.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self::new(Source::Bind { path: source.into(), recursive: true }, target)
    }

    /// A new instance of a file system of this type, as [fsopen(2)] takes it.
    ///
    /// [fsopen(2)]: https://man7.org/linux/man-pages/man2/fsopen.2.html
    pub fn file_system(kind: impl Into<OsString>, target: impl Into<PathBuf>) -> Self {
        let source = Source::FileSystem { kind: kind.into(), options: Vec::new() };
        Self { why: "a file system of the container's own", ..Self::new(source, target) }
    }

    fn kernel_file_system(kind: &str, target: impl Into<PathBuf>, why: &'static str) -> Self {
        Self { strict: true, why, ..Self::file_system(kind, target) }.nosuid().nodev().noexec()
    }

    /// A mount that another library made and did not attach yet, such as an
    /// overlay of `container-fs`. It can be attached once.
    pub fn detached(mount: impl Into<OwnedFd>, target: impl Into<PathBuf>) -> Self {
        let why = "a mount that was prepared before";
        Self { why, ..Self::new(Source::Detached(Arc::new(mount.into())), target) }
    }

    /// The processes of the new pid namespace ([proc(5)]); `nosuid`, `nodev`,
    /// `noexec`.
    ///
    /// [proc(5)]: https://man7.org/linux/man-pages/man5/proc.5.html
    pub fn proc(target: impl Into<PathBuf>) -> Self {
        Self::kernel_file_system(
            "proc",
            target,
            "the processes of the new pid namespace, where programs look for them",
        )
    }

    /// The kernel's devices and settings ([sysfs(5)]), read-only; `nosuid`,
    /// `nodev`, `noexec`. In a user namespace it needs a new net namespace.
    ///
    /// [sysfs(5)]: https://man7.org/linux/man-pages/man5/sysfs.5.html
    pub fn sysfs(target: impl Into<PathBuf>) -> Self {
        Self::kernel_file_system(
            "sysfs",
            target,
            "the devices and settings of the new net namespace, to be read",
        )
        .read_only()
    }

    /// A file system in memory ([tmpfs(5)]); give its size by
    /// `option("size", "64m")`: the default is half of the machine's memory.
    ///
    /// [tmpfs(5)]: https://man7.org/linux/man-pages/man5/tmpfs.5.html
    pub fn tmpfs(target: impl Into<PathBuf>) -> Self {
        let why = "a place to write that is gone with the container";
        Self { why, ..Self::file_system("tmpfs", target) }
    }

    /// A small `/dev`: a tmpfs with `null`, `zero`, `full`, `random`,
    /// `urandom`, `tty` and the links `fd`, `stdin`, `stdout`, `stderr`,
    /// `ptmx`. Made with `mknod` where that is permitted, else of the host's
    /// devices by bind mounts.
    pub fn dev(target: impl Into<PathBuf>) -> Self {
        let options =
            vec![("mode".into(), Some("755".into())), ("size".into(), Some("65536k".into()))];
        let why = "a small /dev in memory: the host's shows every device";
        Self { strict: true, why, ..Self::new(Source::Dev { options }, target) }.nosuid().noexec()
    }

    /// A new set of pseudoterminals, mode 0620, `ptmx` 0666 ([pts(4)]);
    /// `nosuid`, `noexec`.
    ///
    /// [pts(4)]: https://man7.org/linux/man-pages/man4/pts.4.html
    pub fn devpts(target: impl Into<PathBuf>) -> Self {
        let why = "terminals of the container's own, apart from the host's";
        Self { strict: true, why, ..Self::file_system("devpts", target) }
            .nosuid()
            .noexec()
            .option("newinstance", None::<&str>)
            .option("ptmxmode", "0666")
            .option("mode", "0620")
    }

    /// The POSIX message queues of the ipc namespace ([mq_overview(7)]);
    /// `nosuid`, `nodev`, `noexec`.
    ///
    /// [mq_overview(7)]: https://man7.org/linux/man-pages/man7/mq_overview.7.html
    pub fn mqueue(target: impl Into<PathBuf>) -> Self {
        Self::kernel_file_system("mqueue", target, "the message queues of the new ipc namespace")
    }

    /// The cgroup2 tree, read-only, from the cgroup namespace's root on.
    pub fn cgroup2(target: impl Into<PathBuf>) -> Self {
        Self::kernel_file_system(
            "cgroup2",
            target,
            "the container's own part of the cgroup tree, to be read",
        )
        .read_only()
    }

    /// Adds a file system option: `option("size", "1m")`, or a flag by
    /// `option("newinstance", None::<&str>)`. Bind and detached mounts take
    /// none; giving one is refused when the plan is made.
    pub fn option<'a>(
        mut self,
        key: impl Into<OsString>,
        value: impl Into<OptionValue<'a>>,
    ) -> Self {
        let value = value.into().0.map(OsStr::to_owned);
        match &mut self.source {
            Source::FileSystem { options, .. } | Source::Dev { options } => {
                options.push((key.into(), value));
            }
            // Found by the plan's compiler, with the target's name.
            Source::Bind { .. } | Source::Detached(_) => self.attributes |= MISPLACED_OPTION,
        }
        self
    }

    fn attribute(mut self, attribute: u64) -> Self {
        self.attributes |= attribute;
        self
    }

    /// Nothing can be written; for a bind mount, in all that lies below too.
    pub fn read_only(self) -> Self {
        self.attribute(RDONLY)
    }

    /// Set-user-id, set-group-id and file capabilities count for nothing.
    pub fn nosuid(self) -> Self {
        self.attribute(NOSUID)
    }

    /// Device files can't be opened.
    pub fn nodev(self) -> Self {
        self.attribute(NODEV)
    }

    /// Programs can't be executed.
    pub fn noexec(self) -> Self {
        self.attribute(NOEXEC)
    }

    /// Reading doesn't update access times.
    pub fn noatime(self) -> Self {
        self.attribute(NOATIME)
    }

    /// Symlinks in it are not followed (Linux 5.14).
    pub fn nosymfollow(self) -> Self {
        self.attribute(NOSYMFOLLOW)
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

    /// How mounts spread; private unless given.
    pub fn propagation(mut self, propagation: Propagation) -> Self {
        self.propagation = Some(propagation);
        self
    }

    /// Where it is mounted, as the container sees it.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }
}

/// Set by [`Mount::option`] on a mount that takes none.
pub(crate) const MISPLACED_OPTION: u64 = 1 << 63;

/// The value of a file system option: a string, or none for a flag.
#[derive(Debug, Clone, Copy)]
pub struct OptionValue<'a>(Option<&'a OsStr>);

impl<'a, T: AsRef<OsStr> + ?Sized> From<&'a T> for OptionValue<'a> {
    fn from(value: &'a T) -> Self {
        Self(Some(value.as_ref()))
    }
}

impl<'a, T: AsRef<OsStr> + ?Sized> From<Option<&'a T>> for OptionValue<'a> {
    fn from(value: Option<&'a T>) -> Self {
        Self(value.map(AsRef::as_ref))
    }
}

/// The root file system of a container.
#[derive(Debug, Clone)]
#[must_use]
pub struct Rootfs {
    pub(crate) source: Source,
    pub(crate) read_only: bool,
}

impl Rootfs {
    /// The host's directory, with all that is mounted below it.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        let source = Source::Bind { path: path.into(), recursive: true };
        Self { source, read_only: false }
    }

    /// A mount that was made and not attached yet, such as an overlay of
    /// `container-fs`. It can be attached once.
    pub fn detached(mount: impl Into<OwnedFd>) -> Self {
        Self { source: Source::Detached(Arc::new(mount.into())), read_only: false }
    }

    /// A file system that the container mounts by itself, in its own user
    /// namespace: the way to an overlay as an ordinary user.
    ///
    /// ```
    /// use container_core::Rootfs;
    ///
    /// let root = Rootfs::file_system("overlay", [
    ///     ("lowerdir", "/layers/1:/layers/0"),
    ///     ("upperdir", "/c/upper"),
    ///     ("workdir", "/c/work"),
    /// ]);
    /// # let _ = root;
    /// ```
    pub fn file_system<K, V>(
        kind: impl Into<OsString>,
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let options =
            options.into_iter().map(|(key, value)| (key.into(), Some(value.into()))).collect();
        Self { source: Source::FileSystem { kind: kind.into(), options }, read_only: false }
    }

    /// Adds a flag without a value, such as overlay's `userxattr`.
    pub fn flag(mut self, key: impl Into<OsString>) -> Self {
        if let Source::FileSystem { options, .. } = &mut self.source {
            options.push((key.into(), None));
        }
        self
    }

    /// Nothing can be written in it (what is mounted below is not meant).
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Rootfs {
    fn from(path: &P) -> Self {
        Self::directory(path.as_ref())
    }
}

impl From<PathBuf> for Rootfs {
    fn from(path: PathBuf) -> Self {
        Self::directory(path)
    }
}

/// The names of attributes that are set, and of those cleared with a minus.
pub(crate) fn attribute_names(set: u64, clear: u64) -> String {
    const NAMES: [(u64, &str); 6] = [
        (RDONLY, "ro"),
        (NOSUID, "nosuid"),
        (NODEV, "nodev"),
        (NOEXEC, "noexec"),
        (NOATIME, "noatime"),
        (NOSYMFOLLOW, "nosymfollow"),
    ];
    let set = NAMES.iter().filter(|(bit, _)| set & bit != 0).map(|(_, name)| (*name).to_owned());
    let clear =
        NAMES.iter().filter(|(bit, _)| clear & bit != 0).map(|(_, name)| format!("-{name}"));
    set.chain(clear).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_file_systems_are_strict_and_harmless() {
        let mount = Mount::proc("/proc");
        assert!(mount.strict);
        assert_eq!(attribute_names(mount.attributes, 0), "nosuid,nodev,noexec");
        assert!(!Mount::bind("/a", "/b").strict);
    }

    #[test]
    fn options_go_to_file_systems_only() {
        assert_eq!(Mount::bind("/a", "/b").option("x", "y").attributes, MISPLACED_OPTION);
        assert_eq!(Mount::tmpfs("/b").option("size", "1m").attributes, 0);
    }
}
