//! The host's file system, seen from a root directory, walked link by link.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};

/// As many symbolic links as the kernel follows in one path.
const MAX_LINKS: usize = 40;

/// A root directory that programs are taken from, normally `/`.
#[derive(Debug, Clone)]
pub(super) struct Host {
    root: PathBuf,
}

/// One thing met on the way along a path: its path without links, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Dir(PathBuf),
    Link(PathBuf, PathBuf),
    File(PathBuf, u32),
}

impl Host {
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The path by which this process reaches `path` of the root.
    ///
    /// With a root other than `/`, links on the way are resolved in that root; a path that
    /// can't be resolved is returned joined, and fails when it is used.
    pub(super) fn real(&self, path: &Path) -> PathBuf {
        let resolved = match self.walk(path).ok().as_ref().and_then(|steps| steps.last()) {
            Some(Step::Dir(path) | Step::File(path, _)) => path.clone(),
            _ => path.to_path_buf(),
        };
        self.join(&resolved)
    }

    fn join(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Walks an absolute path as the kernel would, and lists everything that it passes: each
    /// directory and symbolic link, last of all what the path names.
    pub(super) fn walk(&self, path: &Path) -> Result<Vec<Step>> {
        let fail = |error: io::Error| Error::os("look up", path, error);
        let mut todo: VecDeque<OsString> = parts(path).collect();
        let mut at = PathBuf::from("/");
        let mut steps = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let here = at.join(&name);
            let stat = fs::symlink_metadata(self.join(&here)).map_err(fail)?;
            let mode = mode_for_root(&stat);
            if stat.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(fail(Errno::LOOP.into()));
                }
                let target = fs::read_link(self.join(&here)).map_err(fail)?;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for part in parts(&target).rev() {
                    todo.push_front(part);
                }
                steps.push(Step::Link(here, target));
            } else if stat.is_dir() {
                steps.push(Step::Dir(here.clone()));
                at = here;
            } else if !todo.is_empty() {
                return Err(fail(Errno::NOTDIR.into()));
            } else if stat.is_file() {
                steps.push(Step::File(here, mode));
            } else {
                let shown = path.to_string_lossy();
                let reason = "neither a file nor a directory";
                return Err(Error::new(ErrorKind::InvalidInput, "look up", shown, reason));
            }
        }
        Ok(steps)
    }

    /// The file that a path names, links resolved, if there is one.
    pub(super) fn file(&self, path: &Path) -> Option<PathBuf> {
        match self.walk(path).ok()?.pop()? {
            Step::File(path, _) => Some(path),
            _ => None,
        }
    }

    /// An executable file of this name in the first directory that has one.
    pub(super) fn lookup(&self, name: &str, path: &[PathBuf]) -> Option<PathBuf> {
        path.iter().filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|candidate| {
            let last = self.walk(candidate).ok().and_then(|mut steps| steps.pop());
            matches!(last, Some(Step::File(_, mode)) if mode & 0o111 != 0)
        })
    }

    /// Files of a directory whose names match a pattern with one `*` at most, sorted.
    pub(super) fn glob(&self, dir: &Path, pattern: &str) -> Vec<PathBuf> {
        let (start, end) = match pattern.split_once('*') {
            None => return vec![dir.join(pattern)],
            Some(ends) => ends,
        };
        let mut found: Vec<PathBuf> = fs::read_dir(self.real(dir))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
            })
            .map(|name| dir.join(name))
            .collect();
        found.sort();
        found
    }
}

/// The permission bits of a file that root:root will own: set-id bits only if they mean root now.
fn mode_for_root(stat: &Metadata) -> u32 {
    let kept = |bit, id| if id == 0 { bit } else { 0 };
    let set_id = kept(0o4000, stat.uid()) | kept(0o2000, stat.gid());
    stat.mode() & (0o1777 | set_id)
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    })
}
