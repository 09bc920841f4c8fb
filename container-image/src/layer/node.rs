//! What an entry of a layer to be written is.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// Opens a file's content when it is written: its reader and its size.
pub(crate) type Opener = Arc<dyn Fn() -> Result<(File, u64)> + Send + Sync>;

/// What an entry of a layer is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Node {
    /// A directory.
    Dir,
    /// A file with the given bytes.
    File(Content),
    /// A symbolic link with its target, which is stored as it is.
    Symlink(PathBuf),
    /// Another name for the file at this path of the image.
    Hardlink(PathBuf),
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// The bytes of a file, held or yet to be read.
#[derive(Clone)]
pub struct Content(pub(super) Source);

#[derive(Clone)]
pub(super) enum Source {
    Bytes(Arc<[u8]>),
    Open(Opener),
}

impl Content {
    /// Bytes in memory.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Source::Bytes(Arc::from(bytes.into())))
    }

    /// A file of the host, opened when the layer is written; symbolic links are followed.
    #[must_use]
    pub fn host_file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::opened(Arc::new(move || {
            let file = File::open(&path).map_err(|e| Error::os("open", &path, e))?;
            let stat = file.metadata().map_err(|e| Error::os("fstat", &path, e))?;
            if !stat.is_file() {
                let shown = path.to_string_lossy();
                let reason = "not a regular file";
                return Err(Error::new(ErrorKind::InvalidInput, "open", shown, reason));
            }
            Ok((file, stat.len()))
        }))
    }

    pub(crate) fn opened(open: Opener) -> Self {
        Self(Source::Open(open))
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Source::Bytes(bytes) => write!(f, "Content({} bytes)", bytes.len()),
            Source::Open(_) => f.write_str("Content(a file)"),
        }
    }
}
