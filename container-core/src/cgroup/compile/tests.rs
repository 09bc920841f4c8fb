use super::*;
use crate::cgroup::IdSet;

fn lines(limits: &Resources, version: Version, present: Present) -> Vec<String> {
    compile(limits, |_| version, &present)
        .unwrap()
        .into_iter()
        .map(|w| format!("{}={}", w.file, w.value))
        .collect()
}

fn all() -> Resources {
    Resources::new()
        .memory_max(1 << 20)
        .memory_swap_max(4096)
        .memory_low(8192)
        .pids_max(10)
        .cpu_quota(20_000, 50_000)
        .cpu_weight(100)
        .cpuset_cpus(IdSet::from(0..2))
        .cpuset_mems(IdSet::from(0..1))
}

#[test]
fn v2() {
    assert_eq!(
        lines(&all().memory_high(Limit::Unlimited), Version::V2, Present::default()),
        [
            "memory.low=8192",
            "memory.high=max",
            "memory.max=1048576",
            "memory.swap.max=4096",
            "pids.max=10",
            "cpu.weight=100",
            "cpu.max=20000 50000",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
        ]
    );
}

#[test]
fn v1() {
    assert_eq!(
        lines(&all(), Version::V1, Present::default()),
        [
            "memory.soft_limit_in_bytes=8192",
            "memory.limit_in_bytes=1048576",
            "memory.memsw.limit_in_bytes=1052672",
            "pids.max=10",
            "cpu.shares=1024",
            "cpu.cfs_quota_us=20000",
            "cpu.cfs_period_us=50000",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
        ]
    );
}

#[test]
fn v1_orders_by_what_is_there() {
    let present = Present {
        memory: Limit::At(4096),
        memory_and_swap: Some(Limit::At(12_288)),
        ..Present::default()
    };
    let raised = Resources::new().memory_max(40_960);
    assert_eq!(
        lines(&raised, Version::V1, present),
        ["memory.memsw.limit_in_bytes=49152", "memory.limit_in_bytes=40960"]
    );
    let lifted = Resources::new().memory_max(Limit::Unlimited);
    assert_eq!(
        lines(&lifted, Version::V1, present),
        ["memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1"]
    );
    let longer = Resources::new().cpu_quota(Limit::Unlimited, 200_000);
    assert_eq!(
        lines(&longer, Version::V1, present),
        ["cpu.cfs_period_us=200000", "cpu.cfs_quota_us=-1"]
    );
}

#[test]
fn what_v1_cannot_express() {
    let kind = |limits: Resources| {
        compile(&limits, |_| Version::V1, &Present::default()).unwrap_err().kind()
    };
    assert_eq!(kind(Resources::new().memory_high(4096)), ErrorKind::Unsupported);
    assert_eq!(kind(Resources::new().memory_swap_max(0)), ErrorKind::InvalidInput);
}

#[test]
fn nothing_asked_nothing_written() {
    for version in [Version::V1, Version::V2] {
        assert!(lines(&Resources::new(), version, Present::default()).is_empty());
    }
}
