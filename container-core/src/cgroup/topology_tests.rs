use proptest::prelude::*;

use super::super::controller::Controller;
use super::*;

const HYBRID: &str = "\
1 0 8:1 / / rw - ext4 /dev/root rw
31 1 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
const HYBRID_SELF: &str = "9:name=systemd:/\n8:pids:/\n4:memory:/a/b\n1:cpu,cpuacct:/\n0::/user\n";

#[test]
fn hybrid() {
    let topology = Topology::parse(HYBRID, HYBRID_SELF);
    assert_eq!(topology.layout(), Layout::Hybrid);
    assert_eq!(topology.mounts.len(), 4);
    let memory = &topology.mounts[1];
    assert_eq!(memory.controllers, Controller::Memory.into());
    assert_eq!(memory.own_path(), Some("/a/b"));
    assert_eq!(topology.mounts[0].controllers, [Controller::Cpu, Controller::CpuAcct].into());
    assert_eq!(topology.mounts[2].name(), Some("systemd"));
    assert_eq!(topology.mounts[2].own_path(), Some("/"));
    assert_eq!(topology.mounts[3].version(), Version::V2);
    assert_eq!(topology.mounts[3].own_path(), Some("/user"));
    assert_eq!(topology.unmounted, Controller::Pids.into());
}

#[test]
fn unified() {
    let topology = Topology::parse(
        "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
        "0::/user.slice/user-1000.slice/session-2.scope\n",
    );
    assert_eq!(topology.layout(), Layout::Unified);
    assert_eq!(topology.mounts[0].controllers, Controllers::NONE);
    assert_eq!(topology.mounts[0].own_path(), Some("/user.slice/user-1000.slice/session-2.scope"));
    assert!(topology.unmounted.is_empty());
}

#[test]
fn nothing_mounted() {
    let topology = Topology::parse("1 0 8:1 / / rw - ext4 /dev/root rw\n", "0::/\n");
    assert_eq!(topology.layout(), Layout::Absent);
}

#[test]
fn paths_are_relative_to_what_is_mounted() {
    let bind = "30 1 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
    let own = |text| Topology::parse(bind, text).mounts[0].own_path.clone();
    assert_eq!(own("0::/docker/x/inner\n").as_deref(), Some("/inner"));
    assert_eq!(own("0::/docker/x\n").as_deref(), Some("/"));
    assert_eq!(own("0::/docker/xy\n"), None);
    assert_eq!(own("0::/elsewhere\n"), None);
    let plain = Topology::parse("30 1 0:26 / /c ro - cgroup2 cgroup2 rw\n", "0::/../outside\n");
    assert_eq!(plain.mounts[0].own_path(), None);
}

#[test]
fn a_mount_on_top_hides_what_is_below() {
    let text = format!("{HYBRID}60 31 0:40 / /sys/fs/cgroup rw - cgroup2 none rw\n");
    let topology = Topology::parse(&text, HYBRID_SELF);
    assert_eq!(topology.layout(), Layout::Unified);
    assert_eq!(topology.mounts[0].mount_point(), Path::new("/sys/fs/cgroup"));
    assert!(topology.unmounted.contains(Controller::Memory));
    let stacked = format!("{HYBRID}61 35 0:40 / /sys/fs/cgroup/memory rw - tmpfs none rw\n");
    assert!(Topology::parse(&stacked, HYBRID_SELF).unmounted.contains(Controller::Memory));
}

#[test]
fn of_two_mounts_the_fuller_one() {
    let text = "5 1 0:1 /sub /a rw - cgroup2 c rw\n6 1 0:1 / /b rw - cgroup2 c rw\n";
    let topology = Topology::parse(text, "0::/sub\n");
    assert_eq!(topology.mounts.len(), 1);
    assert_eq!(topology.mounts[0].mount_point(), Path::new("/b"));
}

#[test]
fn escapes() {
    let topology = Topology::parse("5 1 0:1 / /a\\040b\\134 rw - cgroup2 c rw\n", "");
    assert_eq!(topology.mounts[0].mount_point(), Path::new("/a b\\"));
    assert_eq!(unescape("\\9zz\\04"), "\\9zz\\04");
}

proptest! {
    #[test]
    fn any_text_is_survived(mountinfo in "([0-9]{1,2} [0-9]{1,2} 0:1 /[a-c/.]{0,3} /[ab/]{0,4} rw - cgroup2? x [a-z,=]{0,9}\n|.{0,20}\n){0,8}", own in "([0-9]?:[a-z,=]{0,6}:/?.{0,6}\n){0,4}") {
        let topology = Topology::parse(&mountinfo, &own);
        for mount in &topology.mounts {
            prop_assert!(mount.own_path().is_none_or(|p| p.starts_with('/') && !p.split('/').any(|n| n == "..")));
        }
    }
}
