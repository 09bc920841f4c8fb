//! From a path to a descriptor, without leaving a directory on the way.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{FileType, Metadata};
use crate::sys;

/// How a path is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// The kernel does it: `openat2(2)`, Linux 5.6.
    OpenAt2,
    /// Component by component, every symbolic link refused.
    Walk,
}

/// What the kernel offers; tried once. A seccomp filter that does not know `openat2` answers
/// EPERM instead of ENOSYS.
pub(crate) fn best() -> Resolver {
    static BEST: OnceLock<Resolver> = OnceLock::new();
    *BEST.get_or_init(|| {
        let tried =
            rustix::fs::openat2(CWD, c"/", sys::DIR_PATH, Mode::empty(), ResolveFlags::IN_ROOT);
        match tried {
            Err(Errno::NOSYS | Errno::PERM) => Resolver::Walk,
            _ => Resolver::OpenAt2,
        }
    })
}

/// `RESOLVE_IN_ROOT` and `RESOLVE_BENEATH` answer EAGAIN when a rename elsewhere on the machine
/// raced with a `..`; the kernel asks to try again.
const RACES: usize = 256;

fn openat2(
    dir: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlags,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < RACES => tries += 1,
            result => return result,
        }
    }
}

/// Opens `path` as a process would whose root directory is `root`: absolute paths and absolute
/// links start there, `..` stops there. Creates nothing.
pub(crate) fn open_in_root(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolver: Resolver,
) -> Result<OwnedFd> {
    sys::check_path("open in root", path.as_os_str())?;
    match resolver {
        Resolver::OpenAt2 => {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            openat2(root, path.as_os_str(), flags, resolve)
                .map_err(|errno| Error::os("openat2", path, errno))
        }
        Resolver::Walk => walk(root, path, flags),
    }
}

/// The stand-in for `RESOLVE_IN_ROOT`. It refuses links where the kernel would have followed
/// them inside the root: less able, never less safe.
fn walk(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let failed = |errno| Error::os("openat", path, errno);
    let mut above: Vec<OwnedFd> = Vec::new();
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => {
                above.pop();
                continue;
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => continue,
        };
        let dir = above.last().map_or(root, OwnedFd::as_fd);
        let last = components.peek().is_none();
        if last && !ends_as_directory(path) {
            return open_last(dir, path, name, flags);
        }
        let next = rustix::fs::openat(dir, name, sys::DIR_PATH | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|errno| refine(dir, path, name, errno))?;
        above.push(next);
    }
    let dir = above.last().map_or(root, OwnedFd::as_fd);
    rustix::fs::openat(dir, c".", flags | OFlags::CLOEXEC, Mode::empty()).map_err(failed)
}

/// `a/` and `a/.` name a directory, which [`Path::components`] does not tell.
fn ends_as_directory(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.ends_with(b"/") || bytes.ends_with(b"/.")
}

fn open_last(dir: BorrowedFd<'_>, path: &Path, name: &OsStr, flags: OFlags) -> Result<OwnedFd> {
    let wants_link = flags.contains(OFlags::PATH | OFlags::NOFOLLOW);
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())
        .map_err(|errno| refine(dir, path, name, errno))?;
    if flags.contains(OFlags::PATH) && !wants_link {
        let metadata = Metadata::of(fd.as_fd()).map_err(|errno| Error::os("statx", path, errno))?;
        if metadata.file_type == FileType::Symlink {
            return Err(link_refused(path));
        }
    }
    Ok(fd)
}

/// `O_NOFOLLOW | O_DIRECTORY` answers ENOTDIR for a link; say what it was.
fn refine(dir: BorrowedFd<'_>, path: &Path, name: &OsStr, errno: Errno) -> Error {
    let is_link =
        Metadata::at(dir, name).is_ok_and(|metadata| metadata.file_type == FileType::Symlink);
    if is_link { link_refused(path) } else { Error::os("openat", path, errno) }
}

fn link_refused(path: &Path) -> Error {
    Error::refused(
        ErrorKind::Symlink,
        "open in root",
        path,
        "a symbolic link stands in the path, and this kernel can't follow it safely",
    )
    .with_hint("run on Linux 5.6 or newer, where openat2(2) resolves links inside a root")
}

/// Longest piece of a path given to one call, below `PATH_MAX` (4,096).
const PIECE: usize = 3_000;

/// Opens the directory `relative` (plain names joined by `/`, may be empty) below `dir`, refusing
/// every symbolic link and every mount on the way, however deep the tree is.
pub(crate) fn open_dir_beneath(
    dir: BorrowedFd<'_>,
    relative: &Path,
) -> rustix::io::Result<OwnedFd> {
    let mut current: Option<OwnedFd> = None;
    for piece in pieces(relative.as_os_str().as_bytes()) {
        let base = current.as_ref().map_or(dir, OwnedFd::as_fd);
        let next = match best() {
            Resolver::OpenAt2 => {
                let resolve = ResolveFlags::BENEATH
                    | ResolveFlags::NO_SYMLINKS
                    | ResolveFlags::NO_MAGICLINKS
                    | ResolveFlags::NO_XDEV;
                openat2(base, OsStr::from_bytes(piece), sys::DIR_PATH, resolve)?
            }
            Resolver::Walk => walk_beneath(base, piece)?,
        };
        current = Some(next);
    }
    match current {
        Some(fd) => Ok(fd),
        None => rustix::io::fcntl_dupfd_cloexec(dir, 0),
    }
}

fn walk_beneath(dir: BorrowedFd<'_>, piece: &[u8]) -> rustix::io::Result<OwnedFd> {
    let mount = Metadata::of(dir)?;
    let mut current: Option<OwnedFd> = None;
    for name in piece.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let base = current.as_ref().map_or(dir, OwnedFd::as_fd);
        let flags = sys::DIR_PATH | OFlags::NOFOLLOW;
        let next = rustix::fs::openat(base, OsStr::from_bytes(name), flags, Mode::empty())?;
        if !Metadata::of(next.as_fd())?.same_mount(&mount) {
            return Err(Errno::XDEV);
        }
        current = Some(next);
    }
    current.ok_or(Errno::NOENT)
}

/// Splits a long path between components.
fn pieces(mut path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if path.is_empty() {
            return None;
        }
        let cut = if path.len() <= PIECE {
            path.len()
        } else {
            path[..PIECE].iter().rposition(|byte| *byte == b'/').unwrap_or(PIECE)
        };
        let (piece, rest) = path.split_at(cut);
        path = rest.strip_prefix(b"/").unwrap_or(rest);
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_path() {
        let long = vec!["component"; 2_000].join("/");
        let parts: Vec<&[u8]> = pieces(long.as_bytes()).collect();
        assert!(parts.len() > 5);
        assert!(parts.iter().all(|part| part.len() <= PIECE && !part.ends_with(b"/")));
        assert_eq!(parts.join(&b'/'), long.as_bytes());
        assert_eq!(pieces(b"").count(), 0);
    }
}
