//! Everything that can be known to be wrong with a stack before it is mounted.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, ResolveFlags, StatVfsMountFlags};

use super::{MAX_LAYERS, Stack};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::Metadata;
use crate::sys;

/// `OVERLAYFS_SUPER_MAGIC` of `statfs(2)`.
pub(super) const OVERLAYFS_MAGIC: rustix::fs::FsWord = 0x794c_7630;

/// What a directory is to the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Layer,
    Upper,
    Work,
}

impl Role {
    fn open_step(self) -> &'static str {
        match self {
            Self::Layer => "open layer",
            Self::Upper => "open upper directory",
            Self::Work => "open work directory",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Layer => "the layer",
            Self::Upper => "the upper directory",
            Self::Work => "the work directory",
        }
    }
}

/// An opened directory of a stack.
#[derive(Debug)]
pub(super) struct Place {
    /// Absolute and free of links.
    pub(super) path: PathBuf,
    pub(super) fd: OwnedFd,
    pub(super) metadata: Metadata,
}

/// The opened directories of a stack that passed all checks.
#[derive(Debug)]
pub(super) struct Places {
    /// Top to bottom, as the kernel wants them.
    pub(super) lower: Vec<Place>,
    /// Upper and work.
    pub(super) writable: Option<(Place, Place)>,
}

/// What the kernel is told: paths, or stand-ins for them. Layers top to bottom.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) lower: Vec<OsString>,
    pub(super) writable: Option<(OsString, OsString)>,
}

impl Places {
    /// Names each directory by its path.
    pub(super) fn names(&self) -> Names {
        self.names_by(|place| place.path.clone().into_os_string())
    }

    pub(super) fn names_by(&self, name: impl Fn(&Place) -> OsString) -> Names {
        Names {
            lower: self.lower.iter().map(&name).collect(),
            writable: self.writable.as_ref().map(|(upper, work)| (name(upper), name(work))),
        }
    }

    /// A read-only stack of a single layer: overlayfs wants two, or a writable one.
    pub(super) fn is_single(&self) -> bool {
        self.lower.len() == 1 && self.writable.is_none()
    }
}

impl Place {
    /// Opens the same directory again, in the mount namespace that the calling thread is in now.
    pub(super) fn reopened(&self) -> Result<Place> {
        let again = open(Role::Layer, &self.path)?;
        if !again.metadata.same_file(&self.metadata) {
            let reason = "another directory took its place meanwhile";
            return Err(Error::refused(ErrorKind::NotFound, "open layer", &self.path, reason));
        }
        Ok(again)
    }
}

pub(super) fn check(stack: &Stack) -> Result<Places> {
    let count = stack.layers.len();
    if count == 0 {
        return Err(Error::refused(ErrorKind::NoLayers, "stack layers", "", "there are none")
            .with_hint("give at least one directory"));
    }
    if count > MAX_LAYERS {
        let reason = format!("the kernel stacks at most {MAX_LAYERS}");
        return Err(Error::refused(
            ErrorKind::TooManyLayers,
            "stack layers",
            count.to_string(),
            reason,
        )
        .with_hint("merge some layers into one directory"));
    }
    let lower = stack.layers.iter().rev();
    let lower = lower.map(|path| open(Role::Layer, path)).collect::<Result<Vec<_>>>()?;
    let writable = match &stack.writable {
        Some(writable) => {
            let upper = open(Role::Upper, &writable.upper)?;
            let work = open(Role::Work, &writable.work)?;
            check_writable(&upper, &work)?;
            Some((upper, work))
        }
        None => None,
    };
    let places = Places { lower, writable };
    check_overlap(&places)?;
    Ok(places)
}

fn open(role: Role, path: &Path) -> Result<Place> {
    let step = role.open_step();
    sys::check_path(step, path.as_os_str())?;
    let failed = |errno| Error::os(step, path, errno);
    let opened = match open_plain(path) {
        Some(fd) => Ok((fd, Some(path.to_owned()))),
        None => rustix::fs::openat(CWD, path, sys::DIR_PATH, Mode::empty()).map(|fd| (fd, None)),
    };
    let (fd, plain) =
        opened.map_err(|errno| failed(errno).with_hint("give an existing directory"))?;
    let metadata = Metadata::of(fd.as_fd()).map_err(failed)?;
    let path = match plain {
        Some(path) => path,
        None => rustix::fs::readlink(sys::proc_path(fd.as_fd()), Vec::new())
            .map(|real| PathBuf::from(OsString::from_vec(real.into_bytes())))
            .map_err(|errno| failed(errno).with_hint("mount /proc"))?,
    };
    Ok(Place { path, fd, metadata })
}

/// Opens a path that is absolute and free of links and dots, as most are: then it need not be
/// asked for, which is most of the work with many layers.
fn open_plain(path: &Path) -> Option<OwnedFd> {
    let text = path.as_os_str().as_bytes();
    let mut names = text.strip_prefix(b"/")?.split(|byte| *byte == b'/');
    if names.any(|name| matches!(name, b"" | b"." | b"..")) {
        return None;
    }
    rustix::fs::openat2(CWD, path, sys::DIR_PATH, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()
}

fn check_writable(upper: &Place, work: &Place) -> Result<()> {
    if !upper.metadata.same_mount(&work.metadata) {
        let reason = format!("not on the same mount as the upper directory {:?}", upper.path);
        return Err(Error::refused(
            ErrorKind::CrossDevice,
            Role::Work.open_step(),
            &work.path,
            reason,
        )
        .with_hint("put both into one directory"));
    }
    let step = Role::Upper.open_step();
    let status = rustix::fs::fstatvfs(&upper.fd)
        .map_err(|errno| Error::os("fstatvfs", &upper.path, errno))?;
    if status.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let reason = "the file system is mounted read-only";
        return Err(Error::refused(ErrorKind::ReadOnly, step, &upper.path, reason));
    }
    let system =
        rustix::fs::fstatfs(&upper.fd).map_err(|errno| Error::os("fstatfs", &upper.path, errno))?;
    if system.f_type == OVERLAYFS_MAGIC {
        let reason = "it lies on an overlay, which can't hold the marks of another";
        let error = Error::refused(ErrorKind::Unsupported, step, &upper.path, reason);
        return Err(error.with_hint("put upper and work on ext4, xfs, btrfs or tmpfs"));
    }
    Ok(())
}

/// No directory may be another of the stack, or lie inside another.
///
/// Inside is judged by path, and only within one mount: a path that leads into another mount
/// leads to another tree. What bind mounts hide from this check the kernel finds (`ELOOP`).
fn check_overlap(places: &Places) -> Result<()> {
    let mut all: Vec<(&Place, Role)> =
        places.lower.iter().map(|place| (place, Role::Layer)).collect();
    if let Some((upper, work)) = &places.writable {
        all.extend([(upper, Role::Upper), (work, Role::Work)]);
    }
    let mut seen = HashMap::new();
    for (place, role) in &all {
        let id = (place.metadata.dev, place.metadata.ino);
        if let Some(first) = seen.insert(id, *role) {
            let reason = format!("it is {} as well", first.name());
            return Err(overlap(*role, &place.path, reason));
        }
    }
    // In this order, what lies inside a directory follows it directly.
    let mut all: Vec<(Vec<u8>, &Place, Role)> =
        all.into_iter().map(|(place, role)| (sort_key(&place.path), place, role)).collect();
    all.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
    let mut around: Vec<&(Vec<u8>, &Place, Role)> = Vec::new();
    for entry in &all {
        let (key, place, role) = entry;
        while around.last().is_some_and(|(outer, ..)| !key.starts_with(outer)) {
            around.pop();
        }
        let outer = around.iter().find(|(_, outer, _)| outer.metadata.same_mount(&place.metadata));
        if let Some((_, outer, outer_role)) = outer {
            let reason = format!("it lies inside {} {:?}", outer_role.name(), outer.path);
            return Err(overlap(*role, &place.path, reason));
        }
        around.push(entry);
    }
    Ok(())
}

/// The path with each name closed by a zero byte, which no name contains and which sorts first:
/// a directory's key is a prefix of the keys of all in it, and of no others.
fn sort_key(path: &Path) -> Vec<u8> {
    let mut key = path.as_os_str().as_bytes().to_vec();
    if key.last() != Some(&b'/') {
        key.push(b'/');
    }
    key.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = 0);
    key
}

fn overlap(role: Role, path: &Path, reason: String) -> Error {
    let object: &OsStr = path.as_os_str();
    Error::refused(ErrorKind::OverlappingLayers, role.open_step(), object, reason)
        .with_hint("give each layer, upper and work a directory apart")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_nest_as_directories_do() {
        let inside = |inner: &str, outer: &str| {
            sort_key(Path::new(inner)).starts_with(&sort_key(Path::new(outer)))
        };
        assert!(inside("/a/b", "/a") && inside("/a", "/") && inside("/a", "/a"));
        assert!(!inside("/a-b", "/a") && !inside("/a", "/a/b") && !inside("/b", "/a"));
        let mut paths = ["/a-b", "/a/c", "/a", "/a/b/c", "/a\u{1}"].map(Path::new);
        paths.sort_by_key(|path| sort_key(path));
        assert_eq!(paths, ["/a", "/a/b/c", "/a/c", "/a\u{1}", "/a-b"].map(Path::new));
    }
}
