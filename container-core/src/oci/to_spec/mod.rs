//! From a builder to a spec.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Display;
use std::path::PathBuf;

use oci_spec::runtime::{
    Linux, LinuxIntelRdt, LinuxNamespace, LinuxNamespaceType, LinuxTimeOffset, Spec,
};

use super::SPEC_VERSION;
use super::field::unsupported;
use crate::cgroup::Resources;
use crate::container::ContainerBuilder;
use crate::error::{Error, Result};
use crate::idmap::IdMappings;
use crate::intel_rdt::IntelRdt;
use crate::mount::Mount;
use crate::namespace::{Namespace, NamespaceKind, TimeOffset};
use crate::process::Description;

mod devices;
mod mounts;
mod process;
mod scheduling;

impl ContainerBuilder {
    /// The spec that says the same, so that
    /// [`from_spec`](Self::from_spec) of it makes the same plan. Paths are
    /// absolute; a user named by name is looked up in the root.
    ///
    /// Standard streams are no part of a spec, and neither is the id; a host
    /// name that defaults to the id is in it if the id is given.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming what a spec can't
    /// say: namespaces, mounts and other things that are held by descriptor, a
    /// compiled seccomp program, strings that are not UTF-8; those of making a
    /// [`plan`](Self::plan) of it.
    pub fn to_spec(&self) -> Result<Spec> {
        let finished = self.for_spec()?;
        let description = &finished.description;
        let user = crate::plan::resolve_user(description)?;
        let mut spec = Spec::default();
        let Some(rootfs) = &description.rootfs else {
            return Err(unsayable("root", "a container without a root of its own"));
        };
        let mappings = mappings(description)?;
        let tty = crate::plan::maps_tty_group(&description.namespaces, mappings.as_ref());
        let mounts = description.mounts.iter();
        let mounts = mounts.map(|mount| mounts::mount(mount, tty)).collect::<Result<Vec<_>>>()?;
        let name = |field, name: &Option<std::ffi::OsString>| {
            name.as_ref().map(|name| text(field, name)).transpose()
        };
        let annotations: HashMap<_, _> = self.annotations().clone().into_iter().collect();
        spec.set_version(SPEC_VERSION.into())
            .set_root(Some(mounts::root(rootfs)?))
            .set_mounts((!mounts.is_empty()).then_some(mounts))
            .set_process(Some(process::process(description, user.as_ref())?))
            .set_hostname(name("hostname", &description.hostname)?)
            .set_domainname(name("domainname", &description.domainname)?)
            .set_annotations((!annotations.is_empty()).then_some(annotations))
            .set_hooks(self.hooks.to_oci())
            .set_linux(Some(self.described_linux(description, mappings.as_ref())?));
        Ok(spec)
    }

    fn described_linux(
        &self,
        description: &Description,
        mappings: Option<&IdMappings>,
    ) -> Result<Linux> {
        let mut linux = Linux::default();
        let lists = |field: &str, list: &[PathBuf]| -> Result<Option<Vec<String>>> {
            let list = list.iter().map(|path| text(field, path.as_os_str()));
            list.collect::<Result<Vec<_>>>().map(|list| (!list.is_empty()).then_some(list))
        };
        linux
            .set_namespaces(Some(self.described_namespaces(description)?))
            .set_time_offsets(time_offsets(description))
            .set_uid_mappings(mappings.map(|m| mounts::extents(&m.uids)).transpose()?)
            .set_gid_mappings(mappings.map(|m| mounts::extents(&m.gids)).transpose()?)
            .set_masked_paths(lists("linux.maskedPaths", &description.masked)?)
            .set_readonly_paths(lists("linux.readonlyPaths", &description.read_only)?)
            .set_rootfs_propagation(description.rootfs.as_ref().and_then(mounts::root_propagation))
            .set_devices(devices::devices(description)?)
            .set_net_devices(devices::net_devices(description))
            .set_sysctl(devices::sysctls(description)?)
            .set_mount_label(
                description
                    .mount_label
                    .as_ref()
                    .map(|l| text("linux.mountLabel", l))
                    .transpose()?,
            )
            .set_memory_policy(
                description.memory_policy.as_ref().map(scheduling::memory_policy).transpose()?,
            )
            .set_personality(description.personality.map(scheduling::personality).transpose()?)
            .set_cgroups_path(self.cgroups_path.clone())
            .set_intel_rdt(self.intel_rdt.as_ref().map(intel_rdt))
            .set_seccomp(self.seccomp_in_words()?)
            .set_resources(self.wanted_resources().map(Resources::to_oci).transpose()?);
        Ok(linux)
    }

    fn described_namespaces(&self, description: &Description) -> Result<Vec<LinuxNamespace>> {
        let mut list = Vec::new();
        for (kind, namespace) in description.namespaces.iter() {
            match namespace {
                Namespace::Inherit => {}
                Namespace::New => {
                    let mut described = LinuxNamespace::default();
                    described.set_typ(typ(kind));
                    list.push(described);
                }
                Namespace::Join(namespace) => {
                    let Some(path) = self.namespace_path(kind, namespace) else {
                        let field = format!("linux.namespaces: {kind}");
                        return Err(unsayable(&field, "a namespace that is held by descriptor"));
                    };
                    let mut described = LinuxNamespace::default();
                    described.set_typ(typ(kind)).set_path(Some(path.to_owned()));
                    list.push(described);
                }
            }
        }
        Ok(list)
    }
}

fn intel_rdt(rdt: &IntelRdt) -> LinuxIntelRdt {
    let mut described = LinuxIntelRdt::default();
    let schemata = rdt.get_schemata().to_vec();
    described
        .set_clos_id(rdt.get_class().map(str::to_owned))
        .set_schemata((!schemata.is_empty()).then_some(schemata))
        .set_enable_monitoring(rdt.has_monitoring().then_some(true));
    described
}

/// The id mappings that a plan would have.
fn mappings(description: &Description) -> Result<Option<IdMappings>> {
    match &description.mappings {
        Some(mappings) => Ok(Some(mappings.clone())),
        None if description.namespaces.is_new(NamespaceKind::User) => {
            crate::process::best_mappings().map(Some)
        }
        None => Ok(None),
    }
}

/// The type in a spec of a namespace's kind.
fn typ(kind: NamespaceKind) -> LinuxNamespaceType {
    match kind {
        NamespaceKind::Mount => LinuxNamespaceType::Mount,
        NamespaceKind::Cgroup => LinuxNamespaceType::Cgroup,
        NamespaceKind::Uts => LinuxNamespaceType::Uts,
        NamespaceKind::Ipc => LinuxNamespaceType::Ipc,
        NamespaceKind::User => LinuxNamespaceType::User,
        NamespaceKind::Pid => LinuxNamespaceType::Pid,
        NamespaceKind::Net => LinuxNamespaceType::Network,
        NamespaceKind::Time => LinuxNamespaceType::Time,
    }
}

fn time_offsets(description: &Description) -> Option<HashMap<String, LinuxTimeOffset>> {
    let offsets = description.namespaces.time_offsets();
    let clock = |name: &str, offset: TimeOffset| {
        let mut described = LinuxTimeOffset::default();
        described.set_secs(Some(offset.seconds())).set_nanosecs(Some(offset.nanos()));
        (name.to_owned(), described)
    };
    (!offsets.is_zero()).then(|| {
        HashMap::from([clock("monotonic", offsets.monotonic), clock("boottime", offsets.boottime)])
    })
}

/// What a spec has no word for.
fn unsayable(field: impl Display, what: impl Display) -> Error {
    unsupported(field, format!("a spec can't say {what}"))
}

/// JSON has no other strings.
fn text(field: &str, text: impl AsRef<OsStr>) -> Result<String> {
    let text = text.as_ref();
    text.to_str()
        .map(str::to_owned)
        .ok_or_else(|| unsayable(field, format!("{}, which is not UTF-8", text.to_string_lossy())))
}

/// What a builder of the spec's types has made.
fn built<T, E: Display>(field: &str, built: Result<T, E>) -> Result<T> {
    built.map_err(|error| unsayable(field, error))
}

fn describe(mount: &Mount) -> String {
    format!("mounts: {}", mount.target.display())
}
