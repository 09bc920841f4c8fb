//! Paths that can't lead out of a directory.
//!
//! A program that writes into a container's file system follows paths that somebody else
//! arranged. If the tree has a link `x -> /etc`, a plain `open("rootfs/x/passwd")` opens the
//! *host's* file; checking first does not help when the tree changes between check and use.
//! [`Root`] leaves the resolution to the kernel: `openat2(2)` with `RESOLVE_IN_ROOT` treats the
//! directory as `/`, so that absolute links and `..` stay inside, and the result is a
//! descriptor, which nobody can swap any more. Where the call is missing (before Linux 5.6) the
//! path is walked by hand and every symbolic link is refused.
//!
//! Nothing is ever created *through* a final link: to create an entry, its directory is
//! resolved, and then the entry is made in that open directory ([`Dir`]).
//!
//! ```
//! use std::io::Write as _;
//! use container_fs::{ErrorKind, Root};
//!
//! let dir = tempfile::tempdir()?;
//! let root = Root::open(dir.path())?;
//! root.symlink("/outside", "x")?;
//!
//! // "x" leads to /outside *in the root*, which does not exist.
//! let error = root.create_file("x/y", 0o644).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::NotFound);
//!
//! root.create_dir_all("outside", 0o755)?;
//! root.create_file("x/y", 0o644)?.write_all(b"inside")?;
//! assert_eq!(std::fs::read(dir.path().join("outside/y"))?, b"inside");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dir;
pub(crate) mod resolve;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::Metadata;
use crate::sys;
pub use dir::{Dir, DirEntry, Node};
use resolve::Resolver;

/// A directory that paths are resolved in as if it were `/`.
///
/// Paths may be relative or absolute, both start at the root. Links on the way are followed
/// inside the root; methods that create or remove act on the last name itself.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    resolver: Resolver,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Root {
    /// Opens a directory of the host as a root. This one path is followed as usual.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotADirectory`], [`ErrorKind::InvalidPath`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        sys::check_path("open root", path.as_os_str())?;
        let fd = rustix::fs::openat(CWD, path, sys::DIR_PATH, Mode::empty())
            .map_err(|errno| Error::os("open root", path, errno))?;
        Ok(Self { fd, resolver: resolve::best() })
    }

    /// Takes an open directory as a root; `O_PATH` is enough.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotADirectory`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let fd = Dir::from_fd(fd)?.into();
        Ok(Self { fd, resolver: resolve::best() })
    }

    /// Opens a directory inside the root. `""`, `"."` and `"/"` are the root itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotADirectory`].
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<Dir> {
        let path = path.as_ref();
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        self.open_path(path, sys::DIR_PATH).map(Dir::from_owned)
    }

    /// Opens an ordinary file inside the root for reading.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::IsADirectory`]; [`ErrorKind::Unsupported`] for a
    /// pipe, socket or device, opening which may block or act.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        dir::reopen_regular(self.resolve(path)?, path.as_os_str())
    }

    /// An `O_PATH` descriptor of whatever `path` names, a last link followed (inside the root).
    /// Fit as the target of `move_mount(2)` or for `/proc/self/fd`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub fn resolve(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        self.open_path(path.as_ref(), OFlags::PATH)
    }

    /// The status of what `path` names; a last link is not followed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub fn metadata(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        let path = path.as_ref();
        let fd = self.open_path(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        Metadata::of(fd.as_fd()).map_err(|errno| Error::os("statx", path, errno))
    }

    /// The directory that holds the last name of `path`, and that name: the way to create,
    /// replace or remove an entry. Links before the last name are followed inside the root.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidPath`] where there is no last name (`/`, `.`, `a/..`);
    /// [`ErrorKind::NotFound`] for a missing directory.
    pub fn parent(&self, path: impl AsRef<Path>) -> Result<(Dir, OsString)> {
        let path = path.as_ref();
        let (parent, name) = split(path)?;
        Ok((self.open_dir(parent)?, name.to_owned()))
    }

    /// Creates an ordinary file for writing, as [`Dir::create_file`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`], also where a link stands; [`ErrorKind::NotFound`] for a
    /// missing directory.
    pub fn create_file(&self, path: impl AsRef<Path>, mode: u32) -> Result<File> {
        let (dir, name) = self.parent(path)?;
        dir.create_file(name, mode)
    }

    /// Creates one directory, as [`Dir::create_dir`].
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_dir(&self, path: impl AsRef<Path>, mode: u32) -> Result<Dir> {
        let (dir, name) = self.parent(path)?;
        dir.create_dir(name, mode)
    }

    /// Creates a directory and those above it that are missing, each with the permission bits
    /// `mode`; those that are there stay as they are. Links to directories are followed inside
    /// the root.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotADirectory`] where a file stands in the way; [`ErrorKind::NotFound`] for
    /// a link that leads nowhere.
    pub fn create_dir_all(&self, path: impl AsRef<Path>, mode: u32) -> Result<Dir> {
        let path = path.as_ref();
        match self.open_dir(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        let mut done = PathBuf::from("/");
        let mut dir = self.open_dir(&done)?;
        for component in path.components() {
            done.push(component);
            dir = match self.open_dir(&done) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.create_or_reopen(&dir, &done, component, mode)?
                }
                result => result?,
            };
        }
        Ok(dir)
    }

    /// Somebody else may create the same directory at the same time.
    fn create_or_reopen(
        &self,
        dir: &Dir,
        done: &Path,
        component: Component<'_>,
        mode: u32,
    ) -> Result<Dir> {
        match dir.create_dir(component.as_os_str(), mode) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.open_dir(done),
            result => result,
        }
    }

    /// Creates the symbolic link `link`, as [`Dir::symlink`].
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn symlink(&self, target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
        let (dir, name) = self.parent(link)?;
        dir.symlink(target, name)
    }

    /// Gives the file `original` the further name `link`; both are inside the root. A link is
    /// linked itself.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file); [`ErrorKind::CrossDevice`] between mounts.
    pub fn hard_link(&self, original: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
        let (from, original) = self.parent(original)?;
        let (dir, name) = self.parent(link)?;
        dir.hard_link(&from, original, name)
    }

    /// Removes a name that is not a directory's; of a link, the link.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::IsADirectory`].
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        dir.remove_file(name)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::DirectoryNotEmpty`].
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        dir.remove_dir(name)
    }

    /// Removes an entry and all below it: [`remove_tree`](crate::remove_tree).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Incomplete`] with every failure.
    pub fn remove_tree(&self, path: impl AsRef<Path>) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        dir.remove_tree(name)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; EINVAL ([`ErrorKind::Os`]) for anything but a link.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<OsString> {
        let (dir, name) = self.parent(path)?;
        dir.read_link(name)
    }

    fn open_path(&self, path: &Path, flags: OFlags) -> Result<OwnedFd> {
        resolve::open_in_root(self.fd.as_fd(), path, flags, self.resolver)
    }

    #[cfg(test)]
    fn walking(mut self) -> Self {
        self.resolver = Resolver::Walk;
        self
    }
}

/// Splits a path before its last name. By bytes: [`Path::file_name`] drops a last `.`, so that
/// `a/.` would name `a`.
fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    sys::check_path("resolve", path.as_os_str())?;
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let start = bytes[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let name = OsStr::from_bytes(&bytes[start..end]);
    if matches!(name.as_bytes(), b"" | b"." | b"..") {
        let what = "the path ends in no name that could be created or removed";
        return Err(Error::refused(ErrorKind::InvalidPath, "resolve", path, what));
    }
    Ok((Path::new(OsStr::from_bytes(&bytes[..start])), name))
}

#[cfg(test)]
mod tests;
