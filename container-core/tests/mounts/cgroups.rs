//! The container's own part of the cgroup trees, whatever the host has.

use container_core::cgroup::{Hierarchy, Layout, Version};
use container_core::mount::Attribute;
use container_core::{Container, Mount, NamespaceKind, ProcessBuilder};

use crate::common::{in_rootfs, isolated, script};
use crate::support::{at, can_run, mounts_of};

/// A cgroup of the test's own in every hierarchy, and a builder that runs in it.
fn with_cgroup(rootfs: &testkit::Rootfs, hierarchy: &Hierarchy) -> (ProcessBuilder, impl Drop) {
    let name = format!("/{}", testkit::unique("mounts"));
    let cgroup = hierarchy.create(&name, hierarchy.controllers()).unwrap().owned();
    let builder = in_rootfs(rootfs, "sh").cgroup((*cgroup).clone());
    (builder, cgroup)
}

#[test]
fn each_hierarchy_shows_the_containers_own_part_read_only() {
    let hierarchy = Hierarchy::discover().unwrap();
    let v1 = matches!(hierarchy.layout(), Layout::Legacy | Layout::Hybrid);
    if !testkit::require_root() || !v1 {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    for kind in [None, Some(NamespaceKind::Cgroup)] {
        let (builder, _cgroup) = with_cgroup(&rootfs, &hierarchy);
        let builder = match kind {
            Some(shared) => builder.namespaces(isolated().inherit(shared)),
            None => builder,
        };
        let builder = builder.mount(Mount::cgroup("/sys/fs/cgroup"));
        let mounts = mounts_of(builder.clone());
        let top = at(&mounts, "/sys/fs/cgroup");
        assert!(top.kind == "tmpfs" && top.has("ro") && top.has("nosuid"), "{top:?}");
        for found in hierarchy.mounts() {
            let name = found.mount_point().file_name().unwrap().to_str().unwrap();
            let place = format!("/sys/fs/cgroup/{name}");
            let mount = at(&mounts, &place);
            let expected = if found.version() == Version::V1 { "cgroup" } else { "cgroup2" };
            assert!(mount.kind == expected && mount.has("ro") && mount.has("nodev"), "{mount:?}");
        }
        // Its own process is in it; nobody else is, and nothing can be written.
        let text = script(
            builder,
            "cat /sys/fs/cgroup/pids/cgroup.procs | wc -l; ls /sys/fs/cgroup/pids | grep -c mounts-; \
             mkdir /sys/fs/cgroup/pids/x 2>/dev/null || echo ro; \
             (echo 0 > /sys/fs/cgroup/memory/notify_on_release) 2>/dev/null || echo ro; \
             touch /sys/fs/cgroup/x 2>/dev/null || echo ro",
        );
        // The shell and the two at the ends of the pipe.
        let (processes, rest) = text.split_once('\n').unwrap();
        assert!((1..=3).contains(&processes.parse::<u32>().unwrap()), "{text}");
        assert_eq!(rest, "0\nro\nro\nro\n");
    }
}

/// CVE-2022-0492: no `release_agent` to write, not even for root with all
/// capabilities, unless the mount was made writable on purpose.
#[test]
fn release_agent_is_out_of_reach() {
    let hierarchy = Hierarchy::discover().unwrap();
    let v1 = matches!(hierarchy.layout(), Layout::Legacy | Layout::Hybrid);
    if !testkit::require_root() || !v1 {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let (builder, _cgroup) = with_cgroup(&rootfs, &hierarchy);
    let attack = "mount -o remount,bind,ro / 2>/dev/null; \
                  for h in /sys/fs/cgroup/*; do \
                  (echo 1 > $h/notify_on_release) 2>/dev/null && echo written; \
                  (echo /x > $h/release_agent) 2>/dev/null && echo written; done; echo done";
    let capabilities = container_core::Capabilities::container_default();
    let attacked = builder.capabilities(capabilities).mount(Mount::cgroup("/sys/fs/cgroup"));
    assert_eq!(script(attacked, attack), "done\n");
    let (builder, _cgroup) = with_cgroup(&rootfs, &hierarchy);
    let writable = builder.mount(Mount::cgroup("/sys/fs/cgroup").clear(Attribute::ReadOnly));
    let text =
        script(writable, "mkdir /sys/fs/cgroup/pids/x && rmdir /sys/fs/cgroup/pids/x && echo rw");
    assert_eq!(text, "rw\n");
}

#[test]
fn on_a_unified_host_it_is_cgroup2() {
    let hierarchy = Hierarchy::discover().unwrap();
    if hierarchy.layout() != Layout::Unified || !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let mount = || Mount::cgroup("/sys/fs/cgroup");
    let text = script(
        in_rootfs(&rootfs, "sh").mount(mount()),
        "cat /proc/self/cgroup; mkdir /sys/fs/cgroup/x 2>/dev/null || echo ro",
    );
    assert_eq!(text, "0::/\nro\n");
    let shared = in_rootfs(&rootfs, "sh").namespaces(isolated().inherit(NamespaceKind::Cgroup));
    let mounts = mounts_of(shared.mount(mount()));
    let found = at(&mounts, "/sys/fs/cgroup");
    assert!(found.kind == "cgroup2" && found.has("ro"), "{found:?}");
}

#[test]
fn a_container_of_its_own_cgroup_sees_its_limits() {
    let hierarchy = Hierarchy::discover().unwrap();
    let v1 = matches!(hierarchy.layout(), Layout::Legacy | Layout::Hybrid);
    if !testkit::require_root() || !v1 {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let builder =
        testkit::Rootfs::binds().iter().fold(Container::builder(rootfs.path()), |builder, path| {
            builder.mount(Mount::bind(path, path).read_only())
        });
    let output = builder
        .mount(Mount::cgroup("/sys/fs/cgroup"))
        .resources(container_core::cgroup::Resources::new().pids_max(37u64))
        .command("/bin/cat")
        .arg("/sys/fs/cgroup/pids/pids.max")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "37\n");
}
