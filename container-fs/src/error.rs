//! The crate's one error type.
//!
//! An [`Error`] says which step failed, on which object, why, and (where one is known) the way
//! out. Code matches on [`Error::kind`]; people read the `Display` form:
//!
//! ```
//! use container_fs::{ErrorKind, Root};
//!
//! let error = Root::open("/no/such/directory").unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::NotFound);
//! assert_eq!(error.raw_os_error(), Some(2));
//! assert!(error.to_string().starts_with("open root \"/no/such/directory\": No such file"));
//! ```

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::io;

use rustix::io::Errno;

/// The result of the fallible functions of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a value to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file, directory or layer does not exist.
    NotFound,
    /// The name to be created is already taken.
    AlreadyExists,
    /// A directory was needed and something else stands there.
    NotADirectory,
    /// A directory stands where something else was needed.
    IsADirectory,
    /// A directory to be removed still has entries.
    DirectoryNotEmpty,
    /// A capability or a permission is missing.
    PermissionDenied,
    /// This kernel, or this file system, lacks what the step needs.
    Unsupported,
    /// A path is empty, holds a NUL, or names nothing that the operation could act on.
    InvalidPath,
    /// A path, or the list of layers, is longer than the kernel's interface takes.
    TooLong,
    /// The name is one that whiteouts reserve (`.wh.`), or hides more than one entry.
    ReservedName,
    /// A symbolic link stands where following one is refused, or links form a loop.
    Symlink,
    /// A stack needs at least one layer.
    NoLayers,
    /// More layers than the kernel's limit ([`MAX_LAYERS`](crate::stack::MAX_LAYERS)).
    TooManyLayers,
    /// Two directories of a stack are the same, or one lies inside the other.
    OverlappingLayers,
    /// Two directories that must share a mount, or a file system, do not; or a walk met a mount
    /// that it must not cross.
    CrossDevice,
    /// The object is in use.
    Busy,
    /// The file system is full or a quota is used up.
    NoSpace,
    /// The file system is mounted read-only.
    ReadOnly,
    /// A removal went on past failures; [`Error::failures`] has each of them.
    Incomplete,
    /// The system call failed for another reason; see [`Error::raw_os_error`].
    Os,
}

impl ErrorKind {
    fn of(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::EXIST => Self::AlreadyExists,
            Errno::NOTDIR => Self::NotADirectory,
            Errno::ISDIR => Self::IsADirectory,
            Errno::NOTEMPTY => Self::DirectoryNotEmpty,
            Errno::PERM | Errno::ACCESS => Self::PermissionDenied,
            Errno::NOSYS | Errno::OPNOTSUPP | Errno::NODEV => Self::Unsupported,
            Errno::NAMETOOLONG => Self::TooLong,
            Errno::LOOP => Self::Symlink,
            Errno::XDEV => Self::CrossDevice,
            Errno::BUSY => Self::Busy,
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace,
            Errno::ROFS => Self::ReadOnly,
            _ => Self::Os,
        }
    }
}

/// An error of this crate: kind, failing step, object, cause and way out.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug, thiserror::Error)]
struct Inner {
    kind: ErrorKind,
    step: &'static str,
    object: String,
    reason: Option<Cow<'static, str>>,
    source: Option<io::Error>,
    hint: Option<Cow<'static, str>>,
    failures: Vec<Error>,
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.step, self.object)?;
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        self.failures.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

impl Error {
    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The error number of the failing system call, where there was one; see `errno(3)`.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.source.as_ref().and_then(io::Error::raw_os_error)
    }

    /// The failing step: a system call with its command, or a check.
    #[must_use]
    pub fn step(&self) -> &str {
        self.0.step
    }

    /// The single failures of an operation that went on past them
    /// ([`ErrorKind::Incomplete`]); else empty.
    #[must_use]
    pub fn failures(&self) -> &[Error] {
        &self.0.failures
    }

    fn new(kind: ErrorKind, step: &'static str, object: String) -> Self {
        Self(Box::new(Inner {
            kind,
            step,
            object,
            reason: None,
            source: None,
            hint: None,
            failures: Vec::new(),
        }))
    }

    /// A failed system call on a path or name.
    pub(crate) fn os(step: &'static str, object: impl AsRef<OsStr>, errno: Errno) -> Self {
        let mut error = Self::new(ErrorKind::of(errno), step, format!("{:?}", object.as_ref()));
        error.0.source = Some(errno.into());
        error
    }

    /// Bad input, found by a check before any system call.
    pub(crate) fn refused(
        kind: ErrorKind,
        step: &'static str,
        object: impl AsRef<OsStr>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut error = Self::new(kind, step, format!("{:?}", object.as_ref()));
        error.0.reason = Some(reason.into());
        error
    }

    /// What an operation that goes on past failures returns in the end.
    pub(crate) fn incomplete(
        step: &'static str,
        object: impl AsRef<OsStr>,
        failures: Vec<Self>,
    ) -> Self {
        let mut error = Self::new(ErrorKind::Incomplete, step, format!("{:?}", object.as_ref()));
        error.0.reason = Some(format!("{} failed", failures.len()).into());
        error.0.failures = failures;
        error
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn display_names_step_object_cause_and_way_out() {
        let error = Error::os("fsconfig lowerdir+", "/a/b", Errno::NOENT)
            .with_hint("give an existing directory");
        assert_eq!(
            error.to_string(),
            "fsconfig lowerdir+ \"/a/b\": No such file or directory (os error 2); \
             give an existing directory"
        );
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.raw_os_error(), Some(2));
        let source = error.source().expect("has a source");
        assert!(source.downcast_ref::<io::Error>().is_some());
    }

    #[test]
    fn errors_are_small_and_cross_threads() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
