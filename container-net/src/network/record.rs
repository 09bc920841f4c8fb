//! The run directory: who owns which network, so that a crash leaves nothing for good.
//!
//! ```text
//! RUN_DIR/                 locked (flock) while networks are made or removed
//!   net-INODE/             one host namespace, by the inode of its /proc/PID/ns/net
//!     NAME.network         the record; its owner holds a lock on it for as long as it lives
//!     ip_forward           the settings to go back to, when a network changed them
//! ```
//!
//! A record is complete before the first change to the kernel, and deleted after the last one is
//! undone. Everything that becomes empty is deleted.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, mkdir, open, rmdir, unlink};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::ipam::Subnet;
use crate::name::Name;
use crate::sysctl;

const RECORD: &str = "network";
const FORWARDING: &str = "ip_forward";

/// What is needed to remove a network that somebody else made.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) name: Name,
    pub(crate) subnet: Subnet,
    /// The link group of the bridge and of every veth end on the host.
    pub(crate) group: u32,
    boot_id: String,
}

/// The version of the form below. A record of another version is left to whoever knows it.
const VERSION: u32 = 1;

/// A record as it lies on disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    boot_id: String,
    name: String,
    subnet: String,
    group: u32,
}

/// The directory of one host namespace.
#[derive(Debug, Clone)]
pub(crate) struct RunDir {
    base: PathBuf,
    dir: PathBuf,
}

/// The run directory, locked against every other process and thread.
#[derive(Debug)]
pub(crate) struct Lock {
    at: RunDir,
    _base: OwnedFd,
}

/// A record that is ours while this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    record: Record,
    path: PathBuf,
    _file: OwnedFd,
}

/// A record whose owner died, locked by us now. Without a record when its owner died writing it.
#[derive(Debug)]
pub(crate) struct Abandoned {
    record: Option<Record>,
    path: PathBuf,
    _file: OwnedFd,
}

impl Record {
    pub(crate) fn new(name: Name, subnet: Subnet, group: u32) -> Result<Self> {
        Ok(Self { name, subnet, group, boot_id: boot_id()? })
    }

    fn parse(text: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text).ok()?;
        Some(Self {
            name: Name::new("record", &stored.name).ok()?,
            subnet: stored.subnet.parse().ok()?,
            // The default group holds every link that is nobody's.
            group: (stored.group != 0).then_some(stored.group)?,
            boot_id: stored.boot_id,
        })
    }

    fn write(&self, path: &Path, file: &OwnedFd) -> Result<()> {
        let stored = Stored {
            version: VERSION,
            boot_id: self.boot_id.clone(),
            name: self.name.to_string(),
            subnet: self.subnet.to_string(),
            group: self.group,
        };
        let fail = |cause| Error::os("write record", path.to_string_lossy(), cause);
        let text = serde_json::to_vec(&stored).map_err(|e| fail(e.into()))?;
        let mut file = fs::File::from(file.try_clone().map_err(fail)?);
        file.write_all(&text).map_err(fail)
    }
}

impl Claim {
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }
}

impl Abandoned {
    /// The record, if what it describes can still exist: the kernel forgets at every boot.
    pub(crate) fn record_of_this_boot(&self) -> Result<Option<&Record>> {
        let boot_id = boot_id()?;
        Ok(self.record.as_ref().filter(|record| record.boot_id == boot_id))
    }
}

impl RunDir {
    pub(crate) fn new(base: PathBuf, netns_inode: u64) -> Self {
        let dir = base.join(format!("net-{netns_inode}"));
        Self { base, dir }
    }

    /// Locks the directory, making it first when it is missing. Blocks while another has it.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let shown = self.base.to_string_lossy();
        loop {
            make_directory(&self.base)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = match open(&self.base, flags, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(|cause| Error::os("open run directory", &*shown, cause))?,
            };
            rustix::io::retry_on_intr(|| flock(&fd, FlockOperation::LockExclusive))
                .map_err(|cause| Error::os("flock run directory", &*shown, cause))?;
            let stat = fstat(&fd).map_err(|cause| Error::os("fstat", &*shown, cause))?;
            // The one who had the lock may have removed the directory with its last record.
            if stat.st_nlink == 0 {
                continue;
            }
            if stat.st_uid != rustix::process::geteuid().as_raw() {
                return Err(Error::refused(
                    ErrorKind::PermissionDenied,
                    "run directory",
                    &*shown,
                    "it belongs to another user; give one of your own (NetworkBuilder::run_dir)",
                ));
            }
            if stat.st_mode & 0o022 != 0 {
                return Err(Error::refused(
                    ErrorKind::PermissionDenied,
                    "run directory",
                    &*shown,
                    "others may write to it, and a record decides what is deleted; chmod go-w",
                ));
            }
            make_directory(&self.dir)?;
            return Ok(Lock { at: self.clone(), _base: fd });
        }
    }
}

impl Lock {
    /// Writes a record and takes its lock.
    pub(crate) fn claim(&self, record: Record) -> Result<Claim> {
        let path = self.path(&format!("{}.{RECORD}", record.name));
        let shown = path.to_string_lossy();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(|cause| {
            let error = Error::os("create record", &*shown, cause);
            match cause {
                Errno::EXIST => error.with_hint("a network of that name is in use"),
                _ => error,
            }
        })?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|cause| Error::os("flock record", &*shown, cause))
            .and_then(|()| record.write(&path, &file));
        if let Err(error) = locked {
            let _ = unlink(&path);
            return Err(error);
        }
        Ok(Claim { record, path, _file: file })
    }

    pub(crate) fn forget(&self, claim: Claim) -> Result<()> {
        remove_file(&claim.path)
    }

    pub(crate) fn discard(&self, abandoned: Abandoned) -> Result<()> {
        remove_file(&abandoned.path)
    }

    /// All readable records, owned or abandoned.
    pub(crate) fn records(&self) -> Result<Vec<Record>> {
        let texts = self.paths()?.into_iter().filter_map(|path| fs::read_to_string(path).ok());
        Ok(texts.filter_map(|text| Record::parse(&text)).collect())
    }

    /// The records that nobody holds.
    pub(crate) fn abandoned(&self) -> Result<Vec<Abandoned>> {
        let mut found = Vec::new();
        for path in self.paths()? {
            let shown = path.to_string_lossy();
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = open(&path, flags, Mode::empty())
                .map_err(|cause| Error::os("open record", &*shown, cause))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => continue,
                Err(cause) => return Err(Error::os("flock record", &*shown, cause)),
            }
            let text = fs::read_to_string(&path)
                .map_err(|cause| Error::os("read record", &*shown, cause))?;
            if is_foreign(&text) {
                continue;
            }
            let record = Record::parse(&text);
            found.push(Abandoned { record, path, _file: file });
        }
        Ok(found)
    }

    /// Sets `net.ipv4.ip_forward` to 1. With `remember`, notes for [`Self::restore_forwarding`]
    /// that it was 0 and what else the kernel sets with it; without, an earlier note is void.
    pub(crate) fn enable_forwarding(&self, remember: bool) -> Result<()> {
        let note = self.path(FORWARDING);
        if !remember && note.exists() {
            remove_file(&note)?;
        }
        if sysctl::read(sysctl::IP_FORWARD)? != "0" {
            return Ok(());
        }
        if remember {
            let mut text = boot_id()?;
            for (key, value) in sysctl::beside_forwarding()? {
                text.push_str(&format!("\n{key}={value}"));
            }
            fs::write(&note, text)
                .map_err(|cause| Error::os("write", note.to_string_lossy(), cause))?;
        }
        sysctl::write(sysctl::IP_FORWARD, "1")
    }

    /// Sets it back to 0 if a network changed it and no network is left.
    pub(crate) fn restore_forwarding(&self) -> Result<()> {
        let note = self.path(FORWARDING);
        let Ok(text) = fs::read_to_string(&note) else {
            return Ok(());
        };
        if !self.paths()?.is_empty() {
            return Ok(());
        }
        let mut lines = text.lines();
        if lines.next() == Some(&boot_id()?) {
            sysctl::write(sysctl::IP_FORWARD, "0")?;
            for (key, value) in lines.filter_map(|line| line.split_once('=')) {
                sysctl::write_if_there(key, value)?;
            }
        }
        remove_file(&note)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.dir.join(name)
    }

    fn paths(&self) -> Result<Vec<PathBuf>> {
        let fail = |cause| Error::os("read run directory", self.at.dir.to_string_lossy(), cause);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.at.dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == RECORD) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

impl Drop for Lock {
    /// Removes what is empty; a directory in use answers `ENOTEMPTY`.
    fn drop(&mut self) {
        if rmdir(&self.at.dir).is_ok() {
            let _ = rmdir(&self.at.base);
        }
    }
}

/// Whether a record says that it is of a version that we do not know.
fn is_foreign(text: &str) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let version = value.as_ref().and_then(|value| value.get("version"));
    version.is_some_and(|version| *version != VERSION)
}

fn make_directory(path: &Path) -> Result<()> {
    match mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(cause) => Err(Error::os("mkdir", path.to_string_lossy(), cause)),
    }
}

fn remove_file(path: &Path) -> Result<()> {
    unlink(path).map_err(|cause| Error::os("unlink", path.to_string_lossy(), cause))
}

fn boot_id() -> Result<String> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(PATH).map_err(|cause| Error::os("read", PATH, cause))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
