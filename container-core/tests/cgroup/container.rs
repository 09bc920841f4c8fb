//! The cgroup of a container: placed by a spec, found again, entered by more processes.

use std::path::Path;

use container_core::ErrorKind;
use container_core::cgroup::{
    CgroupRecord, Controller, Hierarchy, Layout, Placement, Resources, Version,
};

use crate::support::{Job, layouts};

fn absolute() -> (String, Placement) {
    let path = format!("/{}/inner", testkit::unique("container-test"));
    let placement = Placement::from_oci(Some(Path::new(&path)), "x").unwrap();
    (path, placement)
}

/// Removed with the parent that was made for it.
fn parent_of(path: &str) -> String {
    path.rsplit_once('/').unwrap().0.to_owned()
}

#[test]
fn a_container_is_placed_in_every_hierarchy_and_found_again() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let (path, placement) = absolute();
        let limits = Resources::new().pids_max(20).memory_max(64 << 20);
        let cgroup = hierarchy.place(&placement, &limits).unwrap().unwrap().owned();
        assert_eq!(cgroup.directories().count(), hierarchy.mounts().len());
        cgroup.apply(&limits).unwrap();
        let mut job = Job::attached(&cgroup, "sleep 60");

        let text = serde_json::to_string(&cgroup.record()).unwrap();
        let record: CgroupRecord = serde_json::from_str(&text).unwrap();
        let again = Hierarchy::discover().unwrap().reopen(&record).unwrap();
        assert_eq!(again.path(), path);
        let directories: Vec<_> = again.directories().collect();
        assert_eq!(directories, cgroup.directories().collect::<Vec<_>>());
        assert_eq!(again.processes().unwrap(), [job.pid()]);
        assert_eq!(again.stats().unwrap().pids.limit, limits_of(20));

        // Somebody is in it: not to be taken over.
        let busy = hierarchy.place(&placement, &limits).unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "{busy}");
        assert!(busy.to_string().contains(&job.pid().to_string()), "{busy}");
        again.kill().unwrap();
        assert!(job.was_killed());
        // Nobody any more: taken over.
        let second = hierarchy.place(&placement, &limits).unwrap().unwrap();
        second.remove_recursive().unwrap();
        cgroup.close().unwrap();
        assert_eq!(hierarchy.open(&parent_of(&path)).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

fn limits_of(tasks: u64) -> Option<container_core::cgroup::Limit> {
    Some(container_core::cgroup::Limit::At(tasks))
}

#[test]
fn a_frozen_cgroup_is_not_taken_over() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let (_, placement) = absolute();
        let none = Resources::new();
        let cgroup = hierarchy.place(&placement, &none).unwrap().unwrap().owned();
        cgroup.freeze().unwrap();
        let error = hierarchy.place(&placement, &none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
        assert!(cgroup.is_frozen().unwrap());
        cgroup.thaw().unwrap();
        cgroup.close().unwrap();
    }
}

#[test]
fn a_relative_path_starts_at_the_callers_own_cgroup() {
    if !testkit::require_root() {
        return;
    }
    let hierarchy = Hierarchy::discover().unwrap();
    let name = testkit::unique("container-test");
    let placement = Placement::from_oci(Some(Path::new(&name)), "x").unwrap();
    let cgroup = hierarchy.place(&placement, &Resources::new()).unwrap().unwrap().owned();
    for (directory, mount) in cgroup.directories().zip(cgroup.hierarchy().mounts()) {
        let whole = hierarchy.mounts().iter().find(|m| {
            (m.version(), m.name(), m.controllers())
                == (mount.version(), mount.name(), mount.controllers())
                || m.version() == Version::V2 && mount.version() == Version::V2
        });
        let whole = whole.unwrap();
        let own = Path::new(whole.own_path().unwrap().trim_start_matches('/'));
        let base = match whole.version() {
            Version::V1 => own,
            Version::V2 => own.parent().unwrap_or(own),
        };
        assert_eq!(directory, whole.mount_point().join(base).join(&name));
    }
    let job = Job::attached(&cgroup, "sleep 60");
    let again = Hierarchy::discover().unwrap().reopen(&cgroup.record()).unwrap();
    assert_eq!(again.processes_recursive().unwrap(), [job.pid()]);
    again.freeze().unwrap();
    again.thaw().unwrap();
    cgroup.close().unwrap();
}

#[test]
fn bad_paths_are_refused() {
    for (bad, kind) in [
        ("/a/../b", ErrorKind::InvalidInput),
        ("..", ErrorKind::InvalidInput),
        ("/", ErrorKind::InvalidInput),
        ("a//b", ErrorKind::InvalidInput),
        ("a\nb", ErrorKind::InvalidInput),
        ("system.slice:crio:abc", ErrorKind::Unsupported),
    ] {
        let error = Placement::from_oci(Some(Path::new(bad)), "x").unwrap_err();
        assert_eq!((error.kind(), error.step()), (kind, "linux.cgroupsPath"), "{error}");
    }
    assert!(Placement::from_oci(None, "a/b").is_err());
}

#[test]
fn a_damaged_record_is_refused() {
    let hierarchy = Hierarchy::discover().unwrap();
    if hierarchy.layout() == Layout::Absent {
        return;
    }
    for (text, kind) in [
        (r#"{"path": "/../x", "hierarchies": []}"#, ErrorKind::InvalidInput),
        (r#"{"path": "/x", "hierarchies": []}"#, ErrorKind::NotFound),
        (
            r#"{"path": "/container-test-nowhere",
                "hierarchies": [{"name": "unified", "directory": "/x"},
                                {"name": "memory", "directory": "/x"}]}"#,
            ErrorKind::NotFound,
        ),
    ] {
        let record: CgroupRecord = serde_json::from_str(text).unwrap();
        assert_eq!(hierarchy.reopen(&record).unwrap_err().kind(), kind, "{text}");
    }
}

#[test]
fn more_processes_enter_beside_the_first_or_below() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let (_, placement) = absolute();
        let cgroup = hierarchy.place(&placement, &Resources::new()).unwrap().unwrap().owned();
        let init = Job::attached(&cgroup, "sleep 60");
        let here = cgroup.for_exec(init.pid(), None).unwrap();
        let second = Job::attached(&here, "sleep 60");
        assert_eq!(cgroup.processes().unwrap().len(), 2);

        let inner = cgroup.create_child("worker", hierarchy_controllers(&cgroup)).unwrap();
        let below = cgroup.for_exec(init.pid(), Some("worker")).unwrap();
        let third = Job::attached(&below, "sleep 60");
        assert_eq!(inner.processes().unwrap(), [third.pid()]);
        let mut all = vec![init.pid(), second.pid(), third.pid()];
        all.sort_unstable();
        assert_eq!(cgroup.processes_recursive().unwrap(), all);

        let missing = cgroup.for_exec(init.pid(), Some("nobody")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
        let above = cgroup.for_exec(init.pid(), Some("../x")).unwrap_err();
        assert_eq!(above.kind(), ErrorKind::InvalidInput, "{above}");
        cgroup.close().unwrap();
    }
}

/// No v2 controllers: a child can only have them when this cgroup holds no processes.
fn hierarchy_controllers(
    cgroup: &container_core::cgroup::Cgroup,
) -> container_core::cgroup::Controllers {
    let hierarchy = cgroup.hierarchy();
    let on_v1 =
        |c: &Controller| hierarchy.mount_of(*c).is_some_and(|mount| mount.version() == Version::V1);
    Controller::ALL.into_iter().filter(on_v1).collect()
}

#[test]
fn controllers_of_v1_choose_where_the_path_applies() {
    if !testkit::require_root() || !testkit::require_cgroup1() {
        return;
    }
    let (_, placement) = absolute();
    let hierarchy = Hierarchy::discover().unwrap();
    let cgroup = hierarchy.place(&placement, &Resources::new()).unwrap().unwrap().owned();
    cgroup.create_child("worker", Controller::Pids).unwrap();
    let below = cgroup.for_exec(1, Some("pids:worker")).unwrap();
    let job = Job::attached(&below, "sleep 60");
    let memberships = std::fs::read_to_string(format!("/proc/{}/cgroup", job.pid())).unwrap();
    for line in memberships.lines() {
        let inside = line.ends_with("/inner/worker");
        assert_eq!(inside, line.contains(":pids:"), "{memberships}");
        assert!(inside || line.ends_with("/inner"), "{memberships}");
    }
    let error = cgroup.for_exec(1, Some("bogus:worker")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    cgroup.close().unwrap();
}

/// Something inside moved the first process down and handed controllers on.
#[test]
fn a_nested_manager_is_joined_where_it_sits() {
    if !testkit::require_root() {
        return;
    }
    let hierarchy = Hierarchy::discover().unwrap();
    let Some(unified) = hierarchy.unified() else { return };
    let (path, placement) = absolute();
    let cgroup = hierarchy.place(&placement, &Resources::new()).unwrap().unwrap().owned();
    let directory = unified.mount_point().join(&path[1..]);
    let offered = std::fs::read_to_string(directory.join("cgroup.controllers")).unwrap();
    let Some(controller) = offered.split_whitespace().next() else { return };
    let init = Job::attached(&cgroup, "sleep 60");
    std::fs::create_dir(directory.join("init.scope")).unwrap();
    std::fs::write(directory.join("init.scope/cgroup.procs"), init.pid().to_string()).unwrap();
    std::fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();

    let found = cgroup.for_exec(init.pid(), None).unwrap();
    let job = Job::attached(&found, "sleep 60");
    let memberships = std::fs::read_to_string(format!("/proc/{}/cgroup", job.pid())).unwrap();
    assert!(memberships.contains("0::"), "{memberships}");
    let v2 = memberships.lines().find(|line| line.starts_with("0::")).unwrap();
    assert!(v2.ends_with("/inner/init.scope"), "{memberships}");
    cgroup.close().unwrap();
}
