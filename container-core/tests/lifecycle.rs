//! Handles under use that nobody plans for: absurd time-outs, paused
//! containers that are told to end, processes inside that nobody waits for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::mpsc;
use std::time::Duration;

use container_core::cgroup::{Cgroup, Hierarchy, OwnedCgroup, Resources, Stats};
use container_core::container::{Created, Running, Stopped};
use container_core::{
    Container, ContainerBuilder, Error, Mount, Plan, Probe, Process, ProcessBuilder, Stdio,
};
use testkit::Rootfs;

/// Runs `work` on a thread; panics if it hangs.
#[track_caller]
fn within<T: Send + 'static>(seconds: u64, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    finished.recv_timeout(Duration::from_secs(seconds)).expect("it hangs")
}

fn can_run() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

fn sleeping(rootfs: &Rootfs) -> ContainerBuilder {
    Rootfs::binds()
        .iter()
        .fold(Container::builder(rootfs.path()), |builder, path| {
            builder.mount(Mount::bind(path, path).read_only())
        })
        .command("/bin/sleep")
        .arg("100")
}

#[test]
fn handles_are_send_and_sync() {
    fn is<T: Send + Sync + 'static>() {}
    is::<ProcessBuilder>();
    is::<ContainerBuilder>();
    is::<Plan>();
    is::<Process>();
    is::<Container<Created>>();
    is::<Container<Running>>();
    is::<Container<Stopped>>();
    is::<Hierarchy>();
    is::<Cgroup>();
    is::<OwnedCgroup>();
    is::<Resources>();
    is::<Stats>();
    is::<Mount>();
    is::<Stdio>();
    is::<Probe>();
    is::<Error>();
}

#[test]
fn the_longest_time_out_is_for_ever() {
    let process = ProcessBuilder::new("/bin/sleep").arg("0.05").spawn().unwrap();
    let status = within(10, move || process.wait_timeout(Duration::MAX));
    assert!(status.unwrap().unwrap().success());
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let container = sleeping(&rootfs).init(true).start().unwrap();
    let stopped = within(10, move || container.stop(Duration::MAX)).unwrap();
    stopped.delete().unwrap();
}

#[test]
fn a_plan_of_an_exec_joins_the_container_too() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let container = sleeping(&rootfs).start().unwrap();
    let inside = container.exec("/bin/sleep").unwrap().arg("100").plan().unwrap().spawn().unwrap();
    container.kill().unwrap();
    within(10, move || container.wait()).unwrap();
    assert!(inside.wait().is_ok());
}

#[test]
fn no_waiter_misses_a_process_executed_meanwhile() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    for _ in 0..30 {
        let container = std::sync::Arc::new(sleeping(&rootfs).start().unwrap());
        let waiting = std::sync::Arc::clone(&container);
        let waiter = std::thread::spawn(move || waiting.wait());
        std::thread::sleep(Duration::from_millis(5));
        let inside: Vec<_> = (0..3)
            .map(|_| {
                let process = container.exec("/bin/sleep").unwrap().arg("100").spawn().unwrap();
                // Another waiter, that does not stay.
                assert_eq!(container.try_wait().unwrap(), None);
                process
            })
            .collect();
        container.kill().unwrap();
        within(10, move || waiter.join().unwrap()).unwrap();
        assert!(inside.iter().all(|process| process.wait().is_ok()));
    }
}

#[test]
fn a_paused_container_can_be_stopped_killed_and_deleted() {
    if !testkit::require_root() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let paused = |cgroup: Option<&Cgroup>| {
        let builder = sleeping(&rootfs);
        let container = match cgroup {
            Some(cgroup) => builder.cgroup(cgroup.clone()),
            None => builder.resources(Resources::new().pids_max(50u64)),
        };
        let container = container.start().unwrap();
        container.pause().unwrap();
        container
    };
    let hierarchy = Hierarchy::discover().unwrap();
    let path = format!("/{}", testkit::unique("paused"));
    let given = hierarchy.create(&path, container_core::cgroup::Controllers::STATISTICS);
    let given = given.unwrap().owned();
    for cgroup in [None, Some(&*given)] {
        let container = paused(cgroup);
        within(10, move || container.stop(Duration::from_millis(20))).unwrap().delete().unwrap();
        let container = paused(cgroup);
        within(10, move || {
            container.kill()?;
            container.wait()
        })
        .unwrap();
        let container = paused(cgroup);
        within(10, move || container.delete()).unwrap();
        let container = paused(cgroup);
        within(10, move || drop(container));
    }
}

#[test]
fn nothing_starts_in_a_frozen_cgroup() {
    if !testkit::require_root() {
        return;
    }
    let hierarchy = Hierarchy::discover().unwrap();
    let path = format!("/{}", testkit::unique("frozen"));
    let controllers = container_core::cgroup::Controllers::STATISTICS;
    let cgroup = hierarchy.create(&path, controllers).unwrap().owned();
    cgroup.freeze().unwrap();
    let builder = ProcessBuilder::new("/bin/true").cgroup((*cgroup).clone());
    let frozen = builder.clone();
    let error = within(10, move || frozen.status()).unwrap_err();
    assert_eq!(error.kind(), container_core::ErrorKind::WrongState, "{error}");
    cgroup.thaw().unwrap();
    assert!(builder.status().unwrap().success());
}

#[test]
fn exec_needs_no_freezer() {
    if !testkit::require_root() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let hierarchy = Hierarchy::discover().unwrap();
    let path = format!("/{}", testkit::unique("unfreezable"));
    let pids = container_core::cgroup::Controller::Pids;
    let cgroup = hierarchy.create(&path, pids).unwrap().owned();
    let container = sleeping(&rootfs).cgroup((*cgroup).clone()).start().unwrap();
    assert!(container.exec("/bin/true").unwrap().status().unwrap().success());
}

#[test]
fn a_process_inside_that_nobody_waits_for_holds_up_no_removal() {
    if !testkit::require_root() {
        return;
    }
    for delete in [true, false] {
        let rootfs = testkit::rootfs_dirs();
        let limits = Resources::new().pids_max(50u64);
        let container = sleeping(&rootfs).resources(limits).start().unwrap();
        let directories: Vec<_> = container.cgroup().unwrap().directories().collect();
        let inside = container.exec("/bin/sleep").unwrap().arg("100").spawn().unwrap();
        if delete {
            within(60, move || container.delete()).unwrap();
        } else {
            within(60, move || drop(container));
        }
        assert!(directories.iter().all(|path| !path.exists()), "{directories:?}");
        assert!(!inside.wait().unwrap().success());
    }
}
