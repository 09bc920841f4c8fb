//! Limits of the rarer controllers, and changes taken back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use container_core::ErrorKind;
use container_core::cgroup::{
    Cgroup, Controller, DeviceClass, DeviceNumber, DeviceRule, Limit, Resources, Version,
};

use crate::support::{Job, group, layouts};

/// The contents of a file of the group, in whichever hierarchy has it.
fn file(group: &Cgroup, name: &str) -> Option<String> {
    let mut files = group.directories().map(|directory| directory.join(name));
    files.find_map(|path| fs::read_to_string(path).ok()).map(|text| text.trim().to_owned())
}

#[test]
fn a_throttled_disk_is_slow() {
    if !testkit::require_root() {
        return;
    }
    // The disk itself: a partition is not throttled.
    let device = fs::metadata("/var/tmp").unwrap().dev();
    let number = DeviceNumber {
        major: nix::sys::stat::major(device) as u32,
        minor: nix::sys::stat::minor(device) as u32,
    };
    if !std::path::Path::new(&format!("/sys/dev/block/{number}/queue")).exists() {
        println!("SKIP: /var/tmp is not on a whole disk");
        return;
    }
    for hierarchy in layouts() {
        if hierarchy.require(Controller::Io).is_err() {
            println!("SKIP: no io controller");
            continue;
        }
        let limits = Resources::new().write_bps(number, 1 << 20);
        let group = group(&hierarchy, limits.controllers());
        group.apply(&limits).unwrap();
        let path = format!("/var/tmp/{}", testkit::unique("throttled"));
        let script = format!("dd if=/dev/zero of={path} bs=512k count=4 oflag=direct 2>&1");
        let start = Instant::now();
        let done = Job::running(&group, &script).wait();
        let elapsed = start.elapsed();
        fs::remove_file(&path).unwrap();
        assert!(done.success());
        assert!(elapsed > Duration::from_millis(1000), "{elapsed:?}");
        group.apply(&Resources::new().write_bps(number, Limit::Unlimited)).unwrap();
        let start = Instant::now();
        assert!(Job::running(&group, &script).wait().success());
        assert!(start.elapsed() < elapsed, "{:?} after {elapsed:?}", start.elapsed());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn huge_pages_are_limited() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        if hierarchy.require(Controller::HugeTlb).is_err() {
            println!("SKIP: no hugetlb controller");
            continue;
        }
        let limits = Resources::new().hugepages("2MB", 4 << 20);
        let group = group(&hierarchy, limits.controllers());
        group.apply(&limits).unwrap();
        let shown =
            file(&group, "hugetlb.2MB.max").or_else(|| file(&group, "hugetlb.2MB.limit_in_bytes"));
        assert_eq!(shown.as_deref(), Some("4194304"));
        let error = group.apply(&Resources::new().hugepages("3MB", 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("pages of this size"), "{error}");
    }
}

#[test]
fn a_node_is_made_only_where_allowed() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let mknod: container_core::cgroup::DeviceAccess = "m".parse().unwrap();
        let shell = DeviceRule::allow(DeviceClass::Character, 1, 3, "rwm".parse().unwrap());
        let only = |class| {
            let made = DeviceRule::allow(class, None, None, mknod);
            Resources::new().devices([DeviceRule::deny_all(), shell, made])
        };
        let group = group(&hierarchy, Controller::Devices);
        let path = std::env::temp_dir().join(testkit::unique("node"));
        let script = format!("mknod {} b 7 199", path.display());
        group.apply(&only(DeviceClass::Character)).unwrap();
        assert!(!Job::running(&group, &script).wait().success());
        assert!(!path.exists());
        group.apply(&only(DeviceClass::Block)).unwrap();
        let mut job = Job::running(&group, &script);
        // In a user namespace no rule helps.
        if DeviceRule::can_be_set() {
            assert!(job.wait().success());
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_refused_change_takes_all_others_back() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let first = Resources::new()
            .memory_max(64 << 20)
            .memory_swap_max(16 << 20)
            .pids_max(50)
            .cpu_quota(20_000, 100_000)
            .cpu_shares(512);
        let group = group(&hierarchy, first.controllers() | Controller::CpuSet.into());
        group.apply(&first).unwrap();
        let files = [
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "memory.max",
            "memory.swap.max",
            "pids.max",
            "cpu.cfs_quota_us",
            "cpu.cfs_period_us",
            "cpu.shares",
            "cpu.max",
            "cpu.weight",
        ];
        let shown = || files.map(|name| file(&group, name));
        let before = shown();
        assert!(before.iter().flatten().count() >= 5, "{before:?}");
        // The last of the writes: no machine has this processor.
        let second = Resources::new()
            .memory_max(128 << 20)
            .memory_swap_max(32 << 20)
            .pids_max(60)
            .cpu_quota(30_000, 50_000)
            .cpu_shares(2048)
            .cpuset_cpus([8000].into_iter().collect());
        assert!(group.apply(&second).is_err());
        assert_eq!(shown(), before);
        // Down again, memory and swap in the order that the kernel takes.
        group.apply(&Resources::new().memory_and_swap_max(32 << 20).memory_max(32 << 20)).unwrap();
        assert_eq!(group.stats().unwrap().memory.limit, Some(Limit::At(32 << 20)));
        group
            .apply(&Resources::new().memory_and_swap_max(256 << 20).memory_max(128 << 20))
            .unwrap();
        assert_eq!(group.stats().unwrap().memory.limit, Some(Limit::At(128 << 20)));
    }
}

#[test]
fn a_limit_below_the_usage_is_refused_where_asked() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new().memory_max(256 << 20);
        let group = group(&hierarchy, limits.controllers());
        group.apply(&limits).unwrap();
        let script = "x=$(head -c 20000000 /dev/zero | tr '\\0' a); sleep 60";
        let _job = Job::running(&group, script);
        crate::support::eventually("memory is used", || {
            group.stats().unwrap().memory.current > Some(10 << 20)
        });
        let less = Resources::new().memory_max(4 << 20).memory_check_before_update(true);
        let error = group.apply(&less).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert_eq!(group.stats().unwrap().memory.limit, Some(Limit::At(256 << 20)));
    }
}

#[test]
fn settings_of_processor_time() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new().cpu_quota(50_000, 100_000).cpu_burst(20_000);
        let group = group(&hierarchy, limits.controllers());
        match group.apply(&limits) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                println!("SKIP: {error}");
                continue;
            }
            applied => applied.unwrap(),
        }
        let burst = || file(&group, "cpu.max.burst").or_else(|| file(&group, "cpu.cfs_burst_us"));
        assert_eq!(burst().as_deref(), Some("20000"));
        // The burst may not pass the quota at any moment, down and up.
        group.apply(&Resources::new().cpu_quota(10_000, 100_000).cpu_burst(5_000)).unwrap();
        assert_eq!(burst().as_deref(), Some("5000"));
        group.apply(&Resources::new().cpu_quota(90_000, 100_000).cpu_burst(80_000)).unwrap();
        assert_eq!(burst().as_deref(), Some("80000"));
        // A quota without a period keeps the one in force.
        let spec = serde_json::from_str(r#"{"cpu": {"quota": 85000, "idle": 1}}"#).unwrap();
        group.apply(&Resources::from_oci(&spec).unwrap()).unwrap();
        assert_eq!(file(&group, "cpu.idle").as_deref(), Some("1"));
        let quota = file(&group, "cpu.max").or_else(|| file(&group, "cpu.cfs_quota_us")).unwrap();
        assert!(quota.starts_with("85000"), "{quota}");
        group.apply(&Resources::new().cpu_idle(false).cpu_shares(1024)).unwrap();
        assert_eq!(file(&group, "cpu.idle").as_deref(), Some("0"));
    }
}

#[test]
fn the_oom_killer_can_be_told_to_wait_on_v1() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new().memory_max(16 << 20).disable_oom_killer(true);
        let group = group(&hierarchy, limits.controllers());
        let v1 = hierarchy
            .mount_of(Controller::Memory)
            .is_some_and(|mount| mount.version() == Version::V1);
        if !v1 {
            assert_eq!(group.apply(&limits).unwrap_err().kind(), ErrorKind::Unsupported);
            continue;
        }
        group.apply(&limits).unwrap();
        let mut job = Job::running(&group, "exec tail /dev/zero");
        crate::support::eventually("it waits for memory", || {
            file(&group, "memory.oom_control").is_some_and(|text| text.contains("under_oom 1"))
        });
        group.apply(&Resources::new().disable_oom_killer(false)).unwrap();
        assert!(job.was_killed());
    }
}
