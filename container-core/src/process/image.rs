//! The init's image: a sealed memfd that is made once and kept.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Error, Result};

/// The init, built from `init/` by the build script.
pub(crate) static INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init.elf"));

/// An open image and its identity.
#[derive(Debug)]
struct Kept {
    file: Arc<OwnedFd>,
    device: u64,
    inode: u64,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// The image's descriptor. It is looked at each time: a host that closes all
/// descriptors (as daemons do) must not make us execute what took its number.
pub(super) fn image() -> Result<Arc<OwnedFd>> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(image) = kept.as_ref() {
        let found = nix::sys::stat::fstat(image.file.as_fd());
        let same =
            found.is_ok_and(|stat| stat.st_dev == image.device && stat.st_ino == image.inode);
        if same {
            return Ok(Arc::clone(&image.file));
        }
    }
    let Some(memfd) = make()? else {
        // A plain file can't be sealed: one for each launch, so that whoever
        // gets hold of it changes nothing that will run again.
        return make_file().map(Arc::new);
    };
    let file = File::from(memfd);
    let found = file.metadata().map_err(|error| Error::os("fstat", "init image", error))?;
    let file = Arc::new(OwnedFd::from(file));
    let fresh = Kept { file: Arc::clone(&file), device: found.dev(), inode: found.ino() };
    if let Some(lost) = kept.replace(fresh) {
        // The number belongs to someone else now; closing it is not ours.
        std::mem::forget(lost);
    }
    Ok(file)
}

/// A sealed memfd; `None` where `vm.memfd_noexec=2` forbids executing it.
fn make() -> Result<Option<OwnedFd>> {
    let plain = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let executable = MFdFlags::from_bits_retain(libc::MFD_EXEC);
    let name = c"container-init";
    // MFD_EXEC is Linux 6.3; older kernels answer EINVAL and need none.
    let memfd = match memfd_create(name, plain | executable) {
        Err(nix::errno::Errno::EINVAL) => memfd_create(name, plain),
        other => other,
    };
    let memfd = match memfd {
        Ok(memfd) => memfd,
        Err(nix::errno::Errno::EACCES) => return Ok(None),
        Err(error) => return Err(Error::os("memfd_create", "container-init", error)),
    };
    let mut file = File::from(memfd);
    file.write_all(INIT).map_err(|error| Error::os("write", "init image", error))?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))
        .map_err(|error| Error::os("fcntl F_ADD_SEALS", "init image", error))?;
    Ok(Some(file.into()))
}

/// Where memfds can't be executed: a file without a name, opened read-only.
fn make_file() -> Result<OwnedFd> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!(".container-init-{}-{next}", std::process::id()));
    let result = write_and_reopen(&path);
    let _ = fs::remove_file(&path);
    result.map_err(|error| {
        Error::os("make init image", path.to_string_lossy(), error).hint(
            "vm.memfd_noexec=2 forbids executable memfds; set it to 1, or make TMPDIR writable",
        )
    })
}

fn write_and_reopen(path: &std::path::Path) -> io::Result<OwnedFd> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o555).open(path)?;
    file.write_all(INIT)?;
    drop(file);
    let file = File::open(path)?;
    debug_assert!(file.as_raw_fd() >= 0);
    Ok(file.into())
}
