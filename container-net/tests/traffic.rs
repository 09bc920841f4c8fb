//! Real packets over every path of a bridge network, between namespaces.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::ErrorKind::{self as IoKind, TimedOut};
use std::net::Ipv4Addr;
use std::time::Duration;

use common::*;
use container_net::{EndpointOptions, NetNs, Network, Port};

/// A world with a network, a web server in one container and a client in another.
struct Lab {
    world: World,
    network: Network,
    web: NetNs,
    client: NetNs,
    web_end: container_net::Endpoint,
    client_end: container_net::Endpoint,
}

impl Lab {
    fn new() -> Self {
        let world = World::new();
        let network = world.network("web0").create().wait().unwrap();
        let (web, client) = (NetNs::new().unwrap(), NetNs::new().unwrap());
        let options = EndpointOptions::new()
            .publish(Port::tcp(8080, 80))
            .publish(Port::udp(5353, 53))
            .publish(Port::tcp(9090, 90).on(Ipv4Addr::LOCALHOST))
            .publish(Port::udp(9090, 90).on(Ipv4Addr::LOCALHOST))
            .publish(Port::tcp(9091, 90).on(HOST));
        let web_end = network.connect(&web, options).wait().unwrap();
        let client_end = network.connect(&client, EndpointOptions::new()).wait().unwrap();
        for port in [80, 81, 90] {
            serve_tcp(&web, port);
        }
        serve_udp(&web, 53);
        serve_tcp(&world.host, 7000);
        serve_tcp(&world.peer, 7001);
        Self { world, network, web, client, web_end, client_end }
    }

    fn end(self) {
        self.web_end.disconnect().wait().unwrap();
        self.client_end.disconnect().wait().unwrap();
        self.network.remove().wait().unwrap();
        assert_eq!(self.world.trace(), Vec::<String>::new());
    }
}

fn ask(from: &NetNs, to: Ipv4Addr, port: u16) -> Result<Ipv4Addr, IoKind> {
    ask_tcp(from, to, port).map(|text| text.parse().unwrap()).map_err(|error| error.kind())
}

/// The same for what must not get through, which takes until the time is up.
fn ask_in_vain(from: &NetNs, to: Ipv4Addr, port: u16) -> Result<String, IoKind> {
    ask_tcp_for(from, to, port, Duration::from_millis(300)).map_err(|error| error.kind())
}

#[test]
fn traffic_inside_and_out() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    let (web, client) = (lab.web_end.address(), lab.client_end.address());
    let gateway = lab.network.gateway();
    assert_eq!(ask(&lab.web, gateway, 7000), Ok(web), "container → gateway");
    assert_eq!(ask(&lab.world.host, web, 80), Ok(gateway), "host → container");
    assert_eq!(ask(&lab.client, web, 80), Ok(client), "container → container");
    assert_eq!(ask(&lab.web, Ipv4Addr::LOCALHOST, 80), Ok(Ipv4Addr::LOCALHOST), "own loopback");
    assert_eq!(ask(&lab.web, PEER, 7001), Ok(HOST), "masquerade: the LAN sees the host");
    lab.end();
}

#[test]
fn published_ports_from_everywhere() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    let gateway = lab.network.gateway();
    let World { host, peer, .. } = &lab.world;
    assert_eq!(ask(peer, HOST, 8080), Ok(PEER), "LAN → host, the sender's own address seen");
    assert_eq!(ask_udp(peer, HOST, 5353).unwrap(), PEER.to_string(), "the same over UDP");
    assert_eq!(ask(host, HOST, 8080), Ok(HOST), "host → its LAN address");
    assert_eq!(ask(host, Ipv4Addr::LOCALHOST, 8080), Ok(gateway), "host → 127.0.0.1");
    assert_eq!(ask_udp(host, Ipv4Addr::LOCALHOST, 5353).unwrap(), gateway.to_string());
    assert_eq!(ask(&lab.client, HOST, 8080), Ok(gateway), "neighbour → published");
    assert_eq!(ask(&lab.web, HOST, 8080), Ok(gateway), "hairpin: container → itself");
    // A port published on one address is there and nowhere else.
    assert_eq!(ask(host, Ipv4Addr::LOCALHOST, 9090), Ok(gateway));
    assert_eq!(ask(peer, HOST, 9090), Err(IoKind::ConnectionRefused), "127.0.0.1 only");
    assert_eq!(ask(peer, HOST, 9091), Ok(PEER));
    assert_eq!(ask(host, Ipv4Addr::LOCALHOST, 9091), Err(IoKind::ConnectionRefused));
    lab.end();
}

#[test]
fn what_is_not_published_is_not_reachable() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    let World { host, peer, .. } = &lab.world;
    let web = lab.web_end.address();
    // A LAN neighbour that knows the way routes to the subnet, and to the host's loopback.
    let subnet = lab.network.subnet().to_string();
    run_in(peer, None, "ip", &["route", "add", &subnet, "via", &HOST.to_string()]);
    assert_eq!(ask_in_vain(peer, web, 81), Err(TimedOut), "LAN → container, unpublished");
    assert_eq!(ask_in_vain(peer, web, 80), Err(TimedOut), "even a port that is published");
    // One-way packets to the host's loopback: an answer would be dropped by the attacker itself.
    let door = Door::open(&lab.web, Ipv4Addr::UNSPECIFIED, 90);
    assert!(door.hears(host, Ipv4Addr::LOCALHOST, 9090), "the host itself may");
    route_loopback_abroad(peer, "wan0", HOST);
    assert!(!door.hears(peer, Ipv4Addr::LOCALHOST, 9090), "LAN → published on 127.0.0.1");
    let door = Door::open(host, Ipv4Addr::LOCALHOST, 6000);
    assert!(door.hears(host, Ipv4Addr::LOCALHOST, 6000));
    route_loopback_abroad(&lab.client, "eth0", lab.network.gateway());
    assert!(!door.hears(&lab.client, Ipv4Addr::LOCALHOST, 6000), "container → host's loopback");
    lab.end();
}

/// A UDP socket that somebody knocks on.
struct Door(std::net::UdpSocket);

impl Door {
    fn open(netns: &NetNs, address: Ipv4Addr, port: u16) -> Self {
        let socket = netns.run(|| std::net::UdpSocket::bind((address, port))).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        Self(socket)
    }

    fn hears(&self, from: &NetNs, to: Ipv4Addr, port: u16) -> bool {
        let bind = || std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
        let socket = from.run(bind).unwrap().unwrap();
        socket.send_to(b"knock", (to, port)).unwrap();
        self.0.recv(&mut [0; 8]).is_ok()
    }
}

/// Makes a namespace send packets for 127.0.0.1 out of a link.
fn route_loopback_abroad(netns: &NetNs, link: &str, via: Ipv4Addr) {
    let script = format!(
        "echo 1 > /proc/sys/net/ipv4/conf/{link}/route_localnet
         ip route del local 127.0.0.0/8 dev lo table local
         ip route del local 127.0.0.1 dev lo table local
         ip route add 127.0.0.0/8 via {via} dev {link}"
    );
    run_in(netns, None, "sh", &["-c", &script]);
}

#[test]
fn networks_are_isolated_from_each_other() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    // The next subnet, so that the intervals in the set touch.
    let other = lab.world.network("other").create().wait().unwrap();
    assert_ne!(other.subnet(), lab.network.subnet());
    let stranger = NetNs::new().unwrap();
    let end = other.connect(&stranger, EndpointOptions::new()).wait().unwrap();
    assert_eq!(ask_in_vain(&stranger, lab.web_end.address(), 80), Err(TimedOut));
    assert_eq!(ask(&stranger, HOST, 8080), Ok(other_gateway_seen(&lab)), "published is for all");
    assert_eq!(ask(&stranger, PEER, 7001), Ok(HOST));
    end.disconnect().wait().unwrap();
    other.remove().wait().unwrap();
    // The first network works on without the second.
    assert_eq!(ask(&lab.world.peer, HOST, 8080), Ok(PEER));
    assert_eq!(ask(&lab.web, PEER, 7001), Ok(HOST));
    lab.end();
}

/// What a server sees of a request that the host had to masquerade towards its bridge.
fn other_gateway_seen(lab: &Lab) -> Ipv4Addr {
    lab.network.gateway()
}

#[test]
fn a_reused_address_is_reached_at_once() {
    if !ready() {
        return;
    }
    let world = World::new();
    // Room for one container: the address comes back immediately.
    let subnet = "10.88.9.0/30".parse().unwrap();
    let network = world.network("tiny").subnet(subnet).create().wait().unwrap();
    for _ in 0..3 {
        let netns = NetNs::new().unwrap();
        serve_tcp(&netns, 80);
        let options = EndpointOptions::new().publish(Port::tcp(8080, 80));
        let end = network.connect(&netns, options).wait().unwrap();
        assert_eq!(ask(&world.peer, HOST, 8080), Ok(PEER));
        end.disconnect().wait().unwrap();
        assert_eq!(ask(&world.peer, HOST, 8080), Err(IoKind::ConnectionRefused));
    }
    network.remove().wait().unwrap();
    assert_eq!(world.trace(), Vec::<String>::new());
}
