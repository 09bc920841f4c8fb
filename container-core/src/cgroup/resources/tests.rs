use super::*;
use crate::error::ErrorKind;

#[test]
fn impossible_values_are_refused() {
    let new = Resources::new;
    for (what, bad) in [
        ("memory.limit", new().memory_max(0)),
        ("memory.limit", new().memory_max(100)),
        ("memory.limit", new().memory_max(u64::MAX)),
        ("memory.high", new().memory_high(1)),
        ("pids.limit", new().pids_max(0)),
        ("pids.limit", new().pids_max(5_000_000)),
        ("cpu.quota", new().cpu_quota(0, 100_000)),
        ("cpu.quota", new().cpu_quota(999, 100_000)),
        ("cpu.quota", new().cpu_quota(u64::MAX, 100_000)),
        ("cpu.period", new().cpu_quota(5_000, 999)),
        ("cpu.period", new().cpu_quota(5_000, 1_000_001)),
        ("cpu.quota", new().cpus(0.0)),
        ("cpu.quota", new().cpus(f64::NAN)),
        ("cpu.quota", new().cpus(f64::INFINITY)),
        ("cpu.quota", new().cpus(-2.0)),
        ("cpu.weight", new().cpu_weight(0)),
        ("cpu.weight", new().cpu_weight(10_001)),
        ("cpu.shares", new().cpu_shares(1)),
        ("cpu.cpus", new().cpuset_cpus(IdSet::default())),
        ("cpu.mems", new().cpuset_mems([9000].into_iter().collect())),
    ] {
        let error = bad.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.step(), format!("linux.resources.{what}"), "{bad:?}");
    }
}

#[test]
fn possible_values_are_not() {
    let limits = Resources::new()
        .memory_max(4096 << 8)
        .memory_swap_max(0)
        .memory_high(Limit::Unlimited)
        .memory_low(0)
        .pids_max(1)
        .cpus(0.001)
        .cpu_weight(1)
        .cpuset_cpus((0..2).into())
        .cpuset_mems((0..1).into());
    limits.validate().unwrap();
    assert_eq!(limits.controllers().to_string(), "cpu, cpuset, memory, pids");
    assert!(Resources::new().controllers().is_empty());
    Resources::new().cpu_quota(Limit::Unlimited, 100_000).validate().unwrap();
}
