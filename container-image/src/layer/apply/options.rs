//! What [`apply`](super::apply) is told.

use std::path::PathBuf;

use container_fs::whiteout::XattrNamespace;

use crate::digest::{DiffId, Digest};
use crate::layer::Compression;

/// Ids that a user namespace must map to hold the files of any usual image.
const USUAL_IDS: u64 = 65_536;

/// How deletions are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// For overlayfs: whiteouts as character devices 0:0, opaque directories by an extended
    /// attribute of the given namespace. Each layer needs a directory of its own.
    Overlay(XattrNamespace),
    /// One directory for all layers: what a layer deletes is removed.
    Plain,
}

/// Whose the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owners {
    /// As the layer says; needs `CAP_CHOWN`.
    Keep,
    /// All belong to the calling user, whatever the layer says. Devices can't be made then, and
    /// attributes that need a privilege can't be set: they are left out and reported.
    Current,
}

impl Owners {
    /// [`Keep`](Self::Keep) for root with the usual range of ids, [`Current`](Self::Current) for
    /// anybody else, also for root of a user namespace that maps a few ids only.
    #[must_use]
    pub fn detect() -> Self {
        let map = std::fs::read_to_string("/proc/thread-self/uid_map").unwrap_or_default();
        let ids: u64 = map
            .lines()
            .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
            .sum();
        match rustix::process::geteuid().is_root() && ids >= USUAL_IDS {
            true => Self::Keep,
            false => Self::Current,
        }
    }
}

/// Limits against layers that are small and unpack into something huge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// Bytes of the uncompressed tar; and as many again of files that hard links of the layer
    /// copy from the layers below. Default: 16 GiB.
    pub bytes: u64,
    /// Entries, and directories made because an entry lies in them. Default: 4 million.
    pub entries: u64,
    /// Bytes of one path or link target. Default: 4,095, the kernel's limit.
    pub path_len: usize,
    /// Bytes of names and extended attributes that are kept in memory until the last entry.
    /// Default: 512 MiB.
    pub memory: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            bytes: 16 << 30,
            entries: 4_000_000,
            path_len: super::super::entry::MAX_PATH,
            memory: 512 << 20,
        }
    }
}

impl Budget {
    /// Sets the most bytes that the uncompressed tar may have.
    #[must_use]
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the most entries.
    #[must_use]
    pub const fn entries(mut self, entries: u64) -> Self {
        self.entries = entries;
        self
    }

    /// Sets the longest path, in bytes.
    #[must_use]
    pub const fn path_len(mut self, bytes: usize) -> Self {
        self.path_len = bytes;
        self
    }

    /// Sets the most bytes of names and attributes that are kept in memory.
    #[must_use]
    pub const fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }
}

/// How a layer is applied, and what it must be.
#[derive(Debug, Clone)]
#[must_use]
pub struct ApplyOptions {
    pub(super) form: Form,
    pub(super) compression: Compression,
    pub(super) lower: Option<Vec<PathBuf>>,
    pub(super) owners: Owners,
    pub(super) budget: Budget,
    pub(super) diff_id: Option<DiffId>,
    pub(super) blob: Option<(Digest, u64)>,
}

impl ApplyOptions {
    fn new(form: Form, compression: Compression) -> Self {
        Self {
            form,
            compression,
            lower: None,
            owners: Owners::detect(),
            budget: Budget::default(),
            diff_id: None,
            blob: None,
        }
    }

    /// Applies in the overlay form, for layers mounted with attributes of this namespace.
    pub fn overlay(compression: Compression, xattrs: XattrNamespace) -> Self {
        Self::new(Form::Overlay(xattrs), compression)
    }

    /// Applies in the plain form.
    pub fn plain(compression: Compression) -> Self {
        Self::new(Form::Plain, compression)
    }

    /// Names the directories of the layers below, **bottom first**; for the overlay form.
    ///
    /// A layer may say `bin/tool` where a layer below made `bin` a link to `usr/bin`, or change a
    /// file in a directory without listing the directory: the layers below decide then where
    /// the file goes, and which owner and mode the directory has. Also needed for hard links to
    /// files below. An empty list says that this is the bottom layer: whiteouts in it mean
    /// nothing and are left out.
    pub fn lower(mut self, dirs: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.lower = Some(dirs.into_iter().map(Into::into).collect());
        self
    }

    /// Sets whose the files are. Default: [`Owners::detect`].
    pub fn owners(mut self, owners: Owners) -> Self {
        self.owners = owners;
        self
    }

    /// Sets the limits.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Demands this hash of the uncompressed tar.
    pub fn diff_id(mut self, diff_id: DiffId) -> Self {
        self.diff_id = Some(diff_id);
        self
    }

    /// Demands this digest and size, in bytes, of the blob.
    pub fn blob(mut self, digest: Digest, size: u64) -> Self {
        self.blob = Some((digest, size));
        self
    }
}
