//! Processors, memory nodes, and the kernel that the process sees.

use container_core::cgroup::{Controller, Hierarchy, IdSet, Resources};
use container_core::scheduling::{
    CpuAffinity, MemoryMode, MemoryPolicy, MemoryPolicyFlag, Personality,
};
use container_core::{ErrorKind, ProcessBuilder};

use crate::support::{printed, sleeper, status};

/// The processors of this test.
fn processors() -> Vec<u32> {
    let list = status(std::process::id(), "Cpus_allowed_list");
    list.parse::<IdSet>().unwrap().iter().collect()
}

fn only(cpu: u32) -> IdSet {
    [cpu].into_iter().collect()
}

fn allowed(affinity: CpuAffinity) -> String {
    let process = sleeper(|builder| builder.cpu_affinity(affinity)).unwrap();
    status(process.id(), "Cpus_allowed_list")
}

#[test]
fn processors_before_and_after() {
    let cpus = processors();
    let (first, last) = (cpus[0], cpus[cpus.len() - 1]);
    assert_eq!(allowed(CpuAffinity::none().before(only(first))), first.to_string());
    assert_eq!(allowed(CpuAffinity::none().after(only(last))), last.to_string());
    let both = CpuAffinity::none().before(only(first)).after(only(last));
    assert_eq!(allowed(both), last.to_string());
}

#[test]
fn processors_that_are_not_there() {
    let far: IdSet = [8191].into_iter().collect();
    for affinity in [CpuAffinity::none().before(far.clone()), CpuAffinity::none().after(far)] {
        let error = sleeper(|builder| builder.cpu_affinity(affinity)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
        assert!(error.to_string().contains("sched_setaffinity"), "{error}");
        assert!(error.way_out().is_some(), "{error}");
    }
}

/// Processors that the cgroup does not have are good until it is entered.
#[test]
fn the_first_processors_come_before_the_cgroup() {
    let cpus = processors();
    if cpus.len() < 2 || !testkit::require_root() {
        return;
    }
    let hierarchy = Hierarchy::discover().unwrap();
    let controller = Controller::CpuSet;
    if !hierarchy.controllers().contains(controller) {
        return;
    }
    let path = format!("/{}", testkit::unique("cc-affinity"));
    let group = hierarchy.create(&path, controller).unwrap().owned();
    group.apply(&Resources::new().cpuset_cpus(only(cpus[1]))).unwrap();
    let affinity = CpuAffinity::none().before(only(cpus[0]));
    let process =
        sleeper(|builder| builder.cgroup((*group).clone()).cpu_affinity(affinity)).unwrap();
    assert_eq!(status(process.id(), "Cpus_allowed_list"), cpus[1].to_string());
    drop(process);
    let wrong = CpuAffinity::none().after(only(cpus[0]));
    let error =
        sleeper(|builder| builder.cgroup((*group).clone()).cpu_affinity(wrong)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
}

fn first_map(policy: MemoryPolicy) -> container_core::Result<String> {
    let builder = ProcessBuilder::new("head").args(["-n1", "/proc/self/numa_maps"]);
    let output = builder.memory_policy(policy).output()?;
    let text = String::from_utf8(output.stdout).unwrap();
    Ok(text.split(' ').nth(1).unwrap_or_default().to_owned())
}

#[test]
fn memory_comes_from_where_it_is_told() {
    let zero = || "0".parse::<IdSet>().unwrap();
    let cases = [
        (MemoryPolicy::new(MemoryMode::Default), "default"),
        (MemoryPolicy::new(MemoryMode::Local), "local"),
        (MemoryPolicy::new(MemoryMode::Bind).nodes(zero()), "bind:0"),
        (MemoryPolicy::new(MemoryMode::Interleave).nodes(zero()), "interleave:0"),
        (MemoryPolicy::new(MemoryMode::Preferred).nodes(zero()), "prefer:0"),
        (
            MemoryPolicy::new(MemoryMode::Bind).nodes(zero()).flag(MemoryPolicyFlag::StaticNodes),
            "bind=static:0",
        ),
    ];
    for (policy, shown) in cases {
        match first_map(policy.clone()) {
            Ok(found) => assert_eq!(found, shown, "{policy}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert!(error.to_string().contains("CONFIG_NUMA"), "{error}");
                return;
            }
        }
    }
    let far = MemoryPolicy::new(MemoryMode::Bind).nodes("1000".parse().unwrap());
    let error = first_map(far).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
    assert!(error.way_out().is_some(), "{error}");
}

#[test]
fn the_personality_is_seen() {
    let shown = |personality| {
        let builder = ProcessBuilder::new("cat").arg("/proc/self/personality");
        printed(builder.personality(personality))
    };
    assert_eq!(shown(Personality::Linux32), "00000008\n");
    assert_eq!(shown(Personality::Linux), "00000000\n");
    if cfg!(target_arch = "x86_64") {
        let machine = ProcessBuilder::new("uname").arg("-m").personality(Personality::Linux32);
        assert_eq!(printed(machine), "i686\n");
    }
}
