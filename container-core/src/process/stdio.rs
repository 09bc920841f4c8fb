//! Standard streams: where each comes from.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use nix::unistd::pipe2;

use crate::error::{Error, Result};
pub use crate::terminal::WindowSize;

/// Where a standard stream comes from or goes to.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Stdio {
    /// The caller's own.
    #[default]
    Inherit,
    /// `/dev/null` of the host, checked to be the device 1:3.
    Null,
    /// A pipe; the [`Process`](crate::Process) has the other end.
    Pipe,
    /// This descriptor: a file, a socket, a terminal.
    Descriptor(Arc<OwnedFd>),
}

impl Stdio {
    /// A descriptor that is given up to it.
    pub fn descriptor(descriptor: impl Into<OwnedFd>) -> Self {
        Self::Descriptor(Arc::new(descriptor.into()))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self::descriptor(file)
    }
}

impl From<OwnedFd> for Stdio {
    fn from(descriptor: OwnedFd) -> Self {
        Self::descriptor(descriptor)
    }
}

/// A stream opened for one process: the child's end and, of a pipe, ours.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) child: Arc<OwnedFd>,
    pub(super) ours: Option<OwnedFd>,
}

/// Opens a stream; `None` for an inherited one. `index` is 0, 1 or 2.
pub(super) fn open(stdio: &Stdio, index: usize) -> Result<Option<Stream>> {
    match stdio {
        Stdio::Inherit => Ok(None),
        Stdio::Null => Ok(Some(Stream { child: Arc::new(null_device()?), ours: None })),
        Stdio::Descriptor(descriptor) => {
            Ok(Some(Stream { child: Arc::clone(descriptor), ours: None }))
        }
        Stdio::Pipe => {
            let (read, write) =
                pipe2(OFlag::O_CLOEXEC).map_err(|error| Error::os("pipe2", "", error))?;
            let (child, ours) = if index == 0 { (read, write) } else { (write, read) };
            Ok(Some(Stream { child: Arc::new(child), ours: Some(ours) }))
        }
    }
}

/// The host's `/dev/null`, and nothing that took its place (CVE-2025-31133).
fn null_device() -> Result<OwnedFd> {
    let path = "/dev/null";
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| Error::os("open", path, error))?;
    let stat = fstat(file.as_fd()).map_err(|error| Error::os("fstat", path, error))?;
    let character = stat.st_mode & libc::S_IFMT == libc::S_IFCHR;
    if !character || stat.st_rdev != libc::makedev(1, 3) {
        let wrong = io::Error::from_raw_os_error(libc::ENODEV);
        return Err(Error::os("check device 1:3", path, wrong)
            .hint("something on this host replaced /dev/null"));
    }
    Ok(file.into())
}
