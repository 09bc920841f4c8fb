use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cgroup::compile::{Present, compile};
use crate::cgroup::controller::Version;
use crate::error::{Error, ErrorKind};

fn read(spec: Value) -> Result<Resources> {
    Resources::from_oci(&serde_json::from_value(spec).unwrap())
}

fn lines(spec: Value, version: Version) -> Vec<String> {
    let writes = compile(&read(spec).unwrap(), |_| version, &Present::default()).unwrap();
    writes.into_iter().map(|w| format!("{}={}", w.file, w.value)).collect()
}

fn full() -> Value {
    json!({
        "memory": {"limit": 1 << 30, "reservation": 1 << 20, "swap": 3 << 29},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "burst": 10_000, "idle": 1,
            "cpus": "0-1", "mems": "0"},
        "pids": {"limit": 100},
        "blockIO": {"weight": 200, "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}],
        "rdma": {"mlx5_1": {"hcaHandles": 3}},
    })
}

#[test]
fn files_of_v2() {
    assert_eq!(
        lines(full(), Version::V2),
        [
            "memory.low=1048576",
            "memory.max=1073741824",
            "memory.swap.max=536870912",
            "pids.max=100",
            "cpu.weight=59",
            "cpu.idle=1",
            "cpu.max=50000 100000",
            "cpu.max.burst=10000",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "io.weight=default 1920",
            "io.weight=8:0 10000",
            "io.max=8:0 rbps=1000",
            "io.max=8:16 wiops=max",
            "hugetlb.2MB.max=4194304",
            "hugetlb.2MB.rsvd.max=4194304",
            "rdma.max=mlx5_1 hca_handle=3 hca_object=max",
        ]
    );
    let unified = json!({"unified": {"memory.high": "1\n2", "cgroup.max.depth": "3"}});
    let expected = ["cgroup.max.depth=3", "memory.high=1", "memory.high=2"];
    assert_eq!(lines(unified, Version::V2), expected);
}

#[test]
fn files_of_v1() {
    let mut spec = full();
    spec["memory"]["swappiness"] = 7.into();
    spec["memory"]["kernelTCP"] = 4096.into();
    spec["memory"]["disableOOMKiller"] = true.into();
    spec["cpu"]["realtimeRuntime"] = 95_000.into();
    spec["cpu"]["realtimePeriod"] = 1_000_000.into();
    spec["network"] =
        json!({"classID": 1_048_577, "priorities": [{"name": "eth0", "priority": 5}]});
    assert_eq!(
        lines(spec, Version::V1),
        [
            "memory.soft_limit_in_bytes=1048576",
            "memory.limit_in_bytes=1073741824",
            "memory.memsw.limit_in_bytes=1610612736",
            "memory.kmem.tcp.limit_in_bytes=4096",
            "memory.swappiness=7",
            "memory.oom_control=1",
            "pids.max=100",
            "cpu.shares=512",
            "cpu.idle=1",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
            "cpu.cfs_burst_us=10000",
            "cpu.rt_period_us=1000000",
            "cpu.rt_runtime_us=95000",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "blkio.weight=200",
            "blkio.weight_device=8:0 1000",
            "blkio.throttle.read_bps_device=8:0 1000",
            "blkio.throttle.write_iops_device=8:16 0",
            "hugetlb.2MB.limit_in_bytes=4194304",
            "hugetlb.2MB.rsvd.limit_in_bytes=4194304",
            "net_cls.classid=1048577",
            "net_prio.ifpriomap=eth0 5",
            "rdma.max=mlx5_1 hca_handle=3 hca_object=max",
        ]
    );
}

#[test]
fn what_engines_write_for_nothing() {
    let zeroes = json!({
        "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0},
        "network": {"classID": 0},
    });
    assert_eq!(read(zeroes).unwrap(), Resources::new());
    let lifted = json!({"memory": {"limit": -1, "swap": -1}, "pids": {"limit": 0}});
    let v2 = ["memory.max=max", "memory.swap.max=max", "pids.max=max"];
    assert_eq!(lines(lifted.clone(), Version::V2), v2);
    let v1 = ["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1", "pids.max=max"];
    assert_eq!(lines(lifted, Version::V1), v1);
    // Equal limits: no swap, whether the kernel counts it or not.
    let none = json!({"memory": {"limit": 8192, "swap": 8192}});
    assert_eq!(lines(none, Version::V2), ["memory.max=8192", "memory.swap.max=0"]);
}

#[test]
fn refusals_name_the_field() {
    for (spec, field) in [
        (json!({"memory": {"limit": -2}}), "memory.limit"),
        (json!({"memory": {"limit": 1}}), "memory.limit"),
        (json!({"memory": {"limit": 8192, "swap": 4096}}), "memory.swap"),
        (json!({"memory": {"limit": -1, "swap": 4096}}), "memory.swap"),
        (json!({"memory": {"swappiness": 101}}), "memory.swappiness"),
        (json!({"cpu": {"shares": 1}}), "cpu.shares"),
        (json!({"cpu": {"quota": 1}}), "cpu.quota"),
        (json!({"cpu": {"quota": 2000, "burst": 2001}}), "cpu.burst"),
        (json!({"cpu": {"period": 1}}), "cpu.period"),
        (json!({"cpu": {"idle": 2}}), "cpu.idle"),
        (json!({"cpu": {"cpus": "x"}}), "cpu.cpus"),
        (json!({"cpu": {"mems": "3-1"}}), "cpu.mems"),
        (json!({"cpu": {"realtimeRuntime": 2, "realtimePeriod": 1}}), "cpu.realtimeRuntime"),
        (json!({"pids": {"limit": i64::MAX}}), "pids.limit"),
        (json!({"blockIO": {"weight": 9}}), "blockIO.weight"),
        (
            json!({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": -1, "rate": 1}]}}),
            "blockIO.throttleReadBpsDevice",
        ),
        (json!({"hugepageLimits": [{"pageSize": "2", "limit": 1}]}), "hugepageLimits.pageSize"),
        (json!({"hugepageLimits": [{"pageSize": "2MB", "limit": -2}]}), "hugepageLimits.limit"),
        (
            json!({"network": {"priorities": [{"name": "a b", "priority": 1}]}}),
            "network.priorities.name",
        ),
        (json!({"unified": {"../x": "1"}}), "unified"),
        (json!({"unified": {"cgroup.procs": "1"}}), "unified"),
        (json!({"devices": [{"allow": true, "access": "x"}]}), "devices[0].access"),
        (json!({"devices": [{"allow": true, "type": "p"}]}), "devices[0].type"),
        (json!({"devices": [{"allow": true, "type": "c", "major": -2}]}), "devices[0].major"),
    ] {
        let error: Error = read(spec.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{spec}");
        let shown = error.to_string();
        assert!(shown.contains(&format!("linux.resources.{field}")), "{spec}: {shown}");
    }
}

#[test]
fn what_a_version_lacks_is_refused_by_name() {
    for (spec, version, field) in [
        (json!({"memory": {"swappiness": 1}}), Version::V2, "memory.swappiness"),
        (json!({"memory": {"kernelTCP": 4096}}), Version::V2, "memory.kernelTCP"),
        (json!({"memory": {"disableOOMKiller": true}}), Version::V2, "memory.disableOOMKiller"),
        (json!({"cpu": {"realtimeRuntime": 1}}), Version::V2, "cpu.realtimeRuntime"),
        (json!({"blockIO": {"leafWeight": 10}}), Version::V2, "blockIO.leafWeight"),
        (json!({"unified": {"memory.high": "1"}}), Version::V1, "unified"),
    ] {
        let limits = read(spec).unwrap();
        let error = compile(&limits, |_| version, &Present::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn swap_needs_a_limit_of_memory_that_fits() {
    let limits = read(json!({"memory": {"swap": 8192}})).unwrap();
    for version in [Version::V1, Version::V2] {
        for (memory, fits) in [(None, false), (Some(16_384), false), (Some(4096), true)] {
            let memory = memory.map_or(Limit::Unlimited, Limit::At);
            let present = Present { memory, ..Present::default() };
            let compiled = compile(&limits, |_| version, &present);
            assert_eq!(compiled.is_ok(), fits, "{version} {memory}");
        }
    }
}

#[test]
fn a_builder_is_said_in_a_spec() {
    let limits = Resources::new()
        .memory_max(1 << 20)
        .memory_swap_max(4096)
        .memory_high(1 << 19)
        .cpu_weight(100)
        .hugepages("2MB", 0)
        .devices([DeviceRule::deny_all()].into_iter().chain(DeviceRule::runtime_defaults()));
    let spec = serde_json::to_value(limits.to_oci().unwrap()).unwrap();
    assert_eq!(spec["memory"]["swap"], (1 << 20) + 4096);
    assert_eq!(spec["unified"]["memory.high"], (1 << 19).to_string());
    assert_eq!(spec["cpu"]["shares"], 1024);
    assert_eq!(spec["hugepageLimits"], json!([{"pageSize": "2MB", "limit": 0}]));
    assert_eq!(spec["devices"], json!([{"allow": false, "type": "a", "access": "rwm"}]));
    let lifted = Resources::new().memory_high(Limit::Unlimited).hugepages("2MB", Limit::Unlimited);
    let again = Resources::from_oci(&lifted.to_oci().unwrap()).unwrap();
    let expected = Resources::new().unified("memory.high", "max");
    assert_eq!(again, expected.hugepages("2MB", Limit::Unlimited));
}

fn maybe(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    proptest::option::of(value).prop_map(|value| value.unwrap_or(Value::Null))
}

fn any_number(most: i64) -> impl Strategy<Value = Value> {
    maybe(prop_oneof![Just(-1), Just(0), 1..=most].prop_map(Value::from))
}

fn any_rule() -> impl Strategy<Value = Value> {
    (any::<bool>(), "[abc]", any_number(300), any_number(300), "[rwm]{1,3}").prop_map(
        |(allow, class, major, minor, access)| {
            json!({"allow": allow, "type": class, "major": major, "minor": minor, "access": access})
        },
    )
}

fn any_spec() -> impl Strategy<Value = Value> {
    let memory = (any_number(1 << 40), any_number(1 << 40), any_number(1 << 40), 0..=100_u64);
    let memory = memory.prop_map(|(limit, swap, low, swappiness)| {
        json!({"limit": limit, "swap": swap, "reservation": low, "swappiness": swappiness})
    });
    let cpu = (any_number(262_144), any_number(1 << 20), any_number(1_000_000), 0..=1);
    let cpu = cpu.prop_map(|(shares, quota, period, idle)| {
        let natural = |value: Value| if value == json!(-1) { Value::Null } else { value };
        let (shares, period) = (natural(shares), natural(period));
        json!({"shares": shares, "quota": quota, "period": period, "idle": idle, "cpus": "0,2-3"})
    });
    let pids = (-1..1000_i64).prop_map(|limit| json!({"limit": limit}));
    let rate = (0..300, 0..300, 0..1000_u64)
        .prop_map(|(major, minor, rate)| json!({"major": major, "minor": minor, "rate": rate}));
    let block = (10..=1000, proptest::collection::vec(rate, 0..4))
        .prop_map(|(weight, rates)| json!({"weight": weight, "throttleReadBpsDevice": rates}));
    let devices = proptest::collection::vec(any_rule(), 0..6).prop_map(Value::from);
    (maybe(memory), maybe(cpu), maybe(pids), maybe(block), maybe(devices)).prop_map(
        |(memory, cpu, pids, block, devices)| {
            json!({
                "memory": memory, "cpu": cpu, "pids": pids, "blockIO": block, "devices": devices,
            })
        },
    )
}

proptest! {
    #[test]
    fn what_came_from_a_spec_goes_back(spec in any_spec()) {
        if let Ok(limits) = read(spec) {
            let again = Resources::from_oci(&limits.to_oci().unwrap()).unwrap();
            prop_assert_eq!(again, limits);
        }
    }
}
