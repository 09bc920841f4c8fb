//! From a spec to a container: the order in which its parts are read.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxBuilder, LinuxIntelRdt, Spec};

use super::field::{clean, inside, invalid, no_nul, unsupported};
use super::{devices, hooks, mounts, namespaces, process, scheduling, version};
use crate::cgroup::{DeviceRule, Placement, Resources};
use crate::container::ContainerBuilder;
use crate::error::{Error, Result};
use crate::intel_rdt::IntelRdt;
use crate::namespace::{Namespace, NamespaceKind, Namespaces};
use crate::process::ProcessBuilder;
use crate::seccomp::{Filter, SeccompListener};

/// The kernel's bound on a host or domain name (`__NEW_UTS_LEN`).
const MAX_HOST_NAME: usize = 64;

impl ContainerBuilder {
    /// The container that a spec describes: what it says, and nothing that it
    /// does not say. None of this library's safe defaults apply.
    ///
    /// Relative paths of the spec start from `bundle`. Nothing is made;
    /// namespaces to join are opened, and paths that have to exist are looked
    /// at.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a value that can't
    /// be or contradicts another, [`NotFound`](crate::ErrorKind::NotFound) for
    /// a path that does not exist, [`Unsupported`](crate::ErrorKind::Unsupported)
    /// for what is not offered or what the kernel lacks; each names the field
    /// by its path, such as `linux.namespaces[2].path`.
    pub fn from_spec(spec: &Spec, bundle: impl AsRef<Path>) -> Result<Self> {
        let bundle = std::path::absolute(bundle.as_ref())
            .map_err(|error| Error::os("find bundle", bundle.as_ref().to_string_lossy(), error))?;
        let mut ignored = Vec::new();
        version::check(spec.version())?;
        check_platform(spec)?;
        let none;
        let linux = match spec.linux() {
            Some(linux) => linux,
            None => {
                none = no_linux()?;
                &none
            }
        };
        let mut builder = Self::bare(mounts::rootfs(spec, &bundle)?);
        let isolation = namespaces::namespaces(linux)?;
        if !isolation.is_new(NamespaceKind::Mount) {
            return Err(invalid("linux.namespaces", "root needs a new mount namespace")
                .hint("add {\"type\": \"mount\"}"));
        }
        let mappings = namespaces::mappings(linux, &isolation, &mut ignored)?;
        if let Some(mappings) = mappings {
            builder = builder.process(|process| process.id_mappings(mappings));
        }
        builder = host_names(builder, spec, &isolation)?;
        builder = builder.namespaces(|_| isolation).with_namespace_paths(namespaces::paths(linux));
        for mount in mounts::mounts(spec, &bundle)? {
            builder = builder.mount(mount);
        }
        let masked = paths(linux.masked_paths().as_deref(), "linux.maskedPaths")?;
        let read_only = paths(linux.readonly_paths().as_deref(), "linux.readonlyPaths")?;
        builder =
            builder.process(|process| process.masked_paths(masked).read_only_paths(read_only));
        builder = resources(linux, builder, &mut ignored)?;
        let Some(described) = spec.process() else {
            return Err(invalid("process", "required, but missing"));
        };
        let mut inner = std::mem::replace(builder.process_mut(), ProcessBuilder::new(""));
        inner = devices::devices(linux, inner, &mut ignored)?;
        inner = devices::net_devices(linux, inner)?;
        inner = devices::sysctls(linux, inner)?;
        if let Some(label) = linux.mount_label().as_ref().filter(|label| !label.is_empty()) {
            no_nul("linux.mountLabel", label)?;
            let selinux = crate::lsm::selinux();
            if !selinux.available {
                return Err(unsupported("linux.mountLabel", selinux.detail)
                    .hint("leave the label away on this machine"));
            }
            inner = inner.mount_label(label);
        }
        if let Some(policy) = linux.memory_policy() {
            inner = inner.memory_policy(scheduling::memory_policy(policy)?);
        }
        if let Some(personality) = linux.personality() {
            inner = inner.personality(scheduling::personality(personality)?);
        }
        inner = process::process_noting(described, inner, &mut ignored)?.make_current_dir(true);
        if described.cwd() == Path::new("/") {
            // Whoever enters a root is there.
            inner.description.directory = None;
        }
        *builder.process_mut() = inner;
        for (point, hook) in hooks::hooks(spec)? {
            builder = builder.hook(point, hook);
        }
        builder.cgroups_path = cgroups_path(linux)?;
        if let Some(described) = linux.intel_rdt() {
            builder = builder.intel_rdt(intel_rdt(described)?);
        }
        builder = seccomp(linux, &bundle, builder, &mut ignored)?;
        for (key, value) in spec.annotations().iter().flatten() {
            if key.is_empty() {
                return Err(invalid("annotations", "a key is empty"));
            }
            builder = builder.annotation(key, value);
        }
        Ok(builder.noting(ignored))
    }
}

/// A spec without `linux` asks for nothing of it.
fn no_linux() -> Result<Linux> {
    let mut linux =
        LinuxBuilder::default().build().map_err(|error| invalid("linux", error.to_string()))?;
    // The crate's default is a container of its own taste.
    linux.set_namespaces(None).set_masked_paths(None).set_readonly_paths(None).set_resources(None);
    Ok(linux)
}

/// A spec that has a part for another platform is for that one.
fn check_platform(spec: &Spec) -> Result<()> {
    let others = [
        ("windows", spec.windows().is_some()),
        ("solaris", spec.solaris().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
    ];
    match others.into_iter().find(|(_, given)| *given) {
        Some((field, _)) => Err(unsupported(field, "the spec is for another platform than Linux")),
        None => Ok(()),
    }
}

fn host_names(
    mut builder: ContainerBuilder,
    spec: &Spec,
    namespaces: &Namespaces,
) -> Result<ContainerBuilder> {
    let own = !matches!(namespaces.get(NamespaceKind::Uts), Namespace::Inherit);
    let check = |field: &'static str, name: &str| {
        no_nul(field, name)?;
        if name.len() > MAX_HOST_NAME {
            return Err(invalid(field, format!("{} bytes; the kernel takes 64", name.len())));
        }
        match own {
            true => Ok(()),
            false => Err(invalid(field, "needs a uts namespace: the host's would be changed")
                .hint("add {\"type\": \"uts\"} to linux.namespaces")),
        }
    };
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    if let Some(name) = given(spec.hostname()) {
        check("hostname", &name)?;
        builder = builder.hostname(name);
    }
    if let Some(name) = given(spec.domainname()) {
        check("domainname", &name)?;
        builder = builder.process(|process| process.domainname(name));
    }
    Ok(builder)
}

fn paths(list: Option<&[String]>, field: &str) -> Result<Vec<PathBuf>> {
    let list = list.unwrap_or_default().iter().enumerate();
    list.map(|(index, path)| {
        let field = format!("{field}[{index}]");
        let path = inside(&field, Path::new(path))?;
        match path == Path::new("/") {
            true => Err(invalid(field, "the root itself can't be covered")),
            false => Ok(path),
        }
    })
    .collect()
}

/// As it is: what a relative one is below depends on the hierarchy.
fn cgroups_path(linux: &Linux) -> Result<Option<PathBuf>> {
    let field = "linux.cgroupsPath";
    let Some(path) = linux.cgroups_path().as_ref().filter(|path| !path.as_os_str().is_empty())
    else {
        return Ok(None);
    };
    no_nul(field, path)?;
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(invalid(field, format!("{}: it has .. in it", path.display())));
    }
    match clean(path) {
        top if top == Path::new("/") => Err(invalid(field, "the top itself is no container's")),
        _ => Placement::from_oci(Some(path), "checked").map(|_| Some(path.clone())),
    }
}

fn intel_rdt(described: &LinuxIntelRdt) -> Result<IntelRdt> {
    let field = "linux.intelRdt";
    IntelRdt::root().map_err(|error| error.in_field(field))?;
    let mut rdt = IntelRdt::new();
    if let Some(class) = described.clos_id().as_deref().filter(|class| !class.is_empty()) {
        rdt = rdt.class(class);
    }
    let older = [described.l3_cache_schema(), described.mem_bw_schema()];
    let older = older.into_iter().flatten().flat_map(|schema| schema.lines());
    for line in older.chain(described.schemata().iter().flatten().map(String::as_str)) {
        rdt = rdt.schema(line);
    }
    #[allow(deprecated, reason = "specs before version 1.3 have them")]
    let on = [described.enable_cmt(), described.enable_mbm(), described.enable_monitoring()];
    rdt = rdt.monitoring(on.into_iter().any(|on| *on == Some(true)));
    rdt.check().map_err(|error| error.in_field(field))?;
    Ok(rdt)
}

/// Gives up the class of service of a container that is gone.
pub(crate) fn leave_class(spec: &Spec, id: &str) -> Result<()> {
    let described = spec.linux().as_ref().and_then(|linux| linux.intel_rdt().as_ref());
    match described.map(intel_rdt) {
        Some(Ok(rdt)) => rdt.remove(id),
        // It can't have been made.
        _ => Ok(()),
    }
}

/// The filter, if it does anything.
fn seccomp(
    linux: &Linux,
    bundle: &Path,
    mut builder: ContainerBuilder,
    ignored: &mut Vec<String>,
) -> Result<ContainerBuilder> {
    let Some(described) = linux.seccomp() else {
        return Ok(builder);
    };
    let listener = SeccompListener::from_oci(described)?;
    if let Some(listener) = listener {
        let listener = listener.bundle(bundle);
        builder = builder.process(|process| process.seccomp_listener(listener));
    }
    let filter = Filter::from_oci(described)?;
    let program = filter.compile().map_err(|error| error.in_field("linux.seccomp"))?;
    let unknown = program.ignored().join(", ");
    if !unknown.is_empty() {
        ignored.push(format!("linux.seccomp.syscalls: no such system calls: {unknown}"));
    }
    let foreign: Vec<_> = program.passed_over().iter().map(ToString::to_string).collect();
    if !foreign.is_empty() {
        let foreign = foreign.join(", ");
        ignored.push(format!("linux.seccomp.architectures: not of this machine: {foreign}"));
    }
    Ok(builder.with_filter(filter, program))
}

/// The limits. Device rules take the capabilities of the host's root: others go without, as the
/// devices of a user namespace are out of their reach anyway.
fn resources(
    linux: &Linux,
    builder: ContainerBuilder,
    ignored: &mut Vec<String>,
) -> Result<ContainerBuilder> {
    let Some(described) = linux.resources() else {
        return Ok(builder);
    };
    let mut limits = Resources::from_oci(described)?;
    let notes = limits.ignored();
    ignored.extend(notes.into_iter().map(|note| format!("{}: {}", note.field, note.reason)));
    if limits.device_rules().is_some() && !DeviceRule::can_be_set() {
        ignored.push("linux.resources.devices: only the host's root can set rules".into());
        limits = limits.without_devices();
    }
    match limits == Resources::new() {
        true => Ok(builder),
        false => Ok(builder.resources(limits)),
    }
}
