//! The JSON documents of an image: index, manifest and config, read with suspicion.
//!
//! ```text
//! index.json ──digest──▶ manifest ──digest──▶ config   (diff_ids, history, what to run)
//!   names                        └──digests──▶ layers   (tar, compressed)
//! ```
//!
//! Each arrow is a descriptor: media type, digest, size. A document is used only if its bytes
//! have that size and digest, and if it *is* what the media type says: one that could pass as
//! manifest and as index at once is refused, since two programs would see two different images
//! under one digest (CVE-2021-41190).
//!
//! ```
//! use container_image::{ErrorKind, manifest::parse_manifest};
//!
//! let both = br#"{"schemaVersion": 2, "config": {}, "layers": [], "manifests": []}"#;
//! let error = parse_manifest(both).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::MediaType);
//! ```
//!
//! Specification: [manifest.md](https://github.com/opencontainers/image-spec/blob/main/manifest.md),
//! [config.md](https://github.com/opencontainers/image-spec/blob/main/config.md).

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::digest::{DiffId, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Compression;

/// The largest JSON document that is read, in bytes: 4 MiB, as registries limit manifests.
pub const MAX_JSON: u64 = 4 << 20;

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Reads an image manifest.
///
/// # Errors
/// [`ErrorKind::BudgetExceeded`] beyond [`MAX_JSON`]; [`ErrorKind::Malformed`] for what is no
/// manifest; [`ErrorKind::MediaType`] for a document that is, or could pass as, something else.
pub fn parse_manifest(json: &[u8]) -> Result<ImageManifest> {
    let foreign = ["manifests", "fsLayers", "signatures"];
    check_document("read manifest", json, &foreign, |media| {
        *media == MediaType::ImageManifest || media.as_ref() == DOCKER_MANIFEST
    })?;
    let manifest: ImageManifest = typed("read manifest", json)?;
    check_schema("read manifest", manifest.schema_version())?;
    Ok(manifest)
}

/// Reads an image index.
///
/// # Errors
/// As [`parse_manifest`].
pub fn parse_index(json: &[u8]) -> Result<ImageIndex> {
    let foreign = ["layers", "config", "fsLayers"];
    check_document("read index", json, &foreign, |media| {
        *media == MediaType::ImageIndex || media.as_ref() == DOCKER_INDEX
    })?;
    let index: ImageIndex = typed("read index", json)?;
    check_schema("read index", index.schema_version())?;
    Ok(index)
}

/// Reads an image configuration, and its DiffIDs.
///
/// # Errors
/// As [`parse_manifest`]; [`ErrorKind::InvalidDigest`] for a DiffID that is none.
pub fn parse_config(json: &[u8]) -> Result<(ImageConfiguration, Vec<DiffId>)> {
    check_size("read config", json)?;
    let config: ImageConfiguration = typed("read config", json)?;
    if config.rootfs().typ() != "layers" {
        let reason = "a root file system of another type than layers";
        let object = config.rootfs().typ();
        return Err(Error::new(ErrorKind::Unsupported, "read config", object, reason));
    }
    let diff_ids = config.rootfs().diff_ids().iter().map(|id| id.parse());
    let diff_ids = diff_ids.collect::<Result<Vec<DiffId>>>()?;
    Ok((config, diff_ids))
}

/// Whether a descriptor announces an index, in OCI's or Docker's words.
pub(crate) fn is_index(media: &MediaType) -> bool {
    *media == MediaType::ImageIndex || media.as_ref() == DOCKER_INDEX
}

/// Whether a descriptor announces an image manifest, in OCI's or Docker's words.
pub(crate) fn is_manifest(media: &MediaType) -> bool {
    *media == MediaType::ImageManifest || media.as_ref() == DOCKER_MANIFEST
}

/// How a layer of this media type is compressed.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a compression that this crate can't read yet, and for what is
/// no layer.
pub(crate) fn compression(media: &MediaType) -> Result<Compression> {
    match media {
        MediaType::ImageLayer | MediaType::ImageLayerNonDistributable => Ok(Compression::None),
        MediaType::ImageLayerGzip | MediaType::ImageLayerNonDistributableGzip => {
            Ok(Compression::Gzip)
        }
        other => match other.as_ref() {
            DOCKER_LAYER => Ok(Compression::None),
            DOCKER_LAYER_GZIP => Ok(Compression::Gzip),
            name => {
                let reason = "no layer media type that this version can unpack";
                Err(Error::new(ErrorKind::Unsupported, "read layer", name, reason)
                    .hint("convert the image to gzip layers"))
            }
        },
    }
}

/// Checks that bytes are what a descriptor announced.
///
/// # Errors
/// [`ErrorKind::SizeMismatch`], [`ErrorKind::DigestMismatch`].
pub(crate) fn verify(bytes: &[u8], digest: &Digest, size: u64) -> Result<()> {
    if bytes.len() as u64 != size {
        let reason = format!("{} bytes, where the descriptor says {size}", bytes.len());
        return Err(Error::new(ErrorKind::SizeMismatch, "verify blob", digest.as_str(), reason));
    }
    let mut hasher = crate::digest::Hasher::new(digest.algorithm());
    hasher.update(bytes);
    let found = hasher.finish();
    if found != *digest {
        let reason = format!("its content has the digest {found}");
        return Err(Error::new(ErrorKind::DigestMismatch, "verify blob", digest.as_str(), reason));
    }
    Ok(())
}

/// The digest of a descriptor, strictly parsed.
pub(crate) fn digest_of(descriptor: &Descriptor) -> Result<Digest> {
    Digest::try_from(descriptor.digest())
}

/// A descriptor of some bytes.
pub(crate) fn descriptor(media: MediaType, size: u64, digest: &Digest) -> Result<Descriptor> {
    let parsed = digest.as_str().parse::<oci_spec::image::Digest>();
    let parsed = parsed
        .map_err(|e| Error::caused(ErrorKind::InvalidDigest, "describe", digest.as_str(), e))?;
    Ok(Descriptor::new(media, size, parsed))
}

/// Writes a document. Objects have their keys sorted: the same image gets the same digest.
pub(crate) fn to_json(what: &'static str, document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_value(document)
        .and_then(|value| serde_json::to_vec(&value))
        .map_err(|e| Error::caused(ErrorKind::Malformed, what, "", e))
}

fn check_size(step: &'static str, json: &[u8]) -> Result<()> {
    if json.len() as u64 > MAX_JSON {
        let reason = "a JSON document of over 4 MiB";
        return Err(Error::new(ErrorKind::BudgetExceeded, step, "", reason));
    }
    Ok(())
}

fn check_document(
    step: &'static str,
    json: &[u8],
    foreign: &[&str],
    is_right: impl Fn(&MediaType) -> bool,
) -> Result<()> {
    check_size(step, json)?;
    let value: Value = typed(step, json)?;
    if let Some(key) = foreign.iter().find(|key| value.get(key).is_some()) {
        let reason = "this part belongs to a document of another type";
        return Err(Error::new(ErrorKind::MediaType, step, *key, reason));
    }
    match value.get("mediaType") {
        None => Ok(()),
        Some(Value::String(media)) if is_right(&MediaType::from(media.as_str())) => Ok(()),
        Some(other) => {
            let reason = "the document says that it is of another media type";
            Err(Error::new(ErrorKind::MediaType, step, other.to_string(), reason))
        }
    }
}

fn check_schema(step: &'static str, version: u32) -> Result<()> {
    if version == 2 {
        return Ok(());
    }
    let reason = "only schema version 2 is known";
    Err(Error::new(ErrorKind::Unsupported, step, version.to_string(), reason))
}

fn typed<T: DeserializeOwned>(step: &'static str, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|e| Error::caused(ErrorKind::Malformed, step, "", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest(extra: &str) -> String {
        let config = format!(
            r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"{DIGEST}"}}"#
        );
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]{extra}}}"#)
    }

    fn kind(json: &str) -> ErrorKind {
        parse_manifest(json.as_bytes()).unwrap_err().kind()
    }

    #[test]
    fn manifests_are_what_they_say() {
        assert!(parse_manifest(manifest("").as_bytes()).is_ok());
        let right = r#","mediaType":"application/vnd.oci.image.manifest.v1+json""#;
        assert!(parse_manifest(manifest(right).as_bytes()).is_ok());
        let index = r#","mediaType":"application/vnd.oci.image.index.v1+json""#;
        assert_eq!(kind(&manifest(index)), ErrorKind::MediaType);
        assert_eq!(kind(&manifest(r#","mediaType":7"#)), ErrorKind::MediaType);
        assert_eq!(kind(&manifest(r#","manifests":[]"#)), ErrorKind::MediaType);
        assert_eq!(kind(&manifest(r#","schemaVersion":2"#)), ErrorKind::Malformed);
        assert_eq!(
            kind(&manifest("").replace(":2,\"config", ":1,\"config")),
            ErrorKind::Unsupported
        );
        assert_eq!(kind("[]"), ErrorKind::Malformed);
        assert_eq!(kind(&"[".repeat(100_000)), ErrorKind::Malformed);
        assert_eq!(kind(&" ".repeat(5 << 20)), ErrorKind::BudgetExceeded);
    }

    #[test]
    fn an_index_has_no_layers() {
        assert!(parse_index(br#"{"schemaVersion":2,"manifests":[]}"#).is_ok());
        let error = parse_index(br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MediaType);
    }

    #[test]
    fn configs_with_bad_diff_ids() {
        let config = |typ: &str, id: &str| {
            format!(
                r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"{typ}","diff_ids":["{id}"]}}}}"#
            )
        };
        assert!(parse_config(config("layers", DIGEST).as_bytes()).is_ok());
        let error = parse_config(config("layers", "sha256:../x").as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidDigest);
        let error = parse_config(config("windows", DIGEST).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_manifest(&bytes);
            let _ = parse_index(&bytes);
            let _ = parse_config(&bytes);
        }
    }
}
