//! Real packets over every path of a bridge network, between namespaces.

mod common;

use std::net::Ipv4Addr;

use common::*;
use container_net::{EndpointOptions, NetNs, Port};

#[test]
fn every_path_of_a_published_port_and_of_masquerade() {
    if !testkit::require_root() || !testkit::require_peer("ip") || !testkit::require_peer("nft") {
        return;
    }
    let world = World::new();
    let subnet = "10.88.7.0/24".parse().unwrap();
    let network = world
        .network("web0")
        .subnet(subnet)
        .create()
        .wait()
        .unwrap();
    let (web, client) = (NetNs::new().unwrap(), NetNs::new().unwrap());
    let options = EndpointOptions::new()
        .publish(Port::tcp(8080, 80))
        .publish(Port::udp(5353, 53))
        .publish(Port::tcp(9090, 90).on(Ipv4Addr::LOCALHOST));
    let web_end = network.connect(&web, options).wait().unwrap();
    let client_end = network
        .connect(&client, EndpointOptions::new())
        .wait()
        .unwrap();
    for port in [80, 90, 81] {
        serve_tcp(&web, port);
    }
    serve_udp(&web, 53);
    serve_tcp(&world.host, 7000);
    serve_tcp(&world.peer, 7001);
    println!("{}", ruleset(&world.host));

    let (web_ip, client_ip) = (web_end.address(), client_end.address());
    let gateway = network.gateway();
    let tcp = |from: &NetNs, to, port| ask_tcp(from, to, port).map_err(|e| e.kind());
    let saw = |ip: Ipv4Addr| Ok(ip.to_string());

    // Inside: the gateway, the neighbour, the container's own loopback.
    assert_eq!(tcp(&web, gateway, 7000), saw(web_ip), "container → gateway");
    assert_eq!(
        tcp(&client, web_ip, 80),
        saw(client_ip),
        "container → container"
    );
    assert_eq!(
        tcp(&web, Ipv4Addr::LOCALHOST, 80),
        saw(Ipv4Addr::LOCALHOST),
        "loopback inside"
    );
    // Out: the LAN sees the host's address.
    assert_eq!(tcp(&web, PEER, 7001), saw(HOST), "masquerade");
    // In: from the LAN with the sender's true address, from the host, from containers.
    assert_eq!(tcp(&world.peer, HOST, 8080), saw(PEER), "LAN → published");
    assert_eq!(
        ask_udp(&world.peer, HOST, 5353).unwrap(),
        PEER.to_string(),
        "LAN → UDP"
    );
    assert_eq!(
        tcp(&world.host, HOST, 8080),
        saw(HOST),
        "host → own address"
    );
    assert_eq!(
        tcp(&world.host, Ipv4Addr::LOCALHOST, 8080),
        saw(gateway),
        "host → 127.0.0.1"
    );
    assert_eq!(
        tcp(&world.host, Ipv4Addr::LOCALHOST, 9090),
        saw(gateway),
        "host → 127.0.0.1 only"
    );
    assert_eq!(
        tcp(&client, HOST, 8080),
        saw(gateway),
        "neighbour → published"
    );
    assert_eq!(tcp(&web, HOST, 8080), saw(gateway), "hairpin");

    web_end.disconnect().wait().unwrap();
    assert!(tcp(&world.peer, HOST, 8080).is_err(), "unpublished");
    assert_eq!(
        tcp(&client, gateway, 7000),
        saw(client_ip),
        "the other is still connected"
    );
    client_end.disconnect().wait().unwrap();
    network.remove().wait().unwrap();
    assert_eq!(world.trace(), Vec::<String>::new());
}
