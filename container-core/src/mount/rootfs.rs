//! The root file system of a container.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Propagation, Source};

/// The root file system of a container.
#[derive(Debug, Clone)]
#[must_use]
pub struct Rootfs {
    pub(crate) source: Source,
    pub(crate) read_only: bool,
    pub(crate) propagation: Option<(Propagation, bool)>,
    pub(crate) no_pivot: bool,
    pub(crate) attach_at: Option<PathBuf>,
}

impl Rootfs {
    fn new(source: Source) -> Self {
        Self { source, read_only: false, propagation: None, no_pivot: false, attach_at: None }
    }

    /// The host's directory, with all that is mounted below it.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::Bind { path: path.into(), recursive: true })
    }

    /// A mount that was made and not attached yet, such as an overlay of
    /// `container-fs`. It can be attached once.
    pub fn detached(mount: impl Into<OwnedFd>) -> Self {
        Self::new(Source::Detached(Arc::new(mount.into())))
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
        Self::new(Source::FileSystem { kind: kind.into(), options })
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

    /// How the mounts of the container's root and those below its source
    /// spread; private unless given.
    ///
    /// `Slave`: what the host mounts below the source later shows inside.
    /// `Shared`: likewise, and what is mounted inside spreads to mount
    /// namespaces made of the container's, though never to the host (that is
    /// for a [`Mount`](super::Mount) with its own propagation). `Unbindable`:
    /// the root can't be bind-mounted inside.
    pub fn propagation(mut self, propagation: Propagation) -> Self {
        self.propagation = Some((propagation, false));
        self
    }

    /// As [`propagation`](Self::propagation), and the container's other mounts
    /// become likewise: `rshared`, `runbindable` and so on.
    pub fn recursive_propagation(mut self, propagation: Propagation) -> Self {
        self.propagation = Some((propagation, true));
        self
    }

    /// Enters the root by `chroot` on top of the old one instead of
    /// `pivot_root`, which a machine that runs from its initial RAM file
    /// system refuses. The old root stays mounted, hidden below; the host's
    /// procfs and sysfs are unmounted from it. A root without
    /// `CAP_SYS_CHROOT` can't get there. `pivot_root` is the better way
    /// wherever it works.
    pub fn no_pivot(mut self) -> Self {
        self.no_pivot = true;
        self
    }

    /// Attaches it on this directory of the host's tree, as the container's
    /// mount namespace sees it, instead of on top of `/`, before it becomes
    /// the root. Programs that run in that namespace before the switch (the
    /// `createContainer` hooks of the OCI runtime specification) find the
    /// container's mounts there.
    pub fn attached_at(mut self, directory: impl Into<PathBuf>) -> Self {
        self.attach_at = Some(directory.into());
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
