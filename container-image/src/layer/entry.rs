//! What a layer is made of: nodes, their metadata, and the paths they may have.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use container_fs::whiteout::{self, Mark, OPAQUE_NAME, PREFIX};

use super::time::Timestamp;
use crate::error::{Error, ErrorKind, Result};

/// Starts the names of AUFS's own files, which have no meaning today.
const AUFS_PREFIX: &[u8] = b".wh..wh.";
/// The longest path that is taken, in bytes: `PATH_MAX` without its NUL.
pub(crate) const MAX_PATH: usize = 4095;
/// The longest name of one path component, in bytes (`NAME_MAX`).
pub(crate) const MAX_NAME: usize = 255;
/// The greatest user or group id that is taken: greater ones wrap around in programs that keep
/// ids as `int`.
pub(crate) const MAX_ID: u32 = i32::MAX as u32;

/// Extended attributes by full name, such as `security.capability`.
pub type Xattrs = BTreeMap<OsString, Vec<u8>>;

/// Everything about a file but its name and content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Permission bits with set-id and sticky bits, `0o7777` at most.
    pub mode: u32,
    /// Owning user, as seen inside the container.
    pub uid: u32,
    /// Owning group, as seen inside the container.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Metadata {
    /// The given mode, owned by 0:0, last changed at the epoch, no extended attributes.
    #[must_use]
    pub const fn new(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: Timestamp::EPOCH, xattrs: Xattrs::new() }
    }

    /// Sets the owner.
    #[must_use]
    pub const fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.uid = uid;
        self.gid = gid;
        self
    }

    /// Sets the time of last modification.
    #[must_use]
    pub fn mtime(mut self, mtime: impl Into<Timestamp>) -> Self {
        self.mtime = mtime.into();
        self
    }

    /// Adds an extended attribute.
    #[must_use]
    pub fn xattr(mut self, name: impl Into<OsString>, value: impl Into<Vec<u8>>) -> Self {
        self.xattrs.insert(name.into(), value.into());
        self
    }

    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        let refuse = |reason| {
            Err(Error::new(
                ErrorKind::InvalidInput,
                "check metadata",
                path.to_string_lossy(),
                reason,
            ))
        };
        if self.mode > 0o7777 {
            return refuse("the mode has bits beyond 0o7777");
        }
        if self.uid > MAX_ID || self.gid > MAX_ID {
            return refuse("a user or group id beyond 2147483647");
        }
        let bad_name = |name: &OsStr| {
            name.is_empty() || name.as_bytes().iter().any(|b| matches!(b, 0 | b'=' | b'\n'))
        };
        if self.xattrs.keys().any(|name| bad_name(name)) {
            return refuse(
                "the name of an extended attribute is empty or has a NUL, '=' or newline",
            );
        }
        Ok(())
    }
}

/// The path of a layer's entry: relative, normal, and safe to resolve below a root.
///
/// Leading slashes and `.` parts mean nothing in a layer and are dropped. The empty path is
/// the root directory.
///
/// # Errors
/// [`ErrorKind::InvalidPath`] for `..`, a NUL, a component of over 255 or a path of over 4,095
/// bytes.
pub(crate) fn entry_path(raw: &[u8]) -> Result<PathBuf> {
    let refuse = |reason| {
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(200)]).into_owned();
        Err(Error::new(ErrorKind::InvalidPath, "check entry path", shown, reason))
    };
    if raw.len() > MAX_PATH {
        return refuse("longer than 4095 bytes");
    }
    if raw.contains(&0) {
        return refuse("a NUL in the path");
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(raw)).components() {
        match component {
            Component::Normal(name) if name.len() > MAX_NAME => {
                return refuse("a name of more than 255 bytes");
            }
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return refuse("'..' in an entry's path");
            }
        }
    }
    Ok(path)
}

/// What an entry's name means in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// A file like any other.
    Plain(PathBuf),
    /// `.wh.NAME`: hides `NAME` in the layers below.
    Whiteout(PathBuf),
    /// `.wh..wh..opq`: hides all that the layers below have in this directory.
    Opaque(PathBuf),
    /// `.wh..wh.…`: bookkeeping of AUFS, without meaning today.
    Aufs,
}

impl Name {
    /// Classifies a path that came from [`entry_path`].
    pub(crate) fn of(path: PathBuf) -> Result<Self> {
        let Some(last) = path.file_name() else {
            return Ok(Self::Plain(path));
        };
        if last != OPAQUE_NAME && last.as_bytes().starts_with(AUFS_PREFIX) {
            return Ok(Self::Aufs);
        }
        let mut above = path.iter().rev().skip(1).map(OsStr::as_bytes);
        if let Some(reserved) = above.find(|name| name.starts_with(PREFIX.as_bytes())) {
            if reserved.starts_with(AUFS_PREFIX) {
                return Ok(Self::Aufs);
            }
            let shown = path.to_string_lossy();
            let reason = "a parent has a name that is reserved for whiteouts";
            return Err(Error::new(ErrorKind::InvalidPath, "check entry path", shown, reason));
        }
        match whiteout::from_oci_name(last) {
            Ok(None) => Ok(Self::Plain(path)),
            Ok(Some(Mark::Whiteout(hidden))) => Ok(Self::Whiteout(path.with_file_name(hidden))),
            Ok(Some(Mark::Opaque)) => {
                Ok(Self::Opaque(path.parent().map(Path::to_path_buf).unwrap_or_default()))
            }
            Err(error) => Err(Error::fs("check entry path", &path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_made_relative_and_normal() {
        for (raw, want) in [
            ("a/b", "a/b"),
            ("/a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("a/./b", "a/b"),
            ("./", ""),
            ("/", ""),
            (".", ""),
            ("", ""),
            ("a/...", "a/..."),
            ("//etc", "etc"),
        ] {
            assert_eq!(entry_path(raw.as_bytes()).unwrap(), Path::new(want), "{raw}");
        }
        let long = "x".repeat(256);
        let deep = "x/".repeat(2100);
        for raw in ["..", "../a", "a/../b", "a/..", "/..", "a\0b", &long, &deep] {
            assert_eq!(entry_path(raw.as_bytes()).unwrap_err().kind(), ErrorKind::InvalidPath);
        }
    }

    #[test]
    fn names_are_classified() {
        let of = |path: &str| Name::of(PathBuf::from(path));
        assert_eq!(of("a/b").unwrap(), Name::Plain("a/b".into()));
        assert_eq!(of("").unwrap(), Name::Plain("".into()));
        assert_eq!(of("a/.wh.b").unwrap(), Name::Whiteout("a/b".into()));
        assert_eq!(of(".wh.b").unwrap(), Name::Whiteout("b".into()));
        assert_eq!(of("a/.wh..wh..opq").unwrap(), Name::Opaque("a".into()));
        assert_eq!(of(".wh..wh..opq").unwrap(), Name::Opaque("".into()));
        assert_eq!(of("a/.wh..wh.plnk").unwrap(), Name::Aufs);
        for bad in [".wh.", "a/.wh..", "a/.wh..."] {
            assert_eq!(of(bad).unwrap_err().kind(), ErrorKind::InvalidPath, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn accepted_paths_stay_below_the_root(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(path) = entry_path(&raw) {
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
                prop_assert!(Name::of(path).is_ok() || raw.windows(4).any(|w| w == b".wh."));
            }
        }
    }
}
