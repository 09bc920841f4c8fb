//! Containers made of specs, seen from inside.

use std::io::Read;

use container_core::{ContainerBuilder, oci};
use serde_json::{Value, json};
use testkit::Rootfs;

/// The default spec with a script in place of the shell, and with the host's
/// programs in the root.
fn spec(script: &str, change: impl FnOnce(&mut Value)) -> oci::Spec {
    let spec = if testkit::is_root() { oci::default_spec() } else { oci::default_rootless_spec() };
    let mut json = serde_json::to_value(spec).unwrap();
    json["process"]["terminal"] = false.into();
    json["process"]["args"] = json!(["/bin/sh", "-c", script]);
    let mounts = json["mounts"].as_array_mut().unwrap();
    for path in Rootfs::binds() {
        mounts.push(json!({"destination": path, "source": path, "options": ["rbind", "ro"]}));
    }
    change(&mut json);
    serde_json::from_value(json).unwrap()
}

#[track_caller]
fn run(script: &str, change: impl FnOnce(&mut Value)) -> String {
    let rootfs = testkit::rootfs_dirs();
    let spec = spec(script, |json| {
        json["root"]["path"] = rootfs.path().to_str().unwrap().into();
        change(json);
    });
    let output = ContainerBuilder::from_spec(&spec, "/").unwrap().output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn can_run() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

#[test]
fn default_spec_runs() {
    if !can_run() {
        return;
    }
    let shown = run(
        "cat /proc/sys/kernel/hostname; echo $$; id -u; pwd; \
         grep -E '^(CapEff|CapBnd|CapAmb|CapInh|NoNewPrivs|Seccomp):' /proc/self/status; \
         ulimit -n; echo $TERM; ls -l /proc/self/fd/0 > /dev/null; touch /x 2>/dev/null || echo ro",
        |_| {},
    );
    assert_eq!(
        shown,
        "container\n1\n0\n/\nCapInh:\t0000000000000000\nCapEff:\t0000000020000420\n\
         CapBnd:\t0000000020000420\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t0\n\
         1024\nxterm\nro\n"
    );
}

#[test]
fn user_with_groups_and_umask() {
    if !testkit::require_root() {
        return;
    }
    let shown = run("id -u; id -g; grep ^Groups: /proc/self/status; umask", |json| {
        json["process"]["user"] =
            json!({"uid": 1000, "gid": 100, "umask": 0o77, "additionalGids": [5, 7]});
    });
    assert_eq!(shown, "1000\n100\nGroups:\t5 7 \n0077\n");
}

#[test]
fn nothing_is_added_to_the_environment_but_home() {
    if !can_run() {
        return;
    }
    let shown = run("", |json| {
        json["process"]["args"] = json!(["/usr/bin/env"]);
        json["process"]["env"] = json!(["A=1", "A=2"]);
    });
    assert_eq!(shown, "A=2\nHOME=/root\n");
    let shown = run("", |json| {
        json["process"]["args"] = json!(["env"]);
        json["process"]["env"] = json!(["HOME=/home/ann"]);
    });
    assert_eq!(shown, "HOME=/home/ann\n");
}

#[test]
fn what_the_spec_asks_for_is_there() {
    if !testkit::require_root() {
        return;
    }
    let shown = run(
        "pwd; stat -c '%F %t:%T %a %u:%g' /dev/fuse /dev/null /made/fifo; \
         cat /proc/sys/net/ipv4/ip_forward; readlink /dev/fd; uname -n; cat /proc/sys/kernel/domainname; \
         cat /proc/self/oom_score_adj; grep ^Cap /proc/self/status | uniq -f1 | wc -l; \
         chmod 700 /tmp 2>/dev/null || echo filtered",
        |json| {
            json["process"]["cwd"] = "/made/by/it".into();
            json["process"]["oomScoreAdj"] = 500.into();
            json["process"].as_object_mut().unwrap().remove("capabilities");
            json.as_object_mut().unwrap().remove("hostname");
            json["hostname"] = "inside".into();
            json["domainname"] = "domain".into();
            json["linux"]["devices"] = json!([
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o660, "gid": 5},
                {"path": "/made/fifo", "type": "p"},
            ]);
            json["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
            json["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
                "syscalls": [{"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"}],
            });
        },
    );
    assert_eq!(
        shown,
        "/made/by/it\ncharacter special file a:e5 660 0:5\ncharacter special file 1:3 666 0:0\n\
         fifo 0:0 666 0:0\n1\n/proc/self/fd\ninside\ndomain\n500\n1\nfiltered\n"
    );
}

#[test]
fn a_terminal_and_its_console() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let spec = spec("stty size; ls /dev/console; tty", |json| {
        json["root"]["path"] = rootfs.path().to_str().unwrap().into();
        json["process"]["terminal"] = true.into();
        json["process"]["consoleSize"] = json!({"height": 33, "width": 44});
    });
    let mut container = ContainerBuilder::from_spec(&spec, "/").unwrap().start().unwrap();
    let mut text = String::new();
    // The end is an error on a terminal.
    let _ = container.take_terminal().unwrap().read_to_string(&mut text);
    assert_eq!(text, "33 44\r\n/dev/console\r\n/dev/pts/0\r\n");
    container.stopped().unwrap().delete().unwrap();
}

#[test]
fn mounts_have_their_options() {
    if !testkit::require_root() {
        return;
    }
    let shown = run(
        "grep -o ' /\\(a\\|b\\|c\\) [^ ]*' /proc/self/mountinfo; ls /c; stat -c %a /a /b",
        |json| {
            let mounts = json["mounts"].as_array_mut().unwrap();
            mounts.push(json!({"destination": "/a", "type": "tmpfs", "source": "tmpfs",
                "options": ["rw", "noexec", "nosuid", "noatime", "mode=711", "x-comment", "size=1m"]}));
            mounts.push(
                json!({"destination": "b", "source": "/tmp", "options": ["bind", "ro", "nodev"]}),
            );
            mounts.push(
                json!({"destination": "/c", "type": "tmpfs", "options": ["tmpcopyup", "ro"]}),
            );
        },
    );
    assert_eq!(
        shown,
        " /a rw,nosuid,noexec,noatime\n /b ro,nodev,relatime\n /c ro,relatime\n711\n1777\n"
    );
}

#[test]
fn a_spec_with_ids_of_its_own() {
    if !testkit::require_root() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let spec = spec("cat /proc/self/uid_map | tr -s ' '; id -u; stat -c %u /", |json| {
        json["root"]["path"] = rootfs.path().to_str().unwrap().into();
        json["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        json["linux"]["uidMappings"] = map.clone();
        json["linux"]["gidMappings"] = map;
    });
    let output = ContainerBuilder::from_spec(&spec, "/").unwrap().output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), " 0 100000 65536\n0\n65534\n", "{stderr}");
}
