//! What is remembered of a layer until its last entry is made.

use std::ops::Bound;
use std::path::{Path, PathBuf};

use container_fs::Dir;
use rustix::fs::{AtFlags, Mode};

use super::meta;
use super::options::{Form, Owners};
use super::place::{Placer, over_budget};
use crate::error::{Error, Result};
use crate::layer::entry::Metadata;

/// What an owner needs to change a directory's content.
const FULL: u32 = 0o700;

impl Placer<'_> {
    /// Keeps a directory's metadata for the end.
    pub(super) fn set_later(&mut self, path: &Path, metadata: Metadata) -> Result<()> {
        let xattrs = metadata.xattrs.iter().map(|(name, value)| name.len() + value.len());
        self.hold(path, xattrs.sum())?;
        self.dirs.insert(path.to_path_buf(), metadata);
        Ok(())
    }

    /// Plain form: remembers that this layer made, or put something into, what is at a path.
    pub(super) fn used(&mut self, path: &Path) -> Result<()> {
        if matches!(self.options.form, Form::Plain) && !self.made.contains(path) {
            self.hold(path, 0)?;
            self.made.insert(path.to_path_buf());
        }
        Ok(())
    }

    /// Plain form: lets an ordinary user change a directory that an earlier layer made read-only,
    /// until the end.
    pub(super) fn open_up(&mut self, dir: &Dir, path: &Path) -> Result<()> {
        let as_user = self.options.owners == Owners::Current;
        if !as_user || !matches!(self.options.form, Form::Plain) || self.dirs.contains_key(path) {
            return Ok(());
        }
        let found = dir.self_metadata().map_err(|e| Error::fs("read metadata", path, e))?;
        if found.mode & FULL == FULL {
            return Ok(());
        }
        self.set_later(path, meta::read(&self.union.top, path)?)?;
        let mode = Mode::from_raw_mode(found.mode | FULL);
        rustix::fs::chmodat(dir, c".", mode, AtFlags::empty())
            .map_err(|e| Error::os("fchmodat", path, e))
    }

    /// Forgets all about a tree that was removed.
    pub(super) fn forget(&mut self, path: &Path) {
        let from = (Bound::Included(path), Bound::Unbounded);
        for gone in inside(path, self.dirs.range::<Path, _>(from).map(|(dir, _)| dir)) {
            self.dirs.remove(&gone);
        }
        for gone in inside(path, self.union.opaque.range::<Path, _>(from)) {
            self.union.opaque.remove(&gone);
        }
        for gone in inside(path, self.made.range::<Path, _>(from)) {
            self.made.remove(&gone);
        }
    }

    /// Counts what is kept in memory until the end.
    fn hold(&mut self, path: &Path, more: usize) -> Result<()> {
        self.held = self.held.saturating_add(path.as_os_str().len()).saturating_add(more);
        if self.held > self.options.budget.memory {
            let reason = "the names and attributes to be kept take more than the budget allows";
            return Err(over_budget(path.as_os_str().as_encoded_bytes(), reason));
        }
        Ok(())
    }
}

/// Those of the sorted paths from `path` on that are it or lie inside it.
fn inside<'a>(path: &Path, sorted: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    sorted.take_while(|at| at.starts_with(path)).cloned().collect()
}
