//! Containers made of specs, seen from inside.

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
