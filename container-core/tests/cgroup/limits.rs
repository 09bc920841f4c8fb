use std::fs;
use std::time::{Duration, Instant};

use container_core::ErrorKind;
use container_core::cgroup::{Controller, Controllers, IdSet, Limit, Resources};

use crate::support::{Job, SPIN, eventually, group, layouts, only};

#[test]
fn memory_limit_kills() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new().memory_max(16 << 20);
        let group = group(&hierarchy, limits.controllers());
        group.apply(&limits).unwrap();
        let mut job = Job::running(&group, "exec tail /dev/zero");
        assert!(job.was_killed(), "{:?}", hierarchy.layout());
        let memory = group.stats().unwrap().memory;
        assert_eq!(memory.limit, Some(Limit::At(16 << 20)));
        assert!(memory.oom_kills >= Some(1) && memory.limit_hits >= Some(1), "{memory:?}");
        assert!(memory.peak.is_none_or(|peak| (8 << 20..=16 << 20).contains(&peak)), "{memory:?}");
    }
}

#[test]
fn pids_limit_refuses_forks() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new().pids_max(3);
        let group = group(&hierarchy, limits.controllers());
        group.apply(&limits).unwrap();
        let mut job = Job::running(&group, "for i in 1 2 3 4 5 6; do sleep 60 & done; wait");
        eventually("a fork is refused", || group.stats().unwrap().pids.refused >= Some(1));
        let pids = group.stats().unwrap().pids;
        assert!(pids.current <= Some(3), "{pids:?}");
        assert_eq!(pids.limit, Some(Limit::At(3)));
        assert!(!job.wait().success());
    }
}

#[test]
fn cpu_quota_throttles() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new().cpu_quota(10_000, 50_000);
        let group = group(&hierarchy, limits.controllers() | Controller::CpuAcct.into());
        group.apply(&limits).unwrap();
        let _job = Job::running(&group, SPIN);
        let start = Instant::now();
        std::thread::sleep(Duration::from_millis(1000));
        let cpu = group.stats().unwrap().cpu;
        let elapsed = start.elapsed().as_nanos() as u64;
        assert!(cpu.throttled_periods >= Some(4), "{cpu:?}");
        assert!(cpu.throttled_ns > Some(0) && cpu.periods >= cpu.throttled_periods, "{cpu:?}");
        // A fifth was allowed; the kernel hands time out in slices, so leave room.
        let used = cpu.usage_ns.unwrap();
        assert!(used > 0 && used < elapsed * 2 / 5, "{used} of {elapsed} ns");
    }
}

#[test]
fn cpuset_confines() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new().cpuset_cpus(IdSet::from(0..1)).cpuset_mems(IdSet::from(0..1));
        let group = group(&hierarchy, limits.controllers());
        let job = Job::attached(&group, "sleep 60");
        group.apply(&limits).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", job.pid())).unwrap();
        assert!(status.contains("\nCpus_allowed_list:\t0\n"), "{status}");
    }
}

#[test]
fn weight_reaches_the_file_of_the_layout() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, Controller::Cpu);
        let read = || {
            group.directories().find_map(|directory| {
                let file = |name| fs::read_to_string(directory.join(name)).ok();
                file("cpu.weight").or_else(|| file("cpu.shares")).map(|text| text.trim().to_owned())
            })
        };
        let v1 = hierarchy.mount_of(Controller::Cpu).unwrap().version()
            == container_core::cgroup::Version::V1;
        for (limits, shares, weight) in [
            (Resources::new().cpu_weight(100), "1024", "100"),
            (Resources::new().cpu_shares(2000), "2000", "170"),
            (Resources::new().cpu_weight(10_000), "262144", "10000"),
        ] {
            group.apply(&limits).unwrap();
            assert_eq!(read().as_deref(), Some(if v1 { shares } else { weight }));
        }
    }
}

#[test]
fn limits_can_be_raised_lowered_and_lifted() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let all = Resources::new().memory_max(1 << 20).pids_max(1).cpus(1.0);
        let group = group(&hierarchy, all.controllers());
        let swap = Resources::new().memory_max(32 << 20).memory_swap_max(8 << 20);
        let has_swap = match group.apply(&swap) {
            Ok(()) => true,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
                false
            }
        };
        let limit = |bytes: u64| {
            group.apply(&Resources::new().memory_max(bytes)).unwrap();
            assert_eq!(group.stats().unwrap().memory.limit, Some(Limit::At(bytes)));
        };
        // Beyond memory and swap together, which v1 refuses unless done in the right order.
        limit(256 << 20);
        limit(16 << 20);
        if has_swap {
            group.apply(&Resources::new().memory_swap_max(0)).unwrap();
        }
        for (quota, period) in [(5_000, 5_000), (900_000, 1_000_000), (2_000, 1_000)] {
            group.apply(&Resources::new().cpu_quota(quota, period)).unwrap();
        }
        let lifted = Resources::new()
            .memory_max(Limit::Unlimited)
            .pids_max(Limit::Unlimited)
            .cpu_quota(Limit::Unlimited, 100_000);
        group.apply(&lifted).unwrap();
        let stats = group.stats().unwrap();
        assert_eq!(stats.memory.limit, Some(Limit::Unlimited));
        assert_eq!(stats.pids.limit, Some(Limit::Unlimited));
    }
}

#[test]
fn a_refused_update_is_taken_back() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let before = Resources::new().memory_max(32 << 20).pids_max(7).cpus(0.5);
        let group = group(&hierarchy, before.controllers() | Controller::CpuSet.into());
        group.apply(&before).unwrap();
        let files = || {
            let mut all = Vec::new();
            for directory in group.directories() {
                for name in [
                    "memory.max",
                    "memory.limit_in_bytes",
                    "memory.memsw.limit_in_bytes",
                    "pids.max",
                    "cpu.max",
                    "cpu.cfs_quota_us",
                    "cpu.cfs_period_us",
                    "cpuset.cpus",
                    "cpuset.mems",
                ] {
                    all.extend(fs::read_to_string(directory.join(name)).map(|text| (name, text)));
                }
            }
            all
        };
        let old = files();
        assert!(old.len() >= 5, "{old:?}");
        // Everything is possible but the last: a processor that no machine here has.
        let update = Resources::new()
            .memory_max(64 << 20)
            .pids_max(9)
            .cpu_quota(7_000, 20_000)
            .cpuset_mems(IdSet::from(0..1))
            .cpuset_cpus("8000".parse().unwrap());
        let error = group.apply(&update).unwrap_err();
        assert!(error.step().contains("cpuset.cpus = 8000"), "{error}");
        assert!(error.raw_os_error().is_some());
        assert_eq!(files(), old);
    }
}

#[test]
fn impossible_values_are_refused_before_anything_is_touched() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, [Controller::Memory, Controller::Pids]);
        let update = Resources::new().memory_max(64 << 20).pids_max(0);
        assert_eq!(group.apply(&update).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(group.stats().unwrap().memory.limit, Some(Limit::Unlimited));
    }
}

#[test]
fn a_limit_without_its_controller_is_refused_by_name() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        // Below a group of our own: at the top of v2 another test may enable the controller.
        let parent = group(&hierarchy, Controller::Pids);
        let group = parent.create_child("inner", Controller::Pids).unwrap();
        let update = Resources::new().pids_max(5).memory_max(64 << 20);
        let error = group.apply(&update).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
        assert_eq!(error.object(), "memory");
        assert_eq!(group.stats().unwrap().pids.limit, Some(Limit::Unlimited));
        // And a controller that is not asked for is not needed.
        group.apply(&Resources::new().pids_max(5)).unwrap();
    }
}

/// A hybrid machine seen through its v2 hierarchy alone lacks what v1 holds.
#[test]
fn a_controller_that_v1_holds_is_named() {
    if !testkit::require_root() || !testkit::require_cgroup1() {
        return;
    }
    let unified = only("cgroup2");
    if unified.unified().is_none() {
        return;
    }
    let error = unified.create("/cc-test-never", Controller::Memory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    assert!(text.contains("memory") && text.contains("unified (v2)"), "{text}");
    assert!(text.contains("mount -t cgroup -o memory"), "{text}");
    // Without limits the same machine serves.
    let group = group(&unified, Controllers::NONE);
    assert!(!group.needs_attach());
    let mut job = Job::attached(&group, "sleep 60");
    assert!(group.stats().unwrap().cpu.usage_ns.is_some());
    group.kill().unwrap();
    assert!(job.was_killed());
}

#[test]
fn statistics_count() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, Controllers::STATISTICS & hierarchy.controllers());
        let job = Job::running(&group, SPIN);
        eventually("processor time is counted", || {
            group.stats().unwrap().cpu.usage_ns > Some(100_000_000)
        });
        let before = job.ticks() * 10_000_000;
        let stats = group.stats().unwrap();
        assert_eq!(stats.pids.current, Some(1));
        assert_eq!(stats.memory.oom_kills, Some(0));
        assert!(stats.memory.current.is_some() && stats.memory.limit == Some(Limit::Unlimited));
        let (user, system) = (stats.cpu.user_ns.unwrap(), stats.cpu.system_ns.unwrap());
        assert!(user > 0, "{stats:?}");
        // Within a factor of two of what the process itself is charged with, in ticks of 10 ms.
        let after = job.ticks() * 10_000_000;
        assert!(
            (before / 2..=after * 2 + 50_000_000).contains(&(user + system)),
            "{stats:?} {before} {after}"
        );
    }
}
