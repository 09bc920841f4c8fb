//! Being told: lack of memory, the last process's end, removal; and accounts of every kind.

use std::os::fd::AsFd;
use std::time::Duration;

use container_core::cgroup::{CgroupEvent, Controller, Controllers, Resources, Version};

use crate::support::{Job, SPIN, eventually, group, layouts};

const LONG: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn lack_of_memory_is_told() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new().memory_max(16 << 20);
        let group = group(&hierarchy, limits.controllers());
        group.apply(&limits).unwrap();
        let mut watch = group.watch().unwrap();
        assert_eq!(watch.next(Some(Duration::from_millis(50))).unwrap(), None);
        let mut job = Job::running(&group, "exec tail /dev/zero");
        let mut kills = 0;
        let mut told = false;
        while kills == 0 {
            match watch.next(LONG).unwrap() {
                Some(CgroupEvent::OutOfMemory { kills: now }) => {
                    told = true;
                    kills += now;
                }
                Some(CgroupEvent::Emptied) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(told && job.was_killed());
    }
}

#[test]
fn the_last_end_and_the_removal_are_told() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        if hierarchy.unified().is_none() {
            continue;
        }
        let group = group(&hierarchy, Controllers::NONE);
        let mut job = Job::running(&group, "sleep 60");
        let mut watch = group.watch().unwrap();
        // The kernel may still announce that somebody came in.
        assert_eq!(watch.next(Some(Duration::from_millis(100))).unwrap(), None);
        let mut fds = [nix::poll::PollFd::new(watch.as_fd(), nix::poll::PollFlags::POLLIN)];
        assert_eq!(nix::poll::poll(&mut fds, 50_u16), Ok(0));
        group.kill().unwrap();
        assert!(job.was_killed());
        assert_eq!(nix::poll::poll(&mut fds, 10_000_u16), Ok(1));
        assert_eq!(watch.next(LONG).unwrap(), Some(CgroupEvent::Emptied));
        group.close().unwrap();
        assert_eq!(watch.next(LONG).unwrap(), Some(CgroupEvent::Removed));
        assert_eq!(watch.next(LONG).unwrap(), None);
    }
}

#[test]
fn nothing_to_watch_is_an_error() {
    if !testkit::require_root() || !testkit::require_cgroup1() {
        return;
    }
    let legacy = crate::support::only("cgroup");
    let group = group(&legacy, Controller::Pids);
    let error = group.watch().unwrap_err();
    assert_eq!(error.kind(), container_core::ErrorKind::Unsupported, "{error}");
}

#[test]
fn accounts_of_every_kind() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let wanted = [
            Controller::Cpu,
            Controller::CpuAcct,
            Controller::Memory,
            Controller::Pids,
            Controller::Io,
            Controller::HugeTlb,
        ];
        let wanted = Controllers::from(wanted) & hierarchy.controllers();
        let group = group(&hierarchy, wanted);
        let directory = testkit::TempDir::new();
        let file = directory.path().join("written");
        let script = format!(
            "dd if=/dev/zero of={} bs=64k count=16 conv=fsync 2>/dev/null; {SPIN}",
            file.display()
        );
        let _job = Job::running(&group, &script);
        eventually("processor time is used", || {
            group.stats().unwrap().cpu.usage_ns > Some(50_000_000)
        });
        let stats = group.stats().unwrap();
        assert!(stats.memory.cache.is_some() && stats.memory.kernel.is_some(), "{stats:?}");
        assert!(stats.memory.details.len() > 10, "{:?}", stats.memory.details);
        let on = |c| hierarchy.mount_of(c).map(|mount| mount.version());
        if on(Controller::CpuAcct) == Some(Version::V1) {
            let total: u64 = stats.cpu.per_cpu.iter().map(|one| one.user_ns + one.system_ns).sum();
            assert!(total > 0 && !stats.cpu.per_cpu.is_empty(), "{stats:?}");
        }
        if hierarchy.controllers().contains(Controller::HugeTlb) {
            assert!(stats.hugepages.contains_key("2MB"), "{:?}", stats.hugepages);
            assert_eq!(stats.hugepages["2MB"].current, Some(0));
        }
        let json = stats.to_runc_json();
        assert_eq!(json["pids"]["current"], stats.pids.current.unwrap());
        assert!(json["memory"]["usage"]["usage"].as_u64() > Some(0), "{json}");
    }
}
