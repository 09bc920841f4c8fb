//! What others had set before a network came is there again after it has gone.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use container_net::{EndpointOptions, ErrorKind, Forwarding, NetNs, Port};

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

/// An owner that was killed leaves its elements, but not its socket, until somebody creates the
/// next network. The port is free all the same.
#[test]
fn a_port_of_a_killed_owner_can_be_published() {
    if !ready() {
        return;
    }
    let world = World::new();
    let network = world.network("net0").create().wait().unwrap();
    for (map, key) in [("published", "tcp . 8080"), ("published_on", "127.0.0.1 . udp . 53")] {
        let left = format!("add element inet container-net {map} {{ {key} : 10.9.9.9 . 80 }}");
        run_in(&world.host, None, "nft", &[&left]);
    }
    let netns = NetNs::new().unwrap();
    let options = EndpointOptions::new()
        .publish(Port::tcp(8080, 80))
        .publish(Port::udp(53, 53).on(std::net::Ipv4Addr::LOCALHOST))
        .publish(Port::tcp(8081, 80));
    let end = network.connect(&netns, options).wait().unwrap();
    let rules = ruleset(&world.host);
    assert!(!rules.contains("10.9.9.9"), "{rules}");
    assert!(rules.contains(&format!("{} . 80", end.address())), "{rules}");
    end.disconnect().wait().unwrap();
    network.remove().wait().unwrap();
    assert_eq!(world.trace(), Vec::<String>::new());
}

/// More than fit into one message to the kernel.
#[test]
fn thousands_of_published_ports_are_removed() {
    if !ready() {
        return;
    }
    let world = World::new();
    let network = world.network("net0").create().wait().unwrap();
    let other = world.network("net1").create().wait().unwrap();
    let host = network.gateway();
    let elements: Vec<String> =
        (1..=20_000).map(|port| format!("tcp . {port} : {host} . {port}")).collect();
    let script = world.temp.join("elements");
    let text = format!("add element inet container-net published {{ {} }}", elements.join(", "));
    std::fs::write(&script, text).unwrap();
    run_in(&world.host, None, "nft", &["-f", script.to_str().unwrap()]);
    network.remove().wait().unwrap();
    assert!(!ruleset(&world.host).contains(&host.to_string()));
    other.remove().wait().unwrap();
    assert_eq!(world.trace(), Vec::<String>::new());
}

/// An address of 32 bits has no route of its own but that of the local table.
#[test]
fn a_subnet_does_not_take_an_address_of_the_host() {
    if !ready() {
        return;
    }
    let world = World::new();
    run_in(&world.host, None, "ip", &["addr", "add", "10.88.0.5/32", "dev", "lan0"]);
    let network = world.network("net0").create().wait().unwrap();
    assert_eq!(network.subnet().to_string(), "10.88.1.0/24");
    let builder = world.network("net1").subnet("10.88.0.0/24".parse().unwrap());
    assert_eq!(builder.create().wait().unwrap_err().kind(), ErrorKind::SubnetInUse);
    network.remove().wait().unwrap();
    assert_eq!(world.trace(), Vec::<String>::new());
}

/// A record decides what is deleted: nobody else may write one.
#[test]
fn a_run_directory_that_others_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    if !ready() {
        return;
    }
    let world = World::new();
    std::fs::create_dir(world.run_dir()).unwrap();
    std::fs::set_permissions(world.run_dir(), PermissionsExt::from_mode(0o777)).unwrap();
    let error = world.network("net0").create().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}
