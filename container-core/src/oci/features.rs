//! What this library does of the specification, as `ocirun features` prints it.

use std::collections::HashMap;

use oci_spec::runtime::{
    Apparmor, Arch, Cgroup, Features, IDMap, IntelRdt, LinuxFeature, LinuxNamespaceType,
    LinuxSeccompAction, MemoryPolicy, MountExtensions, NetDevices, Seccomp, Selinux,
};

use super::SPEC_VERSION;
use super::options::OPTIONS;
use crate::capability::Capability;

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// What is recognized of the specification, whatever the running kernel can
/// do ([features.md]; that tells [`probe()`](crate::probe())).
///
/// ```
/// let features = container_core::oci::features();
/// assert_eq!(features.oci_version_min(), "1.0.0");
/// assert!(features.mount_options().as_ref().unwrap().iter().any(|option| option == "rro"));
/// ```
///
/// [features.md]: https://github.com/opencontainers/runtime-spec/blob/main/features.md
#[must_use]
pub fn features() -> Features {
    let mut features = Features::default();
    features
        .set_oci_version_min("1.0.0".into())
        .set_oci_version_max(SPEC_VERSION.into())
        .set_hooks(Some(strings(HOOKS)))
        .set_mount_options(Some(strings(OPTIONS.iter().map(|(name, _)| *name))))
        .set_linux(Some(linux()))
        .set_annotations(Some(HashMap::from([(
            "container-core.version".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        )])))
        // No annotation changes what a container may do.
        .set_potentially_unsafe_config_annotations(Some(Vec::new()));
    features
}

fn strings<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn linux() -> LinuxFeature {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts};
    let mut id_map = IDMap::default();
    id_map.set_enabled(Some(true));
    let mut extensions = MountExtensions::default();
    extensions.set_idmap(Some(id_map));
    let mut apparmor = Apparmor::default();
    apparmor.set_enabled(Some(true));
    let mut selinux = Selinux::default();
    selinux.set_enabled(Some(true));
    let mut net_devices = NetDevices::default();
    net_devices.set_enabled(Some(true));
    let mut rdt = IntelRdt::default();
    rdt.set_enabled(Some(true)).set_schemata(Some(true)).set_monitoring(Some(true));
    let mut linux = LinuxFeature::default();
    linux
        .set_namespaces(Some(vec![Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts]))
        .set_capabilities(Some(strings(Capability::ALL.iter().map(|one| one.name()))))
        .set_cgroup(Some(cgroup()))
        .set_seccomp(Some(seccomp()))
        .set_apparmor(Some(apparmor))
        .set_selinux(Some(selinux))
        .set_intel_rdt(Some(rdt))
        .set_memory_policy(Some(memory_policy()))
        .set_mount_extensions(Some(extensions))
        .set_net_devices(Some(net_devices));
    linux
}

fn cgroup() -> Cgroup {
    let mut cgroup = Cgroup::default();
    cgroup
        .set_v1(Some(true))
        .set_v2(Some(true))
        .set_systemd(Some(false))
        .set_systemd_user(Some(false))
        .set_rdma(Some(true));
    cgroup
}

fn seccomp() -> Seccomp {
    use LinuxSeccompAction as Action;
    let flags = strings([
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ]);
    let mut seccomp = Seccomp::default();
    seccomp
        .set_enabled(Some(true))
        .set_actions(Some(vec![
            Action::ScmpActAllow,
            Action::ScmpActErrno,
            Action::ScmpActKill,
            Action::ScmpActKillProcess,
            Action::ScmpActKillThread,
            Action::ScmpActLog,
            Action::ScmpActNotify,
            Action::ScmpActTrace,
            Action::ScmpActTrap,
        ]))
        .set_operators(Some(strings([
            "SCMP_CMP_EQ",
            "SCMP_CMP_GE",
            "SCMP_CMP_GT",
            "SCMP_CMP_LE",
            "SCMP_CMP_LT",
            "SCMP_CMP_MASKED_EQ",
            "SCMP_CMP_NE",
        ])))
        .set_archs(Some(architectures()))
        .set_known_flags(Some(flags.clone()))
        .set_supported_flags(Some(flags));
    seccomp
}

/// All that the specification names but `SCMP_ARCH_NATIVE`, which is none.
fn architectures() -> Vec<Arch> {
    use Arch as A;
    vec![
        A::ScmpArchAarch64,
        A::ScmpArchArm,
        A::ScmpArchLoongarch64,
        A::ScmpArchM68k,
        A::ScmpArchMips,
        A::ScmpArchMips64,
        A::ScmpArchMips64n32,
        A::ScmpArchMipsel,
        A::ScmpArchMipsel64,
        A::ScmpArchMipsel64n32,
        A::ScmpArchParisc,
        A::ScmpArchParisc64,
        A::ScmpArchPpc,
        A::ScmpArchPpc64,
        A::ScmpArchPpc64le,
        A::ScmpArchRiscv64,
        A::ScmpArchS390,
        A::ScmpArchS390x,
        A::ScmpArchSh,
        A::ScmpArchSheb,
        A::ScmpArchX32,
        A::ScmpArchX86,
        A::ScmpArchX86_64,
    ]
}

fn memory_policy() -> MemoryPolicy {
    let mut policy = MemoryPolicy::default();
    policy
        .set_modes(Some(strings([
            "MPOL_BIND",
            "MPOL_DEFAULT",
            "MPOL_INTERLEAVE",
            "MPOL_LOCAL",
            "MPOL_PREFERRED",
            "MPOL_PREFERRED_MANY",
            "MPOL_WEIGHTED_INTERLEAVE",
        ])))
        .set_flags(Some(strings([
            "MPOL_F_NUMA_BALANCING",
            "MPOL_F_RELATIVE_NODES",
            "MPOL_F_STATIC_NODES",
        ])));
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_nothing_is_null() {
        let json = serde_json::to_value(features()).unwrap();
        let sorted = |pointer: &str| {
            let list = json.pointer(pointer).unwrap().as_array().unwrap();
            let names: Vec<_> = list.iter().map(|name| name.as_str().unwrap()).collect();
            assert!(!names.is_empty() && names.is_sorted(), "{pointer}: {names:?}");
        };
        sorted("/mountOptions");
        sorted("/linux/namespaces");
        for list in ["actions", "operators", "archs", "knownFlags"] {
            sorted(&format!("/linux/seccomp/{list}"));
        }
        assert!(!json.to_string().contains("null"), "{json}");
        assert_eq!(json["linux"]["cgroup"]["systemd"], false);
    }
}
