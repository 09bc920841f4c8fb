use std::fs;
use std::thread;

use container_core::ErrorKind;
use container_core::cgroup::{
    Controller, Controllers, Hierarchy, Layout, Resources, Version, probe,
};

use crate::support::{Job, group, is_gone, layouts, only};

#[test]
fn discovery_agrees_with_the_machine() {
    let hierarchy = Hierarchy::discover().unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    for mount in hierarchy.mounts() {
        let controllers = mount.mount_point().join("cgroup.controllers");
        assert_eq!(controllers.exists(), mount.version() == Version::V2);
        let path = mount.own_path().unwrap();
        assert!(own.lines().any(|line| line.ends_with(&format!(":{path}"))), "{path} {own}");
        assert!(mount.mount_point().join(&path[1..]).join("cgroup.procs").exists());
    }
    let versions = |v| hierarchy.mounts().iter().any(|m| m.version() == v);
    let layout = match (versions(Version::V1), versions(Version::V2)) {
        (true, true) => Layout::Hybrid,
        (true, false) => Layout::Legacy,
        (false, true) => Layout::Unified,
        (false, false) => Layout::Absent,
    };
    assert_eq!(hierarchy.layout(), layout);
}

#[test]
fn probing_changes_nothing_and_answers_for_all() {
    let support = probe().unwrap();
    assert_eq!(support.layout, Hierarchy::discover().unwrap().layout());
    assert!(support.missing.iter().all(|m| !m.way_out.is_empty()), "{support:?}");
    assert_eq!(
        support.delegation.is_none(),
        support.missing.iter().any(|m| m.facility.contains("delegated"))
    );
}

#[test]
fn children_parents_and_removal() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, [Controller::Pids, Controller::Memory]);
        assert_eq!(group.parent().unwrap().unwrap().path(), "/");
        for name in ["b", "a"] {
            group.create_child(name, Controller::Pids).unwrap();
        }
        let deep = format!("{}/a/x/y", group.path());
        let deep = hierarchy.create(&deep, Controller::Pids).unwrap();
        assert!(deep.controllers().contains(Controller::Pids));
        let names: Vec<_> = group.children().unwrap().iter().map(|c| c.name().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(group.child("c").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(group.child("..").unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = group.remove().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("children are inside (a b)"), "{error}");
        let all: Vec<_> = group.directories().chain(deep.directories()).collect();
        group.remove_recursive().unwrap();
        assert!(is_gone(&all));
        group.remove().unwrap();
        assert!(group.children().unwrap().is_empty());
        assert!(!group.is_populated().unwrap());
        assert_eq!(group.stats().unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn parents_made_for_it_go_too() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let top = format!("/{}", testkit::unique("cc-test"));
        let wanted = [Controller::Pids, Controller::Memory, Controller::CpuSet];
        let leaf = hierarchy.create(&format!("{top}/a/b"), wanted).unwrap();
        let second = hierarchy.create(&format!("{top}/a/c"), Controller::Pids).unwrap();
        assert!(leaf.controllers().contains_all(wanted.into()));
        let _job = Job::attached(&leaf, "sleep 60");
        let directories: Vec<_> = hierarchy.open(&top).unwrap().directories().collect();
        leaf.destroy().unwrap();
        // In use by the second, which did not make them.
        assert!(hierarchy.open(&format!("{top}/a")).is_ok());
        second.destroy().unwrap();
        if let Ok(top) = hierarchy.open(&top) {
            top.remove_recursive().unwrap();
        }
        assert!(is_gone(&directories));
    }
}

#[test]
fn a_busy_group_is_not_removed_and_says_who_is_inside() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let group = group(&hierarchy, Controllers::NONE);
        let job = Job::attached(&group, "sleep 60");
        let error = group.remove().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains(&job.pid().to_string()), "{error}");
    }
}

#[test]
fn a_failed_creation_leaves_nothing() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let top = format!("/{}", testkit::unique("cc-test"));
        // The leaf is there already in the last hierarchy that creating comes to.
        let mount = hierarchy.mount_of(Controller::Pids).unwrap();
        let leaf = mount.mount_point().join(&top[1..]).join("leaf");
        fs::create_dir_all(&leaf).unwrap();
        let path = format!("{top}/leaf");
        let error = hierarchy.create(&path, [Controller::Memory, Controller::Pids]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        for other in hierarchy.mounts().iter().filter(|other| *other != mount) {
            assert!(!other.mount_point().join(&top[1..]).exists(), "{other:?}");
        }
        assert!(leaf.exists());
        hierarchy.open(&top).unwrap().remove_recursive().unwrap();
    }
}

#[test]
fn bad_paths_are_refused() {
    let hierarchy = Hierarchy::discover().unwrap();
    for bad in ["", "relative", "/a/../b", "/a//b", "/a/", "/nul\0", "/new\nline", "/."] {
        let error = hierarchy.create(bad, Controllers::NONE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
        assert_eq!(hierarchy.open(bad).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// The v2 hierarchy alone, and a controller of it that tolerates no processes in between.
fn v2_with_a_controller() -> Option<(Hierarchy, Controller)> {
    let hierarchy = only("cgroup2");
    let controllers = hierarchy.unified()?.controllers();
    let controller = [Controller::Memory, Controller::HugeTlb]
        .into_iter()
        .find(|controller| controllers.contains(*controller))?;
    Some((hierarchy, controller))
}

/// v2: a cgroup with processes cannot hand controllers down, and the error says which and who.
#[test]
fn an_occupied_ancestor_is_named() {
    if !testkit::require_root() {
        return;
    }
    let Some((hierarchy, controller)) = v2_with_a_controller() else { return };
    let group = group(&hierarchy, controller);
    let job = Job::attached(&group, "sleep 60");
    let error = group.create_child("inner", controller).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    let text = error.to_string();
    assert!(text.contains(group.path()) && text.contains(&job.pid().to_string()), "{text}");
    assert!(group.children().unwrap().is_empty());
    // Without controllers it may have children.
    group.create_child("inner", Controllers::NONE).unwrap();
}

/// v2: controllers are enabled in every ancestor on the way.
#[test]
fn controllers_are_enabled_down_the_path() {
    if !testkit::require_root() {
        return;
    }
    let Some((hierarchy, controller)) = v2_with_a_controller() else { return };
    let group = group(&hierarchy, Controllers::NONE);
    let child = group.create_child("a", Controllers::NONE).unwrap();
    assert!(!child.controllers().contains(controller));
    let deep = hierarchy.create(&format!("{}/b/c", child.path()), controller).unwrap();
    assert!(deep.controllers().contains(controller));
    for ancestor in [&group, &child, &deep.parent().unwrap().unwrap()] {
        let directory = ancestor.directories().next().unwrap();
        let enabled = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap();
        assert_eq!(enabled.trim(), controller.to_string());
    }
}

#[test]
fn many_groups_from_many_threads_leave_nothing() {
    if !testkit::require_root() {
        return;
    }
    for hierarchy in layouts() {
        let tag = testkit::unique("cc-test-many");
        let directories: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|worker| {
                    let (hierarchy, tag) = (&hierarchy, &tag);
                    scope.spawn(move || {
                        (0..5)
                            .flat_map(|n| one_life(hierarchy, &format!("/{tag}/{worker}-{n}")))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        assert!(directories.len() >= 40);
        assert!(is_gone(&directories));
        if let Ok(top) = hierarchy.open(&format!("/{tag}")) {
            top.remove().unwrap();
        }
    }
}

fn one_life(hierarchy: &Hierarchy, path: &str) -> Vec<std::path::PathBuf> {
    let limits = Resources::new().memory_max(16 << 20).pids_max(8).cpus(0.5);
    let group = hierarchy.create(path, limits.controllers()).unwrap().owned();
    group.apply(&limits).unwrap();
    let mut job = Job::running(&group, "sleep 60");
    group.freeze().unwrap();
    group.thaw().unwrap();
    group.kill().unwrap();
    assert!(job.was_killed());
    let directories = group.directories().collect();
    group.close().unwrap();
    directories
}
