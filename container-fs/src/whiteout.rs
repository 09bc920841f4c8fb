//! Whiteouts: how a layer says that something below it is gone.
//!
//! A union shows several layers as one tree. A layer can add and replace, but to *delete* a file
//! of a layer below it needs a mark. There are two written forms of the same two marks:
//!
//! | meaning | in an image layer (OCI, from AUFS) | in an overlay directory |
//! |---|---|---|
//! | `name` is deleted | an empty file `.wh.name` | a character device 0:0 called `name` |
//! | nothing below this directory shows | an empty file `.wh..wh..opq` in it | the attribute `trusted.overlay.opaque` or `user.overlay.opaque` = `y` on it |
//!
//! [`Mark`] is the meaning; the pure functions translate between it and the written forms, and
//! the others make and detect marks in an open directory. Names that would let a layer hide a
//! directory itself (`.wh..`, `.wh...`), and AUFS's own book-keeping (`.wh..wh.*`), are refused.
//!
//! ```
//! use container_fs::whiteout::{Mark, from_oci_name, to_oci_name};
//!
//! assert_eq!(from_oci_name("passwd".as_ref())?, None);
//! let mark = from_oci_name(".wh.passwd".as_ref())?.unwrap();
//! assert_eq!(mark, Mark::Whiteout("passwd".into()));
//! assert_eq!(to_oci_name(&mark)?, ".wh.passwd");
//! assert_eq!(from_oci_name(".wh..wh..opq".as_ref())?, Some(Mark::Opaque));
//! assert!(from_oci_name(".wh...".as_ref()).is_err()); // would delete the parent directory
//! # Ok::<(), container_fs::Error>(())
//! ```
//!
//! See the image specification's [layer chapter] and the kernel's `overlayfs.rst`.
//!
//! [layer chapter]: https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{FileType, Metadata};
use crate::sys;

/// Starts the name of every whiteout of an image layer.
pub const PREFIX: &str = ".wh.";

/// The name that makes its directory opaque in an image layer.
pub const OPAQUE_NAME: &str = ".wh..wh..opq";

/// A mark in a layer, whatever its written form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The entry of this name, in the layers below, is deleted.
    Whiteout(OsString),
    /// Of the directory that holds the mark, nothing in the layers below shows.
    Opaque,
}

/// Whose extended attributes an overlay keeps its marks in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum XattrNamespace {
    /// `trusted.overlay.*`: only for `CAP_SYS_ADMIN` in the machine's first user namespace.
    Trusted,
    /// `user.overlay.*`, with the mount option `userxattr` (Linux 5.11): for everybody else.
    User,
}

impl XattrNamespace {
    /// What the calling thread can use: [`Trusted`](Self::Trusted) with `CAP_SYS_ADMIN` in the
    /// machine's first user namespace, else [`User`](Self::User).
    #[must_use]
    pub fn detect() -> Self {
        if sys::has_capability(CapabilitySet::SYS_ADMIN) && sys::in_initial_user_namespace() {
            Self::Trusted
        } else {
            Self::User
        }
    }

    /// What the names of overlay's attributes start with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.",
            Self::User => "user.overlay.",
        }
    }

    /// The attribute that makes a directory opaque.
    #[must_use]
    pub fn opaque_key(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }
}

/// Reads a name of an image layer: a mark, or `None` for an ordinary name. The name is the last
/// component of a path.
///
/// # Errors
///
/// [`ErrorKind::ReservedName`] for what starts with `.wh.` and is neither a whiteout of an
/// ordinary name nor the opaque mark; [`ErrorKind::InvalidPath`] for what is no name at all.
pub fn from_oci_name(name: &OsStr) -> Result<Option<Mark>> {
    sys::check_name("read whiteout", name)?;
    let Some(hidden) = name.as_bytes().strip_prefix(PREFIX.as_bytes()) else {
        return Ok(None);
    };
    if name == OPAQUE_NAME {
        return Ok(Some(Mark::Opaque));
    }
    let hidden = OsStr::from_bytes(hidden);
    check_hideable(hidden).map(|()| Some(Mark::Whiteout(hidden.to_owned())))
}

/// Writes a mark as the name of an image layer's entry. The inverse of [`from_oci_name`].
///
/// # Errors
///
/// [`ErrorKind::ReservedName`] and [`ErrorKind::InvalidPath`] for a whiteout of what can't be
/// deleted on its own.
pub fn to_oci_name(mark: &Mark) -> Result<OsString> {
    let Mark::Whiteout(hidden) = mark else {
        return Ok(OPAQUE_NAME.into());
    };
    check_hideable(hidden)?;
    let mut name = OsString::from(PREFIX);
    name.push(hidden);
    Ok(name)
}

/// Refuses an ordinary name that would be read as a mark in an image layer. To be asked of each
/// name that goes into one.
///
/// # Errors
///
/// [`ErrorKind::ReservedName`].
pub fn check_ordinary_name(name: &OsStr) -> Result<()> {
    if name.as_bytes().starts_with(PREFIX.as_bytes()) {
        let reason = "the prefix .wh. stands for whiteouts in image layers";
        return Err(Error::refused(ErrorKind::ReservedName, "check name", name, reason));
    }
    Ok(())
}

fn check_hideable(hidden: &OsStr) -> Result<()> {
    let reason = match hidden.as_bytes() {
        b"" => "the whiteout names nothing",
        b"." | b".." => "the whiteout names a directory itself, not an entry in it",
        bytes if bytes.starts_with(PREFIX.as_bytes()) => "the name is reserved for AUFS",
        _ => return sys::check_name("whiteout", hidden),
    };
    Err(Error::refused(ErrorKind::ReservedName, "whiteout", hidden, reason))
}

/// Is an entry of this type and device number a whiteout in an overlay directory?
#[must_use]
pub fn is_overlay_whiteout(file_type: FileType, rdev: (u32, u32)) -> bool {
    file_type == FileType::CharDevice && rdev == (0, 0)
}

/// Does this value of [`XattrNamespace::opaque_key`] make a directory opaque? (`x`, which
/// announces whiteouts in attributes, does not.)
#[must_use]
pub fn is_overlay_opaque(value: &[u8]) -> bool {
    value == b"y"
}

/// Reads the mark that an entry of an overlay directory is: the pure core of [`is_whiteout`].
/// An ordinary entry gives `None`.
///
/// # Errors
///
/// [`ErrorKind::ReservedName`] for an entry whose name has no place in an image layer.
pub fn from_overlay_entry(
    name: &OsStr,
    file_type: FileType,
    rdev: (u32, u32),
) -> Result<Option<Mark>> {
    sys::check_name("read whiteout", name)?;
    check_ordinary_name(name)?;
    Ok(is_overlay_whiteout(file_type, rdev).then(|| Mark::Whiteout(name.to_owned())))
}

/// Makes the overlay form of a whiteout for `name` in the open directory `dir`. Needs no
/// privilege since Linux 5.8.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] where an entry of that name stands (remove it first);
/// [`ErrorKind::PermissionDenied`], before 5.8 without `CAP_MKNOD`; [`ErrorKind::ReservedName`].
pub fn create_whiteout(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    let name = name.as_ref();
    sys::check_name("create whiteout", name)?;
    check_ordinary_name(name)?;
    rustix::fs::mknodat(dir, name, rustix::fs::FileType::CharacterDevice, Mode::empty(), 0).map_err(
        |errno| {
            let error = Error::os("mknodat 0:0", name, errno);
            if errno == Errno::PERM {
                return error
                    .with_hint("run as root, or on Linux 5.8 or newer; not on an overlay itself");
            }
            error
        },
    )
}

/// Is the entry `name` of the open directory `dir` an overlay whiteout?
///
/// # Errors
///
/// [`ErrorKind::NotFound`].
pub fn is_whiteout(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<bool> {
    let name = name.as_ref();
    sys::check_name("detect whiteout", name)?;
    let metadata =
        Metadata::at(dir.as_fd(), name).map_err(|errno| Error::os("statx", name, errno))?;
    Ok(is_overlay_whiteout(metadata.file_type, metadata.rdev))
}

/// Makes the open directory `dir` opaque in the overlay form.
///
/// # Errors
///
/// [`ErrorKind::PermissionDenied`] for [`XattrNamespace::Trusted`] without the privilege;
/// [`ErrorKind::Unsupported`] where the file system has no such attributes (tmpfs has `user.*`
/// since Linux 6.6).
pub fn set_opaque(dir: impl AsFd, xattrs: XattrNamespace) -> Result<()> {
    let step = "setxattr";
    let key = xattrs.opaque_key();
    let dir = reopen(dir).map_err(|errno| Error::os(step, key, errno))?;
    rustix::fs::fsetxattr(&dir, key, b"y", XattrFlags::empty()).map_err(|errno| {
        let error = Error::os(step, key, errno);
        match errno {
            Errno::PERM => error.with_hint("use the user namespace's own form, user.overlay.*"),
            Errno::OPNOTSUPP => {
                error.with_hint("use a file system with extended attributes, as ext4 or xfs")
            }
            _ => error,
        }
    })
}

/// Is the open directory `dir` opaque in the overlay form?
///
/// # Errors
///
/// [`ErrorKind::PermissionDenied`] where the directory can't be read, and for
/// [`XattrNamespace::Trusted`] without the privilege: the kernel would answer "no such
/// attribute", and what is hidden would show.
pub fn is_opaque(dir: impl AsFd, xattrs: XattrNamespace) -> Result<bool> {
    check_readable(xattrs)?;
    let key = xattrs.opaque_key();
    sys::get_xattr(dir.as_fd(), OsStr::new(key))
        .map(|value| value.is_some_and(|value| is_overlay_opaque(&value)))
        .map_err(|errno| Error::os("getxattr", key, errno))
}

/// Refuses to look for `trusted.*` attributes without the privilege to see them.
pub(crate) fn check_readable(xattrs: XattrNamespace) -> Result<()> {
    if xattrs == XattrNamespace::Trusted && XattrNamespace::detect() == XattrNamespace::User {
        let error = Error::os("getxattr", xattrs.opaque_key(), Errno::PERM);
        let hint = "run with CAP_SYS_ADMIN in the machine's first user namespace";
        return Err(error.with_hint(hint));
    }
    Ok(())
}

/// Attributes can't be set through an `O_PATH` descriptor.
fn reopen(dir: impl AsFd) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, c".", flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt as _;

    #[test]
    fn reserved_names_are_refused() {
        for bad in [".wh.", ".wh..", ".wh...", ".wh..wh.plnk", ".wh..wh.", ".wh..wh.x"] {
            let error = from_oci_name(OsStr::new(bad)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ReservedName, "{bad}");
        }
        for bad in ["", ".", "..", "a/b", ".wh.a/b", ".wh.a\0"] {
            let error = from_oci_name(OsStr::new(bad)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{bad:?}");
        }
        for bad in ["", ".", "..", ".wh.x", "a/b"] {
            assert!(to_oci_name(&Mark::Whiteout(bad.into())).is_err(), "{bad:?}");
        }
        assert_eq!(from_oci_name(OsStr::new(".whx")).unwrap(), None);
        assert_eq!(from_oci_name(OsStr::new("x.wh.y")).unwrap(), None);
    }

    #[test]
    fn only_0_0_is_a_whiteout_and_only_y_is_opaque() {
        assert!(is_overlay_whiteout(FileType::CharDevice, (0, 0)));
        assert!(!is_overlay_whiteout(FileType::CharDevice, (1, 3)));
        assert!(!is_overlay_whiteout(FileType::BlockDevice, (0, 0)));
        assert!(is_overlay_opaque(b"y"));
        assert!(!is_overlay_opaque(b"x") && !is_overlay_opaque(b"") && !is_overlay_opaque(b"yy"));
    }

    /// Names with what makes trouble more often than chance would.
    fn any_name() -> impl Strategy<Value = OsString> {
        let part = prop_oneof![
            Just(b".wh.".to_vec()),
            Just(b".".to_vec()),
            Just(b".opq".to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(part, 0..4).prop_map(|parts| OsString::from_vec(parts.concat()))
    }

    proptest! {
        #[test]
        fn oci_to_mark_and_back(name in any_name()) {
            match from_oci_name(&name) {
                Ok(Some(mark)) => prop_assert_eq!(to_oci_name(&mark).unwrap(), name),
                Ok(None) => prop_assert!(check_ordinary_name(&name).is_ok()),
                Err(error) => prop_assert!(matches!(
                    error.kind(),
                    ErrorKind::ReservedName | ErrorKind::InvalidPath
                )),
            }
        }

        #[test]
        fn mark_to_oci_and_back(name in any_name()) {
            let mark = Mark::Whiteout(name.clone());
            match to_oci_name(&mark) {
                Ok(written) => prop_assert_eq!(from_oci_name(&written).unwrap(), Some(mark)),
                // What has no written form is also no name that a layer could hold.
                Err(_) => prop_assert!(
                    check_ordinary_name(&name).is_err() || sys::check_name("", &name).is_err()
                ),
            }
        }

        #[test]
        fn overlay_to_oci_and_back(name in any_name()) {
            let entry = from_overlay_entry(&name, FileType::CharDevice, (0, 0));
            if let Ok(Some(mark)) = entry {
                let written = to_oci_name(&mark).unwrap();
                prop_assert_eq!(from_oci_name(&written).unwrap(), Some(Mark::Whiteout(name)));
            } else {
                prop_assert!(to_oci_name(&Mark::Whiteout(name)).is_err());
            }
        }
    }
}
