//! What others had set before a network came is there again after it has gone.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use container_net::{Forwarding, NetNs};

fn set(netns: &NetNs, key: &str, value: &str) {
    let path = format!("/proc/sys/net/{key}");
    netns.run(|| std::fs::write(path, value)).unwrap().unwrap();
}

/// Writing `ip_forward` makes the kernel write other settings along.
#[test]
fn forwarding_goes_back_with_the_settings_that_hang_on_it() {
    if !ready() {
        return;
    }
    let world = World::new();
    let before = [
        ("ipv4/conf/all/accept_redirects", "0"),
        ("ipv4/conf/default/forwarding", "1"),
        ("ipv4/conf/lan0/forwarding", "1"),
        ("ipv4/conf/lo/forwarding", "0"),
    ];
    for (key, value) in before {
        set(&world.host, key, value);
    }
    let network = world.network("net0").create().wait().unwrap();
    assert_eq!(sysctl(&world.host, "ipv4/conf/lo/forwarding"), "1");
    network.remove().wait().unwrap();
    for (key, value) in before {
        assert_eq!(sysctl(&world.host, key), value, "{key}");
    }
    assert_eq!(world.trace(), Vec::<String>::new());
}

#[test]
fn forwarding_that_one_network_keeps_is_kept() {
    if !ready() {
        return;
    }
    let world = World::new();
    let first = world.network("net0").create().wait().unwrap();
    let keep = world.network("net1").forwarding(Forwarding::Keep).create().wait().unwrap();
    keep.remove().wait().unwrap();
    first.remove().wait().unwrap();
    assert_eq!(world.trace(), vec!["ip_forward=1"]);
}
