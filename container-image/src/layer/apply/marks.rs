//! Deletions: whiteouts and opaque directories, marked or carried out.

use std::path::Path;

use container_fs::FileType;
use container_fs::whiteout::{create_whiteout, set_opaque};

use super::options::Form;
use super::place::{Parent, Placer, refused};
use super::union::status;
use crate::error::{Error, Result};

impl Placer<'_> {
    /// Hides or deletes what the layers below have at a path.
    pub(super) fn whiteout(&mut self, path: &Path) -> Result<()> {
        let Some(name) = path.file_name() else {
            return Err(refused("/", "the root can't be deleted"));
        };
        let at = self.resolved(path.parent().unwrap_or(Path::new("")))?;
        let target = at.path.join(name);
        let Form::Overlay(_) = self.options.form else {
            if at.exists() {
                self.delete_below(&target)?;
            }
            return Ok(());
        };
        if self.options.lower.is_some() && !self.union.exists_below(&at, name)? {
            return Ok(());
        }
        let Parent { at, dir, .. } = self.enter(path)?;
        match status(&self.union.top, &target)? {
            // The layer itself has a file of that name, which wins.
            Some(found) if !found.is_dir() => {}
            Some(_) => self.make_opaque(&target)?,
            None => {
                create_whiteout(&dir, name).map_err(|e| Error::fs("make whiteout", &target, e))?;
            }
        }
        self.leave(path, at, dir);
        Ok(())
    }

    /// Hides or deletes everything that the layers below have in a directory.
    pub(super) fn opaque(&mut self, path: &Path) -> Result<()> {
        let at = self.resolved(path)?;
        if let Form::Plain = self.options.form {
            return if at.exists() { self.delete_children_below(&at.path) } else { Ok(()) };
        }
        if self.options.lower.is_some() && !at.exists() {
            return Ok(());
        }
        let Parent { at, .. } = self.enter(&path.join("x"))?;
        self.make_opaque(&at.path)
    }

    pub(super) fn make_opaque(&mut self, path: &Path) -> Result<()> {
        if let Form::Overlay(xattrs) = self.options.form {
            let failed = |e| Error::fs("make opaque", path, e);
            let dir = self.union.top.open_dir(path).map_err(failed)?;
            set_opaque(&dir, xattrs).map_err(failed)?;
            self.union.opaque.insert(path.to_path_buf());
            self.parent = None;
        }
        Ok(())
    }

    /// Plain form: deletes what earlier layers made at a path.
    fn delete_below(&mut self, path: &Path) -> Result<()> {
        let Some(found) = status(&self.union.top, path)? else {
            return Ok(());
        };
        if !self.made.contains(path) {
            let failed = |e| Error::fs("delete", path, e);
            self.parent = None;
            let above = path.parent().unwrap_or(Path::new(""));
            let dir = self.union.top.open_dir(above).map_err(failed)?;
            self.open_up(&dir, above)?;
            dir.remove_tree(path.file_name().unwrap_or_default()).map_err(failed)?;
            self.forget(path);
            return Ok(());
        }
        if found.is_dir() { self.delete_children_below(path) } else { Ok(()) }
    }

    fn delete_children_below(&mut self, path: &Path) -> Result<()> {
        let failed = |e| Error::fs("delete", path, e);
        let mut todo = vec![path.to_path_buf()];
        while let Some(path) = todo.pop() {
            let dir = self.union.top.open_dir(&path).map_err(failed)?;
            for entry in dir.entries().map_err(failed)? {
                let child = path.join(&entry.name);
                if !self.made.contains(&child) {
                    self.parent = None;
                    self.open_up(&dir, &path)?;
                    dir.remove_tree(&entry.name).map_err(failed)?;
                    self.forget(&child);
                } else if entry.file_type == FileType::Directory {
                    todo.push(child);
                }
            }
        }
        Ok(())
    }
}
