//! What others read back from, and write beside, a cgroup of ours.

use std::fs;
use std::process::Command;

use cgroups_rs::CgroupPid;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use cgroups_rs::fs::{Cgroup as Theirs, MaxValue, hierarchies};
use container_core::cgroup::{Controllers, Resources};

use crate::support::{Job, group, layouts};

/// cgroups-rs, on v1 and on v2, finds the limits and the process that were put there.
#[test]
fn cgroups_rs_reads_the_same_limits() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new()
            .memory_max(48 << 20)
            .pids_max(17)
            .cpu_quota(30_000, 60_000)
            .cpu_weight(100);
        let ours = group(&hierarchy, limits.controllers());
        ours.apply(&limits).unwrap();
        let job = Job::attached(&ours, "sleep 60");

        let names = ["memory", "pids", "cpu"].map(str::to_owned).to_vec();
        let path = &ours.path()[1..];
        let theirs = Theirs::load_with_specified_controllers(hierarchies::auto(), path, names);
        let memory: &MemController = theirs.controller_of().unwrap();
        assert_eq!(memory.memory_stat().limit_in_bytes, 48 << 20);
        let pids: &PidController = theirs.controller_of().unwrap();
        assert_eq!(pids.get_pid_max().unwrap(), MaxValue::Value(17));
        assert_eq!(pids.get_pid_current().unwrap(), 1);
        let cpu: &CpuController = theirs.controller_of().unwrap();
        assert_eq!((cpu.cfs_quota().unwrap(), cpu.cfs_period().unwrap()), (30_000, 60_000));
        let shares = if theirs.v2() { 100 } else { 1024 };
        assert_eq!(cpu.shares().unwrap(), shares);
        assert!(theirs.procs().contains(&CgroupPid::from(u64::from(job.pid()))));

        // And what they write, ours reads.
        pids.set_pid_max(MaxValue::Value(23)).unwrap();
        assert_eq!(ours.stats().unwrap().pids.limit, Some(23.into()));
    }
}

/// A cgroup that another program made is opened, read, stopped and killed like one of ours.
#[test]
fn a_cgroup_made_by_hand_is_handled() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let path = format!("/{}", testkit::unique("cc-test"));
        for mount in hierarchy.mounts().iter().filter(|mount| mount.name().is_none()) {
            fs::create_dir(mount.mount_point().join(&path[1..])).unwrap();
            for file in ["cpuset.mems", "cpuset.cpus"] {
                let root = mount.mount_point();
                if let Ok(all) = fs::read_to_string(root.join(file)) {
                    fs::write(root.join(&path[1..]).join(file), all).unwrap();
                }
            }
        }
        let opened = hierarchy.open(&path).unwrap().owned();
        let mut job = Job::spawn(Command::new("sleep").arg("60"));
        opened.attach(job.pid()).unwrap();
        assert_eq!(opened.processes().unwrap(), [job.pid()]);
        assert!(
            opened.controllers().contains_all(Controllers::STATISTICS & hierarchy.controllers())
                || hierarchy.unified().is_some()
        );
        // Frozen by the v1 freezer, as runc does on a hybrid machine.
        for directory in opened.directories() {
            if directory.join("freezer.state").exists() {
                fs::write(directory.join("freezer.state"), "FROZEN").unwrap();
            }
        }
        opened.kill().unwrap();
        assert!(job.was_killed());
        opened.close().unwrap();
        assert!(hierarchy.open(&path).is_err());
    }
}
