use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use container_core::ErrorKind;
use container_core::cgroup::{Controller, Controllers, Hierarchy, Layout, Resources, Version};

use crate::support::{Job, SPIN, eventually, group, is_gone, layouts, without};

#[test]
fn attach_enters_every_hierarchy_spanned_and_no_other() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let wanted = [Controller::Memory, Controller::Pids];
        let group = group(&hierarchy, wanted);
        let mut command = Command::new("sleep");
        let job = Job::spawn(command.arg("60"));
        let lines = || fs::read_to_string(format!("/proc/{}/cgroup", job.pid())).unwrap();
        let before = lines();
        group.attach(job.pid()).unwrap();
        let after = lines();
        let moved = after.lines().filter(|line| line.ends_with(group.path())).count();
        assert_eq!(moved, group.directories().count(), "{after}");
        let stayed = before.lines().filter(|line| after.lines().any(|l| l == *line)).count();
        assert_eq!(stayed + moved, before.lines().count());
        for controller in wanted {
            let v1 = hierarchy.mount_of(controller).unwrap().version() == Version::V1;
            let line = if v1 {
                format!(":{controller}:{}", group.path())
            } else {
                format!("0::{}", group.path())
            };
            assert!(after.contains(&line), "{after}");
        }
        assert_eq!(group.processes().unwrap(), [job.pid()]);
        assert_eq!(group.needs_attach(), hierarchy.layout() != Layout::Unified);
        assert_eq!(group.enter_fd().is_some(), hierarchy.layout() != Layout::Legacy);
    }
}

#[test]
fn attach_of_nobody_is_an_error() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, Controller::Pids);
        assert_eq!(group.attach(0).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(group.attach(u32::MAX).unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut job = Job::spawn(&mut Command::new("true"));
        job.wait();
        let error = group.attach(job.pid()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}

/// One hierarchy of several refuses: the process is back where it was in all.
#[test]
fn a_refused_attach_is_taken_back() {
    if !testkit::require_root() || !testkit::require_cgroup1() {
        return;
    }
    for hierarchy in layouts() {
        // A v1 cpuset without processors takes nobody in; it comes first in no layout.
        let group = group(&hierarchy, [Controller::Pids, Controller::CpuSet]);
        let cpuset = group.directories().find(|d| d.join("cpuset.cpus").exists()).unwrap();
        fs::write(cpuset.join("cpuset.cpus"), "\n").unwrap();
        let job = Job::spawn(Command::new("sleep").arg("60"));
        let lines = || fs::read_to_string(format!("/proc/{}/cgroup", job.pid())).unwrap();
        let before = lines();
        let error = group.attach(job.pid()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(28), "{error}");
        assert!(error.to_string().contains("cpuset.cpus"), "{error}");
        assert_eq!(lines(), before);
    }
}

#[test]
fn freezing_stops_and_thawing_continues() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, Controllers::NONE);
        let job = Job::running(&group, SPIN);
        eventually("it runs", || job.ticks() > 2);
        assert!(!group.is_frozen().unwrap());
        group.freeze().unwrap();
        assert!(group.is_frozen().unwrap());
        let stopped_at = job.ticks();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(job.ticks(), stopped_at, "{:?}", hierarchy.layout());
        group.thaw().unwrap();
        assert!(!group.is_frozen().unwrap());
        eventually("it runs again", || job.ticks() > stopped_at + 2);
        // Both are no-ops when it is so already; an empty group freezes too.
        group.thaw().unwrap();
        group.freeze().unwrap();
        group.freeze().unwrap();
        group.thaw().unwrap();
    }
}

#[test]
fn a_frozen_group_with_children_can_be_killed() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, Controllers::NONE);
        let inner = group.create_child("inner", Controllers::NONE).unwrap();
        let mut outer_job = Job::running(&group, SPIN);
        let mut inner_job = Job::running(&inner, SPIN);
        group.freeze().unwrap();
        assert!(inner.is_frozen().unwrap());
        let error = inner.thaw().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
        assert!(error.to_string().contains("ancestor"), "{error}");
        group.kill().unwrap();
        assert!(outer_job.was_killed() && inner_job.was_killed());
        assert!(!group.is_populated().unwrap());
    }
}

/// Twenty chains of processes that each fork the next and end: whoever lists them and then
/// signals what is on the list misses some.
#[test]
fn killing_misses_no_fork() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let limits = Resources::new().pids_max(300);
        let group = group(&hierarchy, limits.controllers());
        group.apply(&limits).unwrap();
        let chains = "f() { sleep 0.002; f & }; i=0; \
                      while [ $i -lt 20 ]; do i=$((i + 1)); f & done; exec sleep 60";
        let mut job = Job::running(&group, chains);
        eventually("it forks", || group.processes().unwrap().len() > 20);
        let start = Instant::now();
        group.kill().unwrap();
        assert!(start.elapsed() < Duration::from_secs(4));
        assert!(job.was_killed());
        assert!(group.processes().unwrap().is_empty());
        std::thread::sleep(Duration::from_millis(50));
        assert!(group.processes().unwrap().is_empty());
        group.remove().unwrap();
    }
}

/// v1 without a freezer: killing still works, stopping says what is missing.
#[test]
fn without_a_freezer() {
    if !testkit::require_root() || !testkit::require_cgroup1() {
        return;
    }
    let hierarchy = without("cgroup2", "freezer");
    let group = group(&hierarchy, Controller::Pids);
    assert_eq!(group.directories().count(), 1);
    let error = group.freeze().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("mount -t cgroup -o freezer"), "{error}");
    let mut job = Job::running(&group, "for i in 1 2 3 4; do sleep 60 & done; wait");
    eventually("it forks", || group.processes().unwrap().len() == 5);
    group.kill().unwrap();
    assert!(job.was_killed());
    assert!(!group.is_populated().unwrap());
}

#[test]
fn an_owned_group_goes_with_its_owner() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, Controller::Pids);
        let inner = group.create_child("inner", Controllers::NONE).unwrap();
        let directories: Vec<_> = group.directories().chain(inner.directories()).collect();
        let mut job = Job::running(&inner, SPIN);
        group.freeze().unwrap();
        let start = Instant::now();
        drop(group);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(job.was_killed());
        assert!(is_gone(&directories));
    }
}

/// Runs in a process of its own, which is put into the group that it then tries to stop.
#[test]
fn the_callers_own_group_is_neither_stopped_nor_killed() {
    if let Ok(path) = std::env::var("CC_TEST_OWN_GROUP") {
        for hierarchy in layouts() {
            let group = hierarchy.open(&path).unwrap();
            group.attach(std::process::id()).unwrap();
            for refused in [group.freeze(), group.kill(), group.destroy()] {
                let error = refused.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                assert!(error.to_string().contains("calling process"), "{error}");
            }
        }
        return;
    }
    if !testkit::require_root() {
        return;
    }
    let group = group(&Hierarchy::discover().unwrap(), Controller::Pids);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "control::the_callers_own_group_is_neither_stopped_nor_killed"])
        .env("CC_TEST_OWN_GROUP", group.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}

#[test]
fn the_root_is_neither_stopped_nor_killed_nor_removed() {
    for hierarchy in layouts() {
        let Ok(root) = hierarchy.root() else { return };
        for refused in [root.freeze(), root.thaw(), root.kill(), root.remove()] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}

#[test]
fn a_child_is_born_inside_by_the_descriptor() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, Controllers::NONE);
        let Some(fd) = group.enter_fd() else { continue };
        let pid = born_into(fd);
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(cgroup.contains(&format!("0::{}\n", group.path())), "{cgroup}");
        assert_eq!(group.processes().unwrap(), [pid]);
        group.kill().unwrap();
        let mut status = 0;
        // SAFETY: waits for a child of this process; `status` is valid for the call.
        #[allow(unsafe_code)]
        let reaped = unsafe { libc::waitpid(pid as i32, &raw mut status, 0) };
        assert_eq!(reaped, pid as i32);
        assert_eq!(libc::WTERMSIG(status), 9);
    }
}

/// A child that does nothing but wait, cloned straight into the cgroup.
#[allow(unsafe_code)]
fn born_into(cgroup: std::os::fd::BorrowedFd<'_>) -> u32 {
    use std::os::fd::AsRawFd as _;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
    // set_tid_size, cgroup: struct clone_args of linux/sched.h.
    let mut args = [0_u64; 11];
    args[0] = CLONE_INTO_CGROUP;
    args[4] = libc::SIGCHLD as u64;
    args[10] = cgroup.as_raw_fd() as u64;
    // SAFETY: a fork-like clone3 with a full clone_args; the child makes nothing but
    // system calls, which are safe after a fork of a process with threads.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) };
    if pid == 0 {
        loop {
            // SAFETY: takes no arguments and touches no memory.
            unsafe { libc::pause() };
        }
    }
    u32::try_from(pid).unwrap_or_else(|_| panic!("clone3: {}", std::io::Error::last_os_error()))
}
