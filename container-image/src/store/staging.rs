//! Where things are made before they get their name.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use container_fs::{Root, remove_tree};

use super::Store;
use crate::error::{Error, Result};

/// A folder of this process below `staging`: locked while it is in use, removed on drop.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    _lock: File,
}

impl Staging {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What can't be removed now goes when the store is opened again.
        let _ = remove(&self.path);
    }
}

impl Store {
    /// Makes a folder to work in.
    pub(super) fn stage(&self) -> Result<Staging> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        // Between mkdir and lock no cleaner may look.
        let _store = self.lock()?;
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = self.dir.join(format!("staging/{}-{number}", std::process::id()));
            let failed = |step: &'static str| move |e, path: &Path| Error::os(step, path, e);
            match DirBuilder::new().mode(0o700).create(&path) {
                // Left by a killed process of the same id that no cleaner has met yet.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(failed("make staging")(e, &path)),
                Ok(()) => {}
            }
            let lock = File::open(&path).map_err(|e| failed("open staging")(e, &path))?;
            lock.lock().map_err(|e| failed("lock staging")(e, &path))?;
            return Ok(Staging { path, _lock: lock });
        }
    }

    /// Removes what no living process is working on. The caller holds the store's lock.
    pub(super) fn clean_staging(&self) -> Result<()> {
        let staging = self.dir.join("staging");
        let failed = |e| Error::os("clean staging", &staging, e);
        for entry in fs::read_dir(&staging).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let in_use = match File::open(&path) {
                Ok(file) => match file.try_lock() {
                    Ok(()) => false,
                    Err(fs::TryLockError::WouldBlock) => true,
                    Err(fs::TryLockError::Error(e)) => return Err(failed(e)),
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(failed(e)),
            };
            if !in_use {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Replaces a file of the store at once: readers see the old or the new content.
    pub(super) fn replace_file(&self, name: &str, content: &[u8]) -> Result<()> {
        // The caller holds the store's lock, so one name is enough.
        let staged = self.dir.join("staging").join(format!("new-{name}"));
        let place = self.dir.join(name);
        let written = fs::write(&staged, content).and_then(|()| match self.durable {
            true => File::open(&staged)?.sync_all(),
            false => Ok(()),
        });
        let renamed = written.and_then(|()| fs::rename(&staged, &place));
        if let Err(e) = renamed {
            let _ = fs::remove_file(&staged);
            return Err(Error::os("write", place, e));
        }
        self.sync_dir(&self.dir)
    }
}

/// Removes a tree by descriptor, whatever modes its directories have.
pub(super) fn remove(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let removed = Root::open(parent).and_then(|parent| remove_tree(&parent, name));
    match removed {
        Err(e) if e.kind() == container_fs::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|e| Error::fs("remove", path, e)),
    }
}
