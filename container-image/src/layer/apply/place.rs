//! Makes the entries of a layer, one by one, in the directory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use container_fs::{Dir, FileType, Node};

use super::meta::{self, Policy};
use super::options::{ApplyOptions, Form, Owners};
use super::union::{DirAt, Found, Union, status};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::entry::{Metadata, entry_path};
use crate::layer::tar_read::{Kind, TarEntry};

/// Bytes of a file that are copied at once.
const BUFFER: usize = 1 << 17;
/// Mode of directories while their content is being made.
const BUILDING: u32 = 0o700;

pub(super) struct Placer<'a> {
    pub(super) options: &'a ApplyOptions,
    pub(super) union: Union,
    policy: Policy,
    /// The directory of the last entry: most entries have the same as the one before.
    pub(super) parent: Option<Parent>,
    /// Metadata of directories, set at the end: making an entry changes its directory's time,
    /// and is impossible in a read-only one.
    pub(super) dirs: BTreeMap<PathBuf, Metadata>,
    /// What this layer made or put something into; only in the plain form, where deletions
    /// spare it.
    pub(super) made: BTreeSet<PathBuf>,
    entries: u64,
    /// Bytes of names and attributes that are kept until the end.
    pub(super) held: usize,
    /// Bytes of files that were copied up.
    copied: u64,
    buffer: Vec<u8>,
}

pub(super) struct Parent {
    named: PathBuf,
    pub(super) at: DirAt,
    pub(super) dir: Dir,
}

impl<'a> Placer<'a> {
    pub(super) fn new(dir: &Path, options: &'a ApplyOptions) -> Result<Self> {
        let mut placer = Self {
            options,
            union: Union::new(dir, options)?,
            policy: Policy::new(options.owners),
            parent: None,
            dirs: BTreeMap::new(),
            made: BTreeSet::new(),
            entries: 0,
            held: 0,
            copied: 0,
            buffer: vec![0; BUFFER],
        };
        if matches!(options.form, Form::Overlay(_)) {
            let root = placer.union.root()?;
            let metadata = placer.metadata_below(&root)?;
            placer.dirs.insert(PathBuf::new(), metadata);
        }
        Ok(placer)
    }

    /// Counts an entry of the tar against the budget, before anything is made of it.
    pub(super) fn count_entry(&mut self, path: &[u8]) -> Result<()> {
        if path.len() > self.options.budget.path_len {
            return Err(over_budget(path, "a path is longer than the budget allows"));
        }
        self.count(path)
    }

    fn count(&mut self, path: &[u8]) -> Result<()> {
        self.entries += 1;
        if self.entries > self.options.budget.entries {
            return Err(over_budget(path, "the layer has more entries than the budget allows"));
        }
        Ok(())
    }

    /// Makes an ordinary entry, in place of what stands at its path.
    pub(super) fn place(
        &mut self,
        path: &Path,
        entry: &TarEntry,
        content: &mut impl Read,
    ) -> Result<()> {
        meta::check_xattrs(path, &entry.metadata)?;
        let Some(name) = path.file_name() else {
            if entry.kind == Kind::Dir {
                return self.set_later(path, entry.metadata.clone());
            }
            return Err(refused("/", "the entry would replace the root by something else"));
        };
        let Parent { at, dir, .. } = self.enter(path)?;
        let target = at.path.join(name);
        let result = match &entry.kind {
            Kind::Hardlink(link) => self.hard_link(&dir, name, &target, link),
            Kind::Dir => self.directory(&dir, name, &target, &entry.metadata),
            Kind::Char(0, 0) if matches!(self.options.form, Form::Overlay(_)) => {
                Err(refused(path, "a device 0:0 would be taken for a whiteout"))
            }
            kind => {
                self.clear(&dir, name, &target)?;
                self.other(&dir, name, &target, kind, entry, content)
            }
        };
        self.used(&target)?;
        self.leave(path, at, dir);
        result
    }

    fn directory(&mut self, dir: &Dir, name: &OsStr, path: &Path, meta: &Metadata) -> Result<()> {
        match here(dir, name, path)? {
            Some(found) if found.is_dir() => {}
            _ => self.make_dir(dir, name, path).map(drop)?,
        }
        self.set_later(path, meta.clone())
    }

    fn other(
        &mut self,
        dir: &Dir,
        name: &OsStr,
        path: &Path,
        kind: &Kind,
        entry: &TarEntry,
        content: &mut impl Read,
    ) -> Result<()> {
        let failed = |step: &'static str| move |e| Error::fs(step, path, e);
        let device = |this: &mut Self, node| {
            if this.options.owners == Owners::Current {
                this.policy.skip(path);
                return Ok(());
            }
            dir.create_node(name, node, entry.metadata.mode).map_err(failed("make device"))?;
            this.policy.set_entry(dir, name, path, &entry.metadata, true)
        };
        match kind {
            Kind::File => {
                let mut file = dir.create_file(name, 0o600).map_err(failed("create file"))?;
                self.copy(content, &mut file, path)?;
                self.policy.set_file(&file, path, &entry.metadata)
            }
            Kind::Symlink(target) => {
                if target.is_empty() || target.len() > self.options.budget.path_len {
                    return Err(refused(path, "the link's target is empty or too long"));
                }
                dir.symlink(OsStr::from_bytes(target), name).map_err(failed("make link"))?;
                self.policy.set_entry(dir, name, path, &entry.metadata, false)
            }
            Kind::Fifo => {
                dir.create_node(name, Node::Fifo, entry.metadata.mode)
                    .map_err(failed("make pipe"))?;
                self.policy.set_entry(dir, name, path, &entry.metadata, true)
            }
            Kind::Char(major, minor) => device(self, Node::CharDevice(*major, *minor)),
            Kind::Block(major, minor) => device(self, Node::BlockDevice(*major, *minor)),
            Kind::Dir | Kind::Hardlink(_) => Ok(()),
        }
    }

    fn copy(
        &mut self,
        content: &mut impl Read,
        file: &mut std::fs::File,
        path: &Path,
    ) -> Result<()> {
        use std::io::Write;
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    file.write_all(&self.buffer[..n]).map_err(|e| Error::os("write", path, e))?
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::os("read layer", path, e)),
            }
        }
    }

    fn hard_link(&mut self, dir: &Dir, name: &OsStr, path: &Path, link: &[u8]) -> Result<()> {
        let named = entry_path(link)?;
        let missing = || {
            let reason = format!("a hard link to {named:?}, which is no file of the image");
            Error::new(ErrorKind::InvalidPath, "make hard link", path.to_string_lossy(), reason)
        };
        let original = named.file_name().ok_or_else(missing)?;
        let at = self.resolved(named.parent().unwrap_or(Path::new("")))?;
        let from = at.path.join(original);
        if from == path {
            return Err(missing());
        }
        match self.union.find(&at, original)? {
            Found::Other(Some(below), FileType::Regular) => self.copy_up(below, &from)?,
            Found::Other(None, _) => {}
            Found::Link(_) if at.in_top && status(&self.union.top, &from)?.is_some() => {}
            _ => return Err(missing()),
        }
        self.clear(dir, name, path)?;
        let failed = |e| Error::fs("make hard link", path, e);
        self.union.top.hard_link(&from, path).map_err(failed)
    }

    /// Copies a file of a layer below into this one, so that it can get another name.
    fn copy_up(&mut self, below: usize, path: &Path) -> Result<()> {
        let lower = &self.union.below[below];
        let metadata = meta::read(lower, path)?;
        let mut content = lower.open_file(path).map_err(|e| Error::fs("open", path, e))?;
        let size = content.metadata().map_err(|e| Error::os("fstat", path, e))?.len();
        self.copied = self.copied.saturating_add(size);
        if self.copied > self.options.budget.bytes {
            let reason = "hard links copy more from the layers below than the budget allows";
            return Err(over_budget(path.as_os_str().as_bytes(), reason));
        }
        let Parent { at, dir, .. } = self.enter(path)?;
        let name = path.file_name().unwrap_or_default();
        let mut file =
            dir.create_file(name, 0o600).map_err(|e| Error::fs("create file", path, e))?;
        self.copy(&mut content, &mut file, path)?;
        self.policy.set_file(&file, path, &metadata)?;
        self.leave(path, at, dir);
        Ok(())
    }

    /// Removes what stands at a path of this directory, to make place for another entry.
    fn clear(&mut self, dir: &Dir, name: &OsStr, path: &Path) -> Result<()> {
        let Some(found) = here(dir, name, path)? else {
            return Ok(());
        };
        let failed = |e| Error::fs("replace", path, e);
        if !found.is_dir() {
            return dir.remove_file(name).map_err(failed);
        }
        self.parent = None;
        dir.remove_tree(name).map_err(failed)?;
        self.forget(path);
        Ok(())
    }

    /// The directory in which a path is to be made, itself made where it is missing.
    pub(super) fn enter(&mut self, path: &Path) -> Result<Parent> {
        let named = path.parent().unwrap_or(Path::new(""));
        if let Some(parent) = self.parent.take()
            && parent.named == named
        {
            return Ok(parent);
        }
        let mut dir = self.union.top.open_dir("").map_err(|e| Error::fs("open layer", named, e))?;
        self.open_up(&dir, Path::new(""))?;
        let mut last = DirAt::default();
        for mut at in self.union.resolve(named)?.into_iter().skip(1) {
            let name = at.path.file_name().unwrap_or_default();
            if at.in_top {
                dir = dir.open_dir(name).map_err(|e| Error::fs("open directory", &at.path, e))?;
                self.open_up(&dir, &at.path)?;
            } else {
                self.count(at.path.as_os_str().as_bytes())?;
                let metadata = self.metadata_below(&at)?;
                dir = self.make_dir(&dir, name, &at.path)?;
                self.set_later(&at.path, metadata)?;
                at.in_top = true;
            }
            self.used(&at.path)?;
            last = at;
        }
        if last.path.as_os_str().is_empty() {
            last = self.union.root()?;
        }
        Ok(Parent { named: named.to_path_buf(), at: last, dir })
    }

    /// Keeps the directory for the next entry, unless something was replaced meanwhile.
    pub(super) fn leave(&mut self, path: &Path, at: DirAt, dir: Dir) {
        let named = path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.parent = Some(Parent { named, at, dir });
    }

    /// Makes a directory; in the place of a whiteout or another file, one that hides what that
    /// hid.
    fn make_dir(&mut self, dir: &Dir, name: &OsStr, path: &Path) -> Result<Dir> {
        let hidden = match here(dir, name, path)? {
            Some(found) if self.union.is_whiteout(&found) => true,
            Some(_) if self.options.lower.is_some() => {
                let at = self.resolved(path.parent().unwrap_or(Path::new("")))?;
                self.union.exists_below(&at, name)?
            }
            Some(_) => true,
            None => false,
        };
        self.clear(dir, name, path)?;
        let made =
            dir.create_dir(name, BUILDING).map_err(|e| Error::fs("make directory", path, e))?;
        if hidden {
            self.make_opaque(path)?;
        }
        Ok(made)
    }

    pub(super) fn resolved(&self, path: &Path) -> Result<DirAt> {
        Ok(self.union.resolve(path)?.pop().unwrap_or_default())
    }

    /// The metadata of a directory that the layer uses without saying anything about it.
    fn metadata_below(&self, at: &DirAt) -> Result<Metadata> {
        match at.below.first() {
            Some(index) => meta::read(&self.union.below[*index], &at.path),
            None => Ok(Metadata::new(0o755)),
        }
    }

    /// Sets the directories' metadata, deepest first; returns the number of entries and what
    /// had to be left out.
    pub(super) fn finish(mut self) -> Result<(u64, Vec<PathBuf>)> {
        self.parent = None;
        for (path, metadata) in self.dirs.iter().rev() {
            let dir = self.union.top.open_dir(path);
            let dir = dir.map_err(|e| Error::fs("open directory", path, e))?;
            self.policy.set_dir(&dir, path, metadata)?;
        }
        Ok((self.entries, self.policy.into_skipped()))
    }
}

/// What stands at a name of the directory that is being filled.
fn here(dir: &Dir, name: &OsStr, path: &Path) -> Result<Option<container_fs::Metadata>> {
    match dir.metadata(name) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == container_fs::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::fs("look up", path, error)),
    }
}

pub(super) fn over_budget(path: &[u8], reason: &'static str) -> Error {
    let shown = String::from_utf8_lossy(&path[..path.len().min(200)]);
    Error::new(ErrorKind::BudgetExceeded, "read layer", shown, reason)
        .hint("raise the Budget for a layer that is to be trusted")
}

pub(super) fn refused(path: impl AsRef<Path>, reason: &'static str) -> Error {
    let path = path.as_ref().to_string_lossy();
    Error::new(ErrorKind::InvalidPath, "apply entry", path, reason)
}
