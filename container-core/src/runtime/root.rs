//! The runtime: a directory of containers.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::create::{self, CreateOptions, Starter};
use super::directory::Directory;
use super::id;
use super::restore::{self, RestoreOptions};
use super::stored::StoredContainer;
use crate::error::{Error, ErrorKind, Result};
use crate::oci::Bundle;

/// The containers below one root directory.
///
/// It keeps nothing in memory but the directory: any number of values, in any number of processes,
/// see the same containers.
#[derive(Debug, Clone)]
pub struct Runtime {
    root: Arc<Directory>,
}

/// One entry of [`Runtime::list`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The name of the directory, which is the container's.
    pub id: String,
    /// The container, or what is wrong with its directory.
    pub container: Result<StoredContainer>,
}

impl Runtime {
    /// The runtime whose state lies in this directory, which is made, mode 0700, if it is missing;
    /// an ordinary user's with the sticky bit, by which those who clean `$XDG_RUNTIME_DIR` see that
    /// it is to stay.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) for a directory of another user's, or one
    /// that others may write in.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = std::path::absolute(root.as_ref())
            .map_err(|error| Error::os("find root", root.as_ref().to_string_lossy(), error))?;
        let mode = if nix::unistd::geteuid().is_root() { 0o700 } else { 0o1700 };
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(&root)
            .map_err(|error| Error::os("mkdir", root.to_string_lossy(), error))?;
        Ok(Self { root: Arc::new(Directory::open(&root)?) })
    }

    /// `/run/container-core` for root, `$XDG_RUNTIME_DIR/container-core` for others.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an ordinary user without that variable.
    pub fn default_root() -> Result<PathBuf> {
        const NAME: &str = "container-core";
        if nix::unistd::geteuid().is_root() {
            return Ok(Path::new("/run").join(NAME));
        }
        let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
        directory.map(|path| Path::new(&path).join(NAME)).ok_or_else(|| {
            let reason = "not set: there is no directory for this user's containers";
            Error::with(ErrorKind::NotFound, "find root", "XDG_RUNTIME_DIR", reason)
                .hint("name the runtime's root directory")
        })
    }

    /// Where it keeps its state.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root.path
    }

    /// Makes a container that waits to be started; it stays when this process ends.
    ///
    /// The process is a child of the caller; once that one has ended, of the next subreaper
    /// above it. The caller may wait for it by the value that it gets here.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) for a name that is taken; a field of the spec;
    /// any failing step, by name. Nothing is left then.
    pub fn create(
        &self,
        id: &str,
        bundle: &Bundle,
        options: &CreateOptions,
    ) -> Result<StoredContainer> {
        id::check(id)?;
        create::create(&self.root, id, bundle, options, Starter::Anyone)
    }

    /// Makes a container and runs its program at once; returns when it has been executed. What
    /// [`create`](Self::create) and [`start`](StoredContainer::start) do, with less in between.
    ///
    /// # Errors
    ///
    /// Those of both; nothing is left then.
    pub fn run(
        &self,
        id: &str,
        bundle: &Bundle,
        options: &CreateOptions,
    ) -> Result<StoredContainer> {
        id::check(id)?;
        let container = create::create(&self.root, id, bundle, options, Starter::Creator)?;
        container.start_here(bundle)?;
        Ok(container)
    }

    /// Brings a container back that was [saved](StoredContainer::checkpoint), with the bundle it
    /// was made from; it runs on where it was. Its process is a child of the next subreaper above
    /// the caller, or of PID 1. Hooks are not run.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) without criu in `PATH`;
    /// [`NotFound`](ErrorKind::NotFound) without images; [`Program`](ErrorKind::Program) with the
    /// last errors of criu's log. Nothing is left then.
    pub fn restore(
        &self,
        id: &str,
        bundle: &Bundle,
        options: &RestoreOptions,
    ) -> Result<StoredContainer> {
        id::check(id)?;
        restore::restore(&self.root, id, bundle, options)
    }

    /// The container of this name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound), or [`Damaged`](ErrorKind::Damaged) for a directory that
    /// holds something else.
    pub fn load(&self, id: &str) -> Result<StoredContainer> {
        id::check(id)?;
        StoredContainer::load(&self.root, id)
    }

    /// All containers, by name. One that is deleted meanwhile is left out. What creations and
    /// deletions have left that were killed more than a minute ago is removed on the way.
    ///
    /// # Errors
    ///
    /// Those of reading the directory; what is wrong with one container stands in its entry.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut sweep = false;
        for id in self.root.names()? {
            if id::check(&id).is_err() {
                sweep = true;
                continue;
            }
            match self.load(&id) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                container => entries.push(Entry { id, container }),
            }
        }
        if sweep {
            // What can't be removed now is no part of the answer.
            let _ = self.root.sweep();
        }
        Ok(entries)
    }

    /// Removes a directory that holds no readable state, which [`load`](Self::load) refuses.
    ///
    /// # Errors
    ///
    /// [`WrongState`](ErrorKind::WrongState) if there is a readable state: then it is a container,
    /// to be [deleted](StoredContainer::delete) as such.
    pub fn remove_damaged(&self, id: &str) -> Result<()> {
        id::check(id)?;
        match StoredContainer::load(&self.root, id) {
            Ok(_) => Err(Error::with(ErrorKind::WrongState, "remove", id, "it is not damaged")),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let _lock = self.root.child(id)?.make_lock()?;
                self.root.remove_child(id)
            }
            Err(error) => Err(error),
        }
    }
}
