//! Writing a layer: one order, one pass, all digests.

use std::ffi::{OsStr, OsString};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use container_fs::whiteout::{OPAQUE_NAME, PREFIX};
use flate2::write::GzEncoder;
use tar::EntryType;

use super::create::LayerBuilder;
use super::entry::Metadata;
use super::node::{Content, Node, Source};
use super::tar_write::{EntryHeader, TarWriter};
use super::time::Timestamp;
use super::{Compression, Layer};
use crate::error::{Error, Result};
use crate::hash::HashingWriter;

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

impl LayerBuilder {
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
            (path.clone(), false, Slot::Node(node.clone(), metadata.clone()))
        });
        let hidden = self.whiteouts.iter().map(|path| {
            let mut marker = OsString::from(PREFIX);
            marker.push(path.file_name().unwrap_or_default());
            (path.with_file_name(marker), true, Slot::Whiteout)
        });
        let opaque = self.opaque.iter().map(|path| (path.join(OPAQUE_NAME), true, Slot::Opaque));
        let mut all: Vec<_> = plain.chain(hidden).chain(opaque).collect();
        let is_link = |slot: &Slot| matches!(slot, Slot::Node(Node::Hardlink(_), _));
        all.sort_by(|(a, a_mark, a_slot), (b, b_mark, b_slot)| {
            let by_path = order(a, *a_mark).cmp(order(b, *b_mark));
            is_link(a_slot).cmp(&is_link(b_slot)).then(by_path)
        });
        all.into_iter().map(|(path, _, slot)| (path, slot)).collect()
    }
}

/// Sort key: component by component; a marker (`false` < `true` inverted) comes first among
/// its siblings.
fn order(path: &Path, marker: bool) -> impl Iterator<Item = (bool, &OsStr)> {
    let last = path.components().count().saturating_sub(1);
    path.iter().enumerate().map(move |(at, name)| (!(marker && at == last), name))
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
    let mtime = options.clamp_mtime.map_or(metadata.mtime, |latest| metadata.mtime.min(latest));
    let mut header = EntryHeader { path, kind, metadata, mtime, link, device, size: 0 };
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
