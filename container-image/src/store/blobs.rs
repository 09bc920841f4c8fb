//! Blobs: files named by the digest of their content.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};

use super::Store;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::HashingWriter;
use crate::layer::{Layer, LayerBuilder, LayerOptions};
use crate::manifest::{MAX_JSON, verify};

impl Store {
    /// Writes a layer into the store, hashing it on the way.
    ///
    /// # Errors
    /// Those of [`LayerBuilder::write`] and of the file system; nothing is left behind then.
    pub fn put_layer(&self, layer: &LayerBuilder, options: &LayerOptions) -> Result<Layer> {
        self.put(|file| {
            let layer = layer.write(file, options)?;
            Ok((layer.digest().clone(), layer))
        })
    }

    /// Stores some bytes as a blob, and returns its name.
    pub(super) fn put_bytes(&self, bytes: &[u8]) -> Result<Digest> {
        self.put(|file| {
            let mut writer = HashingWriter::new(file);
            writer.write_all(bytes).map_err(|e| Error::os("write blob", "", e))?;
            let (_, digest, _) = writer.finish();
            Ok((digest.clone(), digest))
        })
    }

    /// Makes a blob in staging, then gives it the name that `write` returned.
    fn put<T>(
        &self,
        write: impl FnOnce(&mut BufWriter<&File>) -> Result<(Digest, T)>,
    ) -> Result<T> {
        let staging = self.stage()?;
        let staged = staging.path().join("blob");
        let failed = |step: &'static str| {
            let staged = &staged;
            move |e: std::io::Error| Error::os(step, staged, e)
        };
        let file = File::create_new(&staged).map_err(failed("make blob"))?;
        let mut writer = BufWriter::with_capacity(1 << 17, &file);
        let (digest, result) = write(&mut writer)?;
        writer.flush().map_err(failed("write blob"))?;
        drop(writer);
        if self.durable {
            file.sync_all().map_err(failed("fsync blob"))?;
        }
        let place = self.blob_path(&digest);
        fs::rename(&staged, &place).map_err(|e| Error::os("name blob", &place, e))?;
        self.sync_dir(place.parent().unwrap_or(&self.dir))?;
        Ok(result)
    }

    /// Opens a blob for reading. Its content is not verified yet: whoever reads it does that.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|e| Error::os("open blob", path, e))
    }

    /// A JSON document of the announced size, verified.
    pub(super) fn read_json(&self, digest: &Digest, size: u64) -> Result<Vec<u8>> {
        if size > MAX_JSON {
            let reason = format!("a JSON document of {size} bytes; at most 4 MiB are read");
            let object = digest.as_str();
            return Err(Error::new(ErrorKind::BudgetExceeded, "read blob", object, reason));
        }
        let mut bytes = Vec::new();
        let file = self.open_blob(digest)?;
        file.take(size + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::os("read blob", self.blob_path(digest), e))?;
        verify(&bytes, digest, size)?;
        Ok(bytes)
    }

    /// Checks that a blob is there with this size.
    pub(super) fn check_blob(&self, digest: &Digest, size: u64) -> Result<()> {
        let path = self.blob_path(digest);
        let found = fs::metadata(&path).map_err(|e| Error::os("find blob", &path, e))?.len();
        if found == size {
            return Ok(());
        }
        let reason = format!("{found} bytes, where {size} are announced");
        Err(Error::new(ErrorKind::SizeMismatch, "find blob", digest.as_str(), reason))
    }
}
