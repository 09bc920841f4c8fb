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
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use container_fs::whiteout::{OPAQUE_NAME, PREFIX};
use flate2::write::GzEncoder;
use tar::EntryType;

use super::entry::{MAX_NAME, MAX_PATH, Metadata, Timestamp, entry_path};
use super::tar_write::{EntryHeader, TarWriter};
use super::{Compression, Layer};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::HashingWriter;

/// How many links of the layer one path may lead through.
const MAX_LINKS: usize = 40;

/// Opens a file's content when it is written: its reader and its size.
pub(crate) type Opener = Arc<dyn Fn() -> Result<(File, u64)> + Send + Sync>;

/// What an entry of a layer is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Node {
    /// A directory.
    Dir,
    /// A file with the given bytes.
    File(Content),
    /// A symbolic link with its target, which is stored as it is.
    Symlink(PathBuf),
    /// Another name for the file at this path of the image.
    Hardlink(PathBuf),
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// The bytes of a file, held or yet to be read.
#[derive(Clone)]
pub struct Content(Source);

#[derive(Clone)]
enum Source {
    Bytes(Arc<[u8]>),
    Open(Opener),
}

impl Content {
    /// Bytes in memory.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Source::Bytes(Arc::from(bytes.into())))
    }

    /// A file of the host, opened when the layer is written; symbolic links are followed.
    #[must_use]
    pub fn host_file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::opened(Arc::new(move || {
            let file = File::open(&path).map_err(|e| Error::os("open", &path, e))?;
            let stat = file.metadata().map_err(|e| Error::os("fstat", &path, e))?;
            if !stat.is_file() {
                let shown = path.to_string_lossy();
                let reason = "not a regular file";
                return Err(Error::new(ErrorKind::InvalidInput, "open", shown, reason));
            }
            Ok((file, stat.len()))
        }))
    }

    pub(crate) fn opened(open: Opener) -> Self {
        Self(Source::Open(open))
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Source::Bytes(bytes) => write!(f, "Content({} bytes)", bytes.len()),
            Source::Open(_) => f.write_str("Content(a file)"),
        }
    }
}

/// How a layer is written.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LayerOptions {
    /// How the tar is compressed. Default: gzip.
    pub compression: Compression,
    /// Later modification times are written as this one. Default: none, times are kept.
    ///
    /// With the time of a source release here (`SOURCE_DATE_EPOCH`), the same files give the
    /// same layer on every machine, whenever they were built.
    pub clamp_mtime: Option<Timestamp>,
}

impl LayerOptions {
    /// Gzip, times kept.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the compression.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets the latest modification time that is written.
    #[must_use]
    pub fn clamp_mtime(mut self, latest: impl Into<Timestamp>) -> Self {
        self.clamp_mtime = Some(latest.into());
        self
    }
}

/// One slot of the layer: whiteouts sort before their siblings, as the specification wants.
#[derive(Debug, Clone)]
enum Slot {
    Node(Node, Metadata),
    Whiteout,
    Opaque,
}

/// Collects the entries of a layer.
///
/// Paths are those in the image; a leading `/` means nothing. Parents are *not* added: a layer
/// may change `/etc/hosts` without saying anything about `/etc`. Owners are 0:0 and times 1970
/// unless [`insert`](Self::insert) says otherwise.
#[derive(Debug, Clone, Default)]
pub struct LayerBuilder {
    nodes: BTreeMap<PathBuf, (Node, Metadata)>,
    whiteouts: BTreeSet<PathBuf>,
    opaque: BTreeSet<PathBuf>,
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
            return Err(Error::new(
                ErrorKind::InvalidPath,
                "add to layer",
                "/",
                reason,
            ));
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
            return Err(taken(
                &path,
                "entries lie below it, so it must be a directory",
            ));
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
        self.insert(
            path,
            Node::File(Content::bytes(content)),
            Metadata::new(mode),
        )
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
        if path
            .file_name()
            .is_some_and(|n| n.len() + PREFIX.len() > MAX_NAME)
        {
            let reason = "the name is too long to be written with .wh. in front";
            let shown = path.to_string_lossy();
            return Err(Error::new(
                ErrorKind::InvalidPath,
                "whiteout",
                shown,
                reason,
            ));
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
            for part in target
                .iter()
                .filter(|part| *part != "/" && *part != ".")
                .rev()
            {
                todo.push_front(part.to_owned());
            }
        }
        Ok(last.map_or(at.clone(), |name| at.join(name)))
    }

    fn has_children(&self, path: &Path) -> bool {
        let after = (std::ops::Bound::Excluded(path), std::ops::Bound::Unbounded);
        self.nodes
            .range::<Path, _>(after)
            .next()
            .is_some_and(|(next, _)| next.starts_with(path))
    }

    fn check_parents(&self, path: &Path) -> Result<()> {
        let is_leaf = |parent: &Path| {
            self.nodes
                .get(parent)
                .is_some_and(|(node, _)| !matches!(node, Node::Dir))
        };
        match path.ancestors().skip(1).find(|parent| is_leaf(parent)) {
            None => Ok(()),
            Some(_) => Err(taken(
                path,
                "a parent was added as something other than a directory",
            )),
        }
    }

    /// Writes the layer and returns what it is: its digests come from the same pass.
    ///
    /// The bytes depend on nothing but the entries and the options: sorted by path, without
    /// names of users, and with no clock read.
    ///
    /// # Errors
    /// The writer's; those of opening and reading host files; a host file that changes its
    /// size meanwhile.
    pub fn write(&self, out: impl Write, options: &LayerOptions) -> Result<Layer> {
        let fail = |e: std::io::Error| Error::os("write layer", "", e);
        let blob = HashingWriter::new(out);
        let compression = options.compression;
        let (diff_id, (mut out, digest, size)) = match compression {
            Compression::None => {
                let (mut out, digest, size) = self.entries(blob, options)?.finish();
                out.flush().map_err(fail)?;
                (digest.clone(), (out, digest, size))
            }
            Compression::Gzip => {
                let gzip = GzEncoder::new(blob, flate2::Compression::new(6));
                let diff = HashingWriter::new(BufWriter::with_capacity(1 << 16, gzip));
                let (gzip, diff_id, _) = self.entries(diff, options)?.finish();
                let gzip = gzip.into_inner().map_err(|e| fail(e.into_error()))?;
                (diff_id, gzip.finish().map_err(fail)?.finish())
            }
        };
        out.flush().map_err(fail)?;
        Ok(Layer::new(diff_id.into(), digest, size, compression))
    }

    fn entries<W: Write>(&self, out: W, options: &LayerOptions) -> Result<W> {
        let mut tar = TarWriter::new(out);
        for (path, slot) in self.in_order() {
            write_slot(&mut tar, &path, &slot, options)?;
        }
        tar.finish().map_err(|e| Error::os("write layer", "", e))
    }

    /// Every slot under its name in the tar: by path, a directory before its content, the
    /// whiteouts of a directory before the rest; hard links last, after the files that they name.
    fn in_order(&self) -> Vec<(PathBuf, Slot)> {
        let plain = self.nodes.iter().map(|(path, (node, metadata))| {
            (
                path.clone(),
                false,
                Slot::Node(node.clone(), metadata.clone()),
            )
        });
        let hidden = self.whiteouts.iter().map(|path| {
            let mut marker = OsString::from(PREFIX);
            marker.push(path.file_name().unwrap_or_default());
            (path.with_file_name(marker), true, Slot::Whiteout)
        });
        let opaque = self
            .opaque
            .iter()
            .map(|path| (path.join(OPAQUE_NAME), true, Slot::Opaque));
        let mut all: Vec<_> = plain.chain(hidden).chain(opaque).collect();
        let is_link = |slot: &Slot| matches!(slot, Slot::Node(Node::Hardlink(_), _));
        all.sort_by(|(a, a_mark, a_slot), (b, b_mark, b_slot)| {
            let by_path = order(a, *a_mark).cmp(order(b, *b_mark));
            is_link(a_slot).cmp(&is_link(b_slot)).then(by_path)
        });
        all.into_iter()
            .map(|(path, _, slot)| (path, slot))
            .collect()
    }
}

/// Sort key: component by component; a marker (`false` < `true` inverted) comes first among
/// its siblings.
fn order(path: &Path, marker: bool) -> impl Iterator<Item = (bool, &std::ffi::OsStr)> {
    let last = path.components().count().saturating_sub(1);
    path.iter()
        .enumerate()
        .map(move |(at, name)| (!(marker && at == last), name))
}

fn write_slot<W: Write>(
    tar: &mut TarWriter<W>,
    path: &Path,
    slot: &Slot,
    options: &LayerOptions,
) -> Result<()> {
    let root = path.as_os_str().is_empty();
    let path = if root { Path::new(".") } else { path };
    let marker = Metadata::new(0o644);
    let (kind, metadata, link, device) = match slot {
        Slot::Whiteout | Slot::Opaque => (EntryType::Regular, &marker, None, None),
        Slot::Node(node, metadata) => match node {
            Node::Dir => (EntryType::Directory, metadata, None, None),
            Node::File(_) => (EntryType::Regular, metadata, None, None),
            Node::Symlink(target) => (EntryType::Symlink, metadata, Some(target.as_path()), None),
            Node::Hardlink(target) => (EntryType::Link, metadata, Some(target.as_path()), None),
            Node::CharDevice(a, b) => (EntryType::Char, metadata, None, Some((*a, *b))),
            Node::BlockDevice(a, b) => (EntryType::Block, metadata, None, Some((*a, *b))),
            Node::Fifo => (EntryType::Fifo, metadata, None, None),
        },
    };
    let mtime = options
        .clamp_mtime
        .map_or(metadata.mtime, |latest| metadata.mtime.min(latest));
    let mut header = EntryHeader {
        path,
        kind,
        metadata,
        mtime,
        link,
        device,
        size: 0,
    };
    let written = match slot {
        Slot::Node(Node::File(Content(Source::Bytes(bytes))), _) => {
            header.size = bytes.len() as u64;
            tar.entry(&header, &bytes[..])
        }
        Slot::Node(Node::File(Content(Source::Open(open))), _) => {
            let (file, size) = open()?;
            header.size = size;
            tar.entry(&header, file)
        }
        _ => tar.entry(&header, std::io::empty()),
    };
    written.map_err(|e| Error::os("write layer entry", path, e))
}

fn checked(path: &Path) -> Result<PathBuf> {
    let path = entry_path(path.as_os_str().as_bytes())?;
    let reserved = path
        .iter()
        .any(|name| name.as_bytes().starts_with(PREFIX.as_bytes()));
    if reserved {
        let reason = "names that start with .wh. are markers in a layer";
        let shown = path.to_string_lossy();
        return Err(
            Error::new(ErrorKind::InvalidPath, "add to layer", shown, reason)
                .hint("use whiteout() to delete"),
        );
    }
    Ok(path)
}

fn checked_target(path: &Path, target: PathBuf) -> Result<PathBuf> {
    let bytes = target.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
        let reason = "the target of the link is empty, too long or has a NUL";
        let shown = path.to_string_lossy();
        return Err(Error::new(
            ErrorKind::InvalidPath,
            "add to layer",
            shown,
            reason,
        ));
    }
    Ok(target)
}

fn taken(path: &Path, reason: impl Into<Cow<'static, str>>) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        "add to layer",
        path.to_string_lossy(),
        reason,
    )
}
