//! The layers below an upper directory, seen as the one tree that they make.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::safe_path::resolve::open_dir_beneath;
use crate::sys;
use crate::whiteout::{XattrNamespace, is_overlay_opaque, is_overlay_whiteout};

/// Which layers make up a directory, top first, as indices.
pub(super) type Layers = Vec<usize>;

/// Layers, top first. At most one directory is held open besides them.
#[derive(Debug)]
pub(super) struct Lower<'a> {
    roots: Vec<BorrowedFd<'a>>,
    xattrs: XattrNamespace,
}

/// What the layers show under one name.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) metadata: Metadata,
    /// For a directory, the layers that it is merged from.
    pub(super) layers: Layers,
}

/// The search for one name, while it goes down the layers.
#[derive(Default)]
struct Search {
    found: Option<Found>,
    ended: bool,
}

impl<'a> Lower<'a> {
    pub(super) fn new(roots: Vec<BorrowedFd<'a>>, xattrs: XattrNamespace) -> Self {
        Self { roots, xattrs }
    }

    /// The layers that the root directory is merged from.
    pub(super) fn root_layers(&self) -> Result<Layers> {
        let mut layers = Vec::new();
        for (index, root) in self.roots.iter().enumerate() {
            layers.push(index);
            if self.is_opaque(*root).map_err(|errno| Error::os("getxattr", "layer", errno))? {
                break;
            }
        }
        Ok(layers)
    }

    /// Looks `names` up in the directory `path`, which is merged from `layers`.
    pub(super) fn look_up(
        &self,
        path: &Path,
        layers: &Layers,
        names: &[OsString],
    ) -> Result<Vec<Option<Found>>> {
        let mut searches: Vec<Search> = names.iter().map(|_| Search::default()).collect();
        for &index in layers {
            let dir = self.open(index, path)?;
            for (name, search) in names.iter().zip(&mut searches) {
                if !search.ended {
                    self.step(dir.as_fd(), index, name, search)
                        .map_err(|errno| Error::os("statx layer", path.join(name), errno))?;
                }
            }
        }
        Ok(searches.into_iter().map(|search| search.found).collect())
    }

    /// One layer further down with one name, by overlay's rules.
    fn step(
        &self,
        dir: BorrowedFd<'_>,
        index: usize,
        name: &OsStr,
        search: &mut Search,
    ) -> rustix::io::Result<()> {
        let metadata = match Metadata::at(dir, name) {
            Ok(metadata) => metadata,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        if is_overlay_whiteout(metadata.file_type, metadata.rdev) {
            search.ended = true;
            return Ok(());
        }
        if !metadata.is_dir() {
            search.ended = true;
            search.found.get_or_insert(Found { metadata, layers: Vec::new() });
            return Ok(());
        }
        let flags = sys::DIR_PATH | OFlags::NOFOLLOW;
        let opened = rustix::fs::openat(dir, name, flags, Mode::empty())?;
        search.ended = self.is_opaque(opened.as_fd())?;
        let found = search.found.get_or_insert(Found { metadata, layers: Vec::new() });
        found.layers.push(index);
        Ok(())
    }

    /// All names in the directory, whatever hides them.
    pub(super) fn names(&self, path: &Path, layers: &Layers) -> Result<BTreeSet<OsString>> {
        let mut names = BTreeSet::new();
        for &index in layers {
            let dir = self.open(index, path)?;
            let listed = sys::list(dir.as_fd())
                .map_err(|errno| Error::os("getdents64 layer", path, errno))?;
            names.extend(listed.into_iter().map(|(name, _)| name));
        }
        Ok(names)
    }

    /// The attributes of a directory: those of its topmost layer.
    pub(super) fn dir_xattrs(
        &self,
        path: &Path,
        layers: &Layers,
    ) -> Result<Vec<(OsString, Vec<u8>)>> {
        let Some(&index) = layers.first() else {
            return Ok(Vec::new());
        };
        super::compare::xattrs(self.open(index, path)?.as_fd())
            .map_err(|errno| Error::os("listxattr layer", path, errno))
    }

    fn open(&self, index: usize, path: &Path) -> Result<std::os::fd::OwnedFd> {
        open_dir_beneath(self.roots[index], path)
            .map_err(|errno| Error::os("open layer directory", path, errno))
    }

    fn is_opaque(&self, dir: BorrowedFd<'_>) -> rustix::io::Result<bool> {
        let value = sys::get_xattr(dir, OsStr::new(self.xattrs.opaque_key()))?;
        Ok(value.is_some_and(|value| is_overlay_opaque(&value)))
    }
}
