//! A copy of the image layout, for other programs to look at.

use std::fs;
use std::path::Path;

use crate::{Result, ensure};

/// Refuses a directory that has something in it, before anything is done.
pub(crate) fn check(directory: &Path) -> Result<()> {
    let empty = !directory.exists() || fs::read_dir(directory)?.next().is_none();
    ensure(empty, || format!("--keep {}: not a new or empty directory", directory.display()))
}

/// Copies the parts that the OCI image layout knows; the unpacked layers stay behind.
pub(crate) fn layout(store: &Path, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    for name in ["oci-layout", "index.json"] {
        fs::copy(store.join(name), directory.join(name))?;
    }
    let blobs = Path::new("blobs/sha256");
    fs::create_dir_all(directory.join(blobs))?;
    for blob in fs::read_dir(store.join(blobs))? {
        let blob = blob?;
        fs::copy(blob.path(), directory.join(blobs).join(blob.file_name()))?;
    }
    Ok(())
}
