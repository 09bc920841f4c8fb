//! Removal of whole trees.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::metadata::{FileType, Metadata};
use crate::safe_path::resolve::open_dir_beneath;
use crate::sys;

/// Removes the entry `name` of the open directory `parent` and all below it.
///
/// Works by descriptor: never follows a symbolic link, never crosses into another mount (a mount
/// that was left standing in the tree is reported, not emptied), at any depth and with a fixed
/// number of descriptors. Directories that forbid their owner to read them, as the `work/work`
/// of overlayfs with its mode 000, are opened up first. Goes on past failures.
///
/// # Errors
///
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where nothing has that name;
/// [`ErrorKind::Incomplete`](crate::ErrorKind::Incomplete) with every single failure in
/// [`Error::failures`].
///
/// ```
/// let dir = tempfile::tempdir()?;
/// std::fs::create_dir_all(dir.path().join("tree/with/branches"))?;
/// std::os::unix::fs::symlink("/", dir.path().join("tree/link"))?;
///
/// let root = container_fs::Root::open(dir.path())?;
/// container_fs::remove_tree(&root, "tree")?;
/// assert!(!dir.path().join("tree").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn remove_tree(parent: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    let (parent, name) = (parent.as_fd(), name.as_ref());
    sys::check_name("remove tree", name)?;
    let metadata = Metadata::at(parent, name).map_err(|errno| Error::os("statx", name, errno))?;
    if !metadata.is_dir() {
        return rustix::fs::unlinkat(parent, name, AtFlags::empty())
            .map_err(|errno| Error::os("unlinkat", name, errno));
    }
    let mut removal = Removal { parent, name, failures: Vec::new() };
    removal.run();
    if removal.failures.is_empty() {
        Ok(())
    } else {
        Err(Error::incomplete("remove tree", name, removal.failures))
    }
}

/// What is left to do, in last-in-first-out order; paths are relative to the parent.
enum Task {
    /// Empty the directory, then remove it.
    Empty(PathBuf),
    /// Remove the directory, its subdirectories being done.
    Remove(PathBuf),
}

struct Removal<'a> {
    parent: BorrowedFd<'a>,
    name: &'a OsStr,
    failures: Vec<Error>,
}

impl Removal<'_> {
    fn run(&mut self) {
        let mut tasks = vec![Task::Empty(PathBuf::from(self.name))];
        while let Some(task) = tasks.pop() {
            match task {
                Task::Empty(path) => match self.empty(&path) {
                    Ok(subdirectories) => {
                        let below = subdirectories.iter().map(|name| Task::Empty(path.join(name)));
                        let below: Vec<Task> = below.collect();
                        tasks.push(Task::Remove(path));
                        tasks.extend(below);
                    }
                    Err(error) => self.fail(error),
                },
                Task::Remove(path) => self.remove_dir(&path),
            }
        }
    }

    /// A directory that somebody else removed meanwhile is no failure.
    fn fail(&mut self, error: Error) {
        if error.raw_os_error() != Some(Errno::NOENT.raw_os_error()) {
            self.failures.push(error);
        }
    }

    /// Unlinks all that is not a directory; returns the names of those that are.
    fn empty(&mut self, path: &Path) -> Result<Vec<OsString>> {
        let dir = self.open(path)?;
        let listed = open_for_listing(&dir).and_then(|fd| sys::list_opened(&fd));
        let entries = listed.map_err(|errno| {
            Error::os("open directory", path, errno)
                .with_hint("remove it as its owner, or as root of the user namespace that owns it")
        })?;
        let mut subdirectories = Vec::new();
        let mut opened_up = false;
        for (name, file_type) in entries {
            if file_type == FileType::Directory {
                subdirectories.push(name);
                continue;
            }
            let unlink = || rustix::fs::unlinkat(&dir, name.as_os_str(), AtFlags::empty());
            let mut result = unlink();
            if result == Err(Errno::ACCESS) && !opened_up {
                opened_up = true;
                result = open_up(&dir).and_then(|()| unlink());
            }
            match result {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => subdirectories.push(name),
                Err(errno) => self.fail(Error::os("unlinkat", path.join(&name), errno)),
            }
        }
        Ok(subdirectories)
    }

    fn remove_dir(&mut self, path: &Path) {
        let above = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or(self.name);
        let removed = self.open(above).and_then(|dir| {
            let unlink = || rustix::fs::unlinkat(&dir, name, AtFlags::REMOVEDIR);
            let result = match unlink() {
                // The parent of the whole tree is not ours to open up.
                Err(Errno::ACCESS) if !above.as_os_str().is_empty() => {
                    open_up(&dir).and_then(|()| unlink())
                }
                result => result,
            };
            result.map_err(|errno| Error::os("unlinkat AT_REMOVEDIR", path, errno))
        });
        if let Err(error) = removed {
            let known = !self.failures.is_empty()
                && error.raw_os_error() == Some(Errno::NOTEMPTY.raw_os_error());
            if !known {
                self.fail(error);
            }
        }
    }

    fn open(&self, path: &Path) -> Result<OwnedFd> {
        open_dir_beneath(self.parent, path).map_err(|errno| {
            let error = Error::os("open directory", path, errno);
            if errno == Errno::XDEV {
                return error.with_hint("a mount stands here: unmount it first");
            }
            error
        })
    }
}

fn open_for_listing(dir: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let open = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(dir, c".", flags, Mode::empty())
    };
    match open() {
        Err(Errno::ACCESS) => open_up(dir).and_then(|()| open()),
        result => result,
    }
}

/// Gives the owner all permissions. Through `/proc`, as the directory may not even be searchable.
fn open_up(dir: &OwnedFd) -> rustix::io::Result<()> {
    rustix::fs::chmod(sys::proc_path(dir.as_fd()), Mode::RWXU)
}
