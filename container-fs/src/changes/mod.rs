//! Change sets: what was added, modified and deleted.
//!
//! The upper directory of a [stack](crate::stack) holds exactly what a container changed, in
//! overlay's own form: whole files, [whiteouts](crate::whiteout) for deletions, opaque marks for
//! directories that were deleted and made anew. [`of_upper`] reads it against the layers below
//! and says what it means, name by name. [`between`] compares two plain trees, so that it needs
//! no overlay; of the same change, both make the same list.
//!
//! ```
//! use container_fs::Root;
//! use container_fs::changes::{ChangeKind, between};
//!
//! let dir = tempfile::tempdir()?;
//! std::fs::create_dir_all(dir.path().join("old/etc"))?;
//! std::fs::create_dir_all(dir.path().join("new/etc"))?;
//! std::fs::write(dir.path().join("old/etc/motd"), "hello")?;
//! std::fs::write(dir.path().join("new/etc/hosts"), "::1 localhost")?;
//!
//! let old = Root::open(dir.path().join("old"))?;
//! let new = Root::open(dir.path().join("new"))?;
//! let changes = between(&old, &new)?;
//! let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
//! assert_eq!(lines, ["A /etc/hosts", "D /etc/motd"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What counts
//!
//! - A deleted directory is one change; what was in it goes with it. An added one is a change,
//!   and so is each entry in it.
//! - A file replaced by a directory, or the reverse, is modified; the entries of the new
//!   directory are added.
//! - A directory is modified when its mode, owner, group or extended attributes are others. That
//!   its entries, and so its time, changed is told by the entries. The root itself is left out.
//! - Anything else is modified when its content, target, device number, mode, owner, group, time
//!   of last change or extended attributes are others; in an upper directory, when it is there
//!   at all, since overlay copies a file up only to change it.
//! - Overlay's own attributes and the SELinux label are not looked at.
//!
//! Nothing is followed: links are entries, and everything is opened below the given descriptors.

mod compare;
mod lower;
mod plain;
mod upper;

use std::fmt;
use std::os::fd::AsFd;
use std::path::PathBuf;

use crate::error::Result;
use crate::metadata::FileType;
use crate::safe_path::Root;
use crate::stack::Stack;
use crate::whiteout::{XattrNamespace, check_readable};

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It is there still, and differs.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change. Sorted by path, so that a directory comes before its entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Change {
    /// The path in the tree, relative to its root.
    pub path: PathBuf,
    /// What happened.
    pub kind: ChangeKind,
    /// The type of the entry as it is now; of a deleted one, as it was.
    pub file_type: FileType,
}

impl fmt::Display for Change {
    /// As `docker diff` prints it, but for the letter `M`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'M',
            ChangeKind::Deleted => 'D',
        };
        write!(f, "{letter} /{}", self.path.display())
    }
}

/// The changes that an upper directory makes to the layers below it, given **bottom to top** as
/// to [`Stack::new`]. `xattrs` is where the overlay kept its marks.
///
/// The result is exact for an upper directory that nobody writes to meanwhile.
///
/// # Errors
///
/// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) for a directory that can't be read,
/// and for `trusted.*` attributes without the privilege;
/// [`Unsupported`](crate::ErrorKind::Unsupported) for an upper directory that was mounted with
/// `redirect_dir` or `metacopy`, and does not hold the whole change.
pub fn of_upper<F: AsFd>(
    upper: impl AsFd,
    layers: &[F],
    xattrs: XattrNamespace,
) -> Result<Vec<Change>> {
    check_readable(xattrs)?;
    let roots = layers.iter().rev().map(AsFd::as_fd).collect();
    let lower = lower::Lower::new(roots, xattrs);
    let mut changes = upper::walk(upper.as_fd(), &lower, xattrs)?;
    changes.sort();
    Ok(changes)
}

/// The changes from one plain tree to another. Files that agree in all but content are read
/// and compared, however alike their times. Whiteouts have no meaning here.
///
/// # Errors
///
/// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) for what can't be read;
/// [`CrossDevice`](crate::ErrorKind::CrossDevice) for a mount inside one of the trees.
pub fn between(old: impl AsFd, new: impl AsFd) -> Result<Vec<Change>> {
    let mut changes = plain::walk(old.as_fd(), new.as_fd())?;
    changes.sort();
    Ok(changes)
}

impl Stack {
    /// What the upper directory changes, by [`changes::of_upper`](of_upper()); none for a
    /// read-only stack. The stack need not be mounted.
    ///
    /// # Errors
    ///
    /// As [`of_upper`]; moreover [`NotFound`](crate::ErrorKind::NotFound) for a layer.
    pub fn changes(&self) -> Result<Vec<Change>> {
        let Some(upper) = self.upper() else {
            return Ok(Vec::new());
        };
        let layers = self.layers().iter().map(Root::open).collect::<Result<Vec<_>>>()?;
        of_upper(&Root::open(upper)?, &layers, self.xattrs())
    }
}
