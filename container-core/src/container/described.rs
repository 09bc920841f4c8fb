//! What a builder has from a spec, or for one.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sys::stat::{fstat, stat};
use oci_spec::runtime::LinuxSeccomp;

use super::builder::{ContainerBuilder, HostName, Seccomp};
use crate::error::{Error, ErrorKind, Result};
use crate::hooks::{Hook, HookPoint, Hooks};
use crate::intel_rdt::IntelRdt;
use crate::mount::Rootfs;
use crate::namespace::NamespaceKind;
use crate::process::ProcessBuilder;
use crate::seccomp::{Filter, Program};

impl ContainerBuilder {
    /// A container with this root and nothing else: no namespace, mount or
    /// capability is decided on.
    pub(crate) fn bare(rootfs: Rootfs) -> Self {
        Self {
            process: ProcessBuilder::new("").rootfs(rootfs),
            id: None,
            hostname: HostName::Inherited,
            seccomp: Seccomp::None,
            resources: None,
            parent: None,
            intel_rdt: None,
            hooks: Hooks::new(),
            cgroups_path: None,
            annotations: BTreeMap::new(),
            namespace_paths: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// What a spec asked for and does not get, in words, where the runtime
    /// specification wants a warning and no failure: a capability that the
    /// kernel does not know, for example. Empty unless made
    /// [of a spec](Self::from_spec).
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    pub(crate) fn with_namespace_paths(mut self, paths: Vec<(NamespaceKind, PathBuf)>) -> Self {
        self.namespace_paths = paths;
        self
    }

    /// The path of a namespace that is joined, if it is known and still that
    /// namespace's.
    pub(crate) fn namespace_path(&self, kind: NamespaceKind, namespace: &OwnedFd) -> Option<&Path> {
        let (_, path) = self.namespace_paths.iter().find(|(other, _)| *other == kind)?;
        let (named, held) = (stat(path).ok()?, fstat(namespace).ok()?);
        let same = (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino);
        same.then_some(path)
    }

    pub(crate) fn noting(mut self, ignored: Vec<String>) -> Self {
        self.ignored.extend(ignored);
        self
    }

    /// Its class of service, which goes with it unless it has a name.
    pub fn intel_rdt(mut self, rdt: IntelRdt) -> Self {
        self.intel_rdt = Some(rdt);
        self
    }

    /// A program to run at a moment of its life. Hooks are run for
    /// [stored containers](crate::runtime); [`create`](Self::create) refuses
    /// them, as such a container has no state that they could be given.
    pub fn hook(mut self, point: HookPoint, hook: Hook) -> Self {
        self.hooks = self.hooks.with(point, hook);
        self
    }

    /// A filter in place of the default one; it is compiled at once, and a
    /// [spec](Self::to_spec) can have it in words.
    ///
    /// # Errors
    ///
    /// Those of [`Filter::compile`].
    pub fn seccomp_filter(mut self, filter: Filter) -> Result<Self> {
        let program = filter.compile()?;
        self.seccomp = Seccomp::Filter(Box::new(filter), program);
        Ok(self)
    }

    /// Adds an annotation: a word about the container for other programs,
    /// without an effect on it.
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// The annotations.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    pub(crate) fn with_filter(mut self, filter: Filter, program: Program) -> Self {
        self.seccomp = Seccomp::Filter(Box::new(filter), program);
        self
    }

    /// The filter as a spec has it.
    pub(crate) fn seccomp_in_words(&self) -> Result<Option<LinuxSeccomp>> {
        let listener = self.process.description.seccomp_listener.as_ref();
        match &self.seccomp {
            Seccomp::None => Ok(None),
            Seccomp::Default => Filter::container_default().to_oci(listener).map(Some),
            Seccomp::Filter(filter, _) => filter.to_oci(listener).map(Some),
            Seccomp::Program(_) => Err(Error::with(
                ErrorKind::Unsupported,
                "check spec",
                "linux.seccomp",
                "a spec can't say a compiled program",
            )
            .hint("give it by ContainerBuilder::seccomp_filter")),
        }
    }

    /// The process with all that can be said without starting it: as
    /// [`plan`](Self::plan) has it, but without a host name that would be made
    /// up.
    pub(crate) fn for_spec(&self) -> Result<ProcessBuilder> {
        let id = self.chosen_id()?;
        let mut process = self.finished(&id)?;
        if self.id.is_none() && matches!(self.hostname, HostName::Id) {
            process.description.hostname = None;
        }
        Ok(process)
    }

    pub(crate) fn process_mut(&mut self) -> &mut ProcessBuilder {
        &mut self.process
    }
}
