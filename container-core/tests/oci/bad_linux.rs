//! Specs whose parts for Linux can't be.

use container_core::ErrorKind::{InvalidInput as Invalid, Unsupported};
use serde_json::{Value, json};

use crate::bad::check;

#[test]
fn hooks_and_cgroups() {
    let hook = |json: Value| json!([{"path": "/bin/true"}, json]);
    check(vec![
        ("/hooks", json!({"createRuntime": {}}), Invalid, "hooks.createRuntime"),
        ("/hooks", json!({"prestart": hook(json!({}))}), Invalid, "hooks.prestart[1]"),
        ("/hooks", json!({"prestart": hook(json!({"path": "a"}))}), Invalid, "hooks.prestart[1]"),
        ("/hooks", json!({"poststop": hook(json!({"path": "/\0"}))}), Invalid, "hooks.poststop[1]"),
        (
            "/hooks",
            json!({"poststart": hook(json!({"path": "/a", "timeout": 0}))}),
            Invalid,
            "hooks.poststart[1]",
        ),
        (
            "/hooks",
            json!({"startContainer": hook(json!({"path": "/a", "timeout": -1}))}),
            Invalid,
            "hooks.startContainer[1]",
        ),
        (
            "/hooks",
            json!({"createContainer": hook(json!({"path": "/a", "env": ["X"]}))}),
            Invalid,
            "hooks.createContainer[1]",
        ),
        ("/linux/cgroupsPath", json!("/a/../b"), Invalid, "linux.cgroupsPath"),
        ("/linux/cgroupsPath", json!("/"), Invalid, "linux.cgroupsPath"),
        ("/linux/cgroupsPath", json!("/a\0"), Invalid, "linux.cgroupsPath"),
        ("/linux/cgroupsPath", json!(1), Invalid, "linux.cgroupsPath"),
        ("/linux/resources", json!({"memory": {"limit": "1"}}), Invalid, "memory.limit"),
        ("/linux/resources", json!({"pids": 1}), Invalid, "linux.resources.pids"),
        ("/linux/resources", json!({"memory": {"limit": -2}}), Invalid, "resources.memory.limit"),
        ("/linux/resources", json!({"memory": {"swappiness": 101}}), Invalid, "swappiness"),
        ("/linux/resources", json!({"cpu": {"cpus": "x"}}), Invalid, "resources.cpu.cpus"),
        ("/linux/resources", json!({"cpu": {"idle": 2}}), Invalid, "resources.cpu.idle"),
        ("/linux/resources", json!({"devices": [{"type": "p"}]}), Invalid, "devices[0].type"),
        ("/linux/resources", json!({"devices": [{"access": "x"}]}), Invalid, "devices[0].access"),
        ("/linux/resources", json!({"devices": [{"major": -2}]}), Invalid, "devices[0].major"),
        ("/linux/resources", json!({"unified": {"../x": "1"}}), Invalid, "resources.unified"),
        ("/linux/resources", json!({"blockIO": {"weight": 5}}), Invalid, "resources.blockIO"),
        ("/linux/intelRdt", json!({"closID": 1}), Invalid, "linux.intelRdt.closID"),
    ]);
}

#[test]
fn devices_settings_and_filters() {
    let device = |json: Value| ("/linux/devices", json!([json]), Invalid);
    let case = |(pointer, value, kind), field| (pointer, value, kind, field);
    let at = "linux.devices[0]";
    let fuse = |name: &str, value: Value| {
        let mut json = json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229});
        json[name] = value;
        device(json)
    };
    check(vec![
        case(fuse("path", json!("")), "linux.devices[0].path"),
        case(fuse("path", json!("dev/fuse")), "linux.devices[0].path"),
        case(fuse("path", json!("/")), "linux.devices[0].path"),
        case(fuse("path", json!("/a\0")), "linux.devices[0].path"),
        case(fuse("type", json!("a")), "linux.devices[0].type"),
        case(fuse("type", json!("x")), "linux.devices[0].type"),
        case(fuse("type", Value::Null), at),
        case(fuse("major", json!(-1)), "linux.devices[0].major"),
        case(fuse("major", json!(4096)), "linux.devices[0].major"),
        case(fuse("minor", json!(1 << 20)), "linux.devices[0].minor"),
        case(fuse("minor", json!("1")), "linux.devices[0].minor"),
        case(fuse("fileMode", json!(0o10_000)), "linux.devices[0].fileMode"),
        case(fuse("fileMode", json!(0o060_000)), "linux.devices[0].fileMode"),
        case(fuse("uid", json!(-1)), "linux.devices[0].uid"),
        ("/linux/sysctl", json!({"kernel.panic": "1"}), Invalid, "linux.sysctl: kernel.panic"),
        ("/linux/sysctl", json!({"net.x": "a\0"}), Invalid, "linux.sysctl.net.x"),
        ("/linux/sysctl", json!({"net.x": 1}), Invalid, "linux.sysctl.net.x"),
        ("/linux/sysctl", json!({"net/../kernel/panic": "1"}), Invalid, "linux.sysctl"),
        ("/linux/sysctl", json!({"": "1"}), Invalid, "linux.sysctl"),
        ("/linux/rootfsPropagation", json!("sideways"), Invalid, "linux.rootfsPropagation"),
        ("/linux/rootfsPropagation", json!("ro"), Invalid, "linux.rootfsPropagation"),
        ("/linux/mountLabel", json!("a\0"), Invalid, "linux.mountLabel"),
        ("/linux/personality", json!({"domain": "BSD"}), Invalid, "linux.personality.domain"),
        (
            "/linux/personality",
            json!({"domain": "LINUX", "flags": ["X"]}),
            Unsupported,
            "linux.personality.flags",
        ),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_X"}), Invalid, "linux.memoryPolicy.mode"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"}), Invalid, "linux.memoryPolicy"),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "x"}),
            Invalid,
            "linux.memoryPolicy.nodes",
        ),
        ("/linux/seccomp", json!({}), Invalid, "linux.seccomp"),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_X"}),
            Invalid,
            "linux.seccomp.defaultAction",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}),
            Invalid,
            "defaultErrnoRet",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]}),
            Invalid,
            "linux.seccomp.architectures[0]",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_NOTIFY"},
            ]}),
            Invalid,
            "listenerPath",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [
                    {"index": 6, "value": 0, "op": "SCMP_CMP_EQ"},
                ]},
            ]}),
            Invalid,
            "syscalls[0].args[0]",
        ),
    ]);
}

#[test]
fn scheduling() {
    let scheduler = "/process/scheduler";
    check(vec![
        (scheduler, json!({"policy": "SCHED_X"}), Invalid, "process.scheduler.policy"),
        (scheduler, json!({"policy": "SCHED_ISO"}), Unsupported, "process.scheduler.policy"),
        (scheduler, json!({"policy": "SCHED_OTHER", "nice": 20}), Invalid, "process.scheduler"),
        (scheduler, json!({"policy": "SCHED_FIFO", "priority": -1}), Invalid, "priority"),
        (scheduler, json!({"policy": "SCHED_FIFO", "priority": 100}), Invalid, "scheduler"),
        (scheduler, json!({"policy": "SCHED_DEADLINE"}), Invalid, "process.scheduler"),
        (
            scheduler,
            json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_X"]}),
            Invalid,
            "process.scheduler.flags[0]",
        ),
        (
            scheduler,
            json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN"]}),
            Unsupported,
            "process.scheduler.flags[0]",
        ),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_RT", "priority": 8}),
            Invalid,
            "process.ioPriority.priority",
        ),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_RT", "priority": -1}),
            Invalid,
            "process.ioPriority.priority",
        ),
        ("/process/ioPriority", json!({"class": "RT"}), Invalid, "process.ioPriority.class"),
        (
            "/process/execCPUAffinity",
            json!({"initial": "a-b"}),
            Invalid,
            "process.execCPUAffinity.initial",
        ),
        ("/process/execCPUAffinity", json!({"final": "9000"}), Invalid, "process.execCPUAffinity"),
        ("/process/apparmorProfile", json!("a\0"), Invalid, "process.apparmorProfile"),
        ("/process/selinuxLabel", json!("a\0"), Invalid, "process.selinuxLabel"),
    ]);
}
