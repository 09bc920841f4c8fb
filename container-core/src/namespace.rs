//! Namespaces: a process's own view of one kind of kernel object.
//!
//! A *namespace* wraps a global resource, so that the processes inside see
//! their own instance of it ([namespaces(7)]). There are eight kinds, see
//! [`NamespaceKind`]. A new process **inherits** its parent's, is born into a
//! **new** one, or **joins** one that exists, which is named by an open
//! descriptor: of `/proc/PID/ns/NAME`, of a file that it was bind-mounted on, or
//! one handed out by another library.
//!
//! [`Namespaces`] says which of the three it is for each kind.
//!
//! ```
//! use std::fs::File;
//! use container_core::namespace::{Namespace, NamespaceKind, Namespaces};
//!
//! let mut namespaces = Namespaces::isolated().inherit(NamespaceKind::Net);
//! assert!(matches!(namespaces.get(NamespaceKind::Pid), Namespace::New));
//! assert!(matches!(namespaces.get(NamespaceKind::Net), Namespace::Inherit));
//!
//! // Share the host name of another process, here our own.
//! namespaces = namespaces.join(NamespaceKind::Uts, File::open("/proc/self/ns/uts")?);
//! namespaces.check()?;
//!
//! // A descriptor of the wrong kind is found before anything is made.
//! namespaces = namespaces.join(NamespaceKind::Uts, File::open("/proc/self/ns/ipc")?);
//! assert!(namespaces.check().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [namespaces(7)]: https://man7.org/linux/man-pages/man7/namespaces.7.html

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::readlink;
use nix::sys::statfs::fstatfs;

use crate::error::{Error, Result};
use crate::sys;

mod time;

pub use time::{TimeOffset, TimeOffsets};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NamespaceKind {
    /// User and group ids and capabilities ([user_namespaces(7)](https://man7.org/linux/man-pages/man7/user_namespaces.7.html)).
    User,
    /// The tree of mounts ([mount_namespaces(7)](https://man7.org/linux/man-pages/man7/mount_namespaces.7.html)).
    Mount,
    /// Process ids ([pid_namespaces(7)](https://man7.org/linux/man-pages/man7/pid_namespaces.7.html)).
    Pid,
    /// Interfaces, addresses, routes, firewall, ports ([network_namespaces(7)](https://man7.org/linux/man-pages/man7/network_namespaces.7.html)).
    Net,
    /// Host and domain name ([uts_namespaces(7)](https://man7.org/linux/man-pages/man7/uts_namespaces.7.html)).
    Uts,
    /// System V IPC and POSIX message queues ([ipc_namespaces(7)](https://man7.org/linux/man-pages/man7/ipc_namespaces.7.html)).
    Ipc,
    /// The root of the visible cgroup tree ([cgroup_namespaces(7)](https://man7.org/linux/man-pages/man7/cgroup_namespaces.7.html)).
    Cgroup,
    /// The monotonic and the boot clock, since Linux 5.6 ([time_namespaces(7)](https://man7.org/linux/man-pages/man7/time_namespaces.7.html)).
    Time,
}

impl NamespaceKind {
    /// Every kind. The user namespace comes first, as it gives the privilege
    /// to make or join the others.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Mount,
        Self::Pid,
        Self::Net,
        Self::Uts,
        Self::Ipc,
        Self::Cgroup,
        Self::Time,
    ];

    /// The flag for `clone`, `unshare` and `setns`, such as `CLONE_NEWNET`.
    #[must_use]
    pub const fn clone_flag(self) -> u64 {
        match self {
            Self::User => 0x1000_0000,
            Self::Mount => 0x0002_0000,
            Self::Pid => 0x2000_0000,
            Self::Net => 0x4000_0000,
            Self::Uts => 0x0400_0000,
            Self::Ipc => 0x0800_0000,
            Self::Cgroup => 0x0200_0000,
            Self::Time => 0x0000_0080,
        }
    }

    /// The name of the flag, such as `CLONE_NEWNET`.
    #[must_use]
    pub const fn flag_name(self) -> &'static str {
        match self {
            Self::User => "CLONE_NEWUSER",
            Self::Mount => "CLONE_NEWNS",
            Self::Pid => "CLONE_NEWPID",
            Self::Net => "CLONE_NEWNET",
            Self::Uts => "CLONE_NEWUTS",
            Self::Ipc => "CLONE_NEWIPC",
            Self::Cgroup => "CLONE_NEWCGROUP",
            Self::Time => "CLONE_NEWTIME",
        }
    }

    /// The name below `/proc/PID/ns`, such as `net`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Mount => "mnt",
            Self::Pid => "pid",
            Self::Net => "net",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The kind of the namespace that a descriptor refers to.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it isn't a namespace.
    pub fn of(namespace: impl AsFd) -> Result<Self> {
        let namespace = namespace.as_fd();
        let on_nsfs =
            fstatfs(namespace).is_ok_and(|it| it.filesystem_type().0 as u64 == NSFS_MAGIC);
        let flag = on_nsfs.then(|| sys::namespace_type(namespace)).flatten();
        Self::ALL.into_iter().find(|kind| flag == Some(kind.clone_flag())).ok_or_else(|| {
            let path = format!("/proc/self/fd/{}", namespace.as_raw_fd());
            let link = readlink(&*path).unwrap_or_default();
            let reason = "the descriptor does not refer to a namespace";
            Error::invalid("check namespace", link.to_string_lossy(), reason)
                .hint("open /proc/PID/ns/NAME or a file that a namespace is bind-mounted on")
        })
    }
}

/// The magic number of the file system that holds namespaces (`linux/magic.h`).
const NSFS_MAGIC: u64 = 0x6e73_6673;

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a process gets its namespace of one kind from.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Namespace {
    /// That of the process which makes it.
    #[default]
    Inherit,
    /// A new one.
    New,
    /// The existing one that the descriptor refers to.
    Join(Arc<OwnedFd>),
}

/// The namespaces of a process to be made.
///
/// Cloning shares the descriptors of namespaces to join.
#[derive(Clone, Default)]
#[must_use]
pub struct Namespaces {
    kinds: [Namespace; NamespaceKind::ALL.len()],
    time: TimeOffsets,
}

impl Namespaces {
    /// Inherits all: no isolation.
    pub fn none() -> Self {
        Self::default()
    }

    /// New mount, pid, net, uts, ipc and cgroup namespaces; user and time are
    /// inherited.
    pub fn isolated() -> Self {
        use NamespaceKind::{Cgroup, Ipc, Mount, Net, Pid, Uts};
        [Mount, Pid, Net, Uts, Ipc, Cgroup].into_iter().fold(Self::none(), Self::with)
    }

    /// A new namespace of this kind.
    pub fn with(self, kind: NamespaceKind) -> Self {
        self.set(kind, Namespace::New)
    }

    /// The existing namespace that the descriptor refers to;
    /// [`check`](Self::check) finds one of another kind.
    pub fn join(self, kind: NamespaceKind, namespace: impl Into<OwnedFd>) -> Self {
        self.set(kind, Namespace::Join(Arc::new(namespace.into())))
    }

    /// The namespace of the process that makes the new one.
    pub fn inherit(self, kind: NamespaceKind) -> Self {
        self.set(kind, Namespace::Inherit)
    }

    /// A new time namespace whose clocks are off by `offsets`.
    pub fn with_time(mut self, offsets: TimeOffsets) -> Self {
        self.time = offsets;
        self.with(NamespaceKind::Time)
    }

    fn set(mut self, kind: NamespaceKind, namespace: Namespace) -> Self {
        self.kinds[kind as usize] = namespace;
        self
    }

    /// Where the namespace of this kind comes from.
    #[must_use]
    pub fn get(&self, kind: NamespaceKind) -> &Namespace {
        &self.kinds[kind as usize]
    }

    /// Whether a new namespace of this kind is made.
    #[must_use]
    pub fn is_new(&self, kind: NamespaceKind) -> bool {
        matches!(self.get(kind), Namespace::New)
    }

    /// Each kind with its source, in the order of [`NamespaceKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (NamespaceKind, &Namespace)> {
        NamespaceKind::ALL.into_iter().zip(&self.kinds)
    }

    /// The namespaces to join, in the order of [`NamespaceKind::ALL`].
    pub fn joined(&self) -> impl Iterator<Item = (NamespaceKind, &Arc<OwnedFd>)> {
        self.iter().filter_map(|(kind, namespace)| match namespace {
            Namespace::Join(fd) => Some((kind, fd)),
            _ => None,
        })
    }

    /// The clone flags of all new namespaces, `CLONE_NEWTIME` included.
    ///
    /// `clone3` takes them all; for `clone` `CLONE_NEWTIME` collides with the
    /// exit signal, and no clone takes it together with `CLONE_VM`.
    #[must_use]
    pub fn clone_flags(&self) -> u64 {
        let new = self.iter().filter(|(_, namespace)| matches!(namespace, Namespace::New));
        new.fold(0, |flags, (kind, _)| flags | kind.clone_flag())
    }

    /// The offsets of a new time namespace.
    #[must_use]
    pub fn time_offsets(&self) -> TimeOffsets {
        self.time
    }

    /// Checks that each descriptor to join is a namespace of its kind, and
    /// that clock offsets come with a new time namespace.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the kind.
    pub fn check(&self) -> Result<()> {
        for (kind, namespace) in self.joined() {
            let found = NamespaceKind::of(namespace)?;
            if found != kind {
                return Err(Error::invalid(
                    "check namespace",
                    kind.name(),
                    format!("the descriptor refers to a namespace of the kind {found}"),
                ));
            }
        }
        if !self.time.is_zero() && !self.is_new(NamespaceKind::Time) {
            return Err(Error::invalid(
                "check namespace",
                "time",
                "clock offsets need a new time namespace",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        map.entries(self.iter().filter(|(_, namespace)| !matches!(namespace, Namespace::Inherit)));
        if !self.time.is_zero() {
            map.entry(&"offsets", &self.time);
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use std::fs::File;

    #[test]
    fn flags_are_those_of_libc() {
        let flags = [
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWNS,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWNET,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWTIME,
        ];
        for (kind, flag) in NamespaceKind::ALL.into_iter().zip(flags) {
            assert_eq!(kind.clone_flag(), flag as u64);
            assert_eq!(NamespaceKind::ALL[kind as usize], kind);
        }
    }

    #[test]
    fn kind_of_each_own_namespace() {
        for kind in NamespaceKind::ALL {
            let file = File::open(format!("/proc/self/ns/{kind}")).unwrap();
            assert_eq!(NamespaceKind::of(&file).unwrap(), kind);
            Namespaces::none().join(kind, file).check().unwrap();
        }
        let children = File::open("/proc/self/ns/time_for_children").unwrap();
        assert_eq!(NamespaceKind::of(&children).unwrap(), NamespaceKind::Time);
    }

    #[test]
    fn other_descriptors_are_no_namespace() {
        // A file whose name has the form of a namespace's link.
        let dir = std::env::temp_dir().join(format!("net:[{}]", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let fake = File::open(&dir).unwrap();
        std::fs::remove_dir(&dir).unwrap();
        for file in
            [fake, File::open("/dev/null").unwrap(), File::open("/proc/self/status").unwrap()]
        {
            let error = NamespaceKind::of(&file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
    }

    #[test]
    fn wrong_kind_is_named() {
        let file = File::open("/proc/self/ns/net").unwrap();
        let error = Namespaces::isolated().join(NamespaceKind::Uts, file).check().unwrap_err();
        assert_eq!(error.object(), "uts");
        assert!(error.to_string().contains("net"), "{error}");
    }

    #[test]
    fn isolated_and_its_changes() {
        let namespaces = Namespaces::isolated();
        assert_eq!(namespaces.clone_flags(), 0x6e02_0000);
        let namespaces = namespaces.with(NamespaceKind::User).inherit(NamespaceKind::Net);
        assert_eq!(namespaces.clone_flags(), 0x3e02_0000);
        assert_eq!(Namespaces::none().clone_flags(), 0);
        namespaces.check().unwrap();
    }

    #[test]
    fn offsets_need_a_new_time_namespace() {
        let offsets =
            TimeOffsets { monotonic: TimeOffset::new(-1, 5).unwrap(), ..Default::default() };
        let namespaces = Namespaces::none().with_time(offsets);
        namespaces.check().unwrap();
        assert_eq!(namespaces.time_offsets().to_string(), "monotonic -1 5\nboottime 0 0\n");
        assert!(namespaces.inherit(NamespaceKind::Time).check().is_err());
    }

    #[test]
    fn offsets_beyond_the_kernels_bounds_are_refused() {
        TimeOffset::new(TimeOffset::MAX_SECONDS, 999_999_999).unwrap();
        assert!(TimeOffset::new(0, 1_000_000_000).is_err());
        assert!(TimeOffset::new(TimeOffset::MAX_SECONDS + 1, 0).is_err());
        assert!(TimeOffset::new(i64::MIN, 0).is_err());
    }

    #[test]
    fn is_send_and_sync() {
        fn is<T: Send + Sync + Clone + 'static>() {}
        is::<Namespaces>();
    }
}
