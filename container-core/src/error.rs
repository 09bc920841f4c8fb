//! One error type for the crate: which step failed, on what, why, and the way out.
//!
//! A container is made of dozens of system calls on objects that the caller
//! never named: "Permission denied" alone helps nobody. Every [`Error`] says
//! the **step** (a system call or a check), the **object** (a path, a name, a
//! value), the **cause** (an errno or a reason in words) and, where one is
//! known, the **way out**.
//!
//! ```
//! use container_core::{Error, ErrorKind};
//!
//! let error: Error = container_core::ProcessBuilder::new("")
//!     .spawn()
//!     .unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::InvalidInput);
//! assert!(error.to_string().contains("program"));
//! ```

use std::borrow::Cow;
use std::fmt;
use std::io;

/// What sort of failure an [`Error`] is, for code that decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The description itself is wrong; nothing was touched.
    InvalidInput,
    /// A path, user, program, process or cgroup that was named does not exist.
    NotFound,
    /// The object exists already.
    AlreadyExists,
    /// The kernel refused for lack of a privilege.
    PermissionDenied,
    /// The kernel or the machine lacks the facility.
    Unsupported,
    /// The object is in use.
    Busy,
    /// The operation does not fit the state that the object is in.
    WrongState,
    /// A limit of the kernel or of the machine was met.
    LimitReached,
    /// The time given for the operation has passed.
    TimedOut,
    /// A stored description is not whole, or is none of this library's.
    Damaged,
    /// A hook failed.
    Hook,
    /// A program that part of the work was given to failed, such as criu.
    Program,
    /// Any other failing system call; see [`Error::raw_os_error`].
    Os,
    /// The tiny init ended or answered in a way that it never should.
    Init,
}

/// A failure of this crate: step, object, cause and way out.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

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
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Bad input, found before anything was touched.
    pub(crate) fn invalid(
        step: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::with(ErrorKind::InvalidInput, step, object, reason)
    }

    /// A failure of the given kind with its reason in words.
    pub(crate) fn with(
        kind: ErrorKind,
        step: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            step: step.into(),
            object: object.into(),
            cause: Cause::Reason(reason.into()),
            hint: None,
        }))
    }

    /// A failing system call; the kind follows from the errno.
    pub(crate) fn os(
        step: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        error: impl Into<io::Error>,
    ) -> Self {
        let error = error.into();
        Self(Box::new(Inner {
            kind: kind_of(&error),
            step: step.into(),
            object: object.into(),
            cause: Cause::Os(error),
            hint: None,
        }))
    }

    /// Adds the way out.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names the field of a description that the failure belongs to, before
    /// the object.
    #[must_use]
    pub(crate) fn in_field(mut self, field: impl fmt::Display) -> Self {
        self.0.object = match self.0.object.is_empty() {
            true => field.to_string(),
            false => format!("{field}: {}", self.0.object),
        };
        self
    }

    /// Names the larger step that the failing one is a part of.
    #[must_use]
    pub(crate) fn within(mut self, step: &str, object: &str) -> Self {
        self.0.step = format!("{step} {object:?}: {}", self.0.step).into();
        self
    }

    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The step that failed: a system call or a check, such as `move_mount`.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.0.step
    }

    /// What the step was applied to: a path, a name or a value.
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
        }
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Inner {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Os(error) => Some(error),
            Cause::Reason(_) => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => ErrorKind::NotFound,
        Some(libc::EEXIST) => ErrorKind::AlreadyExists,
        Some(libc::EPERM | libc::EACCES) => ErrorKind::PermissionDenied,
        Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::ENODEV) => ErrorKind::Unsupported,
        Some(libc::EBUSY) => ErrorKind::Busy,
        Some(libc::EAGAIN | libc::EMFILE | libc::ENFILE | libc::ENOSPC | libc::EUSERS) => {
            ErrorKind::LimitReached
        }
        Some(libc::ETIMEDOUT) => ErrorKind::TimedOut,
        _ => ErrorKind::Os,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn message_has_step_object_cause_and_way_out() {
        let error =
            Error::os("move_mount", "/etc/hosts", io::Error::from_raw_os_error(libc::EPERM))
                .hint("run as root");
        assert_eq!(
            error.to_string(),
            "move_mount \"/etc/hosts\": Operation not permitted (os error 1); run as root"
        );
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        assert_eq!(error.way_out(), Some("run as root"));
    }

    #[test]
    fn source_is_the_failed_call() {
        let error = Error::os("x", "", io::Error::from_raw_os_error(libc::EBUSY));
        assert!(error.source().is_some());
    }

    #[test]
    fn error_is_small_and_thread_safe() {
        fn is<T: Send + Sync + 'static>() {}
        is::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
