//! Layers: what one step of an image adds, changes and deletes, as a tar.
//!
//! An image's root file system is a pile of layers. Each is a tar of the files that it adds or
//! changes relative to the layers below; a deletion can't be expressed in a tar, so it is
//! written as a marker file:
//!
//! | in the tar | meaning | on disk, for overlayfs |
//! |---|---|---|
//! | `etc/motd` | this file, new or changed | the file |
//! | `etc/.wh.motd` | `/etc/motd` of the layers below is gone | character device 0:0 `etc/motd` |
//! | `etc/.wh..wh..opq` | all of `/etc` of the layers below is gone | `etc` with the xattr `…overlay.opaque=y` |
//!
//! [`LayerBuilder`] writes layers, [`apply`] unpacks them. The same layer has two names: the
//! [`DiffId`] of the tar, and the [`Digest`] of the tar as compressed; [`Layer`] holds both.
//!
//! ```
//! use container_image::layer::{LayerBuilder, LayerOptions};
//!
//! let mut layer = LayerBuilder::new();
//! layer.file("etc/motd", "hello\n", 0o644)?;
//! let mut one = Vec::new();
//! let mut two = Vec::new();
//! let first = layer.write(&mut one, &LayerOptions::new())?;
//! let second = layer.write(&mut two, &LayerOptions::new())?;
//! assert_eq!(one, two); // the same content is the same layer
//! assert_eq!(first, second);
//! # Ok::<(), container_image::Error>(())
//! ```
//!
//! Specification: [layer.md](https://github.com/opencontainers/image-spec/blob/main/layer.md).

mod apply;
mod create;
mod entry;
mod header;
mod node;
mod pax;
mod tar_read;
mod tar_write;
mod time;
mod write;

use oci_spec::image::MediaType;

pub use apply::{Applied, ApplyOptions, Budget, Form, Owners, apply};
pub use create::LayerBuilder;
pub use entry::{Metadata, Xattrs};
pub use node::{Content, Node};
pub use time::Timestamp;
pub use write::LayerOptions;

use crate::digest::{DiffId, Digest};

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all: `application/vnd.oci.image.layer.v1.tar`.
    None,
    /// Gzip, level 6: `application/vnd.oci.image.layer.v1.tar+gzip`.
    #[default]
    Gzip,
}

impl Compression {
    /// The media type of a layer with this compression.
    #[must_use]
    pub fn media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::ImageLayer,
            Self::Gzip => MediaType::ImageLayerGzip,
        }
    }
}

/// A layer that was written: what it is called, compressed and uncompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    diff_id: DiffId,
    digest: Digest,
    size: u64,
    compression: Compression,
}

impl Layer {
    pub(crate) fn new(
        diff_id: DiffId,
        digest: Digest,
        size: u64,
        compression: Compression,
    ) -> Self {
        Self { diff_id, digest, size, compression }
    }

    /// The hash of the uncompressed tar.
    #[must_use]
    pub fn diff_id(&self) -> &DiffId {
        &self.diff_id
    }

    /// The hash of the blob, compressed as it is stored.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Size of the blob in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How the blob is compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }
}
