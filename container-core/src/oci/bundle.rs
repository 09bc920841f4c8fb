//! Bundles: a directory with a `config.json` and mostly a root file system.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use oci_spec::runtime::{Process, Spec};
use serde_json::Value;

use super::field::{STEP, invalid, unsupported};
use super::{quirks, version};
use crate::error::{Error, ErrorKind, Result};

/// A spec and the directory that its relative paths start from
/// ([bundle.md](https://github.com/opencontainers/runtime-spec/blob/main/bundle.md)).
///
/// A directory with a `config.json` is one way to get one; a [`Spec`] in
/// memory is another, and needs no file.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Bundle {
    directory: PathBuf,
    spec: Spec,
    /// What was read, with all that the spec's type has no field for.
    json: Value,
    ignored: Vec<String>,
}

impl Bundle {
    /// The name of the spec's file in a bundle's directory.
    pub const FILE_NAME: &str = "config.json";

    /// The largest `config.json` that is read, in bytes.
    pub const MAX_FILE: u64 = 16 << 20;

    /// A spec in memory; no file is read or written. A relative `directory`
    /// is one of the current directory.
    ///
    /// # Errors
    ///
    /// As of [`parse`](Self::parse), and those of getting the current
    /// directory.
    pub fn new(directory: impl AsRef<Path>, spec: Spec) -> Result<Self> {
        let json = serde_json::to_value(&spec)
            .map_err(|error| Error::invalid(STEP, "", error.to_string()))?;
        version::check(spec.version())?;
        let directory = absolute(directory.as_ref())?;
        Ok(Self { directory, spec, json: quirks::to_specification(json), ignored: Vec::new() })
    }

    /// Reads `config.json` of the directory.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without the file;
    /// [`LimitReached`](ErrorKind::LimitReached) beyond
    /// [`MAX_FILE`](Self::MAX_FILE); those of [`parse`](Self::parse).
    pub fn load(directory: impl AsRef<Path>) -> Result<Self> {
        let directory = absolute(directory.as_ref())?;
        let path = directory.join(Self::FILE_NAME);
        let text = read_limited(&path)?;
        Self::parse(directory, &text)
    }

    /// A spec from the text of a `config.json`. Unknown fields are kept, and
    /// ignored as the specification says.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is no JSON, with line
    /// and column, and for a field of a wrong type, an unknown name or a
    /// missing field, with its path; [`Unsupported`](ErrorKind::Unsupported)
    /// for an `ociVersion` other than 1.x.
    pub fn parse(directory: impl AsRef<Path>, text: &[u8]) -> Result<Self> {
        let step = "parse config.json";
        let json = json(step, text)?;
        let Value::Object(fields) = &json else {
            return Err(Error::invalid(step, "", "not an object"));
        };
        match fields.get("ociVersion") {
            Some(Value::String(version)) => version::check(version)?,
            Some(_) => return Err(invalid("ociVersion", "not a string")),
            None => return Err(invalid("ociVersion", "required, but missing")),
        }
        if fields.contains_key("freebsd") {
            return Err(unsupported("freebsd", "the spec is for another platform than Linux"));
        }
        let (known, ignored) = quirks::from_specification(json.clone());
        let spec = typed(step, known)?;
        Ok(Self { directory: absolute(directory.as_ref())?, spec, json, ignored })
    }

    /// The directory, absolute.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The spec.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The root file system: `root.path`, taken from the bundle's directory if
    /// it is relative; none without that field.
    #[must_use]
    pub fn rootfs(&self) -> Option<PathBuf> {
        let root = self.spec.root().as_ref()?;
        Some(self.directory.join(root.path()))
    }

    /// Values of the spec that were passed over when it was parsed, in words:
    /// capabilities of an unknown name, which the specification wants to be
    /// warned about and not refused.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The JSON text, with the unknown fields that it was read with.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}", self.json)
    }

    /// Writes `config.json` in the directory, replacing one that is there at
    /// once or not at all.
    ///
    /// # Errors
    ///
    /// Those of creating, writing and renaming the file.
    pub fn save(&self) -> Result<()> {
        let path = self.directory.join(Self::FILE_NAME);
        let temporary = self.directory.join(format!(".{}.{}", Self::FILE_NAME, std::process::id()));
        let written = write_new(&temporary, self.to_json().as_bytes()).and_then(|()| {
            std::fs::rename(&temporary, &path)
                .map_err(|error| Error::os("rename", path.to_string_lossy(), error))
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}

/// A process from the text of a `process.json`, as `exec --process` is given
/// one: a spec's `process` on its own.
///
/// # Errors
///
/// [`InvalidInput`](ErrorKind::InvalidInput) for what is no JSON, with line and
/// column, and for a field of a wrong type, an unknown name or a missing field,
/// with its path.
pub fn parse_process(text: &[u8]) -> Result<Process> {
    let step = "parse process.json";
    let mut json = json(step, text)?;
    quirks::process_from_specification(&mut json);
    typed(step, json)
}

fn json(step: &'static str, text: &[u8]) -> Result<Value> {
    serde_json::from_slice(text).map_err(|error| {
        let object = format!("line {} column {}", error.line(), error.column());
        Error::invalid(step, object, error.to_string())
    })
}

/// A value as this type, or the path of the field that isn't.
pub(super) fn typed<T: serde::de::DeserializeOwned>(step: &'static str, json: Value) -> Result<T> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        let object = if path == "." { String::new() } else { path };
        Error::invalid(step, object, error.into_inner().to_string())
    })
}

fn absolute(directory: &Path) -> Result<PathBuf> {
    std::path::absolute(directory)
        .map_err(|error| Error::os("find bundle", directory.to_string_lossy(), error))
}

fn read_limited(path: &Path) -> Result<Vec<u8>> {
    let failed = |step| move |error| Error::os(step, path.to_string_lossy(), error);
    // A FIFO must not hold up the caller.
    let file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(failed("open"))?;
    if !file.metadata().map_err(failed("stat"))?.is_file() {
        return Err(Error::invalid("open", path.to_string_lossy(), "not a regular file"));
    }
    let mut text = Vec::new();
    file.take(Bundle::MAX_FILE + 1).read_to_end(&mut text).map_err(failed("read"))?;
    if text.len() as u64 > Bundle::MAX_FILE {
        let reason = format!("larger than {} bytes", Bundle::MAX_FILE);
        return Err(Error::with(ErrorKind::LimitReached, "read", path.to_string_lossy(), reason));
    }
    Ok(text)
}

fn write_new(path: &Path, text: &[u8]) -> Result<()> {
    let failed = |step| move |error| Error::os(step, path.to_string_lossy(), error);
    let mut file = File::create(path).map_err(failed("create"))?;
    file.write_all(text).map_err(failed("write"))?;
    file.write_all(b"\n").map_err(failed("write"))
}
