//! The crate's error: which step failed, on what, why, and what to do about it.
//!
//! One opaque [`Error`] for every operation. Match on [`Error::kind`]; show the error itself to a
//! person. It reads `STEP "OBJECT": CAUSE; HINT`, for instance
//! `RTM_NEWLINK bridge "web0": File exists (os error 17); choose another network name`.
//!
//! ```
//! use container_net::{ErrorKind, Subnet};
//!
//! let error = "10.88.0.7/24".parse::<Subnet>().unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::InvalidInput);
//! assert!(error.to_string().contains("10.88.0.0/24"));
//! ```

use std::borrow::Cow;
use std::fmt;
use std::io;

use rustix::io::Errno;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for a program to decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value was refused before anything was touched.
    InvalidInput,
    /// A namespace, link, network or file that was named does not exist.
    NotFound,
    /// A link or network of that name exists and is not ours to replace.
    AlreadyExists,
    /// A privilege is missing; the hint says which.
    PermissionDenied,
    /// The running kernel does not have a facility; the object names it.
    KernelLacks,
    /// A host port is already taken by another socket or endpoint.
    PortInUse,
    /// The subnet overlaps a route or a network of the host.
    SubnetInUse,
    /// The address is outside the subnet, reserved, or leased already.
    AddressInUse,
    /// No address is left in the subnet.
    AddressesExhausted,
    /// The network that the handle belongs to was removed.
    Removed,
    /// A tear-down went on past failures; [`Error::failures`] has all of them.
    Teardown,
    /// Any other failure of a system call or of a netlink request.
    Os,
}

/// A failed operation. See the [module documentation](self).
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    step: Cow<'static, str>,
    object: Option<String>,
    cause: Option<io::Error>,
    kernel_text: Option<String>,
    hint: Option<Cow<'static, str>>,
    failures: Vec<Error>,
}

impl Error {
    /// What went wrong, as a value to match on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The kernel's error number, when the cause is one. See `errno(3)`.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.cause.as_ref().and_then(io::Error::raw_os_error)
    }

    /// The failing call or netlink request, for instance `RTM_NEWLINK veth`.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.0.step
    }

    /// The way out, when the crate knows one.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The failures of a tear-down that went on past them; empty for every other kind.
    #[must_use]
    pub fn failures(&self) -> &[Error] {
        &self.0.failures
    }

    fn build(kind: ErrorKind, step: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            step: step.into(),
            object: None,
            cause: None,
            kernel_text: None,
            hint: None,
            failures: Vec::new(),
        }))
    }

    /// A refusal by the crate itself: no system call failed.
    pub(crate) fn refused(
        kind: ErrorKind,
        step: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::build(kind, step).on(object).with_hint(hint)
    }

    /// A failed system call on `object`.
    pub(crate) fn os(
        step: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        cause: impl Into<io::Error>,
    ) -> Self {
        let cause = cause.into();
        let kind = cause.raw_os_error().map_or(ErrorKind::Os, kind_of);
        let mut error = Self::build(kind, step).on(object);
        error.0.cause = Some(cause);
        error
    }

    /// Joins the failures of a tear-down. `Ok` when there are none.
    pub(crate) fn all(step: &'static str, object: &str, failures: Vec<Error>) -> Result<()> {
        if failures.is_empty() {
            return Ok(());
        }
        let mut error = Self::build(ErrorKind::Teardown, step).on(object);
        error.0.failures = failures;
        Err(error)
    }

    fn on(mut self, object: impl Into<String>) -> Self {
        self.0.object = Some(object.into());
        self
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_kernel_text(mut self, text: Option<String>) -> Self {
        self.0.kernel_text = text;
        self
    }
}

/// The kind that an error number stands for where the step gives it no better meaning.
fn kind_of(errno: i32) -> ErrorKind {
    match Errno::from_raw_os_error(errno) {
        Errno::PERM | Errno::ACCESS => ErrorKind::PermissionDenied,
        Errno::NOENT | Errno::NODEV | Errno::SRCH => ErrorKind::NotFound,
        Errno::EXIST => ErrorKind::AlreadyExists,
        _ => ErrorKind::Os,
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.to_string())
            .finish()
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step)?;
        if let Some(object) = &self.object {
            write!(f, " {object:?}")?;
        }
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        if let Some(text) = &self.kernel_text {
            write!(f, ": the kernel says {text:?}")?;
        }
        for (n, failure) in self.failures.iter().enumerate() {
            write!(f, "{}{failure}", if n == 0 { ": " } else { "; and " })?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Inner {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match (&self.cause, self.failures.first()) {
            (Some(cause), _) => Some(cause),
            (None, Some(first)) => Some(first),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn an_error_reads_step_object_cause_hint() {
        let error = Error::os("open", "/run/netns/a", Errno::NOENT).with_hint("create it first");
        assert_eq!(
            error.to_string(),
            "open \"/run/netns/a\": No such file or directory (os error 2); create it first"
        );
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.raw_os_error(), Some(2));
        assert!(error.source().is_some());
    }

    #[test]
    fn a_teardown_returns_all_failures() {
        let failures =
            vec![Error::os("RTM_DELLINK", "a", Errno::BUSY), Error::os("unlink", "b", Errno::ROFS)];
        let error = Error::all("remove network", "n", failures).unwrap_err();
        assert_eq!(error.failures().len(), 2);
        assert!(error.to_string().contains("RTM_DELLINK \"a\""));
        assert!(error.to_string().contains("and unlink \"b\""));
        assert!(Error::all("remove network", "n", Vec::new()).is_ok());
    }

    #[test]
    fn errors_are_small_and_send() {
        fn is_send_sync<T: Send + Sync + 'static>() {}
        is_send_sync::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
