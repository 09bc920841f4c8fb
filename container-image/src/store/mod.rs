//! The store: a folder with images, and their layers unpacked.
//!
//! ```text
//! STORE/                      mode 0700
//! ├── oci-layout              ┐
//! ├── index.json              │ an OCI image layout: skopeo and umoci read it as it is.
//! ├── blobs/sha256/…          ┘ index.json points names to manifests.
//! ├── layers/sha256/CHAIN-ID/ unpacked layers, by the ChainID
//! │   ├── diff/                 the directory for overlayfs
//! │   └── layer.json            what it was made from, and for which kind of mount
//! ├── staging/…               what is being made; anything left by a crash is removed
//! ├── lock                    held for each change of index.json
//! └── store.json              the version of this arrangement
//! ```
//!
//! (In Docker's store, `index.json` is `repositories.json`, a manifest's config lies in
//! `imagedb/content`, and `layerdb/sha256/CHAIN-ID` is the record of an unpacked layer.)
//!
//! **Invariants.** A blob's name is the digest of its content. Everything is made in `staging`,
//! flushed to the disk, and then renamed to its place, so whatever has a name is whole: a
//! process killed at any moment leaves the store as it was before or after a step, and a
//! leftover in `staging`, which the next [`Store::open`] removes. A `staging` entry in use is
//! locked by its process, so that processes do not clean up each other's work.
//!
//! ```
//! use container_image::{ImageBuilder, Reference, Store};
//! use container_image::layer::{LayerBuilder, LayerOptions};
//!
//! # let temp = testkit::TempDir::new();
//! let store = Store::open(temp.join("store"))?;
//! let mut layer = LayerBuilder::new();
//! layer.dir("etc", 0o755)?.file("etc/motd", "hello\n", 0o644)?;
//! let layer = store.put_layer(&layer, &LayerOptions::new())?;
//! let name: Reference = "hello:1".parse()?;
//! store.put_image(&name, &ImageBuilder::new().layer(&layer, "a greeting"))?;
//!
//! let image = store.image(&name)?;
//! let dirs = store.unpack(&image)?; // bottom to top, for container_fs::Stack
//! assert_eq!(std::fs::read_to_string(dirs[0].join("etc/motd")).unwrap(), "hello\n");
//! store.remove_image(&name)?;
//! assert!(!dirs[0].exists());
//! # Ok::<(), container_image::Error>(())
//! ```

mod blobs;
mod index;
mod remove;
mod staging;
mod unpack;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Image, ImageBuilder};
use crate::layer::Budget;
use crate::manifest;
use crate::reference::Reference;

/// The version of the arrangement of files that this crate writes.
const VERSION: u64 = 1;
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A folder with images. See the [module documentation](self).
///
/// The value is only a path with settings; cloning it is cheap, threads and processes may use
/// the same store at the same time. Several values for one folder are as good as one.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    budget: Budget,
    durable: bool,
}

impl Store {
    /// Opens the store in a folder, made if it is missing (its parent must exist), and removes
    /// what killed processes have left half made.
    ///
    /// An image layout that another program wrote is taken over as it is. The folder's mode is
    /// set to 0700: unpacked layers have set-id programs and private files in them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a folder that has other things in it;
    /// [`ErrorKind::Unsupported`] for a store that a newer version made; those of the file
    /// system.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let dir = std::path::absolute(dir).map_err(|e| Error::os("open store", dir, e))?;
        let made = match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
            Err(e) => return Err(Error::os("make store", &dir, e)),
        };
        let store = Self { dir, budget: Budget::default(), durable: true };
        if !made {
            store.check_existing()?;
        }
        let _lock = store.prepare()?;
        store.clean_staging()?;
        Ok(store)
    }

    /// Sets the limits for layers that are unpacked.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets whether everything is flushed to the disk before it gets its name. Default: `true`.
    ///
    /// Without it the store still survives killed processes, but not a crash of the machine; for
    /// stores that do not outlive the program, and for tests.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// The folder: absolute, as it was given otherwise.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Puts an image together from layers that are in the store, and gives it the name. An
    /// image that had the name before loses it, and keeps its content.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a layer whose blob is not in the store; those of the file
    /// system.
    pub fn put_image(&self, name: &Reference, builder: &ImageBuilder) -> Result<Image> {
        let config = builder.config_json()?;
        let config_digest = self.put_bytes(&config)?;
        let document = builder.manifest_json(&config_digest, config.len() as u64)?;
        let digest = self.put_bytes(&document)?;

        let _lock = self.lock()?;
        // Under the lock, so that no other process removes them before the name is there.
        for layer in builder.layers() {
            self.check_blob(layer.digest(), layer.size())?;
        }
        for (digest, size) in [(&config_digest, config.len()), (&digest, document.len())] {
            self.check_blob(digest, size as u64)?;
        }
        self.set_name(name, &digest, document.len() as u64)?;
        drop(_lock);
        self.image(name)
    }

    /// Reads an image, with digests and sizes verified.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no image has the name, or a blob is missing;
    /// [`ErrorKind::DigestMismatch`], [`ErrorKind::MediaType`] and so on for what is damaged.
    pub fn image(&self, name: &Reference) -> Result<Image> {
        let descriptor = self.find_manifest(name)?;
        let digest = manifest::digest_of(&descriptor)?;
        let document = self.read_json(&digest, descriptor.size())?;
        let document = manifest::parse_manifest(&document)?;
        let config = document.config();
        let json = self.read_json(&manifest::digest_of(config)?, config.size())?;
        let (config, diff_ids) = manifest::parse_config(&json)?;
        Image::new(name.clone(), digest, document, config, diff_ids)
    }

    fn check_existing(&self) -> Result<()> {
        let failed = |e| Error::os("open store", &self.dir, e);
        if self.dir.join("oci-layout").exists() || self.dir.join("store.json").exists() {
            return self.check_version();
        }
        // Another process may be making it right now, or was killed while doing so.
        let ours = ["lock", "staging", "store.json", "oci-layout", "index.json", "blobs", "layers"];
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !ours.iter().any(|own| name == *own) {
                let shown = self.dir.to_string_lossy();
                let reason =
                    format!("the folder has other things in it: {}", name.to_string_lossy());
                return Err(Error::new(ErrorKind::InvalidInput, "open store", shown, reason)
                    .hint("give an empty or new folder, or an OCI image layout"));
            }
        }
        Ok(())
    }

    fn check_version(&self) -> Result<()> {
        let path = self.dir.join("store.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::os("open store", path, e)),
        };
        let shown = path.to_string_lossy();
        let value: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|e| Error::caused(ErrorKind::Malformed, "open store", shown.as_ref(), e))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => Ok(()),
            Some(newer) => {
                let reason = format!("the store has version {newer}, known is {VERSION}");
                Err(Error::new(ErrorKind::Unsupported, "open store", shown, reason)
                    .hint("use the program that made it, or a newer one"))
            }
            None => {
                let reason = "no version in it";
                Err(Error::new(ErrorKind::Malformed, "open store", shown, reason))
            }
        }
    }

    /// Makes what is missing of the arrangement; returns the held lock.
    fn prepare(&self) -> Result<Lock> {
        fs::set_permissions(&self.dir, Permissions::from_mode(0o700))
            .map_err(|e| Error::os("chmod store", &self.dir, e))?;
        let lock = self.lock()?;
        for sub in ["staging", "layers", "layers/sha256", "layers/sha512", "blobs", "blobs/sha256"]
        {
            match DirBuilder::new().mode(0o700).create(self.dir.join(sub)) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::os("make store", self.dir.join(sub), e));
                }
                _ => {}
            }
        }
        let empty = br#"{"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}"#;
        let version = format!(r#"{{"version":{VERSION}}}"#);
        let files: [(&str, &[u8]); 3] = [
            ("index.json", empty),
            ("store.json", version.as_bytes()),
            ("oci-layout", LAYOUT.as_bytes()),
        ];
        for (name, content) in files {
            if !self.dir.join(name).exists() {
                self.replace_file(name, content)?;
            }
        }
        Ok(lock)
    }

    /// Waits for the lock that every change of names takes.
    fn lock(&self) -> Result<Lock> {
        let path = self.dir.join("lock");
        let failed = |e| Error::os("lock store", &path, e);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(Lock { _file: file })
    }

    /// Flushes a folder's entries to the disk.
    fn sync_dir(&self, dir: &Path) -> Result<()> {
        if !self.durable {
            return Ok(());
        }
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| Error::os("fsync", dir, e))
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }
}

/// Held while names change; let go on drop.
#[derive(Debug)]
struct Lock {
    _file: File,
}
