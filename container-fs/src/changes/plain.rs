//! The walk through two plain trees at a time.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::compare::{Entry, same_entry, same_ownership, xattrs};
use super::{Change, ChangeKind};
use crate::error::{Error, Result};
use crate::metadata::{FileType, Metadata};
use crate::safe_path::resolve::open_dir_beneath;
use crate::sys;

/// A directory of the new tree that is left to be looked at.
struct Task {
    path: PathBuf,
    /// The old tree has this directory as well.
    in_old: bool,
}

struct Walk<'a> {
    old: BorrowedFd<'a>,
    new: BorrowedFd<'a>,
    tasks: Vec<Task>,
    changes: Vec<Change>,
}

pub(super) fn walk(old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> Result<Vec<Change>> {
    let first = Task { path: PathBuf::new(), in_old: true };
    let mut walk = Walk { old, new, tasks: vec![first], changes: Vec::new() };
    while let Some(task) = walk.tasks.pop() {
        walk.directory(&task)?;
    }
    Ok(walk.changes)
}

impl Walk<'_> {
    fn directory(&mut self, task: &Task) -> Result<()> {
        let path = task.path.as_path();
        let new_dir = open(self.new, path)?;
        let new = list(&new_dir, path)?;
        let old_dir = task.in_old.then(|| open(self.old, path)).transpose()?;
        let mut old = match &old_dir {
            Some(dir) => list(dir, path)?,
            None => BTreeMap::new(),
        };
        for (name, after) in new {
            let below = path.join(&name);
            let before = old.remove(&name);
            let is_dir = after.is_dir();
            let in_old = is_dir && before.as_ref().is_some_and(Metadata::is_dir);
            match (&old_dir, &before) {
                (Some(old_dir), Some(before)) => {
                    let before = Entry { dir: old_dir.as_fd(), name: &name, metadata: before };
                    let after = Entry { dir: new_dir.as_fd(), name: &name, metadata: &after };
                    if self.differ(&before, &after, &below)? {
                        self.push(&below, ChangeKind::Modified, after.metadata.file_type);
                    }
                }
                _ => self.push(&below, ChangeKind::Added, after.file_type),
            }
            if is_dir {
                self.tasks.push(Task { path: below, in_old });
            }
        }
        for (name, before) in old {
            self.push(&path.join(name), ChangeKind::Deleted, before.file_type);
        }
        Ok(())
    }

    fn differ(&self, before: &Entry<'_>, after: &Entry<'_>, path: &Path) -> Result<bool> {
        let failed = |errno| Error::os("compare", path, errno);
        let (old, new) = (before.metadata, after.metadata);
        if old.file_type != new.file_type {
            return Ok(true);
        }
        if !new.is_dir() {
            return same_entry(before, after).map(|same| !same).map_err(failed);
        }
        if old.same_file(new) {
            return Ok(false);
        }
        if !same_ownership(old, new) {
            return Ok(true);
        }
        let (old, new) = (open(self.old, path)?, open(self.new, path)?);
        Ok(xattrs(old.as_fd()).map_err(failed)? != xattrs(new.as_fd()).map_err(failed)?)
    }

    fn push(&mut self, path: &Path, kind: ChangeKind, file_type: FileType) {
        self.changes.push(Change { path: path.to_owned(), kind, file_type });
    }
}

fn open(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    open_dir_beneath(root, path).map_err(|errno| Error::os("open directory", path, errno))
}

fn list(dir: &OwnedFd, path: &Path) -> Result<BTreeMap<OsString, Metadata>> {
    let names = sys::list(dir.as_fd()).map_err(|errno| Error::os("getdents64", path, errno))?;
    let mut entries = BTreeMap::new();
    for (name, _) in names {
        match Metadata::at(dir.as_fd(), name.as_os_str()) {
            Ok(metadata) => {
                entries.insert(name, metadata);
            }
            // The tree is in use, and the entry went meanwhile.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::os("statx", path.join(name), errno)),
        }
    }
    Ok(entries)
}
