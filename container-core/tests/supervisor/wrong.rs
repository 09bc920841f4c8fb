//! Wrong descriptions, directories that are in use, damaged files, programs
//! that can't be executed: told, and nothing is left.

use container_core::supervisor::{self, Attachment, Log, Supervision};
use container_core::{Container, ErrorKind, Mount};

use super::creator::processes_of;
use super::{Place, can_isolate, names, script, until};

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let place = Place::new();
    let new = || Supervision::new(place.state());
    let wrong = [
        Supervision::new(""),
        new().log(Log::raw("")),
        new().log(Log::raw("..")),
        new().log(Log::raw("exit")),
        new().log(Log::raw("exit.new")),
        new().log(Log::raw("attach.sock")),
        new().log(Log::cri("log").rotate(0, 1)),
        new().log(Log::cri("log").rotate(1, 0)),
        new().log(Log::cri("log").rotate(1, 17)),
        new().log(Log::raw("a\0b")),
    ];
    for supervision in wrong {
        let shown = format!("{supervision:?}");
        let error = script(&place.rootfs, "").supervised(supervision).plan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{shown}: {error}");
    }
    assert_eq!(names(place.dir.path()), <[String; 0]>::default());
}

#[test]
fn a_plan_tells_what_the_supervisor_does() {
    let place = Place::new();
    let text = place.builder("").plan().unwrap().to_string();
    for part in
        ["supervise standard output", "supervise log log", "clone3 container's first process, new "]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(text.contains("prctl PR_SET_PDEATHSIG 9"), "{text}");
    assert!(!place.state().exists());
}

#[test]
fn a_directory_in_use_is_refused_and_left_as_it_is() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("read x; exit 1").start().unwrap();
    let refused = || {
        let error = place.builder("true").start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        assert!(error.to_string().contains("directory of its own"), "{error}");
    };
    refused();
    place.attach().write(b"\n").unwrap();
    assert_eq!(container.wait().unwrap().code(), Some(1));
    refused();
    let exit = supervisor::exit_status(place.state()).unwrap().unwrap();
    assert_eq!(exit.status.code(), Some(1));
    std::fs::remove_file(place.state().join("exit")).unwrap();
    let container = place.builder("echo more").start().unwrap();
    assert!(container.wait().unwrap().success());
    assert_eq!(place.log(), "more\n");
}

/// Whatever step fails, the place is as before.
#[test]
fn nothing_is_left_of_what_did_not_start() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let left = || {
        assert_eq!(names(place.dir.path()), <[String; 0]>::default());
        // Another test's child has our descriptors between its fork and its exec.
        until("no process is left", || processes_of(&place).is_empty());
    };
    // The program.
    let error = place.builder("").command("/no/such/program").start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    left();
    // A step within the container.
    let inside = Mount::tmpfs("/wrong").option("size", "nonsense");
    let error = place.builder("").mount(inside).start().unwrap_err();
    assert!(error.to_string().contains("size"), "{error}");
    left();
    // Created, and never started.
    drop(place.builder("").create().unwrap());
    left();
    // The supervisor's own.
    let elsewhere = Supervision::new(place.state()).log(Log::raw(place.dir.join("no/dir/log")));
    let error = script(&place.rootfs, "").supervised(elsewhere).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    left();
    let device = Supervision::new(place.state()).log(Log::raw("/dev/null"));
    let error = script(&place.rootfs, "").supervised(device).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    left();
    let missing = Supervision::new(place.dir.join("no/state"));
    let error = script(&place.rootfs, "").supervised(missing).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    left();
}

#[test]
fn a_failing_clone_is_the_supervisors_to_tell() {
    if testkit::is_root() || !can_isolate() {
        return;
    }
    let place = Place::new();
    let without_user = |_| container_core::Namespaces::isolated();
    let error = place.builder("").namespaces(without_user).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("user namespace"), "{error}");
    assert_eq!(names(place.dir.path()), <[String; 0]>::default());
}

#[test]
fn what_is_no_supervisors_is_told_as_that() {
    let place = Place::new();
    let error = supervisor::exit_status(place.state()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(supervisor::wait(place.state()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Attachment::connect(place.state()).unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::create_dir(place.state()).unwrap();
    for text in ["", "\n", "version=1\n", "version=2\nstatus=0\n", "status=0", "\u{fffd}\0"] {
        std::fs::write(place.state().join("exit"), text).unwrap();
        let error = supervisor::exit_status(place.state()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState, "{text:?}: {error}");
    }
    std::fs::write(place.state().join("exit"), vec![b'x'; 100_000]).unwrap();
    assert_eq!(supervisor::wait(place.state()).unwrap_err().kind(), ErrorKind::WrongState);
    std::fs::remove_file(place.state().join("exit")).unwrap();
    // Half made: its creator was killed at once.
    std::fs::write(place.state().join("exit.new"), "").unwrap();
    let error = supervisor::exit_status(place.state()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
}

#[test]
fn a_directory_of_a_long_name_works() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let deep = place.dir.join("d".repeat(120)).join("e".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    let supervision = Supervision::new(deep.join("state"));
    let builder = script(&place.rootfs, "read x").stdin(container_core::Stdio::Pipe);
    let container: Container = builder.supervised(supervision).start().unwrap();
    let attachment = Attachment::connect(deep.join("state")).unwrap();
    attachment.close_input().unwrap();
    assert_eq!(supervisor::wait(deep.join("state")).unwrap().status.code(), Some(1));
    drop(container);
}
