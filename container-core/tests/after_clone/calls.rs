//! Which system calls happen, as a tracer sees them.

use container_core::plan::Actor;
use container_core::{
    Capabilities, IdMappings, Mount, NamespaceKind, Namespaces, Plan, ProcessBuilder, Stdio,
    UserSpec,
};
use syscalls::Sysno;
use testkit::Rootfs;

use crate::can_isolate;
use crate::common::{in_rootfs, isolated};
use crate::tracer::{Event, ROLE, Trace, trace};

/// A container with much in it, on the root at `root`.
fn full(root: &Rootfs) -> ProcessBuilder {
    in_rootfs(root, "/bin/true")
        .hostname("traced")
        .mount(Mount::tmpfs("/tmp").nosuid())
        .masked_paths(["/proc/uptime", "/etc"])
        .read_only_paths(["/proc/sys"])
        .user("0:0".parse::<UserSpec>().unwrap())
        .capabilities(Capabilities::container_default())
        .no_new_privileges(true)
        .new_session(true)
        .current_dir("/usr")
        .stdin(Stdio::Null)
        .stdout(Stdio::Null)
}

/// Not a test of its own: the host that is traced.
#[test]
fn host() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let root = testkit::rootfs_dirs();
    let process = described(&role, &root).spawn().unwrap();
    assert!(process.wait().unwrap().success());
}

fn described(role: &str, root: &Rootfs) -> ProcessBuilder {
    let user = Namespaces::none().with(NamespaceKind::User);
    let builder = undecided(role, root, user);
    if !builder.plan().unwrap().to_string().contains("uid_map") {
        return builder;
    }
    // The helpers that map more have no privilege while they are traced.
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    builder.id_mappings(IdMappings::root_only(uid, gid).unwrap())
}

fn undecided(role: &str, root: &Rootfs, user: Namespaces) -> ProcessBuilder {
    let passed = || std::fs::File::open("/dev/null").unwrap();
    match role {
        "plain" => ProcessBuilder::new("/bin/true"),
        "user" => ProcessBuilder::new("/bin/true").namespaces(user),
        "passed" => ProcessBuilder::new("/bin/true").stdin(Stdio::Null).pass_fd(passed()),
        "full" => full(root),
        "init" => full(root).init(true),
        "time" => full(root).namespaces(isolated().with(NamespaceKind::Time)),
        _ => panic!("unknown role {role}"),
    }
}

fn traced(role: &str) -> (Trace, i32) {
    let trace = trace("calls::host", role);
    assert!(trace.success, "the traced host failed as {role}");
    let [child] = trace.vforked()[..] else { panic!("not one vfork: {trace:?}") };
    (trace, child)
}

/// The calls of `events` up to the first exec, and those up to the second.
fn phases(events: &[Event]) -> (Vec<Event>, Vec<Event>) {
    let mut phases = events.split(|event| *event == Event::Exec).map(<[Event]>::to_vec);
    (phases.next().unwrap(), phases.next().expect("the init was executed"))
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().filter_map(Event::call).map(|call| call.name()).collect()
}

/// Between clone and exec: exactly these, with these arguments.
#[test]
fn from_clone_to_exec_only_the_named_calls() {
    for (role, kept) in [("plain", 1), ("passed", 3)] {
        let (trace, child) = traced(role);
        let (before, _) = phases(trace.of(child));
        let mut expected = vec!["close_range"];
        expected.extend(std::iter::repeat_n("fcntl", kept));
        expected.push("execveat");
        assert_eq!(names(&before), expected, "as {role}");
        check_arguments(&before);
    }
}

#[test]
fn from_clone_to_exec_in_a_user_namespace() {
    if !can_isolate() {
        return;
    }
    let (trace, child) = traced("user");
    let (before, _) = phases(trace.of(child));
    let mut calls = names(&before);
    let all = calls.len();
    calls.dedup();
    assert_eq!(calls, ["close_range", "fcntl", "capget", "capset", "prctl", "execveat"]);
    let known = 41..64;
    assert!(known.contains(&(all - 5)), "one prctl for each capability: {}", all - 5);
    check_arguments(&before);
}

fn check_arguments(before: &[Event]) {
    const F_SETFD: u64 = libc::F_SETFD as u64;
    const CLOEXEC: u64 = libc::CLOSE_RANGE_CLOEXEC as u64;
    const AMBIENT: u64 = libc::PR_CAP_AMBIENT as u64;
    const RAISE: u64 = libc::PR_CAP_AMBIENT_RAISE as u64;
    for event in before {
        let Event::Call(call, arguments) = event else { panic!("{event:?} before the exec") };
        let right = match call {
            Sysno::close_range => arguments[..3] == [3, u64::from(u32::MAX), CLOEXEC],
            Sysno::fcntl => arguments[0] > 2 && arguments[1..3] == [F_SETFD, 0],
            Sysno::prctl => arguments[..2] == [AMBIENT, RAISE],
            Sysno::execveat => arguments[4] == libc::AT_EMPTY_PATH as u64,
            _ => true,
        };
        assert!(right, "{event:?}");
    }
}

/// The init's calls are those that the plan's steps name, in their order.
#[test]
fn the_init_makes_the_calls_of_its_plan_and_no_others() {
    if !can_isolate() {
        return;
    }
    let root = testkit::rootfs_dirs();
    for role in ["plain", "user", "passed", "full"] {
        let plan = described(role, &root).plan().unwrap();
        let (trace, child) = traced(role);
        let (_, init) = phases(trace.of(child));
        follow_plan(&plan, &init, role);
        assert!(trace.made_by(child).is_empty());
    }
}

/// With a second clone or an init that stays, the rest happens in the child.
#[test]
fn what_a_second_process_does_stands_in_the_plan_too() {
    if !can_isolate() {
        return;
    }
    let root = testkit::rootfs_dirs();
    for role in ["init", "time"] {
        let plan = described(role, &root).plan().unwrap();
        let (trace, first) = traced(role);
        let (_, mut calls) = phases(trace.of(first));
        let [second] = trace.made_by(first)[..] else { panic!("as {role}: {trace:?}") };
        let clone = calls.iter().position(|event| event.call() == Some(Sysno::clone)).unwrap();
        let stays = calls.split_off(clone + 1);
        let (mut payload, _) = phases(trace.of(second));
        calls.append(&mut payload);
        follow_plan(&plan, &calls, role);
        let after = names(&stays);
        match role {
            // Reaps, and ends with the payload's status.
            "init" => assert!(
                matches!(
                    &after[..],
                    ["close", "close_range", "rt_sigtimedwait", "wait4", "wait4", "exit_group"]
                ),
                "{after:?}"
            ),
            _ => assert_eq!(after, ["sendmsg", "exit_group"]),
        }
    }
}

/// An empty tmpfs, and a mount that is moved onto its target.
const TMPFS: [&str; 3] = ["fsopen", "fsconfig", "fsmount"];
const MOVED: [&str; 3] = ["move_mount", "close", "close"];
/// Calls that making a missing mount target takes.
const MAKING: [&str; 5] = ["openat2", "openat", "mkdirat", "statx", "close"];

#[track_caller]
fn follow_plan(plan: &Plan, events: &[Event], role: &str) {
    let calls: Vec<&str> = names(events);
    let mut rest = calls.as_slice();
    // The launch message, which may come in parts.
    while let ["read", more @ ..] = rest {
        rest = more;
    }
    for step in plan.steps().iter().filter(|step| step.actor == Actor::Init) {
        for expected in calls_of(&step.call) {
            match rest {
                [first, more @ ..] if *first == expected => rest = more,
                // The go-ahead may have come with the launch message.
                _ if expected == "read" => {}
                _ => panic!("as {role}: {:?} wants {expected}, but {rest:?}\n{plan}", step.call),
            }
        }
        let free: &[&str] = match step.call.split(' ').next() {
            Some("openat2") => &MAKING,
            Some("prctl") if step.call.contains("PR_CAPBSET_DROP") => &["prctl"],
            _ => &[],
        };
        while rest.first().is_some_and(|call| free.contains(call)) {
            rest = &rest[1..];
        }
    }
    assert!(rest.is_empty(), "as {role}: more than the plan says: {rest:?}");
}

/// The system calls of one step, from how it reads.
fn calls_of(step: &str) -> Vec<&'static str> {
    let (name, object) = step.split_once(' ').unwrap_or((step, ""));
    match (name, object) {
        ("rt_sigaction", _) => vec!["rt_sigaction"; 64],
        ("write", path) if path.starts_with('/') => vec!["openat", "fstatfs", "write", "close"],
        ("SIOCSIFFLAGS", _) => vec!["socket", "ioctl", "close"],
        ("check", _) => vec!["statx"],
        ("open", _) => vec!["openat"],
        ("fsmount", _) => vec!["fsmount", "close"],
        ("move_mount", "/") => vec!["move_mount"],
        ("move_mount", _) => MOVED.to_vec(),
        ("mask", "/etc") => [&["openat2", "statx"][..], &TMPFS, &["close"], &MOVED].concat(),
        ("mask", _) => [&["openat2", "statx", "open_tree"][..], &MOVED].concat(),
        ("make", _) => {
            vec!["openat2", "open_tree", "mount_setattr", "move_mount", "close", "close"]
        }
        ("pivot_root", _) => vec!["fchdir", "pivot_root", "umount2", "chdir", "close"],
        ("clone", "payload below the init") => vec!["prctl", "clone", "prctl"],
        ("chdir", _) => vec!["chdir", "getcwd"],
        ("execve", _) => vec!["rt_sigprocmask", "execve"],
        (name, _) => {
            let call = name.parse::<Sysno>().unwrap_or_else(|_| panic!("{step}: no such call"));
            vec![call.name()]
        }
    }
}
