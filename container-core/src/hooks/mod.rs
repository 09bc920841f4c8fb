//! Hooks: programs of the caller's that run at fixed moments of a container's life.
//!
//! Whoever makes containers for others often has to do one more thing at the right moment: attach
//! a network once the namespaces exist, register a device before the root is locked in, tell
//! another service that the program runs, clean up when it is gone. The runtime specification
//! names six such moments ([`HookPoint`]) and says where the program runs and what its failure
//! means:
//!
//! | moment | when | runs in | a failure |
//! |---|---|---|---|
//! | [`Prestart`](HookPoint::Prestart) (deprecated) | namespaces and mounts exist, before the pivot | the caller's namespaces | undoes the creation |
//! | [`CreateRuntime`](HookPoint::CreateRuntime) | right after | the caller's namespaces | undoes the creation |
//! | [`CreateContainer`](HookPoint::CreateContainer) | right after | the container's namespaces; its path is one of the caller's | undoes the creation |
//! | [`StartContainer`](HookPoint::StartContainer) | at the start, before the program | inside the container | stops and removes the container |
//! | [`Poststart`](HookPoint::Poststart) | after the program was executed | the caller's namespaces | stops and removes the container |
//! | [`Poststop`](HookPoint::Poststop) | after all has been removed | the caller's namespaces | is a warning |
//!
//! Each hook gets the container's state as JSON on standard input; in the container's namespaces
//! the process has the number there that it has inside. It is made like any other
//! process here, by the tiny init: none of the host program's code runs in it.
//!
//! ```
//! use std::time::Duration;
//! use container_core::hooks::{Hook, HookPoint, Hooks};
//!
//! let network = Hook::new("/usr/local/bin/attach")
//!     .args(["attach", "--bridge", "br0"])
//!     .env("LANG=C")
//!     .timeout(Duration::from_secs(5));
//! let hooks = Hooks::new().with(HookPoint::CreateRuntime, network);
//! assert_eq!(hooks.at(HookPoint::CreateRuntime).len(), 1);
//! hooks.check()?;
//!
//! // Hooks are run without a shell's help, so there is no search path.
//! assert!(Hooks::new().with(HookPoint::Poststop, Hook::new("cleanup")).check().is_err());
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! See the specification on [hooks] and on the [lifecycle].
//!
//! [hooks]: https://github.com/opencontainers/runtime-spec/blob/main/config.md#posix-platform-hooks
//! [lifecycle]: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#lifecycle

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime as oci;

use crate::error::{Error, Result};

mod run;

pub(crate) use run::{run_all, run_past_failures};

/// A moment of a container's life at which hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HookPoint {
    /// During the creation, before the pivot, in the caller's namespaces; deprecated by the
    /// specification in favour of the three that follow.
    Prestart,
    /// During the creation, before the pivot, in the caller's namespaces.
    CreateRuntime,
    /// During the creation, before the pivot, in the container's namespaces.
    CreateContainer,
    /// At the start, before the program, inside the container.
    StartContainer,
    /// After the program was executed, in the caller's namespaces.
    Poststart,
    /// After the container was removed, in the caller's namespaces.
    Poststop,
}

impl HookPoint {
    /// Every moment, in the order of a container's life.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The name in `config.json`, such as `createRuntime`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A program to run at one of the moments.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a hook runs only when it is given to a container"]
pub struct Hook {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<OsString>,
    timeout: Option<Duration>,
}

impl Hook {
    /// The program at this absolute path. Without [`args`](Self::args) its only argument is its
    /// own path; its environment is empty; it may take as long as it likes.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), args: Vec::new(), env: Vec::new(), timeout: None }
    }

    /// The arguments, the first being the name that the program sees as its own (`argv[0]`), as
    /// in execve(2).
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable, `NAME=value`. The hook sees these and no others.
    pub fn env(mut self, variable: impl Into<OsString>) -> Self {
        self.env.push(variable.into());
        self
    }

    /// After this time it is killed with all of its process group, and has failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The hook as the specification writes it.
    ///
    /// # Errors
    ///
    /// Those of [`Hooks::check`]: a relative path, a variable without a name, a timeout that is
    /// not positive.
    pub fn from_oci(hook: &oci::Hook) -> Result<Self> {
        let mut own = Self::new(hook.path());
        own = own.args(hook.args().iter().flatten());
        own = hook.env().iter().flatten().fold(own, |own, variable| own.env(variable));
        if let Some(seconds) = hook.timeout() {
            let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
            let seconds = seconds.ok_or_else(|| {
                let object = format!("timeout of {}", own.path.display());
                Error::invalid("check hook", object, "must be greater than zero")
            })?;
            own = own.timeout(Duration::from_secs(seconds));
        }
        own.check()?;
        Ok(own)
    }

    /// The hook in the form of the specification, which counts whole seconds: a fraction is
    /// rounded up.
    #[must_use]
    pub fn to_oci(&self) -> oci::Hook {
        let words = |words: &[OsString]| {
            let words = words.iter().map(|word| word.to_string_lossy().into_owned());
            let words: Vec<String> = words.collect();
            if words.is_empty() { None } else { Some(words) }
        };
        let mut hook = oci::Hook::default();
        hook.set_path(self.path.clone());
        hook.set_args(words(&self.args));
        hook.set_env(words(&self.env));
        hook.set_timeout(self.timeout.map(|timeout| {
            let more = u64::from(timeout.subsec_nanos() > 0);
            i64::try_from(timeout.as_secs().saturating_add(more)).unwrap_or(i64::MAX)
        }));
        hook
    }

    /// The program.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn check(&self) -> Result<()> {
        let shown = || self.path.to_string_lossy().into_owned();
        if !self.path.is_absolute() {
            return Err(Error::invalid("check hook", shown(), "a hook's path must be absolute"));
        }
        let words = self.args.iter().chain(&self.env).map(OsString::as_os_str);
        if words.chain([self.path.as_os_str()]).any(|word| word.as_bytes().contains(&0)) {
            return Err(Error::invalid("check hook", shown(), "it has a NUL in it"));
        }
        match self.env.iter().find(|variable| split(variable).is_none()) {
            Some(variable) => {
                let variable = variable.to_string_lossy();
                Err(Error::invalid("check hook environment", variable, "not NAME=value"))
            }
            None => Ok(()),
        }
    }
}

/// Name and value of a variable.
fn split(variable: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = variable.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some((OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..])))
}

/// The hooks of one container, in order at each moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "hooks run only when they are given to a container"]
pub struct Hooks {
    hooks: Vec<(HookPoint, Hook)>,
}

impl Hooks {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one behind those of the same moment.
    pub fn with(mut self, point: HookPoint, hook: Hook) -> Self {
        self.hooks.push((point, hook));
        self
    }

    /// Those of one moment, in the order in which they run.
    #[must_use]
    pub fn at(&self, point: HookPoint) -> Vec<&Hook> {
        self.hooks.iter().filter(|(at, _)| *at == point).map(|(_, hook)| hook).collect()
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Whether any runs while the container is created: these need the stop before the pivot.
    #[must_use]
    pub fn run_at_creation(&self) -> bool {
        self.hooks.iter().any(|(point, _)| *point <= HookPoint::CreateContainer)
    }

    /// The hooks of a specification.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the moment and what is wrong.
    pub fn from_oci(hooks: &oci::Hooks) -> Result<Self> {
        #[allow(deprecated)]
        let prestart = hooks.prestart();
        let all = [
            (HookPoint::Prestart, prestart),
            (HookPoint::CreateRuntime, hooks.create_runtime()),
            (HookPoint::CreateContainer, hooks.create_container()),
            (HookPoint::StartContainer, hooks.start_container()),
            (HookPoint::Poststart, hooks.poststart()),
            (HookPoint::Poststop, hooks.poststop()),
        ];
        let mut own = Self::new();
        for (point, hooks) in all {
            for hook in hooks.iter().flatten() {
                let hook = Hook::from_oci(hook)
                    .map_err(|error| error.hint(format!("it is one of hooks.{point}")))?;
                own = own.with(point, hook);
            }
        }
        Ok(own)
    }

    /// The hooks in the form of the specification; `None` if there is none.
    #[must_use]
    pub fn to_oci(&self) -> Option<oci::Hooks> {
        if self.is_empty() {
            return None;
        }
        let at = |point| {
            let hooks: Vec<_> = self.at(point).into_iter().map(Hook::to_oci).collect();
            if hooks.is_empty() { None } else { Some(hooks) }
        };
        let mut hooks = oci::Hooks::default();
        #[allow(deprecated)]
        hooks.set_prestart(at(HookPoint::Prestart));
        hooks.set_create_runtime(at(HookPoint::CreateRuntime));
        hooks.set_create_container(at(HookPoint::CreateContainer));
        hooks.set_start_container(at(HookPoint::StartContainer));
        hooks.set_poststart(at(HookPoint::Poststart));
        hooks.set_poststop(at(HookPoint::Poststop));
        Some(hooks)
    }

    /// Refuses what can't run.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a relative path, a NUL, a variable
    /// that is not `NAME=value`.
    pub fn check(&self) -> Result<()> {
        self.hooks.iter().try_for_each(|(_, hook)| hook.check())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn hooks_come_back_from_their_oci_form() {
        let hook =
            Hook::new("/bin/a").args(["a", "b"]).env("X=1=2").timeout(Duration::from_secs(3));
        let mut hooks = Hooks::new();
        for point in HookPoint::ALL {
            hooks = hooks.with(point, hook.clone());
        }
        let oci = hooks.to_oci().unwrap();
        assert_eq!(Hooks::from_oci(&oci).unwrap(), hooks);
        let json = serde_json::to_value(&oci).unwrap();
        for point in HookPoint::ALL {
            assert_eq!(json[point.name()][0]["path"], "/bin/a", "{point}");
        }
        assert_eq!(Hooks::new().to_oci(), None);
    }

    #[test]
    fn what_cannot_run_is_refused_with_its_field() {
        for text in [
            r#"{"prestart": [{"path": "relative"}]}"#,
            r#"{"poststop": [{"path": "/a", "timeout": 0}]}"#,
            r#"{"poststop": [{"path": "/a", "timeout": -1}]}"#,
            r#"{"createRuntime": [{"path": "/a", "env": ["novalue"]}]}"#,
            r#"{"createRuntime": [{"path": "/a", "env": ["=x"]}]}"#,
            "{\"createRuntime\": [{\"path\": \"/a\", \"args\": [\"a\\u0000b\"]}]}",
        ] {
            let oci: oci::Hooks = serde_json::from_str(text).unwrap();
            let error = Hooks::from_oci(&oci).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(error.to_string().contains("hooks."), "{error}");
        }
    }

    #[test]
    fn a_fraction_of_a_second_is_rounded_up() {
        let hook = Hook::new("/a").timeout(Duration::from_millis(1));
        assert_eq!(hook.to_oci().timeout(), Some(1));
    }
}
