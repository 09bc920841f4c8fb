//! Unix sockets by paths of any length: an address holds 107 bytes (unix(7)),
//! so a longer path is reached through a descriptor of its directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use nix::sys::stat::{Mode, fchmod};

use crate::error::{Error, Result};

/// `sizeof sun_path` less the final NUL.
const MAX_ADDRESS: usize = 107;

/// A path that fits into an address; valid while this value lives.
struct Address {
    path: PathBuf,
    _directory: Option<OwnedFd>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= MAX_ADDRESS {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let directory = File::options().read(true).custom_flags(flags).open(parent)?;
        let path = in_directory(&directory, name);
        Ok(Self { path, _directory: Some(directory.into()) })
    }
}

fn in_directory(directory: &impl AsRawFd, name: &OsStr) -> PathBuf {
    Path::new(&format!("/proc/thread-self/fd/{}", directory.as_raw_fd())).join(name)
}

/// A client's end of the socket at `path`.
pub(crate) fn connect(path: &Path) -> Result<UnixStream> {
    check(path)?;
    Address::of(path)
        .and_then(|address| UnixStream::connect(&address.path))
        .map_err(|error| Error::os("connect", path.to_string_lossy(), error))
}

/// A listening socket at `path`, for its owner alone.
pub(crate) fn bind(path: &Path) -> Result<UnixListener> {
    check(path)?;
    let failed = |step: &'static str, error| Error::os(step, path.to_string_lossy(), error);
    let address = Address::of(path).map_err(|error| failed("bind", error))?;
    listen_at(&address.path).map_err(|(step, error)| failed(step, error.into()))
}

fn listen_at(path: &Path) -> Result<UnixListener, (&'static str, Errno)> {
    let step = |step| move |error| (step, error);
    let flags = SockFlag::SOCK_CLOEXEC;
    let listener = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .map_err(step("socket"))?;
    // The file that bind makes gets the socket's own mode: nobody else can
    // connect, not even before a chmod.
    fchmod(&listener, Mode::from_bits_truncate(0o600)).map_err(step("fchmod"))?;
    let address = UnixAddr::new(path).map_err(step("bind"))?;
    socket::bind(listener.as_raw_fd(), &address).map_err(step("bind"))?;
    socket::listen(&listener, Backlog::MAXCONN).map_err(step("listen"))?;
    Ok(listener.into())
}

fn check(path: &Path) -> Result<()> {
    let shown = || path.to_string_lossy().into_owned();
    let bytes = path.as_os_str().as_bytes();
    if bytes.contains(&0) {
        // It would name a socket of the abstract namespace, which has no
        // owner and is reached from containers (CVE-2020-15257).
        return Err(Error::invalid("check socket", shown(), "it has a NUL in it"));
    }
    if path.file_name().is_none() {
        return Err(Error::invalid("check socket", shown(), "no path of a file"));
    }
    Ok(())
}
