//! Network devices that are handed over.

use std::process::Command;

use container_core::net_device::NetDevice;
use container_core::{ErrorKind, NamespaceKind, Namespaces, ProcessBuilder};

/// A pair of virtual devices, removed on drop.
struct Pair(String, String);

impl Pair {
    fn new() -> Self {
        let pair = Self(testkit::unique_link("nda"), testkit::unique_link("ndb"));
        assert!(ip(&["link", "add", &pair.0, "type", "veth", "peer", "name", &pair.1]));
        pair
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // One goes with the other.
        let _ = ip(&["link", "del", &self.1]) || ip(&["link", "del", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().unwrap().status.success()
}

fn can_run() -> bool {
    testkit::require_root() && testkit::require_peer("ip")
}

fn base(program: &str) -> ProcessBuilder {
    ProcessBuilder::new(program).namespaces(Namespaces::none().with(NamespaceKind::Net))
}

#[test]
fn a_device_gets_in_with_its_addresses() {
    if !can_run() {
        return;
    }
    let pair = Pair::new();
    assert!(ip(&["addr", "add", "192.0.2.7/24", "dev", &pair.0]));
    let output = base("ip")
        .args(["-o", "addr", "show", "eth7"])
        .net_device(NetDevice::new(&pair.0).renamed("eth7"))
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("192.0.2.7/24"), "{shown}");
    // Gone with the namespace, and its peer with it.
    let _ = pair;
}

#[test]
fn a_device_is_up_inside() {
    if !can_run() {
        return;
    }
    let pair = Pair::new();
    let output = base("ip")
        .args(["-o", "link", "show", &pair.0])
        .net_device(NetDevice::new(&pair.0))
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains(",UP"), "{shown}");
}

#[test]
fn a_failing_container_gives_it_back() {
    if !can_run() {
        return;
    }
    let pair = Pair::new();
    let error = base("/no/such/program")
        .net_device(NetDevice::new(&pair.0).renamed("eth7"))
        .spawn()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(ip(&["link", "show", &pair.0]), "it is back");
    // The second is not there: the first does not get lost.
    let error = base("/bin/true")
        .net_device(NetDevice::new(&pair.0))
        .net_device(NetDevice::new("no-such-dev"))
        .spawn()
        .unwrap_err();
    assert!(error.to_string().contains("no-such-dev"), "{error}");
    assert!(ip(&["link", "show", &pair.0]), "it is back");
    // The name is taken inside.
    let error =
        base("/bin/true").net_device(NetDevice::new(&pair.0).renamed("lo")).spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert!(ip(&["link", "show", &pair.0]), "it has not left");
}

#[test]
fn what_can_not_be_is_refused() {
    let error =
        ProcessBuilder::new("/bin/true").net_device(NetDevice::new("a")).plan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let twice = base("/bin/true")
        .net_device(NetDevice::new("a").renamed("eth0"))
        .net_device(NetDevice::new("b").renamed("eth0"));
    assert_eq!(twice.plan().unwrap_err().kind(), ErrorKind::InvalidInput);
    let shown = base("/bin/true").net_device(NetDevice::new("a")).plan().unwrap().to_string();
    assert!(shown.contains("RTM_NEWLINK a as a"), "{shown}");
}
