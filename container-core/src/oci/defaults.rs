//! The specs to start from: what `ocirun spec` writes.

use oci_spec::runtime::{
    Linux, LinuxCapabilities, LinuxDeviceCgroup, LinuxNamespace, LinuxNamespaceType,
    LinuxResources, Process, Spec,
};

use super::SPEC_VERSION;

/// A spec to start from, for root: a shell on a terminal, in `rootfs` below the
/// bundle, with little privilege. Its content is that of `runc spec`.
///
/// The namespaces are pid, net, ipc, uts and mount, and where cgroup v2 is the
/// only one, cgroup.
#[must_use]
pub fn default_spec() -> Spec {
    let mut spec = Spec::default();
    let mut linux = Linux::default();
    let mut deny_all = LinuxDeviceCgroup::default();
    deny_all.set_allow(false).set_access(Some("rwm".into()));
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(vec![deny_all]));
    linux.set_resources(Some(resources));
    common(&mut spec, linux);
    spec
}

/// A spec to start from, for an ordinary user: a user namespace in which the
/// caller is root, the network of the host, its `/sys` in place of a new one.
/// Its content is that of `runc spec --rootless`.
#[must_use]
pub fn default_rootless_spec() -> Spec {
    let uid = nix::unistd::geteuid().as_raw();
    let gid = nix::unistd::getegid().as_raw();
    let mut spec = Spec::rootless(uid, gid);
    common(&mut spec, Linux::rootless(uid, gid));
    spec
}

fn common(spec: &mut Spec, mut linux: Linux) {
    if !unified() {
        let without = |namespace: &LinuxNamespace| namespace.typ() != LinuxNamespaceType::Cgroup;
        linux.namespaces_mut().iter_mut().for_each(|list| list.retain(without));
    }
    let mut capabilities = LinuxCapabilities::default();
    // A program that becomes an ordinary user would keep them.
    capabilities.set_inheritable(None);
    let mut process = Process::default();
    process.set_terminal(Some(true)).set_capabilities(Some(capabilities));
    spec.set_version(SPEC_VERSION.to_owned())
        .set_hostname(Some("container".to_owned()))
        .set_process(Some(process))
        .set_annotations(None)
        .set_linux(Some(linux));
}

/// Whether cgroup v2 is the only one.
fn unified() -> bool {
    nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|found| found.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
}
