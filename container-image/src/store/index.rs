//! `index.json`: which names point to which manifests.

use std::fs::File;
use std::io::Read;

use oci_spec::image::{ANNOTATION_REF_NAME, Arch, Descriptor, ImageIndex, MediaType, Os};
use serde_json::Value;

use super::Store;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{self, MAX_JSON};
use crate::reference::Reference;

impl Store {
    /// The names of all images, sorted. Names that this crate's grammar refuses, as another
    /// program may have written, are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] and so on for a damaged `index.json`.
    pub fn names(&self) -> Result<Vec<Reference>> {
        let index = self.read_index()?;
        let names = index.manifests().iter().filter_map(name_of);
        let mut names: Vec<Reference> = names.filter_map(|name| name.parse().ok()).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    pub(super) fn read_index(&self) -> Result<ImageIndex> {
        manifest::parse_index(&self.index_json()?)
    }

    fn index_json(&self) -> Result<Vec<u8>> {
        let path = self.dir.join("index.json");
        let mut json = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MAX_JSON + 1).read_to_end(&mut json))
            .map_err(|e| Error::os("read index", &path, e))?;
        Ok(json)
    }

    /// Writes the manifests of the index; what else other programs put into it stays as it is.
    /// The caller holds the store's lock.
    pub(super) fn write_index(&self, index: &ImageIndex) -> Result<()> {
        let broken = |e| Error::caused(ErrorKind::Malformed, "write index", "", e);
        let mut document: Value = serde_json::from_slice(&self.index_json()?).map_err(broken)?;
        let old = document["manifests"].take();
        let old: Vec<(&Value, Option<Descriptor>)> = old
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| (entry, serde_json::from_value(entry.clone()).ok()))
            .collect();
        let json = |entry: &Descriptor| {
            let known = old.iter().find(|(_, parsed)| parsed.as_ref() == Some(entry));
            known.map_or_else(|| serde_json::to_value(entry), |(raw, _)| Ok((*raw).clone()))
        };
        let entries: std::result::Result<Vec<Value>, _> =
            index.manifests().iter().map(json).collect();
        document["manifests"] = entries.map_err(broken)?.into();
        self.replace_file("index.json", &manifest::to_json("write index", &document)?)
    }

    /// Points a name to a manifest. The caller holds the store's lock.
    pub(super) fn set_name(&self, name: &Reference, digest: &Digest, size: u64) -> Result<()> {
        let mut index = self.read_index()?;
        let mut entry = manifest::descriptor(MediaType::ImageManifest, size, digest)?;
        let annotation = (ANNOTATION_REF_NAME.to_owned(), name.to_string());
        entry.set_annotations(Some([annotation].into()));
        let mut entries = index.manifests().clone();
        entries.retain(|entry| name_of(entry) != Some(name.as_str()));
        entries.push(entry);
        index.set_manifests(entries);
        self.write_index(&index)
    }

    /// The manifest that a name points to; out of an index of several platforms, this machine's.
    pub(super) fn find_manifest(&self, name: &Reference) -> Result<Descriptor> {
        let index = self.read_index()?;
        let missing = || {
            let reason = "no image has this name";
            Error::new(ErrorKind::NotFound, "find image", name.as_str(), reason)
        };
        let mut named = index.manifests().iter().filter(|d| name_of(d) == Some(name.as_str()));
        let found = named.next().ok_or_else(missing)?;
        if !manifest::is_index(found.media_type()) {
            return check_manifest(found);
        }
        let json = self.read_json(&manifest::digest_of(found)?, found.size())?;
        let inner = manifest::parse_index(&json)?;
        let fits = |d: &&Descriptor| {
            d.platform()
                .as_ref()
                .is_some_and(|p| *p.os() == Os::Linux && *p.architecture() == Arch::default())
        };
        let fitting = inner.manifests().iter().find(fits).ok_or_else(|| {
            let reason = format!("no manifest for linux/{}", Arch::default());
            Error::new(ErrorKind::NotFound, "find image", name.as_str(), reason)
        })?;
        check_manifest(fitting)
    }
}

pub(super) fn name_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations().as_ref()?.get(ANNOTATION_REF_NAME).map(String::as_str)
}

fn check_manifest(entry: &Descriptor) -> Result<Descriptor> {
    if manifest::is_manifest(entry.media_type()) {
        return Ok(entry.clone());
    }
    let reason = "not an image manifest";
    Err(Error::new(ErrorKind::MediaType, "find image", entry.media_type().as_ref(), reason))
}
