//! The same `linux.resources` by runc and by this runtime: the same contents of the same files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use container_core::cgroup::{Controller, Hierarchy, Resources, Version};
use container_core::oci::Bundle;
use container_core::runtime::CreateOptions;
use serde_json::{Value, json};

use crate::support::Place;

/// Contents of limits, and not of accounts; without `cpu.weight`, which runc has had another formula
/// for since 1.3.2.
const FILES: [&str; 26] = [
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.swappiness",
    "memory.kmem.tcp.limit_in_bytes",
    "memory.low",
    "memory.max",
    "memory.swap.max",
    "memory.high",
    "pids.max",
    "cpu.shares",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.cfs_burst_us",
    "cpu.idle",
    "cpu.max",
    "cpu.max.burst",
    "cpuset.cpus",
    "cpuset.mems",
    "devices.list",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
    "blkio.bfq.weight",
    "io.max",
];

/// The limits of a cgroup, by file; of a list, in an order of its own.
fn limits(path: &str) -> BTreeMap<&'static str, Vec<String>> {
    let hierarchy = Hierarchy::discover().unwrap();
    let mut found = BTreeMap::new();
    for mount in hierarchy.mounts() {
        for file in FILES {
            let file_path = mount.mount_point().join(&path[1..]).join(file);
            if let Ok(text) = fs::read_to_string(file_path) {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                found.insert(file, lines);
            }
        }
    }
    found
}

fn oom_killer_waits(path: &str) -> bool {
    fs::read_to_string(format!("/sys/fs/cgroup/memory{path}/memory.oom_control"))
        .is_ok_and(|text| text.contains("oom_kill_disable 1"))
}

/// A container of runc's, deleted when dropped.
struct Peer<'a> {
    root: &'a Path,
    id: &'a str,
    cgroup: &'a str,
}

impl Peer<'_> {
    fn runc(&self, arguments: &[&str]) {
        let done = Command::new("runc")
            .arg("--root")
            .arg(self.root)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.root.join("stderr")).unwrap())
            .status()
            .unwrap();
        let said = fs::read_to_string(self.root.join("stderr")).unwrap();
        assert!(done.success(), "runc {arguments:?}: {said}");
    }
}

impl Drop for Peer<'_> {
    fn drop(&mut self) {
        // A throttled container takes longer to die than runc waits for it.
        if let Ok(cgroup) = Hierarchy::discover().unwrap().open(self.cgroup) {
            let _ = cgroup.kill();
        }
        let _ = Command::new("runc")
            .arg("--root")
            .arg(self.root)
            .args(["delete", "--force", self.id])
            .status();
        if let Ok(cgroup) = Hierarchy::discover().unwrap().open(self.cgroup) {
            let _ = cgroup.destroy();
        }
    }
}

/// Creates both, updates both, and compares at both times.
fn same_as_runc(resources: &Value, update: Option<&Value>) {
    let place = Place::new();
    let [ours, theirs] = ["ours", "theirs"].map(|who| {
        let path = format!("/{}", testkit::unique(&format!("container-test-{who}")));
        let bundle = place.bundle("sleep 60", |spec| {
            spec["linux"]["resources"] = resources.clone();
            spec["linux"]["cgroupsPath"] = json!(path);
        });
        (path, bundle)
    });
    let (our_path, bundle) = ours;
    let container = place.runtime.create("limits", &bundle, &CreateOptions::new()).unwrap();
    let (their_path, bundle) = theirs;
    let directory = place.directory.join("theirs");
    fs::create_dir(&directory).unwrap();
    let bundle = Bundle::new(&directory, bundle.spec().clone()).unwrap();
    fs::write(directory.join("config.json"), bundle.to_json()).unwrap();
    let root = place.directory.join("runc");
    fs::create_dir(&root).unwrap();
    let peer = Peer { root: &root, id: "limits", cgroup: &their_path };
    peer.runc(&["create", "--bundle", directory.to_str().unwrap(), "limits"]);

    let compare = |when: &str| {
        let (ours, theirs) = (limits(&our_path), limits(&their_path));
        for (file, value) in &theirs {
            assert_eq!(ours.get(file), Some(value), "{file} after {when} of {resources}");
        }
        assert!(theirs.contains_key("pids.max"), "{theirs:?}");
        assert_eq!(oom_killer_waits(&our_path), oom_killer_waits(&their_path));
    };
    compare("create");
    if let Some(update) = update {
        let file = place.directory.join("update.json");
        fs::write(&file, update.to_string()).unwrap();
        peer.runc(&["update", "--resources", file.to_str().unwrap(), "limits"]);
        let update = serde_json::from_value(update.clone()).unwrap();
        container.apply(&Resources::from_oci(&update).unwrap()).unwrap();
        compare("update");
    }
}

fn ready() -> bool {
    testkit::require_root() && testkit::require_peer("runc")
}

fn on_v1(controller: Controller) -> bool {
    let hierarchy = Hierarchy::discover().unwrap();
    hierarchy.mount_of(controller).is_some_and(|mount| mount.version() == Version::V1)
}

fn denied() -> Value {
    json!({"allow": false, "access": "rwm"})
}

#[test]
fn memory_and_swap() {
    if ready() {
        let mut first = json!({"memory": {"limit": 64 << 20, "reservation": 32 << 20,
            "swap": 96 << 20}});
        if on_v1(Controller::Memory) {
            first["memory"]["swappiness"] = json!(13);
            first["memory"]["disableOOMKiller"] = json!(true);
        }
        same_as_runc(&first, Some(&json!({"memory": {"limit": 128 << 20, "swap": 256 << 20}})));
        same_as_runc(
            &json!({"memory": {"limit": 256 << 20, "swap": 256 << 20}}),
            Some(&json!({"memory": {"limit": 64 << 20, "swap": 128 << 20}})),
        );
        same_as_runc(
            &json!({"memory": {"limit": 64 << 20, "swap": -1}}),
            Some(&json!({"memory": {"limit": -1, "swap": -1}})),
        );
    }
}

#[test]
fn processors_and_tasks() {
    if ready() {
        same_as_runc(
            &json!({"cpu": {"shares": 512, "quota": 50_000, "period": 80_000, "cpus": "0-1",
                "mems": "0"}, "pids": {"limit": 33}}),
            Some(&json!({"cpu": {"shares": 2048, "quota": 10_000, "period": 20_000, "cpus": "1"},
                "pids": {"limit": -1}})),
        );
        same_as_runc(
            &json!({"cpu": {"period": 50_000, "quota": 0, "shares": 2}, "pids": {"limit": 0}}),
            Some(&json!({"cpu": {"quota": 20_000}})),
        );
        same_as_runc(&json!({}), Some(&json!({"cpu": {"quota": -1}, "pids": {"limit": 5}})));
    }
}

#[test]
fn device_rules() {
    if ready() {
        let rule = |allow, class, major, minor, access| json!({"allow": allow, "type": class, "major": major, "minor": minor, "access": access});
        same_as_runc(&json!({ "devices": [denied()] }), Some(&json!({"pids": {"limit": 7}})));
        same_as_runc(
            &json!({"devices": [
                denied(),
                rule(true, "b", 8, -1, "r"),
                rule(true, "c", 10, 229, "rw"),
                rule(false, "c", 10, 229, "w"),
                rule(true, "c", 4, 64, "r"),
                rule(true, "c", 4, 64, "m"),
                rule(false, "c", 4, 64, "rwm"),
            ]}),
            None,
        );
        same_as_runc(&json!({"devices": [{"allow": true, "access": "rwm"}]}), None);
    }
}

#[test]
fn block_devices() {
    if !ready() {
        return;
    }
    let disks = fs::read_dir("/sys/block").unwrap().flatten();
    let mut numbers = disks.filter_map(|disk| fs::read_to_string(disk.path().join("dev")).ok());
    let Some(number) = numbers.next() else {
        println!("SKIP: no block device");
        return;
    };
    let (major, minor) = number.trim().split_once(':').unwrap();
    let (major, minor): (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
    let rate = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    same_as_runc(
        &json!({"blockIO": {
            "throttleReadBpsDevice": rate(1 << 20),
            "throttleWriteBpsDevice": rate(2 << 20),
            "throttleReadIOPSDevice": rate(100),
            // Which runc before 1.2 writes as it is, and v2 refuses.
            "throttleWriteIOPSDevice": rate(if on_v1(Controller::Io) { 0 } else { 7 }),
        }}),
        None,
    );
}
