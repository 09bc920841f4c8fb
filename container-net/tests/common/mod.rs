//! A small world in network namespaces: a "host" with a "LAN" peer, so that tests run in
//! parallel and never touch the machine's own links and tables.

#![allow(dead_code, unreachable_pub, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use container_net::{NetNs, Network, NetworkBuilder};
use testkit::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(2);

/// The host's address on the LAN, and the LAN peer's.
pub const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);
pub const PEER: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 2);

/// Whether networks can be made here: as root, or as root of a user namespace that owns its
/// network namespace.
pub fn ready() -> bool {
    (container_net::limitation().is_none() || testkit::require_root())
        && testkit::require_peer("ip")
        && testkit::require_peer("nft")
}

/// A host and a machine on its LAN.
pub struct World {
    pub host: NetNs,
    pub peer: NetNs,
    pub temp: TempDir,
}

impl World {
    pub fn new() -> Self {
        let (host, peer) = (NetNs::new().unwrap(), NetNs::new().unwrap());
        // The peer has no default route: it can answer nobody but the host itself.
        let script = format!(
            "ip link add lan0 type veth peer name wan0 netns /proc/self/fd/0 &&
             ip addr add {HOST}/24 dev lan0 && ip link set lan0 up"
        );
        run_in(&host, Some(&peer), "sh", &["-c", &script]);
        let script = format!("ip addr add {PEER}/24 dev wan0 && ip link set wan0 up");
        run_in(&peer, None, "sh", &["-c", &script]);
        Self { host, peer, temp: TempDir::new() }
    }

    pub fn run_dir(&self) -> std::path::PathBuf {
        self.temp.join("run")
    }

    pub fn network(&self, name: &str) -> NetworkBuilder {
        Network::bridge(name).host(&self.host).run_dir(self.run_dir())
    }

    /// What a network could leave behind: links, tables, forwarding, records.
    pub fn trace(&self) -> Vec<String> {
        let links = run_in(&self.host, None, "ip", &["-o", "link"]);
        let mut links: Vec<String> = links
            .lines()
            .map(|line| line.split(": ").nth(1).unwrap_or(line).to_owned())
            .filter(|name| name != "lo" && !name.starts_with("lan0"))
            .collect();
        links.extend(ruleset(&self.host).lines().map(str::to_owned));
        let forward = sysctl(&self.host, "ipv4/ip_forward");
        if forward != "0" {
            links.push(format!("ip_forward={forward}"));
        }
        if self.run_dir().exists() {
            links.push("the run directory".into());
        }
        links
    }
}

pub fn sysctl(netns: &NetNs, key: &str) -> String {
    let path = format!("/proc/sys/net/{key}");
    netns.run(|| std::fs::read_to_string(path)).unwrap().unwrap().trim().to_owned()
}

pub fn ruleset(netns: &NetNs) -> String {
    run_in(netns, None, "nft", &["list", "ruleset"])
}

/// Runs a program in a namespace; with a second one as its standard input.
pub fn run_in(netns: &NetNs, stdin: Option<&NetNs>, program: &str, args: &[&str]) -> String {
    use std::os::fd::AsFd;
    let mut command = Command::new(program);
    command.args(args).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    if let Some(other) = stdin {
        command.stdin(other.as_fd().try_clone_to_owned().unwrap());
    }
    // A child inherits the namespace of the thread that starts it.
    let output = netns.run(|| command.output()).unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}{error}");
    text
}

/// Serves TCP connections in a namespace for ever: answers with the address that it sees.
pub fn serve_tcp(netns: &NetNs, port: u16) {
    serve_tcp_on(netns, Ipv4Addr::UNSPECIFIED, port);
}

pub fn serve_tcp_on(netns: &NetNs, address: Ipv4Addr, port: u16) {
    let listener = netns.run(|| TcpListener::bind((address, port))).unwrap().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, client)) = listener.accept() {
            let _ = write!(stream, "{}", client.ip());
        }
    });
}

/// The same over UDP.
pub fn serve_udp(netns: &NetNs, port: u16) {
    let socket = netns.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, client)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(client.ip().to_string().as_bytes(), client);
        }
    });
}

/// Connects from a namespace and returns the address that the server saw.
pub fn ask_tcp(netns: &NetNs, address: Ipv4Addr, port: u16) -> std::io::Result<String> {
    ask_tcp_for(netns, address, port, PATIENCE)
}

pub fn ask_tcp_for(
    netns: &NetNs,
    address: Ipv4Addr,
    port: u16,
    patience: Duration,
) -> std::io::Result<String> {
    let target = SocketAddr::V4(SocketAddrV4::new(address, port));
    let mut stream = netns.run(|| TcpStream::connect_timeout(&target, patience)).unwrap()?;
    stream.set_read_timeout(Some(patience))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

pub fn ask_udp(netns: &NetNs, address: Ipv4Addr, port: u16) -> std::io::Result<String> {
    let socket = netns.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).unwrap()?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"?", (address, port))?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
