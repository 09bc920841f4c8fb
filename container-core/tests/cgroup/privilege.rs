use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use container_core::ErrorKind;
use container_core::cgroup::{Controllers, Hierarchy, Layout, Placement, Resources};

use crate::support::{Job, group};

const NOBODY: u32 = 65_534;

#[test]
fn root_may_create_at_the_top() {
    if !testkit::require_root() {
        return;
    }
    let delegation = Hierarchy::discover().unwrap().delegation().unwrap();
    assert_eq!(delegation.prefix, "/");
    assert_eq!(delegation.path_of("x").unwrap(), "/x");
    assert!(delegation.path_of("../x").is_err());
}

/// An ordinary user: refused with the way out, or given a part of the tree.
#[test]
fn an_ordinary_user_is_told_where_or_why_not() {
    if let Ok(expected) = std::env::var("CC_TEST_DELEGATED") {
        return as_nobody(&expected);
    }
    let hierarchy = Hierarchy::discover().unwrap();
    if !testkit::is_root() {
        match hierarchy.delegation() {
            Ok(delegation) => {
                let path = delegation.path_of(&testkit::unique("cc-test")).unwrap();
                hierarchy.create(&path, Controllers::NONE).unwrap().remove().unwrap();
            }
            Err(_) => assert_refused(&hierarchy),
        }
        return;
    }
    run_as_nobody("", None);
    if hierarchy.unified().is_none() {
        return;
    }
    let unified = crate::support::only("cgroup2");
    let group = group(&unified, Controllers::NONE);
    let directory = group.directories().next().unwrap();
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        chown(directory.join(file), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    run_as_nobody(group.path(), Some(&group));
}

/// Again while the copy is busy: another test's thread, just forked, may hold it open for writing.
const SCRIPT: &str = "read go; code=126; while [ $code = 126 ]; do \"$0\" --exact \"$1\"; \
                      code=$?; done; exit $code";

/// Runs this test again as nobody, inside `group`, expecting `prefix` to be delegated.
fn run_as_nobody(prefix: &str, group: Option<&container_core::cgroup::Cgroup>) {
    // The build directory may be closed to others.
    let directory = testkit::TempDir::new();
    let copy = directory.join("test");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let name = "privilege::an_ordinary_user_is_told_where_or_why_not";
    chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", SCRIPT])
        .arg(&copy)
        .arg(name)
        .env("CC_TEST_DELEGATED", prefix)
        .uid(NOBODY)
        .gid(NOBODY);
    let mut job = Job::spawn(&mut command);
    if let Some(group) = group {
        group.attach(job.pid()).unwrap();
    }
    job.go();
    assert!(job.wait().success());
}

fn as_nobody(expected: &str) {
    let hierarchy = Hierarchy::discover().unwrap();
    if expected.is_empty() {
        return assert_refused(&hierarchy);
    }
    let delegation = hierarchy.delegation().unwrap();
    assert_eq!(delegation.prefix, expected);
    let unified = crate::support::only("cgroup2");
    let path = delegation.path_of("mine").unwrap();
    let group = unified.create(&path, Controllers::NONE).unwrap().owned();
    let mut job = Job::attached(&group, "sleep 60");
    group.freeze().unwrap();
    group.kill().unwrap();
    assert!(job.was_killed());
    group.close().unwrap();

    // A container without a place of its own goes there, on v2 alone, limits or not.
    let place = |name: &str| Placement::from_oci(None, name).unwrap();
    let placed = hierarchy.place(&place("one"), &Resources::new()).unwrap().unwrap().owned();
    assert_eq!(placed.path(), delegation.path_of("container-one").unwrap());
    assert_eq!(placed.directories().count(), 1);
    let again = Hierarchy::discover().unwrap().reopen(&placed.record()).unwrap();
    assert_eq!(again.path(), placed.path());
    placed.close().unwrap();
    // One at the top of the tree can't be made; without limits it is gone without.
    let top = Placement::from_oci(Some("/container-test-never".as_ref()), "x").unwrap();
    assert!(hierarchy.place(&top, &Resources::new()).unwrap().is_none());
}

fn assert_refused(hierarchy: &Hierarchy) {
    if hierarchy.layout() == Layout::Absent {
        return;
    }
    let error = hierarchy.delegation().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("no delegated cgroup"), "{error}");
    assert!(error.way_out().is_some_and(|hint| hint.contains("Delegate=yes")), "{error}");
    let placement = Placement::from_oci(None, "never").unwrap();
    assert!(hierarchy.place(&placement, &Resources::new()).unwrap().is_none());
    let error = hierarchy.place(&placement, &Resources::new().pids_max(9)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.way_out().is_some_and(|hint| hint.contains("Delegate=yes")), "{error}");
    let error = hierarchy.create("/cc-test-never", Controllers::NONE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.way_out().is_some_and(|hint| hint.contains("delegation")), "{error}");
}
