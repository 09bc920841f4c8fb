//! What podman writes for its default profile, and what runc makes of that.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::TempDir;

use super::{library, runtimes};

/// `linux.seccomp` of a container that podman runs: its runtime here is a
/// script that keeps the spec and then is runc.
fn written_by_podman() -> Option<Value> {
    let peers = ["podman", "runc", "tar"];
    if !(testkit::require_root() && peers.into_iter().all(testkit::require_peer)) {
        return None;
    }
    let directory = TempDir::new();
    let root = testkit::rootfs_copy(&["/bin/sh"]);
    let (spec, runtime) = (directory.join("config.json"), directory.join("runtime"));
    let script = format!(
        "#!/bin/sh\nbefore=\nfor word in \"$@\"; do\n  case $before in\n    --bundle | -b) cp \
         \"$word/config.json\" {} ;;\n  esac\n  before=$word\ndone\nexec {} \"$@\"\n",
        spec.display(),
        testkit::peer("runc")?.display(),
    );
    std::fs::write(&runtime, script).unwrap();
    std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o755)).unwrap();
    let image = directory.join("image.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(root.path()).arg("-cf").arg(&image).arg(".");
    assert!(tar.status().unwrap().success());
    let podman = |arguments: &[&str]| {
        let output = Command::new("podman")
            .arg("--root")
            .arg(directory.join("storage"))
            .arg("--runroot")
            .arg(directory.join("run"))
            .args(["--storage-driver", "vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"])
            .arg("--runtime")
            .arg(&runtime)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        output.stdout
    };
    podman(&["import", image.to_str().unwrap(), "seccomp-peer"]);
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let run = ["run", "--rm", "--network", "none"];
    let program = ["seccomp-peer", "/bin/sh", "-c", "echo fine"];
    assert_eq!(podman(&[&run[..], &limits[..], &program[..]].concat()), b"fine\n");
    let text = std::fs::read_to_string(&spec).unwrap();
    let spec: Value = serde_json::from_str(&text).unwrap();
    Some(spec["linux"]["seccomp"].clone())
}

#[test]
fn what_podman_writes_means_what_runc_makes_of_it() {
    let Some(seccomp) = written_by_podman() else { return };
    let words = [0, 1, 8, 9, 16, 38, 40, 0x2_0000, 0x1000_0000, 0x80, 0xffff_ffff, 1 << 32 | 16];
    assert_eq!(library::same(std::slice::from_ref(&seccomp), &words), Some(1));
    runtimes::same_as("runc", &seccomp, &words);
}
