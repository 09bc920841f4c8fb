//! Creating layers: entries collected in any order, written in one order.
//!
//! ```
//! use container_image::layer::{Compression, LayerBuilder, LayerOptions};
//!
//! let mut layer = LayerBuilder::new();
//! layer.dir("etc", 0o755)?;
//! layer.file("etc/motd", "welcome\n", 0o644)?;
//! layer.symlink("etc/issue", "motd")?;
//! layer.whiteout("etc/nologin")?; // hides the file that a layer below has
//!
//! let mut tar = Vec::new();
//! let written = layer.write(&mut tar, &LayerOptions::new().compression(Compression::Gzip))?;
//! assert_eq!(written.size(), tar.len() as u64);
//! assert_ne!(written.diff_id().digest(), written.digest()); // uncompressed, compressed
//! # Ok::<(), container_image::Error>(())
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use container_fs::whiteout::PREFIX;

use super::entry::{MAX_NAME, MAX_PATH, Metadata, entry_path};
use super::node::{Content, Node};
use crate::error::{Error, ErrorKind, Result};

/// How many links of the layer one path may lead through.
const MAX_LINKS: usize = 40;
/// Collects the entries of a layer.
///
/// Paths are those in the image; a leading `/` means nothing. Parents are *not* added: a layer
/// may change `/etc/hosts` without saying anything about `/etc`. Owners are 0:0 and times 1970
/// unless [`insert`](Self::insert) says otherwise.
#[derive(Debug, Clone, Default)]
pub struct LayerBuilder {
    pub(super) nodes: BTreeMap<PathBuf, (Node, Metadata)>,
    pub(super) whiteouts: BTreeSet<PathBuf>,
    pub(super) opaque: BTreeSet<PathBuf>,
}

impl LayerBuilder {
    /// An empty layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry of any kind.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPath`] for `..`, a NUL, a reserved `.wh.` name or the root as
    /// something other than a directory; [`ErrorKind::AlreadyExists`] if the path is taken by
    /// another entry, or lies below one that is no directory; [`ErrorKind::InvalidInput`] for
    /// metadata out of range.
    pub fn insert(
        &mut self,
        path: impl AsRef<Path>,
        node: Node,
        metadata: Metadata,
    ) -> Result<&mut Self> {
        let path = checked(path.as_ref())?;
        metadata.check(&path)?;
        if path.as_os_str().is_empty() && !matches!(node, Node::Dir) {
            let reason = "the root of a layer can be nothing but a directory";
            return Err(Error::new(ErrorKind::InvalidPath, "add to layer", "/", reason));
        }
        let node = match node {
            Node::Hardlink(target) => Node::Hardlink(checked(&target)?),
            Node::Symlink(target) => Node::Symlink(checked_target(&path, target)?),
            other => other,
        };
        self.check_parents(&path)?;
        match self.nodes.get(&path) {
            None => {}
            Some((Node::Dir, _)) if matches!(node, Node::Dir) => {}
            Some(_) => return Err(taken(&path, "the path is taken by another entry")),
        }
        if !matches!(node, Node::Dir) && self.has_children(&path) {
            return Err(taken(&path, "entries lie below it, so it must be a directory"));
        }
        self.nodes.insert(path, (node, metadata));
        Ok(self)
    }

    /// Adds a directory, or changes the mode of one that was added.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn dir(&mut self, path: impl AsRef<Path>, mode: u32) -> Result<&mut Self> {
        self.insert(path, Node::Dir, Metadata::new(mode))
    }

    /// Adds a file with the given content.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn file(
        &mut self,
        path: impl AsRef<Path>,
        content: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Result<&mut Self> {
        self.insert(path, Node::File(Content::bytes(content)), Metadata::new(mode))
    }

    /// Adds a symbolic link (mode 0777).
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn symlink(
        &mut self,
        path: impl AsRef<Path>,
        target: impl Into<PathBuf>,
    ) -> Result<&mut Self> {
        self.insert(path, Node::Symlink(target.into()), Metadata::new(0o777))
    }

    /// Hides what the layers below have at this path.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPath`] as for [`insert`](Self::insert), and for the root.
    pub fn whiteout(&mut self, path: impl AsRef<Path>) -> Result<&mut Self> {
        let path = checked(path.as_ref())?;
        if path.as_os_str().is_empty() {
            let reason = "the root can't be deleted";
            return Err(Error::new(ErrorKind::InvalidPath, "whiteout", "/", reason));
        }
        if path.file_name().is_some_and(|n| n.len() + PREFIX.len() > MAX_NAME) {
            let reason = "the name is too long to be written with .wh. in front";
            let shown = path.to_string_lossy();
            return Err(Error::new(ErrorKind::InvalidPath, "whiteout", shown, reason));
        }
        self.check_parents(&path)?;
        self.whiteouts.insert(path);
        Ok(self)
    }

    /// Hides everything that the layers below have in this directory.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn opaque(&mut self, path: impl AsRef<Path>) -> Result<&mut Self> {
        let path = checked(path.as_ref())?;
        self.check_parents(&path.join("x"))?;
        self.opaque.insert(path);
        Ok(self)
    }

    /// Whether an entry (not a whiteout) was added at this path.
    #[must_use]
    pub fn contains(&self, path: impl AsRef<Path>) -> bool {
        self.get(path.as_ref()).is_some()
    }

    /// The paths of all entries, whiteouts left out, parents first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.nodes.keys().map(PathBuf::as_path)
    }

    /// Entries, whiteouts and opaque markers that will be written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len() + self.whiteouts.len() + self.opaque.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&Node> {
        let path = entry_path(path.as_os_str().as_bytes()).ok()?;
        self.nodes.get(&path).map(|(node, _)| node)
    }

    /// Adds a directory of mode 0755 unless one is there.
    pub(crate) fn ensure_dir(&mut self, path: &Path) -> Result<()> {
        match self.get(path) {
            Some(Node::Dir) => Ok(()),
            _ => self.dir(path, 0o755).map(drop),
        }
    }

    /// The path at which an entry really is to be added: links of this layer on the way are
    /// followed, missing parents are added with mode 0755.
    pub(crate) fn inside(&mut self, path: &Path) -> Result<PathBuf> {
        let path = checked(path)?;
        let mut todo: VecDeque<OsString> = path.iter().map(OsString::from).collect();
        let last = todo.pop_back();
        let mut at = PathBuf::new();
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let here = at.join(&name);
            let Some(Node::Symlink(target)) = self.get(&here) else {
                self.ensure_dir(&here)?;
                at = here;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(taken(&path, "too many links on the way"));
            }
            if target.is_absolute() {
                at = PathBuf::new();
            }
            for part in target.iter().filter(|part| *part != "/" && *part != ".").rev() {
                todo.push_front(part.to_owned());
            }
        }
        Ok(last.map_or(at.clone(), |name| at.join(name)))
    }

    fn has_children(&self, path: &Path) -> bool {
        let after = (std::ops::Bound::Excluded(path), std::ops::Bound::Unbounded);
        self.nodes.range::<Path, _>(after).next().is_some_and(|(next, _)| next.starts_with(path))
    }

    fn check_parents(&self, path: &Path) -> Result<()> {
        let is_leaf = |parent: &Path| {
            self.nodes.get(parent).is_some_and(|(node, _)| !matches!(node, Node::Dir))
        };
        match path.ancestors().skip(1).find(|parent| is_leaf(parent)) {
            None => Ok(()),
            Some(_) => Err(taken(path, "a parent was added as something other than a directory")),
        }
    }
}

fn checked(path: &Path) -> Result<PathBuf> {
    let path = entry_path(path.as_os_str().as_bytes())?;
    let reserved = path.iter().any(|name| name.as_bytes().starts_with(PREFIX.as_bytes()));
    if reserved {
        let reason = "names that start with .wh. are markers in a layer";
        let shown = path.to_string_lossy();
        return Err(Error::new(ErrorKind::InvalidPath, "add to layer", shown, reason)
            .hint("use whiteout() to delete"));
    }
    Ok(path)
}

fn checked_target(path: &Path, target: PathBuf) -> Result<PathBuf> {
    let bytes = target.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
        let reason = "the target of the link is empty, too long or has a NUL";
        let shown = path.to_string_lossy();
        return Err(Error::new(ErrorKind::InvalidPath, "add to layer", shown, reason));
    }
    Ok(target)
}

fn taken(path: &Path, reason: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::AlreadyExists, "add to layer", path.to_string_lossy(), reason)
}
