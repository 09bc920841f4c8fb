//! Images: a configuration, and layers in order.
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
//!
//! let name: Reference = "hello:1".parse()?;
//! let builder = ImageBuilder::new().layer(&layer, "a greeting").cmd(["/bin/cat", "/etc/motd"]);
//! let image = store.put_image(&name, &builder)?;
//! assert_eq!(image.diff_ids(), [layer.diff_id().clone()]);
//! assert_eq!(image.cmd(), ["/bin/cat", "/etc/motd"]);
//! # Ok::<(), container_image::Error>(())
//! ```

use std::collections::HashMap;
use std::time::SystemTime;

use oci_spec::image::{
    Config, HistoryBuilder, ImageConfiguration, ImageManifest, ImageManifestBuilder, MediaType,
};

use crate::digest::{ChainId, DiffId, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Layer, Timestamp};
use crate::manifest;
use crate::reference::Reference;

/// An image that lies in a store, its manifest and config read and verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    name: Reference,
    digest: Digest,
    manifest: ImageManifest,
    config: ImageConfiguration,
    layers: Vec<Layer>,
}

impl Image {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if manifest and config disagree about the number of layers;
    /// those of parsing digests and media types.
    pub(crate) fn new(
        name: Reference,
        digest: Digest,
        manifest: ImageManifest,
        config: ImageConfiguration,
        diff_ids: Vec<DiffId>,
    ) -> Result<Self> {
        if manifest.layers().len() != diff_ids.len() {
            let (layers, ids) = (manifest.layers().len(), diff_ids.len());
            let reason = format!("{layers} layers in the manifest, {ids} diff-ids in the config");
            return Err(Error::new(ErrorKind::Malformed, "read image", digest.as_str(), reason));
        }
        let layers = manifest.layers().iter().zip(diff_ids).map(|(descriptor, diff_id)| {
            let compression = manifest::compression(descriptor.media_type())?;
            let digest = manifest::digest_of(descriptor)?;
            Ok(Layer::new(diff_id, digest, descriptor.size(), compression))
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        Ok(Self { name, digest, manifest, config, layers })
    }

    /// The name under which it was found.
    #[must_use]
    pub fn name(&self) -> &Reference {
        &self.name
    }

    /// The digest of the manifest, which names the image for good.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &ImageManifest {
        &self.manifest
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ImageConfiguration {
        &self.config
    }

    /// The layers, bottom first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The DiffIDs, bottom first.
    #[must_use]
    pub fn diff_ids(&self) -> Vec<DiffId> {
        self.layers.iter().map(|layer| layer.diff_id().clone()).collect()
    }

    /// The ChainID of each layer, bottom first.
    #[must_use]
    pub fn chain_ids(&self) -> Vec<ChainId> {
        ChainId::of(&self.diff_ids())
    }

    /// The default arguments; empty if there are none.
    #[must_use]
    pub fn cmd(&self) -> &[String] {
        self.run().and_then(|run| run.cmd().as_deref()).unwrap_or_default()
    }

    /// The program in front of the arguments; empty if there is none.
    #[must_use]
    pub fn entrypoint(&self) -> &[String] {
        self.run().and_then(|run| run.entrypoint().as_deref()).unwrap_or_default()
    }

    /// The environment, each `NAME=value`.
    #[must_use]
    pub fn env(&self) -> &[String] {
        self.run().and_then(|run| run.env().as_deref()).unwrap_or_default()
    }

    fn run(&self) -> Option<&Config> {
        self.config.config().as_ref()
    }
}

/// Describes a new image. See the [module documentation](self).
#[derive(Debug, Clone)]
#[must_use = "an image is made by Store::put_image"]
pub struct ImageBuilder {
    config: ImageConfiguration,
    layers: Vec<Layer>,
    created: Option<Timestamp>,
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageBuilder {
    /// No layers, for Linux on this machine's architecture, without a creation time.
    pub fn new() -> Self {
        let mut config = ImageConfiguration::default();
        config.set_os(oci_spec::image::Os::Linux);
        Self { config, layers: Vec::new(), created: None }
    }

    /// Starts from an image: its layers, history and configuration.
    pub fn from_image(image: &Image) -> Self {
        let mut config = image.config.clone();
        // A line for each layer, or a later one would be taken for that of a layer below.
        let lines = config.history().iter().flatten();
        let lines = lines.filter(|line| line.empty_layer() != Some(true)).count();
        for _ in lines..image.layers.len() {
            let line = HistoryBuilder::default().build();
            config.history_mut().get_or_insert_default().extend(line);
        }
        Self { config, layers: image.layers.clone(), created: None }
    }

    /// Adds a layer on top. `created_by` says where it comes from and stands in the history.
    ///
    /// The entry has the time of [`created`](Self::created), if that was called before.
    pub fn layer(mut self, layer: &Layer, created_by: impl Into<String>) -> Self {
        self.layers.push(layer.clone());
        let mut entry = HistoryBuilder::default().created_by(created_by.into());
        if let Some(created) = self.created {
            entry = entry.created(created.to_rfc3339());
        }
        // Every field has a default, so that nothing can be missing.
        if let Ok(entry) = entry.build() {
            self.config.history_mut().get_or_insert_default().push(entry);
        }
        self
    }

    /// Sets when the image was made. Default: unsaid, so that the same content gives the same
    /// image.
    pub fn created(mut self, time: impl Into<Timestamp>) -> Self {
        let time = time.into();
        self.created = Some(time);
        self.config.set_created(Some(time.to_rfc3339()));
        self
    }

    /// Sets when the image was made to now.
    pub fn created_now(self) -> Self {
        self.created(SystemTime::now())
    }

    /// Sets who made the image.
    pub fn author(mut self, author: impl Into<String>) -> Self {
        self.config.set_author(Some(author.into()));
        self
    }

    /// Sets the program that is run in front of the arguments.
    pub fn entrypoint(self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        self.run(|run| {
            run.set_entrypoint(Some(words));
        })
    }

    /// Sets the default arguments; without an entry point, the program and its arguments.
    pub fn cmd(self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        self.run(|run| {
            run.set_cmd(Some(words));
        })
    }

    /// Sets an environment variable, in place of one of the same name.
    pub fn env(self, name: &str, value: &str) -> Self {
        self.run(|run| {
            let mut all = run.env().clone().unwrap_or_default();
            let start = format!("{name}=");
            all.retain(|entry| !entry.starts_with(&start));
            all.push(start + value);
            run.set_env(Some(all));
        })
    }

    /// Sets the working directory.
    pub fn working_dir(self, dir: impl Into<String>) -> Self {
        self.run(|run| {
            run.set_working_dir(Some(dir.into()));
        })
    }

    /// Sets the user: a name or number, with `:group` if wanted.
    pub fn user(self, user: impl Into<String>) -> Self {
        self.run(|run| {
            run.set_user(Some(user.into()));
        })
    }

    /// Declares a port, such as `80/tcp`.
    pub fn expose(self, port: impl Into<String>) -> Self {
        self.run(|run| {
            let mut ports = run.exposed_ports().clone().unwrap_or_default();
            ports.push(port.into());
            run.set_exposed_ports(Some(ports));
        })
    }

    /// Sets a label.
    pub fn label(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.run(|run| {
            let labels = run.labels_mut().get_or_insert_with(HashMap::new);
            labels.insert(key.into(), value.into());
        })
    }

    fn run(mut self, change: impl FnOnce(&mut Config)) -> Self {
        let mut run = self.config.config().clone().unwrap_or_default();
        change(&mut run);
        self.config.set_config(Some(run));
        self
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The config document with the DiffIDs in it.
    pub(crate) fn config_json(&self) -> Result<Vec<u8>> {
        let mut config = self.config.clone();
        let diff_ids = self.layers.iter().map(|layer| layer.diff_id().to_string()).collect();
        config.rootfs_mut().set_diff_ids(diff_ids);
        manifest::to_json("write config", &config)
    }

    /// The manifest document over a config of this digest and size.
    pub(crate) fn manifest_json(&self, config: &Digest, size: u64) -> Result<Vec<u8>> {
        let layers = self.layers.iter().map(|layer| {
            manifest::descriptor(layer.compression().media_type(), layer.size(), layer.digest())
        });
        let document = ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageManifest)
            .config(manifest::descriptor(MediaType::ImageConfig, size, config)?)
            .layers(layers.collect::<Result<Vec<_>>>()?)
            .build()
            .map_err(|e| Error::caused(ErrorKind::InvalidInput, "write manifest", "", e))?;
        manifest::to_json("write manifest", &document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_description_gives_the_same_documents() {
        let digest = Digest::sha256("x");
        let layer = Layer::new(digest.clone().into(), digest.clone(), 1, Default::default());
        let build = || {
            let mut builder = ImageBuilder::new().layer(&layer, "test").env("A", "1").env("A", "2");
            for n in 0..20 {
                builder = builder.label(format!("l{n}"), "v").expose(format!("{n}/tcp"));
            }
            builder.config_json().unwrap()
        };
        assert_eq!(build(), build());
        let (config, diff_ids) = manifest::parse_config(&build()).unwrap();
        assert_eq!(diff_ids, [DiffId::from(digest)]);
        assert_eq!(config.config().as_ref().unwrap().env().as_deref(), Some(&["A=2".into()][..]));
    }
}
