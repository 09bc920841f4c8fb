//! Containers: the safe defaults and the lifecycle, seen in the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::Read;
use std::time::{Duration, Instant};

use container_core::cgroup::Resources;
use container_core::{Container, ContainerBuilder, ErrorKind, Mount, NamespaceKind, Stdio};
use testkit::Rootfs;

fn can_run() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

fn builder(rootfs: &Rootfs) -> ContainerBuilder {
    Rootfs::binds().iter().fold(Container::builder(rootfs.path()), |builder, path| {
        builder.mount(Mount::bind(path, path).read_only())
    })
}

fn shell(rootfs: &Rootfs, script: &str) -> ContainerBuilder {
    builder(rootfs).command("/bin/sh").args(["-c", script])
}

#[track_caller]
fn text(builder: ContainerBuilder) -> String {
    let output = builder.output().expect("container");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn defaults_are_safe() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let shown = text(
        shell(
            &rootfs,
            "cat /proc/sys/kernel/hostname; echo $$; id -u; \
             grep -E '^(CapEff|CapBnd|CapAmb|CapInh|NoNewPrivs|Seccomp):' /proc/self/status; \
             cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware /proc/scsi 2>/dev/null | grep -vc :; \
             echo x 2>/dev/null > /proc/sysrq-trigger || echo ro; \
             touch /sys/x 2>/dev/null || echo ro; \
             mount -t tmpfs x /tmp 2>/dev/null || echo denied; \
             ls /proc/self/fd | wc -l; ps -o sid= -p 1 2>/dev/null || echo 1; env",
        )
        .id("defaults"),
    );
    let expected = "defaults\n1\n0\nCapInh:\t0000000000000000\nCapEff:\t00000000a80425fb\n\
                    CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
                    0\n";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.contains("ro\nro\ndenied\n4\n"), "{shown}");
    assert!(shown.contains("HOME=/root\n"), "that of root's entry inside: {shown}");
    for name in ["CARGO", "USER", "RUST"] {
        assert!(!shown.contains(&format!("{name}=")), "the host's environment leaks: {shown}");
    }
}

#[test]
fn created_waits_and_shows_its_namespaces_then_runs() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let marker = shell(&rootfs, "echo ran > /marker").create().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!rootfs.join("marker").exists(), "the program ran before start");
    let net = marker.namespace(NamespaceKind::Net).unwrap();
    let kind = NamespaceKind::of(&net).unwrap();
    assert_eq!(kind, NamespaceKind::Net);
    let pid = marker.pid();
    let stopped = marker.start().unwrap().stopped().unwrap();
    assert!(stopped.exit_status().success());
    assert!(rootfs.join("marker").exists());
    stopped.delete().unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn dropping_a_created_container_leaves_nothing() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let created = shell(&rootfs, "echo ran > /marker").create().unwrap();
    let path = format!("/proc/{}", created.pid());
    drop(created);
    assert!(!std::path::Path::new(&path).exists());
    assert!(!rootfs.join("marker").exists());
}

#[test]
fn exec_sees_the_same_container() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    for init in [false, true] {
        let container = shell(&rootfs, "sleep 100").id("host-of-exec").init(init).start().unwrap();
        let output = container
            .exec("/bin/sh")
            .unwrap()
            .args([
                "-c",
                "cat /proc/sys/kernel/hostname; readlink /proc/self/ns/net; id -u; \
                 grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status; cat /proc/1/cmdline | tr '\\0' ' '; \
                 cat /proc/self/comm; ls /proc/self/fd | wc -l",
            ])
            .output()
            .unwrap();
        let net = std::fs::read_link(format!("/proc/{}/ns/net", container.pid())).unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let expected = format!(
            "host-of-exec\n{}\n0\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n",
            net.display()
        );
        assert!(
            shown.starts_with(&expected),
            "{shown} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(shown.ends_with("4\n"), "{shown}");
        let code = container.exec("/bin/sh").unwrap().args(["-c", "exit 3"]).spawn().unwrap();
        assert_eq!(code.wait().unwrap().code(), Some(3));
        let missing = container.exec("/no/such").unwrap().spawn().unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_eq!(container.try_wait().unwrap(), None);
        container.kill().unwrap();
        container.wait().unwrap();
        assert_eq!(container.exec("/bin/sh").unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn exec_with_a_user_of_the_container_and_a_terminal() {
    if !testkit::require_root() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let container = shell(&rootfs, "sleep 100").start().unwrap();
    let mut process = container
        .exec("/bin/sh")
        .unwrap()
        .args(["-c", "id -u; tty"])
        .user("app".parse::<container_core::UserSpec>().unwrap())
        .terminal(container_core::WindowSize::default())
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    let _ = process.take_terminal().unwrap().read_to_end(&mut shown);
    assert_eq!(String::from_utf8(shown).unwrap(), "1000\r\n/dev/pts/0\r\n");
    container.delete().unwrap();
}

#[test]
fn pause_stops_and_resume_goes_on_with_limits_and_statistics() {
    if !testkit::require_root() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let resources = Resources::new().memory_max(64u64 << 20).pids_max(50u64).cpus(0.5);
    let mut container = shell(&rootfs, "while :; do echo x; sleep 0.005; done")
        .stdout(Stdio::Pipe)
        .resources(resources)
        .start()
        .unwrap();
    let directories: Vec<_> = container.cgroup().unwrap().directories().collect();
    assert!(directories.iter().all(|path| path.is_dir()));
    let mut pipe = container.take_stdout().unwrap();
    let mut byte = [0; 2];
    pipe.read_exact(&mut byte).unwrap();
    container.pause().unwrap();
    let paused = std::fs::read_to_string(format!("/proc/{}/wchan", container.pid()));
    assert!(container.cgroup().unwrap().is_frozen().unwrap(), "{paused:?}");
    let refused = container.exec("/bin/true").unwrap_err();
    assert_eq!(
        (refused.kind(), refused.way_out()),
        (ErrorKind::WrongState, Some("resume it first"))
    );
    container.resume().unwrap();
    assert!(container.exec("/bin/true").unwrap().status().unwrap().success());
    pipe.read_exact(&mut byte).unwrap();
    let stats = container.stats().unwrap();
    assert!(stats.memory.current.is_some_and(|bytes| bytes > 0), "{stats:?}");
    assert!(stats.pids.current.is_some_and(|tasks| tasks >= 1), "{stats:?}");
    container.pause().unwrap();
    let started = Instant::now();
    drop(container);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(directories.iter().all(|path| !path.exists()), "{directories:?}");
}

#[test]
fn without_a_cgroup_pausing_says_how_to_get_one() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let container = shell(&rootfs, "sleep 100").start().unwrap();
    let error = container.pause().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState);
    assert!(error.way_out().unwrap().contains("resources"));
}

#[test]
fn bad_ids_and_missing_programs() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    for wrong in ["", "-a", ".a", "a/b", "a b", "é", &"x".repeat(65)] {
        let error = shell(&rootfs, "true").id(wrong).create().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
    }
    let error = builder(&rootfs).command("/no/such").start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = builder(&rootfs).create().unwrap_err();
    assert_eq!(error.step(), "check program");
}

#[test]
fn stop_asks_first_and_kills_after_the_grace() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let polite = shell(&rootfs, "trap 'exit 5' TERM; touch /ready; while :; do sleep 0.01; done");
    let container = polite.start().unwrap();
    while !rootfs.join("ready").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let stopped = container.stop(Duration::from_secs(10)).unwrap();
    assert_eq!(stopped.exit_status().code(), Some(5));
    let deaf = shell(&rootfs, "trap '' TERM; sleep 100").start().unwrap();
    let stopped = deaf.stop(Duration::from_millis(50)).unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&stopped.exit_status()), Some(9));
}
