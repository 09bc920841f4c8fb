//! Settings of the container's own namespaces.

use container_core::{ErrorKind, NamespaceKind};

use crate::common::{in_rootfs, isolated, script};
use crate::support::can_run;

#[test]
fn settings_are_seen_inside_and_not_outside() {
    if !can_run() {
        return;
    }
    let host = |path: &str| std::fs::read_to_string(format!("/proc/sys/{path}")).unwrap();
    let before = [host("net/ipv4/ip_forward"), host("kernel/domainname")];
    let rootfs = testkit::rootfs_dirs();
    let mut builder = in_rootfs(&rootfs, "sh")
        .sysctl("net.ipv4.ip_unprivileged_port_start", "7")
        .sysctl("net/ipv4/conf/lo/forwarding", "1");
    let mut command = "cd /proc/sys; cat net/ipv4/ip_unprivileged_port_start \
                       net/ipv4/conf/lo/forwarding"
        .to_owned();
    let mut expected = "7\n1\n".to_owned();
    if testkit::is_root() {
        builder = builder
            .sysctl("kernel.msgmax", "4321")
            .sysctl("kernel/shm_rmid_forced", "1")
            .sysctl("kernel.domainname", "inside.example")
            .sysctl("fs.mqueue.msg_max", "7");
        command += " kernel/msgmax kernel/shm_rmid_forced kernel/domainname fs/mqueue/msg_max";
        expected += "4321\n1\ninside.example\n7\n";
    }
    assert_eq!(script(builder, &command), expected);
    assert_eq!([host("net/ipv4/ip_forward"), host("kernel/domainname")], before);
}

#[test]
fn the_hosts_settings_are_out_of_reach() {
    let rootfs = testkit::rootfs_dirs();
    for (kind, key) in [
        (NamespaceKind::Net, "net.ipv4.ip_forward"),
        (NamespaceKind::Ipc, "kernel.shmmax"),
        (NamespaceKind::Uts, "kernel.domainname"),
    ] {
        let shared = isolated().inherit(kind);
        let builder = in_rootfs(&rootfs, "true").namespaces(shared).sysctl(key, "1");
        let error = builder.plan().unwrap_err();
        assert_eq!((error.kind(), error.object()), (ErrorKind::InvalidInput, key));
        assert!(error.to_string().contains(kind.name()), "{error}");
    }
    for key in ["vm.swappiness", "kernel.core_pattern", "kernel.hostname", "net..x", "x"] {
        let error = in_rootfs(&rootfs, "true").sysctl(key, "1").plan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_setting_that_the_kernel_lacks_is_named() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let missing = in_rootfs(&rootfs, "true").sysctl("net.no.such_setting", "1");
    let error = missing.spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.object().contains("net/no/such_setting"), "{error}");
    let wrong = in_rootfs(&rootfs, "true").sysctl("net.ipv4.ip_forward", "many");
    let error = wrong.spawn().unwrap_err();
    assert!(error.object().contains("many"), "{error}");
}
