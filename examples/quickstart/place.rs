//! The one directory that everything lies in.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use container_fs::{Root, Stack, remove_tree};

use crate::Result;

/// A directory that can hold an overlay; removed with everything in it when dropped.
pub(crate) struct Place {
    path: PathBuf,
    removed: bool,
}

impl Place {
    /// Makes `NAME` in the first of `TMPDIR` (or `/tmp`), `/var/tmp` and `/dev/shm` that can hold
    /// the layers and the writable directory of an overlay.
    pub(crate) fn new(name: &str, can_mount: bool) -> Result<Self> {
        let mut refusals = Vec::new();
        for parent in [env::temp_dir(), "/var/tmp".into(), "/dev/shm".into()] {
            match Self::try_in(&parent, name, can_mount) {
                Ok(place) => return Ok(place),
                Err(error) => refusals.push(format!("{}: {error}", parent.display())),
            }
        }
        let refusals = refusals.join("\n  ");
        Err(format!(
            "no directory for temporary files can hold an overlay:\n  {refusals}\n\
             set TMPDIR to a directory of yours on ext4, xfs, btrfs or tmpfs"
        )
        .into())
    }

    fn try_in(parent: &Path, name: &str, can_mount: bool) -> Result<Self> {
        let path = fs::canonicalize(parent)?.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        let place = Self { path, removed: false };
        // As long as the name of an unpacked layer, since the kernel's patience is limited.
        let lower = place.join("trial").join(format!("{:0>80}", "lower"));
        let stack =
            Stack::new([lower]).writable(place.join("trial/upper"), place.join("trial/work"));
        for directory in stack.layers().iter().map(PathBuf::as_path).chain(stack.upper()) {
            fs::create_dir_all(directory)?;
        }
        fs::create_dir(place.join("trial/work"))?;
        if can_mount {
            drop(stack.mount()?);
        } else {
            stack.options()?;
        }
        remove_tree(Root::open(&place.path)?, "trial")?;
        Ok(place)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// A new directory in it.
    pub(crate) fn make(&self, name: &str) -> Result<PathBuf> {
        let path = self.join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// Removes it, and says what could not be removed.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.removed = true;
        self.try_remove()
    }

    fn try_remove(&self) -> Result<()> {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Err("the temporary directory has no parent".into());
        };
        // Not std::fs::remove_dir_all: the kernel leaves a directory of mode 000 in an overlay's
        // work directory, which an ordinary user could not enter.
        Ok(remove_tree(Root::open(parent)?, name)?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.removed {
            // After a failure that is told already; the list at the end shows whether it is gone.
            let _ = self.try_remove();
        }
    }
}
