//! Networks and endpoints come and go without a trace, also when their owner is killed.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::*;
use container_net::{EndpointOptions, ErrorKind, Forwarding, NetNs, Network, Port};

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_network_removes_its_endpoints_with_it() {
    if !ready() {
        return;
    }
    let world = World::new();
    let network = world.network("net0").create().wait().unwrap();
    let sandboxes: Vec<NetNs> = (0..4).map(|_| NetNs::new().unwrap()).collect();
    let publish = || EndpointOptions::new().publish(Port::tcp(0, 80)).publish(Port::udp(0, 53));
    let ends: Vec<_> =
        sandboxes.iter().map(|netns| network.connect(netns, publish()).wait().unwrap()).collect();
    let ports: Vec<u16> = ends.iter().flat_map(|end| end.ports()).map(Port::host).collect();
    assert!(ports.iter().all(|port| *port != 0), "{ports:?}");
    assert!(world.trace().iter().any(|line| line.contains(&ports[0].to_string())));
    network.remove().wait().unwrap();
    assert_eq!(world.trace(), nothing());
    // Handles of a network that is gone are harmless.
    for end in ends {
        end.disconnect().wait().unwrap();
    }
    for netns in &sandboxes {
        assert!(!run_in(netns, None, "ip", &["-o", "link"]).contains("eth0"));
    }
}

#[test]
fn dropped_handles_remove_what_they_stand_for() {
    if !ready() {
        return;
    }
    let world = World::new();
    let netns = NetNs::new().unwrap();
    {
        let network = world.network("net0").create().wait().unwrap();
        let _end = network.connect(&netns, EndpointOptions::new()).wait().unwrap();
        let _other = network
            .connect(&netns, EndpointOptions::new().interface("eth1").default_route(false))
            .wait()
            .unwrap();
        // A task that nobody waits for, either.
        drop(network.connect(NetNs::new().unwrap(), EndpointOptions::new()));
    }
    assert_eq!(world.trace(), nothing());
}

#[test]
fn tear_down_does_not_hold_up_the_caller() {
    if !ready() {
        return;
    }
    let world = World::new();
    let network = world.network("net0").create().wait().unwrap();
    let options = || EndpointOptions::new().publish(Port::tcp(8080, 80));
    // While the container lives, and after it has gone.
    for container_first in [false, true] {
        let netns = NetNs::new().unwrap();
        let end = network.connect(&netns, options()).wait().unwrap();
        let host_link = end.host_interface().to_owned();
        assert!(world.trace().iter().any(|line| line.starts_with(&host_link)));
        if container_first {
            drop(netns);
        }
        let started = Instant::now();
        let task = end.disconnect();
        let call = started.elapsed();
        task.wait().unwrap();
        assert!(call < started.elapsed() / 2, "{call:?} of {:?}", started.elapsed());
        assert!(!world.trace().iter().any(|line| line.starts_with(&host_link)));
    }
    let started = Instant::now();
    let task = network.remove();
    let call = started.elapsed();
    task.wait().unwrap();
    assert!(call < started.elapsed() / 2, "{call:?} of {:?}", started.elapsed());
    assert_eq!(world.trace(), nothing());
}

#[test]
fn settings_are_as_documented() {
    if !ready() {
        return;
    }
    let world = World::new();
    let subnet = "10.88.3.0/24".parse().unwrap();
    let denied = world.network("net0").forwarding(Forwarding::Require).create().wait();
    assert!(denied.unwrap_err().to_string().contains("ip_forward"));
    assert_eq!(world.trace(), nothing());

    let first = world.network("net0").subnet(subnet).mtu(1400).create().wait().unwrap();
    for (key, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/net0/route_localnet", "1"),
        ("ipv6/conf/net0/accept_ra", "0"),
        ("ipv6/conf/net0/disable_ipv6", "1"),
        ("ipv4/conf/all/route_localnet", "0"),
    ] {
        assert_eq!(sysctl(&world.host, key), value, "{key}");
    }
    let link = run_in(&world.host, None, "ip", &["-d", "link", "show", "net0"]);
    assert!(link.contains("mtu 1400") && link.contains("stp_state 0"), "{link}");
    let netns = NetNs::new().unwrap();
    let end = first.connect(&netns, EndpointOptions::new()).wait().unwrap();
    let inside = run_in(&netns, None, "ip", &["addr", "show", "eth0"]);
    assert!(inside.contains("mtu 1400") && inside.contains("10.88.3.2/24"), "{inside}");
    let [a, b, c, d, e, f] = end.mac();
    assert!(inside.contains(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")));
    assert!(run_in(&netns, None, "ip", &["route"]).contains("default via 10.88.3.1 dev eth0"));
    assert!(run_in(&netns, None, "ip", &["link", "show", "lo"]).contains("LOWER_UP"));

    // Forwarding goes back with the last network, and stays where it was wished for.
    let second = world.network("net1").create().wait().unwrap();
    first.remove().wait().unwrap();
    assert_eq!(sysctl(&world.host, "ipv4/ip_forward"), "1");
    second.remove().wait().unwrap();
    assert_eq!(world.trace(), nothing());
    let keep = world.network("net0").forwarding(Forwarding::Keep).create().wait().unwrap();
    keep.remove().wait().unwrap();
    assert_eq!(world.trace(), vec!["ip_forward=1"]);
}

#[test]
fn failures_leave_nothing_behind() {
    if !ready() {
        return;
    }
    let world = World::new();
    let network =
        world.network("net0").subnet("10.88.3.0/24".parse().unwrap()).create().wait().unwrap();
    let netns = NetNs::new().unwrap();
    let end = network
        .connect(&netns, EndpointOptions::new().publish(Port::tcp(8080, 80)))
        .wait()
        .unwrap();
    let before = world.trace();
    let other = NetNs::new().unwrap();
    let refused = |netns: &NetNs, options: EndpointOptions| {
        let error = network.connect(netns, options).wait().unwrap_err();
        assert_eq!(world.trace(), before, "{error}");
        error.kind()
    };
    let options = EndpointOptions::new;
    let address = Ipv4Addr::new;
    assert_eq!(refused(&netns, options()), ErrorKind::AlreadyExists, "eth0 is there");
    assert_eq!(refused(&netns, options().interface("eth1")), ErrorKind::AlreadyExists, "route");
    assert_eq!(refused(&other, options().publish(Port::tcp(8080, 1))), ErrorKind::PortInUse);
    assert_eq!(refused(&other, options().address(end.address())), ErrorKind::AddressInUse);
    assert_eq!(refused(&other, options().address(network.gateway())), ErrorKind::AddressInUse);
    assert_eq!(refused(&other, options().address(address(10, 9, 9, 9))), ErrorKind::InvalidInput);
    assert_eq!(refused(&other, options().interface("a/b")), ErrorKind::InvalidInput);
    assert_eq!(refused(&world.host, options()), ErrorKind::InvalidInput, "the host itself");
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = network.connect(&file, options()).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // A port that a program of the host listens on.
    let busy = world.host.run(|| std::net::TcpListener::bind("0.0.0.0:7777")).unwrap().unwrap();
    assert_eq!(refused(&other, options().publish(Port::tcp(7777, 1))), ErrorKind::PortInUse);
    drop(busy);
    // The refused addresses were given back: the whole subnet but one is free.
    let next = network.connect(&other, options().publish(Port::tcp(7777, 1))).wait().unwrap();
    next.disconnect().wait().unwrap();

    for (builder, kind) in [
        (world.network("net0"), ErrorKind::AlreadyExists),
        (world.network("lan0"), ErrorKind::AlreadyExists),
        (world.network("a/b"), ErrorKind::InvalidInput),
        (world.network("line\nbreak"), ErrorKind::InvalidInput),
        (world.network("sixteen-bytes-xx"), ErrorKind::InvalidInput),
        (world.network("n").mtu(1), ErrorKind::InvalidInput),
        (world.network("n").gateway(HOST), ErrorKind::InvalidInput),
        (world.network("n").subnet("10.88.3.0/25".parse().unwrap()), ErrorKind::SubnetInUse),
        (world.network("n").subnet("10.88.0.0/16".parse().unwrap()), ErrorKind::SubnetInUse),
        (world.network("n").subnet("192.168.50.0/24".parse().unwrap()), ErrorKind::SubnetInUse),
        (world.network("n").run_dir("/nonexistent/run"), ErrorKind::NotFound),
    ] {
        let error = builder.create().wait().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(world.trace(), before, "{error}");
    }
    network.remove().wait().unwrap();
    assert_eq!(world.trace(), nothing());
}

#[test]
fn many_at_once_get_addresses_of_their_own() {
    if !ready() {
        return;
    }
    let world = World::new();
    let network = world.network("net0").create().wait().unwrap();
    let sandboxes: Vec<NetNs> = (0..32).map(|_| NetNs::new().unwrap()).collect();
    let options = || EndpointOptions::new().publish(Port::tcp(0, 80));
    let tasks: Vec<_> = sandboxes.iter().map(|netns| network.connect(netns, options())).collect();
    let ends: Vec<_> = tasks.into_iter().map(|task| task.wait().unwrap()).collect();
    let mut addresses: Vec<_> = ends.iter().map(|end| end.address()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 32);
    for netns in &sandboxes {
        serve_tcp(netns, 80);
    }
    for end in &ends {
        let port = end.ports()[0].host();
        assert_eq!(ask_tcp(&world.peer, HOST, port).unwrap(), PEER.to_string());
    }
    let tasks: Vec<_> = ends.into_iter().map(|end| end.disconnect()).collect();
    for task in tasks {
        task.wait().unwrap();
    }
    assert_eq!(world.trace().iter().filter(|line| line.starts_with('v')).count(), 0);
    network.remove().wait().unwrap();
    assert_eq!(world.trace(), nothing());
}

#[test]
fn rules_that_somebody_flushed_are_no_obstacle_to_removal() {
    if !ready() {
        return;
    }
    let world = World::new();
    let network = world.network("net0").create().wait().unwrap();
    let netns = NetNs::new().unwrap();
    let options = EndpointOptions::new().publish(Port::tcp(8080, 80));
    let end = network.connect(&netns, options).wait().unwrap();
    run_in(&world.host, None, "nft", &["flush", "ruleset"]);
    run_in(&world.host, None, "ip", &["link", "del", end.host_interface()]);
    end.disconnect().wait().unwrap();
    network.remove().wait().unwrap();
    assert_eq!(world.trace(), nothing());
}

#[test]
fn networks_work_for_the_root_of_a_user_namespace() {
    // An ordinary user's own little world: the kernel tests of this file again, unprivileged.
    if std::env::var_os("CONTAINER_NET_TEST_USERNS").is_some()
        || !testkit::require_unprivileged_userns()
        || !testkit::require_peer("unshare")
    {
        return;
    }
    let test = "failures_leave_nothing_behind";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("CONTAINER_NET_TEST_USERNS", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("SKIP"), "{text}{error}");
}

/// The child of the next two tests: makes a network and waits to be killed, or goes on making
/// and removing them until it is.
#[test]
fn owner_that_waits_to_be_killed() {
    let Ok(run_dir) = std::env::var("CONTAINER_NET_TEST_RUN_DIR") else {
        return;
    };
    let busy = std::env::var_os("CONTAINER_NET_TEST_BUSY").is_some();
    let netns = NetNs::new().unwrap();
    loop {
        let network = Network::bridge("doomed").run_dir(&run_dir).create().wait().unwrap();
        let options = EndpointOptions::new().publish(Port::tcp(8080, 80));
        let end = network.connect(&netns, options).wait().unwrap();
        println!("ready");
        if !busy {
            std::thread::sleep(Duration::from_secs(60));
        }
        end.disconnect().wait().unwrap();
        network.remove().wait().unwrap();
    }
}

/// Starts this test program as an owner on the world's host, and waits until it has a network.
fn start_owner(world: &World, busy: bool) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["owner_that_waits_to_be_killed", "--exact", "--nocapture"])
        .env("CONTAINER_NET_TEST_RUN_DIR", world.run_dir())
        .stdout(Stdio::piped());
    if busy {
        command.env("CONTAINER_NET_TEST_BUSY", "1");
    }
    // A child inherits the namespace of the thread that starts it.
    let mut child = world.host.run(|| command.spawn()).unwrap().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("ready\n") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the owner ended early");
    }
    // Keep the pipe open and empty: the busy owner prints on.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    child
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_for_good() {
    if !ready() {
        return;
    }
    let world = World::new();
    for round in 0..12u64 {
        let mut owner = start_owner(&world, true);
        // Spread over the some 100 ms that a round of the owner's takes.
        std::thread::sleep(Duration::from_millis(round * 37 % 111));
        owner.kill().unwrap();
        owner.wait().unwrap();
        let sweeper = world.network("sweeper").create().wait().unwrap();
        sweeper.remove().wait().unwrap();
        assert_eq!(world.trace(), nothing(), "round {round}");
    }
}

#[test]
fn what_a_killed_owner_left_is_removed_by_the_next() {
    if !ready() {
        return;
    }
    let world = World::new();
    let survivor = world.network("alive").create().wait().unwrap();
    let mut owner = start_owner(&world, false);
    owner.kill().unwrap();
    owner.wait().unwrap();
    let left = world.trace();
    for word in ["doomed", "8080"] {
        assert!(left.iter().any(|line| line.contains(word)), "{word}: {left:?}");
    }
    // Any next network, of whatever name, cleans up; the living keep what they have.
    let next = world.network("next").create().wait().unwrap();
    let left = world.trace();
    for word in ["doomed", "8080"] {
        assert!(!left.iter().any(|line| line.contains(word)), "{word}: {left:?}");
    }
    assert!(left.iter().any(|line| line.contains("alive")));
    survivor.remove().wait().unwrap();
    next.remove().wait().unwrap();
    assert_eq!(world.trace(), nothing());
}

#[test]
fn descriptors_and_the_callers_namespace_stay_as_they_were() {
    if !ready() {
        return;
    }
    let world = World::new();
    let here = NetNs::current().unwrap().inode().unwrap();
    let netns = NetNs::new().unwrap();
    let held = netns.as_fd().as_raw_fd();
    for _ in 0..3 {
        let network = world.network("net0").create().wait().unwrap();
        let options = EndpointOptions::new().publish(Port::tcp(8080, 80));
        let end = network.connect(&netns, options).wait().unwrap();
        end.disconnect().wait().unwrap();
        network.remove().wait().unwrap();
    }
    assert_eq!(NetNs::current().unwrap().inode().unwrap(), here);
    // The namespaces of this world are referred to by its own handles and nothing else; the
    // thread that closes the last nftables socket may take some 20 ms.
    let inode = netns.inode().unwrap();
    let refers = || {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        let links = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        links.filter(|link| link.to_string_lossy() == format!("net:[{inode}]")).count()
    };
    assert_eq!(refers(), 1, "descriptor {held} only");
}
