//! The layers below, and the one being written, seen as one tree.
//!
//! To know where an entry goes, links have to be followed through the union as a container
//! would see it. All paths here are *canonical*: the directories on the way are directories in
//! the union, none is a link.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use container_fs::whiteout::{self, XattrNamespace};
use container_fs::{FileType, Root};

use super::options::{ApplyOptions, Form};
use crate::error::{Error, ErrorKind, Result};

/// As many symbolic links as the kernel follows in one path.
const MAX_LINKS: usize = 40;

/// The layer being written with those below.
pub(super) struct Union {
    pub(super) top: Root,
    /// Top first.
    pub(super) below: Vec<Root>,
    xattrs: Option<XattrNamespace>,
    /// Directories of `top` that hide what is below.
    pub(super) opaque: BTreeSet<PathBuf>,
}

/// A directory of the union.
#[derive(Debug, Clone, Default)]
pub(super) struct DirAt {
    pub(super) path: PathBuf,
    /// It exists in the layer being written.
    pub(super) in_top: bool,
    /// Indices of the layers below in which it exists and is not hidden, top first.
    pub(super) below: Vec<usize>,
}

impl DirAt {
    /// Whether the directory exists anywhere.
    pub(super) fn exists(&self) -> bool {
        self.in_top || !self.below.is_empty()
    }
}

/// What one name of a directory is in the union.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Dir(DirAt),
    /// A link: `None` if in the layer being written, else the index of the layer below.
    Link(OsString),
    /// Any other file; where, as for links.
    Other(Option<usize>, FileType),
}

impl Union {
    pub(super) fn new(dir: &Path, options: &ApplyOptions) -> Result<Self> {
        let open = |path: &Path| Root::open(path).map_err(|e| Error::fs("open layer", path, e));
        let xattrs = match options.form {
            Form::Overlay(xattrs) => Some(xattrs),
            Form::Plain => None,
        };
        let below = match options.form {
            Form::Overlay(_) => {
                options.lower.iter().flatten().rev().map(|path| open(path)).collect()
            }
            Form::Plain => Ok(Vec::new()),
        };
        Ok(Self { top: open(dir)?, below: below?, xattrs, opaque: BTreeSet::new() })
    }

    pub(super) fn root(&self) -> Result<DirAt> {
        let path = PathBuf::new();
        let mut below = Vec::new();
        if !self.opaque.contains(&path) {
            for index in 0..self.below.len() {
                below.push(index);
                if self.is_opaque_below(index, &path)? {
                    break;
                }
            }
        }
        Ok(DirAt { path, in_top: true, below })
    }

    /// The directory that `path` leads to, last, and those above it, from the root on; links are
    /// followed inside the root. Parts that exist nowhere come out as they are, as directories
    /// that do not [exist](DirAt::exists).
    pub(super) fn resolve(&self, path: &Path) -> Result<Vec<DirAt>> {
        let mut todo: VecDeque<OsString> = path.iter().map(OsStr::to_owned).collect();
        let mut stack = vec![self.root()?];
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            let at = match (name.as_bytes(), stack.last()) {
                (b"..", _) => {
                    stack.truncate(stack.len().saturating_sub(1).max(1));
                    continue;
                }
                (b"." | b"/", _) | (_, None) => continue,
                (_, Some(at)) => at,
            };
            match self.find(at, &name)? {
                Found::Dir(dir) => stack.push(dir),
                Found::Nothing => {
                    let path = at.path.join(&name);
                    stack.push(DirAt { path, in_top: false, below: Vec::new() });
                }
                Found::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(bad_parent(path, "too many symbolic links on the way"));
                    }
                    if target.as_bytes().first() == Some(&b'/') {
                        stack.truncate(1);
                    }
                    for part in Path::new(&target).iter().rev() {
                        todo.push_front(part.to_owned());
                    }
                }
                Found::Other(..) => return Err(bad_parent(path, "a parent is not a directory")),
            }
        }
        Ok(stack)
    }

    /// What `name` is in a directory that [`resolve`](Self::resolve) gave.
    pub(super) fn find(&self, at: &DirAt, name: &OsStr) -> Result<Found> {
        let path = at.path.join(name);
        let mut found = None;
        if at.in_top
            && let Some(metadata) = status(&self.top, &path)?
        {
            match metadata.file_type {
                FileType::Directory => {
                    found = Some(DirAt { path: path.clone(), in_top: true, below: Vec::new() });
                }
                _ if self.is_whiteout(&metadata) => return Ok(Found::Nothing),
                FileType::Symlink => return self.link(&self.top, &path),
                other => return Ok(Found::Other(None, other)),
            }
        }
        if found.is_some() && self.opaque.contains(&path) {
            return Ok(found.map_or(Found::Nothing, Found::Dir));
        }
        for index in at.below.iter().copied() {
            let Some(metadata) = status(&self.below[index], &path)? else {
                continue;
            };
            let is_dir = metadata.file_type == FileType::Directory;
            match (&mut found, metadata.file_type) {
                _ if self.is_whiteout(&metadata) => break,
                (found, FileType::Directory) => {
                    let dir = || DirAt { path: path.clone(), ..DirAt::default() };
                    found.get_or_insert_with(dir).below.push(index);
                }
                (Some(_), _) => break,
                (None, FileType::Symlink) => return self.link(&self.below[index], &path),
                (None, other) => return Ok(Found::Other(Some(index), other)),
            }
            if is_dir && self.is_opaque_below(index, &path)? {
                break;
            }
        }
        Ok(found.map_or(Found::Nothing, Found::Dir))
    }

    /// Whether a layer below shows something at this name.
    pub(super) fn exists_below(&self, at: &DirAt, name: &OsStr) -> Result<bool> {
        let below_only = DirAt { in_top: false, ..at.clone() };
        Ok(!matches!(self.find(&below_only, name)?, Found::Nothing))
    }

    /// The marks of overlayfs mean something in the overlay form only.
    pub(super) fn is_whiteout(&self, metadata: &container_fs::Metadata) -> bool {
        self.xattrs.is_some() && whiteout::is_overlay_whiteout(metadata.file_type, metadata.rdev)
    }

    fn link(&self, root: &Root, path: &Path) -> Result<Found> {
        root.read_link(path).map(Found::Link).map_err(|e| Error::fs("read link", path, e))
    }

    fn is_opaque_below(&self, index: usize, path: &Path) -> Result<bool> {
        // The last layer has nothing below it that could be hidden.
        let (Some(xattrs), true) = (self.xattrs, index + 1 < self.below.len()) else {
            return Ok(false);
        };
        self.below[index]
            .open_dir(path)
            .and_then(|dir| whiteout::is_opaque(&dir, xattrs))
            .map_err(|e| Error::fs("read opaque mark", path, e))
    }
}

/// The status of a path without links; `None` if nothing is there.
pub(super) fn status(root: &Root, path: &Path) -> Result<Option<container_fs::Metadata>> {
    match root.metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == container_fs::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::fs("look up", path, error)),
    }
}

fn bad_parent(path: &Path, reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidPath, "resolve entry", path.to_string_lossy(), reason)
}
