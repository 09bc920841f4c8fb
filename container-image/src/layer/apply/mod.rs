//! Applying layers: a tar turned into a directory.
//!
//! There are two forms. In the **overlay** form each layer gets its own directory, and deletions
//! become the marks that overlayfs understands; a union of the directories is the image. In the
//! **plain** form the layers are applied one after the other onto the same directory, and
//! deletions delete.
//!
//! ```
//! use container_image::layer::{ApplyOptions, Compression, LayerBuilder, LayerOptions, apply};
//!
//! let mut layer = LayerBuilder::new();
//! layer.dir("etc", 0o755)?.file("etc/motd", "hello\n", 0o644)?;
//! let mut blob = Vec::new();
//! let written = layer.write(&mut blob, &LayerOptions::new())?;
//!
//! # let temp = testkit::TempDir::new();
//! # let dir = temp.path();
//! let options = ApplyOptions::plain(Compression::Gzip).diff_id(written.diff_id().clone());
//! let applied = apply(&blob[..], dir, &options)?;
//! assert_eq!(applied.digest(), written.digest());
//! assert_eq!(std::fs::read_to_string(dir.join("etc/motd")).unwrap(), "hello\n");
//! # Ok::<(), container_image::Error>(())
//! ```
//!
//! # Hostile layers
//!
//! Every path is resolved inside the directory, by descriptor, and the last name is never
//! followed: a link that an entry made can lead a later entry to another place *in* the
//! directory, not out of it. `..`, entries that would replace the root, and extended attributes
//! that overlayfs would take for its own are refused. A [`Budget`] bounds what a small blob
//! can grow into.
//!
//! A failed apply leaves what it wrote so far: apply to a directory that is not in use yet, as
//! [`Store`](crate::Store) does.

mod kept;
mod marks;
mod meta;
mod options;
mod place;
mod union;

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

pub use options::{ApplyOptions, Budget, Form, Owners};

use super::Compression;
use super::entry::{Name, entry_path};
use super::tar_read::{Kind, TarReader};
use crate::digest::{Algorithm, DiffId, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::HashingReader;
use place::Placer;

/// Bytes that are read from the blob at once.
const BUFFER: usize = 1 << 17;

/// What was applied: the digests as read, the amounts, and what had to be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Applied {
    diff_id: DiffId,
    digest: Digest,
    size: u64,
    unpacked: u64,
    entries: u64,
    skipped: Vec<PathBuf>,
}

impl Applied {
    /// The hash of the uncompressed tar.
    #[must_use]
    pub fn diff_id(&self) -> &DiffId {
        &self.diff_id
    }

    /// The hash of the blob as read.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Bytes of the blob as read.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the uncompressed tar.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// Entries in the tar.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Entries that an ordinary user can't make in full: devices, which are missing then, and
    /// files whose extended attributes were refused. Always empty with [`Owners::Keep`].
    #[must_use]
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }
}

/// Applies a layer to an existing directory.
///
/// The whole blob is read. If digests are given in the options they are compared at the end.
///
/// # Errors
/// [`ErrorKind::Malformed`] for a damaged tar or gzip; [`ErrorKind::MediaType`] if the blob is not
/// compressed as said; [`ErrorKind::InvalidPath`] for an entry that would leave or replace the
/// root; [`ErrorKind::BudgetExceeded`]; [`ErrorKind::DigestMismatch`] and
/// [`ErrorKind::SizeMismatch`]; [`ErrorKind::PermissionDenied`] for whiteouts, owners, devices or
/// attributes that the kernel refuses; those of the file system.
pub fn apply(blob: impl Read, dir: impl AsRef<Path>, options: &ApplyOptions) -> Result<Applied> {
    let algorithm = options.blob.as_ref().map_or(Algorithm::Sha256, |(d, _)| d.algorithm());
    let limit = options.blob.as_ref().map_or(u64::MAX, |(_, size)| *size);
    // One byte more than announced is enough to see that there is more.
    let blob = HashingReader::new(blob.take(limit.saturating_add(1)), algorithm);
    let mut blob = BufReader::with_capacity(BUFFER, blob);
    check_compression(&mut blob, options.compression)?;
    let diff_algorithm =
        options.diff_id.as_ref().map_or(Algorithm::Sha256, |id| id.digest().algorithm());

    let mut placer = Placer::new(dir.as_ref(), options)?;
    let (blob, diff_id, unpacked) = match options.compression {
        Compression::None => run(blob, diff_algorithm, &mut placer, options)?,
        Compression::Gzip => {
            let inflate = MultiGzDecoder::new(blob);
            let inflate = BufReader::with_capacity(BUFFER, inflate);
            let (inflate, diff, unpacked) = run(inflate, diff_algorithm, &mut placer, options)?;
            (inflate.into_inner().into_inner(), diff, unpacked)
        }
    };
    let (_, digest, size) = blob.into_inner().finish();
    let diff_id = DiffId::from(diff_id);
    verify(options, &diff_id, &digest, size)?;
    let (entries, skipped) = placer.finish()?;
    Ok(Applied { diff_id, digest, size, unpacked, entries, skipped })
}

/// Reads the tar to its end and gives the reader back with the tar's digest and length.
fn run<R: Read>(
    tar: R,
    algorithm: Algorithm,
    placer: &mut Placer<'_>,
    options: &ApplyOptions,
) -> Result<(R, Digest, u64)> {
    let budget = BudgetReader { inner: tar, left: options.budget.bytes };
    let mut tar = TarReader::new(HashingReader::new(budget, algorithm));
    while let Some(entry) = tar.next()? {
        placer.count_entry(&entry.path)?;
        let path = entry_path(&entry.path)?;
        match Name::of(path)? {
            Name::Plain(path) => placer.place(&path, &entry, &mut tar)?,
            Name::Whiteout(path) => {
                check_marker(&entry.kind, &path)?;
                placer.whiteout(&path)?;
            }
            Name::Opaque(path) => {
                check_marker(&entry.kind, &path)?;
                placer.opaque(&path)?;
            }
            Name::Aufs => {}
        }
    }
    let (budget, digest, size) = tar.finish()?.finish();
    Ok((budget.inner, digest, size))
}

/// A whiteout is an empty file; anything else under such a name is a trick.
fn check_marker(kind: &Kind, path: &Path) -> Result<()> {
    if *kind == Kind::File {
        return Ok(());
    }
    let reason = "a whiteout that is not a regular file";
    Err(Error::new(ErrorKind::InvalidPath, "apply whiteout", path.to_string_lossy(), reason))
}

fn check_compression(blob: &mut impl BufRead, announced: Compression) -> Result<()> {
    let start = blob.fill_buf().map_err(|e| Error::os("read layer", "", e))?;
    let found = match start {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        _ => "tar",
    };
    let wanted = match announced {
        Compression::None => "tar",
        Compression::Gzip => "gzip",
    };
    if found == wanted {
        return Ok(());
    }
    let reason = format!("announced as {wanted}, but the content is {found}");
    Err(Error::new(ErrorKind::MediaType, "read layer", "", reason))
}

fn verify(options: &ApplyOptions, diff_id: &DiffId, digest: &Digest, size: u64) -> Result<()> {
    if let Some((wanted, wanted_size)) = &options.blob {
        if size != *wanted_size {
            let more = if size > *wanted_size { "more" } else { "fewer" };
            let reason = format!("{more} bytes than the {wanted_size} of its descriptor");
            let object = wanted.as_str();
            return Err(Error::new(ErrorKind::SizeMismatch, "verify blob", object, reason));
        }
        if digest != wanted {
            let reason = format!("its content has the digest {digest}");
            let object = wanted.as_str();
            return Err(Error::new(ErrorKind::DigestMismatch, "verify blob", object, reason));
        }
    }
    match &options.diff_id {
        Some(wanted) if wanted != diff_id => {
            let reason = format!("the layer's content has the diff-id {diff_id}");
            let object = wanted.to_string();
            Err(Error::new(ErrorKind::DigestMismatch, "verify diff-id", object, reason))
        }
        _ => Ok(()),
    }
}

/// Ends with an error when more bytes come out than allowed.
struct BudgetReader<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for BudgetReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => {
                let reason = "the uncompressed layer is larger than the budget allows";
                let error = Error::new(ErrorKind::BudgetExceeded, "read layer", "", reason);
                return Err(error
                    .hint("raise Budget::bytes for a layer that is to be trusted")
                    .into());
            }
        }
        Ok(n)
    }
}
