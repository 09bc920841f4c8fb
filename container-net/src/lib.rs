//! Container networks as values: sandboxes, networks and endpoints, made over netlink without
//! running a program, removed without a trace.
//!
//! # The model
//!
//! The container network model has three parts, and this crate a type for each:
//!
//! ```text
//!   container A            container B                   the LAN
//!  ┌───────────┐          ┌───────────┐
//!  │ sandbox   │ NetNs    │ sandbox   │                     │
//!  │ lo   eth0 │          │ lo   eth0 │                     │
//!  └────────┼──┘          └────────┼──┘                     │
//!           │ Endpoint             │ Endpoint               │
//!  ┌────────┼──────────────────────┼────────────────────────┼────┐
//!  │  v1a2b…1                 v1a2b…2                  LAN link  │
//!  │  ┌─────┴──────────────────────┴─────┐  masquerade      │    │
//!  │  │ bridge web0          10.88.0.1   │ ───────────────▶ │    │
//!  │  └──────────────────────────────────┘ ◀─────────────── │    │
//!  │    Network                            published ports  host │
//!  └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! - A **sandbox** ([`NetNs`]) is a network namespace: links, addresses, routes, firewall and
//!   port numbers of its own. A container brings one; [`NetNs::new`] makes one without.
//! - A **network** ([`Network`]) is a group of sandboxes that reach each other: a bridge with a
//!   subnet and a gateway, kept apart from every other network.
//! - An **endpoint** ([`Endpoint`]) is a sandbox's place in a network: a veth pair, an address
//!   leased from the network, a default route, published [`Port`]s.
//!
//! Containers and this crate meet at a descriptor: [`Network::connect`] takes anything that is
//! `AsFd` and refers to a network namespace.
//!
//! ```no_run
//! use std::io::Write;
//! use std::net::{TcpListener, TcpStream};
//! use container_net::{EndpointOptions, NetNs, Network, Port};
//!
//! // Needs root: CAP_NET_ADMIN and CAP_SYS_ADMIN over the host's network.
//! let network = Network::bridge("web0").subnet("10.88.7.0/24".parse()?).create().wait()?;
//! let netns = NetNs::new()?; // or NetNs::from_pid(pid)?, or a descriptor of your own
//! let options = EndpointOptions::new().publish(Port::tcp(8080, 80));
//! let endpoint = network.connect(&netns, options).wait()?;
//!
//! let listener = netns.run(|| TcpListener::bind("0.0.0.0:80"))??;
//! let client = TcpStream::connect("127.0.0.1:8080")?; // from the host, or from the LAN
//! listener.accept()?.0.write_all(b"hello from 10.88.7.2")?;
//!
//! endpoint.disconnect().wait()?;
//! network.remove().wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Async and blocking
//!
//! Every operation that takes time starts at once on a thread of its own and returns a [`Task`]:
//! `.await` it under any executor, or [`wait`](Task::wait) for it. Bad values are found before.
//!
//! # What is and is not done for you
//!
//! - Everything that a network changes on the host is listed in [`network`] with how it is taken
//!   back, `net.ipv4.ip_forward` included ([`Forwarding`]); what a killed process left is removed
//!   by the next [`NetworkBuilder::create`].
//! - Rules live in one nftables table, `inet container-net`. An accepting rule there does not
//!   overrule a *dropping* one in another table: where Docker or a firewall sets the policy of
//!   its forward chain to drop, it must let our bridges through.
//! - IPv4 only, so far; IPv6 is switched off on the bridge and on both ends of a veth pair.
//! - The kernel's nf_tables is needed, there is no iptables backend; a kernel without it is
//!   answered by an error of kind [`ErrorKind::KernelLacks`].
//! - Without privilege over the host's network there is no link to it: [`limitation`] has the
//!   sentence, [`probe()`] the details.

mod conntrack;
pub mod endpoint;
pub mod error;
mod firewall;
pub mod ipam;
mod link;
mod name;
mod netlink;
pub mod netns;
pub mod network;
pub mod port;
pub mod probe;
mod sys;
mod sysctl;
pub mod task;

pub use endpoint::{Endpoint, EndpointOptions};
pub use error::{Error, ErrorKind, Result};
pub use ipam::Subnet;
pub use netns::NetNs;
pub use network::{Forwarding, Network, NetworkBuilder};
pub use port::{Port, Protocol};
pub use probe::{Facility, Limitation, Probe, limitation, probe};
pub use task::Task;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
