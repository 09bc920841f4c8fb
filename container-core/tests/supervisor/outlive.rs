//! What outlives the creator, and what ends with it.

use std::time::Duration;

use container_core::supervisor::{self, Attachment};
use container_core::{Container, ErrorKind};

use super::creator::{command, detach, processes_of, wait_for};
use super::{Place, can_isolate, expect, is_running, names, script, until};

#[test]
fn output_and_status_outlive_the_creator() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    detach(&place, "detach", "echo early; read line; echo \"late $line\"; exit 5");
    assert_eq!(supervisor::exit_status(place.state()).unwrap(), None);
    let waiter = {
        let state = place.state();
        std::thread::spawn(move || supervisor::wait(state).unwrap())
    };
    let short = Duration::from_millis(30);
    assert_eq!(supervisor::wait_timeout(place.state(), short).unwrap(), None);
    let attachment = place.attach();
    let (process, keeper) = (attachment.process(), attachment.supervisor());
    attachment.write(b"reader\n").unwrap();
    expect(&attachment, "late reader\n");
    drop(attachment);
    let exit = waiter.join().unwrap();
    assert_eq!((exit.status.code(), exit.process), (Some(5), process));
    assert_eq!(supervisor::wait(place.state()).unwrap(), exit);
    assert_eq!(supervisor::exit_status(place.state()).unwrap(), Some(exit));
    assert_eq!(place.log(), "early\nlate reader\n");
    until("both processes end", || !is_running(process) && !is_running(keeper));
    assert_eq!(names(&place.state()), ["exit", "log"]);
    until("no process is left", || processes_of(&place).is_empty());
}

#[test]
fn a_terminal_outlives_the_creator() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    detach(&place, "terminal", "stty size; read line; echo \"typed $line\"");
    let attachment = Attachment::connect_with_tail(place.state()).unwrap();
    expect(&attachment, "24 80\r\n");
    attachment.write(b"this\r").unwrap();
    expect(&attachment, "typed this\r\n");
    assert!(supervisor::wait(place.state()).unwrap().status.success());
}

/// The init clones twice then: the supervisor is told which one counts.
#[test]
fn a_second_clone_is_supervised_too() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    detach(&place, "own uts and time", "read line; exit 9");
    let attachment = place.attach();
    assert!(is_running(attachment.process()));
    attachment.write(b"\n").unwrap();
    let exit = supervisor::wait(place.state()).unwrap();
    assert_eq!((exit.status.code(), exit.process), (Some(9), attachment.process()));
}

#[test]
fn a_handle_that_is_dropped_ends_the_container() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("sleep 100").start().unwrap();
    let attachment = place.attach();
    let pids = [attachment.process(), attachment.supervisor()];
    drop(container);
    assert!(!pids.iter().any(|pid| is_running(*pid)));
    let exit = supervisor::wait(place.state()).unwrap();
    assert_eq!(exit.status.to_string(), "signal: 9 (SIGKILL)");
}

#[test]
fn a_creator_killed_before_the_start_leaves_no_process() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let mut creator = command(&place, "created", "echo never").spawn().unwrap();
    wait_for(&mut creator, "there");
    let attachment = place.attach();
    let pids = [attachment.process(), attachment.supervisor()];
    assert!(pids.iter().all(|pid| is_running(*pid)));
    creator.kill().unwrap();
    creator.wait().unwrap();
    until("both end", || !pids.iter().any(|pid| is_running(*pid)));
    assert_eq!(names(&place.state()), ["log"]);
    assert_eq!(place.log(), "");
    let error = supervisor::exit_status(place.state()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn a_creator_killed_after_the_start_leaves_the_container() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let mut creator = command(&place, "started", "read line; echo \"$line\"").spawn().unwrap();
    wait_for(&mut creator, "there");
    creator.kill().unwrap();
    creator.wait().unwrap();
    let attachment = place.attach();
    attachment.write(b"alive\n").unwrap();
    expect(&attachment, "alive\n");
    assert!(supervisor::wait(place.state()).unwrap().status.success());
}

/// At any moment: either nothing runs, or a container that can be attached to.
#[test]
fn a_creator_killed_at_any_time_leaves_all_or_nothing() {
    if !can_isolate() {
        return;
    }
    let (mut ran, mut none) = (0, 0);
    let mut round = 0u64;
    // Later and later, until it has come to be a few times.
    while ran < 8 {
        round += 1;
        assert!(round < 120, "{ran} ran, {none} did not: the times do not cover it");
        let place = Place::new();
        let mut creator = command(&place, "any time", "read line; exit 4").spawn().unwrap();
        wait_for(&mut creator, "there");
        std::thread::sleep(Duration::from_micros(round * round * 8));
        creator.kill().unwrap();
        creator.wait().unwrap();
        // A container that was not started ends; one that was goes on.
        std::thread::sleep(Duration::from_millis(5));
        until("all or nothing", || {
            processes_of(&place).is_empty()
                || Attachment::connect(place.state()).is_ok_and(|it| started(&it))
        });
        match Attachment::connect(place.state()) {
            Ok(attachment) => {
                attachment.write(b"\n").unwrap();
                let exit = supervisor::wait(place.state()).unwrap();
                assert_eq!(exit.status.code(), Some(4));
                ran += 1;
            }
            Err(_) => {
                assert!(supervisor::exit_status(place.state()).is_err());
                none += 1;
            }
        }
        until("nothing is left", || processes_of(&place).is_empty());
    }
    println!("{ran} ran, {none} did not");
    assert!(none > 0, "all {ran} ran: the times do not cover it");
}

/// Whether it has executed its program.
fn started(attachment: &Attachment) -> bool {
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", attachment.process()));
    comm.is_ok_and(|comm| comm == "sh\n")
}

#[test]
fn the_container_dies_with_its_supervisor() {
    if !can_isolate() {
        return;
    }
    for init in [false, true] {
        let place = Place::new();
        let container = place.builder("sleep 100; :").init(init).start().unwrap();
        let attachment = place.attach();
        let process = attachment.process();
        let keeper = nix::unistd::Pid::from_raw(attachment.supervisor() as i32);
        nix::sys::signal::kill(keeper, nix::sys::signal::SIGKILL).unwrap();
        until("the container ends", || !is_running(process));
        let error = container.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let error = supervisor::wait(place.state()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
        let error = Attachment::connect(place.state()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
    }
}

/// Without a pid namespace, orphans of the container become the supervisor's
/// children.
#[test]
fn orphans_are_reaped() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let orphans = "(sleep 0.05 & sleep 0.1 & :) ; (exec true &) ; echo on; read go; exit 6";
    let shared = |namespaces: container_core::Namespaces| {
        namespaces.inherit(container_core::NamespaceKind::Pid)
    };
    let builder = place.builder(orphans).namespaces(shared);
    let builder = builder.process(|process| process.init(false));
    let container = builder.start().unwrap();
    let attachment = place.attach();
    until("the script is on", || place.log() == "on\n");
    let keeper = attachment.supervisor();
    let children = format!("/proc/{keeper}/task/{keeper}/children");
    if std::path::Path::new(&children).exists() {
        let own = container.pid().to_string();
        let alone = || std::fs::read_to_string(&children).unwrap().trim() == own;
        until("orphans have ended and are reaped", alone);
    }
    attachment.write(b"\n").unwrap();
    assert_eq!(container.wait().unwrap().code(), Some(6));
}

#[test]
fn cgroup_and_processes_of_a_detached_container_stay_until_removed() {
    if !testkit::require_root() {
        return;
    }
    let place = Place::new();
    let limits = container_core::cgroup::Resources::new().pids_max(50u64);
    let container: Container = place.builder("read x").resources(limits).start().unwrap();
    let cgroup = container.cgroup().unwrap().clone();
    let pid = container.detach();
    let attachment = place.attach();
    assert_eq!(attachment.process(), pid);
    let members = cgroup.processes().unwrap();
    assert!(members.contains(&pid) && !members.contains(&attachment.supervisor()), "{members:?}");
    attachment.write(b"\n").unwrap();
    assert!(supervisor::wait(place.state()).unwrap().status.success());
    cgroup.destroy().unwrap();
    // Of the test's own children one is left: reap it.
    let keeper = nix::unistd::Pid::from_raw(attachment.supervisor() as i32);
    nix::sys::wait::waitpid(keeper, None).unwrap();
}

#[test]
fn exec_goes_into_a_supervised_container() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("read x; exit 8").hostname("kept").start().unwrap();
    let output = container.exec("/bin/hostname").unwrap().output().unwrap();
    assert_eq!(output.stdout, b"kept\n");
    let inside = container.exec("/bin/sleep").unwrap().arg("100").spawn().unwrap();
    place.attach().write(b"\n").unwrap();
    assert_eq!(container.wait().unwrap().code(), Some(8));
    assert!(!inside.wait().unwrap().success());
    assert!(container.exec("/bin/true").is_err());
}

#[test]
fn a_start_socket_and_a_supervisor_go_together() {
    if !can_isolate() {
        return;
    }
    use container_core::process::start;
    let place = Place::new();
    let sockets = place.dir.join("sockets");
    std::fs::create_dir(&sockets).unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&sockets, closed).unwrap();
    let builder = script(&place.rootfs, "echo started; exit 2")
        .supervised(supervisor::Supervision::new(place.state()).log(supervisor::Log::raw("log")))
        .process(|process| process.wait_on_socket(start::listen(&sockets).unwrap()));
    let plan = builder.plan().unwrap();
    let words = plan.start_words();
    let process = plan.spawn().unwrap();
    drop((plan, builder));
    assert_eq!(process.try_wait().unwrap(), None);
    start::start_over(&start::connect(&sockets).unwrap(), &words).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(2));
    assert_eq!(place.log(), "started\n");
}
