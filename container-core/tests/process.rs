//! Processes in the real kernel: what the description says is what is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use common::{in_rootfs, isolated, script};
use container_core::namespace::{TimeOffset, TimeOffsets};
use container_core::rlimit::Resource;
use container_core::seccomp::{Action, Filter};
use container_core::{
    Capabilities, Capability, ErrorKind, Mount, NamespaceKind, Namespaces, ProcessBuilder, Rlimit,
    Stdio, WindowSize,
};

fn can_isolate() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

#[test]
fn plain_process_gets_arguments_environment_and_nothing_else() {
    let output = ProcessBuilder::new("sh")
        .args(["-c", "echo $1 $GREETING; env | sort | tr '\\n' ' '", "x", "first"])
        .env("GREETING", "hello")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("first hello\n"), "{text}");
    assert!(!text.contains("CARGO"), "the host's environment leaked: {text}");
    assert!(text.contains("PATH="), "{text}");
}

#[test]
fn exit_code_and_signal_are_told_apart() {
    let code = ProcessBuilder::new("/bin/sh").args(["-c", "exit 42"]).spawn().unwrap();
    assert_eq!(code.wait().unwrap().code(), Some(42));
    let killed = ProcessBuilder::new("/bin/sh").args(["-c", "kill -9 $$"]).spawn().unwrap();
    assert_eq!(killed.wait().unwrap().signal(), Some(9));
    let sleeping = ProcessBuilder::new("/bin/sleep").arg("100").spawn().unwrap();
    assert_eq!(sleeping.wait_timeout(Duration::from_millis(20)).unwrap(), None);
    sleeping.signal(15).unwrap();
    assert_eq!(sleeping.wait().unwrap().signal(), Some(15));
    assert_eq!(sleeping.signal(15).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn full_isolation_in_a_root_of_its_own() {
    if !can_isolate() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let builder = in_rootfs(&rootfs, "").hostname("inside");
    let text = script(
        builder,
        "echo pid $$; cat /proc/sys/kernel/hostname; cat /proc/net/dev | grep -c :; \
         id -u; ls /; ls /proc | grep -c '^[0-9]'",
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["pid 1", "inside"], "{text}");
    assert_eq!(lines[3], "0", "{text}");
    assert!(!text.contains("work"), "the host's root shows: {text}");
}

#[test]
fn namespaces_are_new_and_the_others_shared() {
    if !can_isolate() {
        return;
    }
    let of = |pid: &str, kind: NamespaceKind| {
        std::fs::read_link(format!("/proc/{pid}/ns/{}", kind.name())).unwrap()
    };
    let namespaces = isolated().with(NamespaceKind::Time);
    let process = ProcessBuilder::new("/bin/sleep")
        .arg("100")
        .namespaces(namespaces.clone())
        .spawn()
        .unwrap();
    for kind in NamespaceKind::ALL {
        let same = of("self", kind) == of(&process.id().to_string(), kind);
        assert_eq!(same, !namespaces.is_new(kind), "{kind}");
    }
}

#[test]
fn joins_the_namespaces_of_another() {
    if !can_isolate() {
        return;
    }
    let first = ProcessBuilder::new("/bin/sleep")
        .arg("100")
        .namespaces(isolated())
        .hostname("shared")
        .spawn()
        .unwrap();
    let mut namespaces = Namespaces::none();
    let user = (!testkit::is_root()).then_some(NamespaceKind::User);
    for kind in user.into_iter().chain([NamespaceKind::Uts, NamespaceKind::Net, NamespaceKind::Pid])
    {
        let path = format!("/proc/{}/ns/{}", first.id(), kind.name());
        namespaces = namespaces.join(kind, std::fs::File::open(path).unwrap());
    }
    let text = script(
        ProcessBuilder::new("").namespaces(namespaces),
        "cat /proc/sys/kernel/hostname; readlink /proc/self/ns/net; echo $$",
    );
    let net = std::fs::read_link(format!("/proc/{}/ns/net", first.id())).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, ["shared", net.to_str().unwrap(), "2"]);
}

#[test]
fn time_namespace_shifts_the_boot_clock() {
    if !can_isolate() || !testkit::require_kernel(5, 6) {
        return;
    }
    let offsets =
        TimeOffsets { boottime: TimeOffset::new(1_000_000, 0).unwrap(), ..Default::default() };
    let rootfs = testkit::rootfs_dirs();
    let builder = in_rootfs(&rootfs, "").namespaces(isolated().with_time(offsets));
    let text = script(builder, "cut -d. -f1 /proc/uptime; echo $$");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].parse::<u64>().unwrap() >= 1_000_000, "{text}");
    assert_eq!(lines[1], "1");
}

#[test]
fn devices_mounts_masks_and_read_only_paths() {
    if !can_isolate() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    rootfs.write("etc/secret", "secret");
    rootfs.write("etc/fixed", "fixed");
    let builder = in_rootfs(&rootfs, "")
        .mount(Mount::devpts("/dev/pts"))
        .mount(Mount::tmpfs("/made/deep").option("size", "1m").nosuid().nodev().noexec())
        .masked_paths(["/etc/secret", "/proc/kcore", "/proc/acpi", "/does/not/exist"])
        .read_only_paths(["/etc/fixed", "/proc/sys"]);
    let text = script(
        builder,
        "cat /etc/secret; echo ro > /etc/fixed 2>/dev/null || echo refused; \
         echo x > /proc/sys/kernel/hostname 2>/dev/null || echo refused; \
         echo ok > /etc/new && cat /etc/new; \
         for d in null zero full random urandom tty; do test -c /dev/$d && echo $d; done; \
         echo gone > /dev/null; head -c 3 /dev/zero | wc -c; readlink /dev/fd; \
         grep ' /made/deep ' /proc/mounts | cut -d' ' -f3,4 | cut -d, -f1-4",
    );
    let expected = "refused\nrefused\nok\nnull\nzero\nfull\nrandom\nurandom\ntty\n3\n\
                    /proc/self/fd\ntmpfs rw,nosuid,nodev,noexec\n";
    assert_eq!(text, expected);
    assert_eq!(std::fs::read(rootfs.join("etc/fixed")).unwrap(), b"fixed");
}

#[test]
fn read_only_root_refuses_writes() {
    if !can_isolate() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let root = container_core::Rootfs::directory(rootfs.path()).read_only();
    let builder = in_rootfs(&rootfs, "").rootfs(root);
    let text = script(builder, "touch /new 2>&1 | grep -o 'Read-only file system'");
    assert_eq!(text, "Read-only file system\n");
    assert!(!rootfs.join("new").exists());
}

#[test]
fn capabilities_user_limits_and_privileges() {
    if !testkit::require_root() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let mut capabilities = Capabilities::container_default();
    capabilities.drop(Capability::Chown);
    let builder = in_rootfs(&rootfs, "")
        .user("app".parse::<container_core::UserSpec>().unwrap())
        .capabilities(capabilities)
        .no_new_privileges(true)
        .rlimit(Rlimit::new(Resource::Nofile, 100, 200).unwrap())
        .oom_score_adj(500)
        .current_dir("/tmp");
    let text = script(
        builder,
        "id -u; id -g; id -G; echo $HOME; grep -E '^(CapInh|CapEff|CapBnd|CapAmb|NoNewPrivs)' /proc/self/status; \
         ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj; pwd; umask",
    );
    let bounding = capabilities.bounding.bits();
    let expected = format!(
        "1000\n1000\n1000 50\n/home\nCapInh:\t0000000000000000\nCapEff:\t0000000000000000\n\
         CapBnd:\t{bounding:016x}\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n100\n200\n500\n/tmp\n0022\n",
    );
    assert_eq!(text, expected);
}

#[test]
fn root_in_a_container_has_exactly_the_default_capabilities() {
    if !can_isolate() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let capabilities = Capabilities::container_default();
    let builder = in_rootfs(&rootfs, "").capabilities(capabilities);
    let text = script(builder, "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status");
    let set = format!("{:016x}", capabilities.bounding.bits());
    let none = format!("{:016x}", 0);
    let expected = format!(
        "CapInh:\t{none}\nCapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}\nCapAmb:\t{none}\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn default_filter_lets_programs_work_and_refuses_mounts() {
    if !can_isolate() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let program = Filter::container_default().compile().unwrap();
    for init in [false, true] {
        let builder =
            in_rootfs(&rootfs, "").no_new_privileges(true).seccomp(program.clone()).init(init);
        let text = script(
            builder,
            "grep Seccomp: /proc/self/status; mkdir /tmp/m; \
             mount -t tmpfs none /tmp/m 2>/dev/null && echo mounted || echo refused; ls / | sort | head -1; \
             rmdir /tmp/m",
        );
        assert_eq!(text, "Seccomp:\t2\nrefused\nbin\n");
    }
}

#[test]
fn filter_without_no_new_privileges() {
    if !can_isolate() {
        return;
    }
    let program = Filter::container_default().compile().unwrap();
    let builder = ProcessBuilder::new("")
        .namespaces(isolated())
        .capabilities(Capabilities::container_default())
        .seccomp(program);
    let text = script(builder, "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status");
    assert_eq!(text, "NoNewPrivs:\t0\nSeccomp:\t2\n");
}

#[test]
fn init_reaps_orphans_forwards_signals_and_keeps_the_status() {
    if !can_isolate() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    // On a busy machine they end late, and are seen as zombies for a moment.
    let orphans = "for i in 1 2 3; do (sleep 0.01 &) ; done; tries=0; sleep 0.2; \
                   while cat /proc/[0-9]*/stat | grep -q ' Z ' && [ $tries -lt 50 ]; \
                   do tries=$((tries + 1)); sleep 0.1; done; \
                   cat /proc/[0-9]*/stat | grep -c ' Z ' ; cat /proc/1/comm; ls /proc/1/fd | tr '\\n' ' '";
    let text = script(in_rootfs(&rootfs, "").init(true), orphans);
    assert!(text.starts_with("0\n"), "zombies are left: {text}");
    let mut trapping = in_rootfs(&rootfs, "/bin/sh")
        .args(["-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"])
        .init(true)
        .stdout(Stdio::Pipe)
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    trapping.take_stdout().unwrap().read_exact(&mut ready).unwrap();
    trapping.signal(15).unwrap();
    assert_eq!(trapping.wait().unwrap().code(), Some(7));
    let killed =
        in_rootfs(&rootfs, "/bin/sh").args(["-c", "kill -9 $$"]).init(true).spawn().unwrap();
    assert_eq!(killed.wait().unwrap().code(), Some(128 + 9));
}

#[test]
fn streams_pipe_null_file_and_passed_descriptor() {
    let dir = testkit::TempDir::new();
    let file = std::fs::File::create(dir.join("out")).unwrap();
    let extra = std::fs::File::create(dir.join("extra")).unwrap();
    let mut process = ProcessBuilder::new("/bin/sh")
        .args(["-c", "cat; echo err >&2; echo extra >&3; ls /proc/self/fd | tr '\\n' ' ' >&2"])
        .stdin(Stdio::Pipe)
        .stdout(Stdio::Pipe)
        .stderr(Stdio::from(file))
        .pass_fd(extra)
        .spawn()
        .unwrap();
    process.take_stdin().unwrap().write_all(b"through").unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"through");
    assert_eq!(std::fs::read_to_string(dir.join("out")).unwrap(), "err\n0 1 2 3 4 ");
    assert_eq!(std::fs::read_to_string(dir.join("extra")).unwrap(), "extra\n");
    let null = ProcessBuilder::new("/bin/sh")
        .args(["-c", "readlink /proc/self/fd/0 >&2; echo lost"])
        .stdin(Stdio::Null)
        .stdout(Stdio::Null)
        .stderr(Stdio::Pipe)
        .spawn()
        .unwrap();
    assert_eq!(null.wait_with_output().unwrap().stderr, b"/dev/null\n");
}

#[test]
fn terminal_is_the_controlling_one_and_has_a_size() {
    if !can_isolate() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    for init in [false, true] {
        let mut process = in_rootfs(&rootfs, "/bin/sh")
            .args([
                "-c",
                "stty size; tty; echo done > /dev/tty; ls -l /proc/self/fd/0 | grep -c pts",
            ])
            .mount(Mount::devpts("/dev/pts"))
            .terminal(WindowSize { rows: 33, columns: 101 })
            .init(init)
            .spawn()
            .unwrap();
        let mut terminal = process.take_terminal().unwrap();
        let mut text = Vec::new();
        // Reading the master of an ended session answers EIO.
        let _ = terminal.read_to_end(&mut text);
        assert!(process.wait().unwrap().success());
        assert_eq!(String::from_utf8(text).unwrap(), "33 101\r\n/dev/pts/0\r\ndone\r\n1\r\n");
    }
}

#[test]
fn dropping_kills_and_reaps() {
    let process = ProcessBuilder::new("/bin/sleep").arg("1000").spawn().unwrap();
    let path = format!("/proc/{}", process.id());
    assert!(std::path::Path::new(&path).exists());
    drop(process);
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn single_mapping_as_root_only() {
    if !testkit::require_unprivileged_userns() {
        return;
    }
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let text = script(
        ProcessBuilder::new("")
            .namespaces(Namespaces::none().with(NamespaceKind::User))
            .id_mappings(container_core::IdMappings::root_only(uid, gid).unwrap()),
        "id -u; id -g; awk '{print $1, $2, $3}' /proc/self/uid_map",
    );
    assert_eq!(text, format!("0\n0\n0 {uid} 1\n"));
}

#[test]
fn subordinate_ids_through_the_helpers() {
    if !testkit::require_subids() {
        return;
    }
    let namespaces = Namespaces::none().with(NamespaceKind::User);
    let builder = ProcessBuilder::new("")
        .namespaces(namespaces)
        .user("7:8".parse::<container_core::UserSpec>().unwrap());
    let text = script(builder, "id -u; id -g; wc -l < /proc/self/uid_map");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["7", "8"]);
}

#[test]
fn bind_without_access_times() {
    if !testkit::require_root() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let builder = in_rootfs(&rootfs, "").mount(Mount::bind("/usr", "/seen").noatime().read_only());
    let text =
        script(builder, "grep ' /seen ' /proc/mounts | head -1 | cut -d' ' -f4 | tr , '\\n'");
    assert!(text.lines().any(|option| option == "noatime"), "{text}");
}

#[test]
fn a_filter_need_not_allow_the_set_up() {
    let filter = Filter::new(Action::Allow).deny(["close_range"], 1).compile().unwrap();
    let builder = ProcessBuilder::new("").no_new_privileges(true).seccomp(filter);
    assert_eq!(script(builder, "echo filtered"), "filtered\n");
}

#[test]
fn a_payload_does_not_outlive_its_init() {
    let mut process = ProcessBuilder::new("/bin/sh")
        .args(["-c", "echo $$; exec sleep 100"])
        .init(true)
        .stdout(Stdio::Pipe)
        .spawn()
        .unwrap();
    let mut text = [0; 16];
    let read = process.take_stdout().unwrap().read(&mut text).unwrap();
    let payload = std::str::from_utf8(&text[..read]).unwrap().trim().to_owned();
    drop(process);
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{payload}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let patience = std::time::Instant::now();
    while alive() {
        assert!(patience.elapsed() < Duration::from_secs(5), "payload {payload} lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_init_is_told_of_its_parents_death_too() {
    let plan = ProcessBuilder::new("/bin/true").init(true).parent_death_signal(9).plan().unwrap();
    let calls: Vec<String> = plan.steps().into_iter().map(|step| step.call).collect();
    let at = |words: &str| calls.iter().position(|call| call.starts_with(words)).unwrap();
    assert!(at("prctl PR_SET_PDEATHSIG") < at("clone payload"), "{calls:#?}");
}
