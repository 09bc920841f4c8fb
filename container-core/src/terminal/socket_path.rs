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

/// A client's end of the stream socket at `path`.
pub(crate) fn connect(path: &Path) -> Result<UnixStream> {
    connect_as(path, SockType::Stream).map(UnixStream::from)
}

/// A client's end of the socket at `path` that keeps messages apart.
pub(crate) fn connect_packets(path: &Path) -> Result<OwnedFd> {
    connect_as(path, SockType::SeqPacket)
}

fn connect_as(path: &Path, kind: SockType) -> Result<OwnedFd> {
    check(path)?;
    let failed = |step: &'static str, error| Error::os(step, path.to_string_lossy(), error);
    let address = Address::of(path).map_err(|error| failed("connect", error))?;
    let connected = || {
        let client = socket::socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)
            .map_err(|error| ("socket", error))?;
        let address = UnixAddr::new(&address.path).map_err(|error| ("connect", error))?;
        loop {
            match socket::connect(client.as_raw_fd(), &address) {
                Err(Errno::EINTR) => {}
                other => return other.map(|()| client).map_err(|error| ("connect", error)),
            }
        }
    };
    connected().map_err(|(step, error): (_, Errno)| failed(step, error.into()))
}

/// A listening stream socket at `path`, for its owner alone.
pub(crate) fn bind(path: &Path) -> Result<UnixListener> {
    bind_as(path, SockType::Stream).map(UnixListener::from)
}

/// Likewise, one that keeps messages apart.
pub(crate) fn bind_packets(path: &Path) -> Result<OwnedFd> {
    bind_as(path, SockType::SeqPacket)
}

fn bind_as(path: &Path, kind: SockType) -> Result<OwnedFd> {
    check(path)?;
    let failed = |step: &'static str, error| Error::os(step, path.to_string_lossy(), error);
    let address = Address::of(path).map_err(|error| failed("bind", error))?;
    listen_at(&address.path, kind).map_err(|(step, error)| failed(step, error.into()))
}

fn listen_at(path: &Path, kind: SockType) -> Result<OwnedFd, (&'static str, Errno)> {
    let step = |step| move |error| (step, error);
    let flags = SockFlag::SOCK_CLOEXEC;
    let listener =
        socket::socket(AddressFamily::Unix, kind, flags, None).map_err(step("socket"))?;
    // The file that bind makes gets the socket's own mode: nobody else can
    // connect, not even before a chmod.
    fchmod(&listener, Mode::from_bits_truncate(0o600)).map_err(step("fchmod"))?;
    let address = UnixAddr::new(path).map_err(step("bind"))?;
    socket::bind(listener.as_raw_fd(), &address).map_err(step("bind"))?;
    socket::listen(&listener, Backlog::MAXCONN).map_err(step("listen"))?;
    Ok(listener)
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
