//! Removing an image with what only it needed.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use oci_spec::image::Descriptor;
use serde_json::Value;

use super::Store;
use super::index::name_of;
use super::staging::remove;
use crate::digest::{ChainId, DiffId, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::digest_of;
use crate::reference::Reference;

/// What documents refer to, directly or through others.
#[derive(Debug, Default)]
struct Reached {
    blobs: HashSet<Digest>,
    chains: HashSet<ChainId>,
}

impl Store {
    /// Removes an image: its name, and the blobs and unpacked layers that no other image in the
    /// store refers to. Goes on past failures and returns the first of them.
    ///
    /// The caller makes sure that no container runs on its layers. Blobs that belong to no
    /// image at all stay: another process may be about to use them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no image has the name; any error in reading another image,
    /// before anything is removed; those of the file system.
    pub fn remove_image(&self, name: &Reference) -> Result<()> {
        let _lock = self.lock()?;
        let mut index = self.read_index()?;
        let (gone, kept): (Vec<_>, Vec<_>) = index
            .manifests()
            .iter()
            .cloned()
            .partition(|entry| name_of(entry) == Some(name.as_str()));
        if gone.is_empty() {
            let reason = "no image has this name";
            return Err(Error::new(ErrorKind::NotFound, "remove image", name.as_str(), reason));
        }
        let mut live = Reached::default();
        for entry in &kept {
            self.reach(entry, digest_of(entry)?, true, &mut live)?;
        }
        let mut dead = Reached::default();
        for entry in &gone {
            // A damaged image is removed as far as it can be read.
            if let Ok(digest) = digest_of(entry) {
                self.reach(entry, digest, false, &mut dead)?;
            }
        }
        index.set_manifests(kept);
        self.write_index(&index)?;

        let layers = dead.chains.difference(&live.chains).map(|chain| self.discard_layer(chain));
        let layers = layers.collect::<Vec<_>>();
        let blobs = dead.blobs.difference(&live.blobs).map(|digest| {
            let path = self.blob_path(digest);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::os("remove blob", path, e))
                }
                _ => Ok(()),
            }
        });
        blobs.chain(layers).collect::<Vec<_>>().into_iter().collect()
    }

    /// The unpacked form of a layer loses its name first, so that nobody sees half of it.
    fn discard_layer(&self, chain: &ChainId) -> Result<()> {
        let path = self.layer_path(chain);
        let name = format!("staging/removed-{}", chain.digest().hex());
        let doomed: PathBuf = self.dir.join(name);
        match fs::rename(&path, &doomed) {
            Ok(()) => remove(&doomed),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::os("remove layer", path, e)),
        }
    }

    /// Follows every descriptor in JSON documents, whatever their type: what is not understood is
    /// kept rather than lost.
    fn reach(
        &self,
        entry: &Descriptor,
        digest: Digest,
        strict: bool,
        out: &mut Reached,
    ) -> Result<()> {
        let mut todo = vec![(digest, entry.size(), is_json(entry.media_type().as_ref()))];
        while let Some((digest, size, is_json)) = todo.pop() {
            if !out.blobs.insert(digest.clone()) || !is_json {
                continue;
            }
            let value: Value = match self.read_json(&digest, size) {
                Ok(json) => serde_json::from_slice(&json).map_err(|e| {
                    Error::caused(ErrorKind::Malformed, "read blob", digest.as_str(), e)
                })?,
                Err(_) if !strict => continue,
                // Layouts may be sparse: a blob that is not here refers to nothing here.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if let Some(ids) = value.pointer("/rootfs/diff_ids").and_then(Value::as_array) {
                let ids = ids.iter().filter_map(|id| id.as_str()?.parse().ok());
                out.chains.extend(ChainId::of(&ids.collect::<Vec<DiffId>>()));
            }
            descriptors(&value, &mut todo);
        }
        Ok(())
    }
}

fn is_json(media_type: &str) -> bool {
    media_type.ends_with("json")
}

/// Every object in a document that has a digest and a size, and whether it announces JSON.
fn descriptors(value: &Value, out: &mut Vec<(Digest, u64, bool)>) {
    let mut todo = vec![value];
    while let Some(value) = todo.pop() {
        match value {
            Value::Array(items) => todo.extend(items),
            Value::Object(fields) => {
                let digest = fields.get("digest").and_then(Value::as_str);
                let size = fields.get("size").and_then(Value::as_u64);
                if let (Some(Ok(digest)), Some(size)) = (digest.map(str::parse), size) {
                    let media = fields.get("mediaType").and_then(Value::as_str);
                    out.push((digest, size, media.is_some_and(is_json)));
                }
                todo.extend(fields.values());
            }
            _ => {}
        }
    }
}
