//! A container, or a neighbour of the host, that tries to get where it must not.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::*;
use container_net::{EndpointOptions, NetNs, Port};

fn udp(netns: &NetNs, address: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = netns.run(|| UdpSocket::bind((address, port))).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What arrives at a socket that nothing should arrive at.
fn intruder(socket: &UdpSocket) -> Option<SocketAddr> {
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.recv_from(&mut [0; 16]).ok().map(|(_, sender)| sender)
}

/// Makes a namespace send packets for, and from, 127.0.0.0/8 out of its `eth0`.
fn loopback_abroad(netns: &NetNs, via: Ipv4Addr) {
    let script = format!(
        "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
         ip route del local 127.0.0.0/8 dev lo table local
         ip route del local 127.0.0.1 dev lo table local
         ip addr add 127.0.0.2/32 dev eth0
         ip route add 127.0.0.0/8 via {via} dev eth0"
    );
    run_in(netns, None, "sh", &["-c", &script]);
}

/// `route_localnet` of the bridge also lets the kernel take packets *from* 127.0.0.0/8 there: a
/// service that trusts such senders must not hear them.
#[test]
fn a_container_does_not_pass_for_the_hosts_loopback() {
    if !ready() {
        return;
    }
    let world = World::new();
    let network = world.network("net0").create().wait().unwrap();
    let netns = NetNs::new().unwrap();
    let end = network.connect(&netns, EndpointOptions::new()).wait().unwrap();
    let service = udp(&world.host, Ipv4Addr::UNSPECIFIED, 6000);
    udp(&netns, end.address(), 0).send_to(b"as myself", (network.gateway(), 6000)).unwrap();
    assert_eq!(service.recv_from(&mut [0; 16]).unwrap().1.ip(), end.address());
    loopback_abroad(&netns, network.gateway());
    let liar = udp(&netns, Ipv4Addr::new(127, 0, 0, 2), 0);
    liar.send_to(b"as the host", (network.gateway(), 6000)).unwrap();
    assert_eq!(intruder(&service), None);
    network.remove().wait().unwrap();
}

/// The rules must outlive the bridge: between the two the doors would stand open.
#[test]
fn the_hosts_loopback_is_shut_during_removal_too() {
    if !ready() {
        return;
    }
    let world = World::new();
    for _ in 0..5 {
        let network = world.network("net0").create().wait().unwrap();
        let gateway = network.gateway();
        let netns = NetNs::new().unwrap();
        let end = network.connect(&netns, EndpointOptions::new()).wait().unwrap();
        let service = udp(&world.host, Ipv4Addr::LOCALHOST, 6000);
        loopback_abroad(&netns, gateway);
        let knock = udp(&netns, end.address(), 0);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let attacker = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = knock.send_to(b"knock", (Ipv4Addr::LOCALHOST, 6000));
            }
        });
        network.remove().wait().unwrap();
        stop.store(true, Ordering::Relaxed);
        attacker.join().unwrap();
        assert_eq!(intruder(&service), None);
    }
}

/// A container of an IPv4 network has no IPv6 on it (CVE-2024-32473): no neighbour reaches it by
/// a link-local address or becomes its router by an advertisement.
#[test]
fn neighbours_have_no_ipv6_to_attack() {
    if !ready() {
        return;
    }
    let world = World::new();
    let network = world.network("net0").create().wait().unwrap();
    let netns = NetNs::new().unwrap();
    let end = network.connect(&netns, EndpointOptions::new()).wait().unwrap();
    let inside = run_in(&netns, None, "ip", &["-6", "addr", "show", "dev", "eth0"]);
    assert_eq!(inside, "");
    let port = end.host_interface();
    assert_eq!(run_in(&world.host, None, "ip", &["-6", "addr", "show", "dev", port]), "");
    network.remove().wait().unwrap();
}

/// A sender that goes on after its container has gone must not get to the next owner of the
/// address, which publishes nothing.
#[test]
fn a_tracked_connection_does_not_outlive_its_endpoint() {
    if !ready() {
        return;
    }
    let world = World::new();
    // Room for one container: the address comes back immediately.
    let subnet = "10.88.9.0/30".parse().unwrap();
    let network = world.network("tiny").subnet(subnet).create().wait().unwrap();
    let sender = udp(&world.peer, PEER, 0);
    let first = NetNs::new().unwrap();
    let options = EndpointOptions::new().publish(Port::udp(5353, 53));
    let end = network.connect(&first, options).wait().unwrap();
    let server = udp(&first, Ipv4Addr::UNSPECIFIED, 53);
    sender.send_to(b"?", (HOST, 5353)).unwrap();
    let (_, client) = server.recv_from(&mut [0; 8]).unwrap();
    server.send_to(b"!", client).unwrap();
    sender.recv(&mut [0; 8]).unwrap();
    end.disconnect().wait().unwrap();

    let second = NetNs::new().unwrap();
    let end = network.connect(&second, EndpointOptions::new()).wait().unwrap();
    let server = udp(&second, Ipv4Addr::UNSPECIFIED, 53);
    sender.send_to(b"still there?", (HOST, 5353)).unwrap();
    assert_eq!(intruder(&server), None);
    end.disconnect().wait().unwrap();
    network.remove().wait().unwrap();
    assert_eq!(world.trace(), Vec::<String>::new());
}
