//! Commit: what a container changed, as a new layer of a new image.
//!
//! The upper directory of the container's overlay *is* the change. Reading it against the layers
//! below gives a list (added, modified, deleted), and each line becomes an entry of a layer:
//! the file, or a whiteout. The new image keeps the layers, history and configuration of the old
//! one, of the latter what the OCI specification knows (Docker's health check is lost).
//!
//! ```no_run
//! use container_image::{Commit, Reference, Store};
//!
//! let store = Store::open("/var/lib/example")?;
//! let image = store.image(&"app:1".parse()?)?;
//! // … a container has run on store.unpack(&image)? with this upper directory …
//! let name: Reference = "app:2".parse()?;
//! let commit = Commit::new("installed the update").author("me");
//! let new = store.commit(&image, "/run/example/upper", &name, &commit)?;
//! assert_eq!(new.layers().len(), image.layers().len() + 1);
//! # Ok::<(), container_image::Error>(())
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use container_fs::changes::{Change, of_upper};
use container_fs::{ChangeKind, FileType, Root, XattrNamespace};

use crate::error::{Error, ErrorKind, Result};
use crate::image::{Image, ImageBuilder};
use crate::layer::{
    Content, LayerBuilder, LayerOptions, Metadata, Node, Owners, Timestamp, Xattrs,
};
use crate::reference::Reference;
use crate::store::Store;

/// Attributes that belong to this machine's mounts and policy, not to the image.
const LOCAL_XATTRS: [&str; 3] = ["trusted.overlay.", "user.overlay.", "security.selinux"];

/// What is said about a commit.
#[derive(Debug, Clone)]
#[must_use]
pub struct Commit {
    created_by: String,
    author: Option<String>,
    created: Option<Timestamp>,
    layer: LayerOptions,
}

impl Commit {
    /// A commit with the text for the history.
    pub fn new(created_by: impl Into<String>) -> Self {
        Self {
            created_by: created_by.into(),
            author: None,
            created: None,
            layer: LayerOptions::new(),
        }
    }

    /// Sets the author of the new image.
    pub fn author(mut self, author: impl Into<String>) -> Self {
        self.author = Some(author.into());
        self
    }

    /// Sets the time that the new image and its history entry say. Default: none.
    pub fn created(mut self, time: impl Into<Timestamp>) -> Self {
        self.created = Some(time.into());
        self
    }

    /// Sets how the layer is written.
    pub fn layer_options(mut self, options: LayerOptions) -> Self {
        self.layer = options;
        self
    }
}

impl Store {
    /// Makes a new image of an image and a container's upper directory in overlay form: the
    /// layers, configuration and history of the image, and a layer of the changes on top.
    ///
    /// `upper` must have been written by an overlay over [`unpack`](Self::unpack)'s directories.
    /// Stop or freeze the container for a consistent picture. Sockets are left out, as no layer
    /// can hold one. As an ordinary user, that user's files become root's.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a missing upper directory; [`ErrorKind::InvalidPath`] for a
    /// file whose name starts with `.wh.`; those of unpacking and of the file system.
    pub fn commit(
        &self,
        image: &Image,
        upper: impl AsRef<Path>,
        name: &Reference,
        commit: &Commit,
    ) -> Result<Image> {
        let layer = layer_of_upper(upper, &self.unpack(image)?)?;
        let layer = self.put_layer(&layer, &commit.layer)?;
        let mut builder = ImageBuilder::from_image(image);
        if let Some(created) = commit.created {
            builder = builder.created(created);
        }
        if let Some(author) = &commit.author {
            builder = builder.author(author);
        }
        self.put_image(name, &builder.layer(&layer, &commit.created_by))
    }
}

/// The changes of an upper directory in overlay form, over `layers` (bottom to top), as a layer.
///
/// File content is read when the layer is written, by descriptor inside the upper directory.
///
/// # Errors
/// As [`Store::commit`].
pub fn layer_of_upper(upper: impl AsRef<Path>, layers: &[PathBuf]) -> Result<LayerBuilder> {
    let upper = upper.as_ref();
    let open = |path: &Path| Root::open(path).map_err(|e| Error::fs("open directory", path, e));
    let root = Arc::new(open(upper)?);
    let below = layers.iter().map(|path| open(path)).collect::<Result<Vec<_>>>()?;
    let changes = of_upper(root.as_ref(), &below, XattrNamespace::detect())
        .map_err(|e| Error::fs("read changes", upper, e))?;
    let mut reader = Reader { root, owners: Owners::detect(), links: HashMap::new() };
    let mut layer = LayerBuilder::new();
    for change in &changes {
        reader.add(change, &mut layer)?;
    }
    Ok(layer)
}

struct Reader {
    root: Arc<Root>,
    owners: Owners,
    /// The first path of each file that has several.
    links: HashMap<((u32, u32), u64), PathBuf>,
}

impl Reader {
    fn add(&mut self, change: &Change, layer: &mut LayerBuilder) -> Result<()> {
        let path = change.path.as_path();
        if change.kind == ChangeKind::Deleted {
            return layer.whiteout(path).map(drop);
        }
        let failed = |e| Error::fs("read upper", path, e);
        let (dir, name) = self.root.parent(path).map_err(failed)?;
        let found = dir.metadata(&name).map_err(failed)?;
        let node = match found.file_type {
            FileType::Directory => Node::Dir,
            FileType::Regular => self.file(path, &found),
            FileType::Symlink => Node::Symlink(dir.read_link(&name).map_err(failed)?.into()),
            FileType::CharDevice => Node::CharDevice(found.rdev.0, found.rdev.1),
            FileType::BlockDevice => Node::BlockDevice(found.rdev.0, found.rdev.1),
            FileType::Fifo => Node::Fifo,
            FileType::Socket => return Ok(()),
            other => {
                let reason = format!("a file of the type {other:?}");
                let shown = path.to_string_lossy();
                return Err(Error::new(ErrorKind::Unsupported, "read upper", shown, reason));
            }
        };
        let local = |name: &str| LOCAL_XATTRS.iter().any(|local| name.starts_with(local));
        let xattrs: Xattrs = dir.xattrs(&name).map_err(failed)?.into_iter().collect();
        let mut metadata = Metadata::new(found.mode).owner(
            self.owner(found.uid, rustix::process::geteuid().as_raw()),
            self.owner(found.gid, rustix::process::getegid().as_raw()),
        );
        metadata.mtime = Timestamp { seconds: found.mtime, nanos: found.mtime_nsec };
        metadata.xattrs = xattrs;
        metadata.xattrs.retain(|name, _| !local(&name.to_string_lossy()));
        layer.insert(path, node, metadata).map(drop)
    }

    fn file(&mut self, path: &Path, found: &container_fs::Metadata) -> Node {
        if found.nlink > 1 {
            let first = self.links.entry((found.dev, found.ino)).or_insert_with(|| path.into());
            if first != path {
                return Node::Hardlink(first.clone());
            }
        }
        let (root, path) = (Arc::clone(&self.root), path.to_path_buf());
        Node::File(Content::opened(Arc::new(move || {
            let failed = |e| Error::fs("open", &path, e);
            let (dir, name) = root.parent(&path).map_err(failed)?;
            let file = dir.open_file(name).map_err(failed)?;
            let size = file.metadata().map_err(|e| Error::os("fstat", &path, e))?.len();
            Ok((file, size))
        })))
    }

    /// An ordinary user's container has that user's own id as its root.
    fn owner(&self, id: u32, own: u32) -> u32 {
        if self.owners == Owners::Current && id == own { 0 } else { id }
    }
}
