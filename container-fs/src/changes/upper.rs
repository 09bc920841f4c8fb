//! The walk through an upper directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::compare::{same_ownership, xattrs};
use super::lower::{Found, Layers, Lower};
use super::{Change, ChangeKind};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{FileType, Metadata};
use crate::safe_path::resolve::open_dir_beneath;
use crate::sys;
use crate::whiteout::{XattrNamespace, is_overlay_opaque, is_overlay_whiteout};

/// A directory that is left to be looked at.
struct Task {
    path: PathBuf,
    /// What the directory shows of the layers below, or would without `opaque`.
    layers: Layers,
    /// It, or one above it, is opaque: of the layers, nothing shows.
    opaque: bool,
}

struct Walk<'a> {
    root: BorrowedFd<'a>,
    lower: &'a Lower<'a>,
    xattrs: XattrNamespace,
    tasks: Vec<Task>,
    changes: Vec<Change>,
}

pub(super) fn walk(
    root: BorrowedFd<'_>,
    lower: &Lower<'_>,
    xattrs: XattrNamespace,
) -> Result<Vec<Change>> {
    let first = Task { path: PathBuf::new(), layers: lower.root_layers()?, opaque: false };
    let mut walk = Walk { root, lower, xattrs, tasks: vec![first], changes: Vec::new() };
    while let Some(task) = walk.tasks.pop() {
        walk.directory(task)?;
    }
    Ok(walk.changes)
}

impl Walk<'_> {
    fn directory(&mut self, task: Task) -> Result<()> {
        let path = task.path.as_path();
        let dir = open_dir_beneath(self.root, path)
            .map_err(|errno| Error::os("open upper directory", path, errno))?;
        let opaque = task.opaque || self.is_opaque(dir.as_fd(), path)?;
        let mut names: Vec<OsString> = sys::list(dir.as_fd())
            .map_err(|errno| Error::os("getdents64 upper", path, errno))?
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let present = names.len();
        if opaque {
            let mut hidden = self.lower.names(path, &task.layers)?;
            names.iter().for_each(|name| {
                hidden.remove(name);
            });
            names.extend(hidden);
        }
        let found = self.lower.look_up(path, &task.layers, &names)?;
        for (index, (name, found)) in names.into_iter().zip(found).enumerate() {
            if index < present {
                self.entry(dir.as_fd(), path, &name, found, opaque)?;
            } else if let Some(found) = found {
                self.push(path.join(name), ChangeKind::Deleted, found.metadata.file_type);
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: &Path,
        name: &OsStr,
        found: Option<Found>,
        opaque: bool,
    ) -> Result<()> {
        let path = parent.join(name);
        let metadata = match Metadata::at(dir, name) {
            Ok(metadata) => metadata,
            // The tree is in use, and the entry went meanwhile.
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(Error::os("statx upper", path, errno)),
        };
        if is_overlay_whiteout(metadata.file_type, metadata.rdev) {
            // Over nothing, it deletes nothing.
            if let Some(found) = found {
                self.push(path, ChangeKind::Deleted, found.metadata.file_type);
            }
            return Ok(());
        }
        self.refuse_partial(dir, &path, name, &metadata)?;
        let Some(found) = found else {
            return self.added(path, &metadata);
        };
        if !metadata.is_dir() {
            self.push(path, ChangeKind::Modified, metadata.file_type);
            return Ok(());
        }
        if !found.metadata.is_dir() {
            self.push(path.clone(), ChangeKind::Modified, metadata.file_type);
            self.tasks.push(Task { path, layers: Vec::new(), opaque: false });
            return Ok(());
        }
        if !same_ownership(&metadata, &found.metadata)
            || self.upper_xattrs(&path)? != self.lower.dir_xattrs(&path, &found.layers)?
        {
            self.push(path.clone(), ChangeKind::Modified, metadata.file_type);
        }
        self.tasks.push(Task { path, layers: found.layers, opaque });
        Ok(())
    }

    fn added(&mut self, path: PathBuf, metadata: &Metadata) -> Result<()> {
        if metadata.is_dir() {
            self.tasks.push(Task { path: path.clone(), layers: Vec::new(), opaque: false });
        }
        self.push(path, ChangeKind::Added, metadata.file_type);
        Ok(())
    }

    fn push(&mut self, path: PathBuf, kind: ChangeKind, file_type: FileType) {
        self.changes.push(Change { path, kind, file_type });
    }

    fn is_opaque(&self, dir: BorrowedFd<'_>, path: &Path) -> Result<bool> {
        sys::get_xattr(dir, OsStr::new(self.xattrs.opaque_key()))
            .map(|value| value.is_some_and(|value| is_overlay_opaque(&value)))
            .map_err(|errno| Error::os("getxattr upper", path, errno))
    }

    fn upper_xattrs(&self, path: &Path) -> Result<Vec<(OsString, Vec<u8>)>> {
        open_dir_beneath(self.root, path)
            .and_then(|dir| xattrs(dir.as_fd()))
            .map_err(|errno| Error::os("listxattr upper", path, errno))
    }

    /// An entry that refers to a layer for its content is not the whole change.
    fn refuse_partial(
        &self,
        dir: BorrowedFd<'_>,
        path: &Path,
        name: &OsStr,
        metadata: &Metadata,
    ) -> Result<()> {
        let what = match metadata.file_type {
            FileType::Directory => "redirect",
            FileType::Regular => "metacopy",
            _ => return Ok(()),
        };
        let key = format!("{}{what}", self.xattrs.prefix());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let value = rustix::fs::openat(dir, name, flags, Mode::empty())
            .and_then(|fd| sys::get_xattr(fd.as_fd(), OsStr::new(&key)))
            .map_err(|errno| Error::os("getxattr upper", path, errno))?;
        if value.is_none() {
            return Ok(());
        }
        let reason = format!("the attribute {key} refers to a layer for the rest of it");
        Err(Error::refused(ErrorKind::Unsupported, "read upper", path, reason)
            .with_hint("mount with metacopy=off and redirect_dir=nofollow, as Stack does"))
    }
}
