//! One error type for the crate: which step failed, on what, why, and the way out.
//!
//! An image is bytes that somebody else made. "Invalid data" does not help when
//! one of 40,000 entries of one of twelve layers is refused, so every [`Error`]
//! says the **step** (a system call or a check), the **object** (a path, a
//! digest, a library), the **cause**, and the **way out** where one is known.
//!
//! ```
//! use container_image::{Digest, ErrorKind};
//!
//! let error = "sha256:../../etc/passwd".parse::<Digest>().unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::InvalidDigest);
//! assert!(error.to_string().contains("64 lowercase hex"));
//! ```

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;

/// What sort of failure an [`Error`] is, for code that decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is wrong; nothing was touched.
    InvalidInput,
    /// A string is not a digest.
    InvalidDigest,
    /// A string is not an image name.
    InvalidReference,
    /// A path in a layer is unusable: empty, with `..`, with a NUL, too long, or it would
    /// replace the root.
    InvalidPath,
    /// Bytes are not what their format says: a damaged tar, JSON, gzip or ELF file.
    Malformed,
    /// A document or blob is not of the media type under which it was announced.
    MediaType,
    /// Content hashes to another digest than its name says.
    DigestMismatch,
    /// Content is longer or shorter than its descriptor says.
    SizeMismatch,
    /// A limit of the caller's [`Budget`](crate::layer::Budget) or of the crate was met.
    BudgetExceeded,
    /// A shared library that a program needs is nowhere on the host.
    MissingLibrary,
    /// A named path, image, blob or program does not exist.
    NotFound,
    /// Two things claim the same place.
    AlreadyExists,
    /// The kernel refused for lack of a privilege.
    PermissionDenied,
    /// The kernel, the file system or this version of the crate lacks the facility.
    Unsupported,
    /// The disk or a quota is full.
    NoSpace,
    /// Any other failing system call; see [`Error::raw_os_error`].
    Os,
}

/// A failure of this crate: step, object, cause and way out.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    step: Cow<'static, str>,
    object: String,
    cause: Cause,
    hint: Option<Cow<'static, str>>,
}

#[derive(Debug)]
enum Cause {
    Reason(Cow<'static, str>),
    Os(io::Error),
    Error(Box<dyn StdError + Send + Sync + 'static>, Option<i32>),
}

impl Error {
    /// A failure found by a check, with its reason in words.
    pub(crate) fn new(
        kind: ErrorKind,
        step: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::build(kind, step.into(), object.into(), Cause::Reason(reason.into()))
    }

    /// A failing system call; the kind follows from the errno. An error of this crate that
    /// travelled through a `Read` or `Write` comes out again unchanged.
    pub(crate) fn os(
        step: impl Into<Cow<'static, str>>,
        object: impl AsRef<Path>,
        error: impl Into<io::Error>,
    ) -> Self {
        match error.into().downcast::<Self>() {
            Ok(own) => own,
            Err(error) => {
                let kind = kind_of(&error);
                let object = object.as_ref().to_string_lossy().into_owned();
                Self::build(kind, step.into(), object, Cause::Os(error))
            }
        }
    }

    /// A failure that another library explained.
    pub(crate) fn caused(
        kind: ErrorKind,
        step: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        error: impl StdError + Send + Sync + 'static,
    ) -> Self {
        let cause = Cause::Error(Box::new(error), None);
        Self::build(kind, step.into(), object.into(), cause)
    }

    /// A failure of `container-fs` on this path of the image.
    pub(crate) fn fs(
        step: impl Into<Cow<'static, str>>,
        object: impl AsRef<Path>,
        error: container_fs::Error,
    ) -> Self {
        use container_fs::ErrorKind as Fs;
        let kind = match error.kind() {
            Fs::NotFound => ErrorKind::NotFound,
            Fs::AlreadyExists | Fs::NotADirectory | Fs::IsADirectory | Fs::DirectoryNotEmpty => {
                ErrorKind::AlreadyExists
            }
            Fs::PermissionDenied | Fs::ReadOnly => ErrorKind::PermissionDenied,
            Fs::Unsupported => ErrorKind::Unsupported,
            Fs::InvalidPath | Fs::TooLong | Fs::ReservedName | Fs::Symlink => {
                ErrorKind::InvalidPath
            }
            Fs::NoSpace => ErrorKind::NoSpace,
            _ => ErrorKind::Os,
        };
        let errno = error.raw_os_error();
        let object = object.as_ref().to_string_lossy().into_owned();
        let cause = Cause::Error(Box::new(error), errno);
        Self::build(kind, step.into(), object, cause)
    }

    fn build(kind: ErrorKind, step: Cow<'static, str>, object: String, cause: Cause) -> Self {
        Self(Box::new(Inner { kind, step, object, cause, hint: None }))
    }

    /// Adds the way out.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The step that failed: a system call or a check, such as `verify diff-id`.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.0.step
    }

    /// What the step was applied to: a path, a digest, a name.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.0.object
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn way_out(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The errno of the failing system call, if one failed.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.0.cause {
            Cause::Os(error) => error.raw_os_error(),
            Cause::Error(_, errno) => *errno,
            Cause::Reason(_) => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &format_args!("{}", self.0))
            .finish()
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step)?;
        if !self.object.is_empty() {
            write!(f, " {:?}", self.object)?;
        }
        match &self.cause {
            Cause::Reason(reason) => write!(f, ": {reason}")?,
            Cause::Os(error) => write!(f, ": {error}")?,
            Cause::Error(error, _) => write!(f, ": {error}")?,
        }
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl StdError for Inner {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Cause::Reason(_) => None,
            Cause::Os(error) => Some(error),
            Cause::Error(error, _) => Some(error.as_ref()),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::InvalidInput
            | ErrorKind::InvalidDigest
            | ErrorKind::InvalidReference
            | ErrorKind::InvalidPath => io::ErrorKind::InvalidInput,
            ErrorKind::Malformed
            | ErrorKind::MediaType
            | ErrorKind::DigestMismatch
            | ErrorKind::SizeMismatch => io::ErrorKind::InvalidData,
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::NoSpace => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    let Some(errno) = Errno::from_io_error(error) else {
        return match error.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof => ErrorKind::Malformed,
            _ => ErrorKind::Os,
        };
    };
    match errno {
        Errno::NOENT => ErrorKind::NotFound,
        Errno::EXIST | Errno::NOTEMPTY => ErrorKind::AlreadyExists,
        Errno::PERM | Errno::ACCESS | Errno::ROFS => ErrorKind::PermissionDenied,
        Errno::NOSYS | Errno::OPNOTSUPP => ErrorKind::Unsupported,
        Errno::NOSPC | Errno::DQUOT => ErrorKind::NoSpace,
        Errno::NAMETOOLONG => ErrorKind::InvalidPath,
        _ => ErrorKind::Os,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_has_step_object_cause_and_way_out() {
        let error = Error::os("mknod", "/x/y", Errno::PERM).hint("run as root");
        assert_eq!(
            error.to_string(),
            "mknod \"/x/y\": Operation not permitted (os error 1); run as root"
        );
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.raw_os_error(), Some(1));
        assert!(StdError::source(&error).is_some());
    }

    #[test]
    fn own_errors_pass_through_io_unchanged() {
        let own = Error::new(ErrorKind::BudgetExceeded, "inflate", "x", "too much");
        let through = Error::os("read", "y", io::Error::from(own));
        assert_eq!(through.kind(), ErrorKind::BudgetExceeded);
        assert_eq!(through.step(), "inflate");
    }

    #[test]
    fn error_is_small_and_thread_safe() {
        fn is<T: Send + Sync + 'static>() {}
        is::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
