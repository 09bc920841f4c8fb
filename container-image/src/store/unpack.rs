//! Layers of an image as directories, keyed by ChainID.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use container_fs::stack::MAX_LAYERS;
use container_fs::whiteout::XattrNamespace;
use serde_json::{Value, json};

use super::Store;
use super::staging::Staging;
use crate::digest::ChainId;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::layer::{Applied, ApplyOptions, Layer, apply};

impl Store {
    /// Unpacks the layers of an image that are not unpacked yet, and returns the directories of
    /// all of them, **bottom to top**, as `container_fs::Stack` takes them.
    ///
    /// Whiteouts are kept in the form for this process: as root `trusted.overlay.*`, else
    /// `user.overlay.*`. The files belong to the owners that the layers say as root, else to
    /// this user. Blob digest, size and DiffID are verified while reading; a layer that fails
    /// leaves the store as it was.
    ///
    /// # Errors
    /// Those of [`apply`]; [`ErrorKind::BudgetExceeded`] also for more layers than
    /// [`MAX_LAYERS`]; [`ErrorKind::NotFound`] for a missing blob;
    /// [`ErrorKind::Unsupported`] for a layer that was unpacked for the other kind of mount.
    pub fn unpack(&self, image: &Image) -> Result<Vec<PathBuf>> {
        if image.layers().len() > MAX_LAYERS {
            let reason =
                format!("{} layers; at most {MAX_LAYERS} make a mount", image.layers().len());
            let object = image.digest().as_str();
            return Err(Error::new(ErrorKind::BudgetExceeded, "unpack image", object, reason));
        }
        let xattrs = XattrNamespace::detect();
        let mut dirs: Vec<PathBuf> = Vec::with_capacity(image.layers().len());
        for (layer, chain) in image.layers().iter().zip(image.chain_ids()) {
            let place = self.layer_path(&chain);
            if place.exists() {
                check_record(&place, xattrs)?;
            } else {
                self.unpack_layer(layer, &chain, &dirs, xattrs)?;
            }
            dirs.push(place.join("diff"));
        }
        Ok(dirs)
    }

    pub(super) fn layer_path(&self, chain: &ChainId) -> PathBuf {
        let digest = chain.digest();
        self.dir.join("layers").join(digest.algorithm().as_str()).join(digest.hex())
    }

    fn unpack_layer(
        &self,
        layer: &Layer,
        chain: &ChainId,
        below: &[PathBuf],
        xattrs: XattrNamespace,
    ) -> Result<()> {
        let blob = self.open_blob(layer.digest())?;
        let staging = self.stage()?;
        let whole = staging.path().join("layer");
        let diff = whole.join("diff");
        for dir in [&whole, &diff] {
            DirBuilder::new()
                .mode(0o700)
                .create(dir)
                .map_err(|e| Error::os("make layer", dir, e))?;
        }
        let options = ApplyOptions::overlay(layer.compression(), xattrs)
            .lower(below)
            .budget(self.budget)
            .diff_id(layer.diff_id().clone())
            .blob(layer.digest().clone(), layer.size());
        let applied = apply(blob, &diff, &options)?;
        write_record(&whole, chain, xattrs, &applied)?;
        self.name_layer(&staging, &whole, chain)
    }

    fn name_layer(&self, staging: &Staging, whole: &Path, chain: &ChainId) -> Result<()> {
        if self.durable {
            // One call for the whole tree: a flush per file takes far longer.
            let failed = |e: io::Error| Error::os("syncfs", whole, e);
            let dir = File::open(staging.path()).map_err(failed)?;
            rustix::fs::syncfs(&dir).map_err(|e| failed(e.into()))?;
        }
        let place = self.layer_path(chain);
        match fs::rename(whole, &place) {
            Ok(()) => self.sync_dir(place.parent().unwrap_or(&self.dir)),
            // Another process was faster, and made the same.
            Err(_) if place.join("diff").exists() => Ok(()),
            Err(e) => Err(Error::os("name layer", place, e)),
        }
    }
}

fn write_record(
    dir: &Path,
    chain: &ChainId,
    xattrs: XattrNamespace,
    applied: &Applied,
) -> Result<()> {
    let record = json!({
        "chainId": chain.to_string(),
        "diffId": applied.diff_id().to_string(),
        "blob": applied.digest().as_str(),
        "entries": applied.entries(),
        "unpackedSize": applied.unpacked(),
        "xattrs": form(xattrs),
        "skipped": applied.skipped().iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>(),
    });
    let path = dir.join("layer.json");
    fs::write(&path, record.to_string()).map_err(|e| Error::os("write", path, e))
}

fn check_record(dir: &Path, xattrs: XattrNamespace) -> Result<()> {
    let path = dir.join("layer.json");
    let shown = path.to_string_lossy();
    let text = fs::read(&path).map_err(|e| Error::os("read", &path, e))?;
    let record: Value = serde_json::from_slice(&text)
        .map_err(|e| Error::caused(ErrorKind::Malformed, "read", shown.as_ref(), e))?;
    let found = record.get("xattrs").and_then(Value::as_str).unwrap_or_default();
    if found == form(xattrs) {
        return Ok(());
    }
    let reason = format!("unpacked for {found}, and this process mounts with {}", form(xattrs));
    Err(Error::new(ErrorKind::Unsupported, "use layer", shown, reason)
        .hint("use one store as root and another as an ordinary user"))
}

fn form(xattrs: XattrNamespace) -> &'static str {
    match xattrs {
        XattrNamespace::Trusted => "trusted.overlay",
        XattrNamespace::User => "user.overlay",
    }
}
