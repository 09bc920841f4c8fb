//! nftables by netlink: the table, its rules and its elements.
//!
//! ```text
//! table inet container-net
//!   set bridges      our bridges by name
//!   set pairs        (bridge, same bridge): traffic inside one network
//!   set subnets      the networks' subnets, as intervals
//!   map published    (protocol, port)          → (container, port), any host address
//!   map published_on (address, protocol, port) → (container, port), that host address
//!
//!   raw          prerouting  packets from a bridge to or from 127.0.0.0/8 are dropped
//!   prerouting   DNAT of what arrives at an address of the host
//!   output       the same for what the host itself sends
//!   forward      to a bridge: answers, published ports, own network; the rest is dropped
//!   postrouting  masquerade of what leaves a subnet, and of what would else take a short cut
//! ```

pub(super) mod encode;
pub(super) mod expr;
mod ruleset;

use std::net::Ipv4Addr;

use rustix::io::Errno;

use self::encode::{Attrs, Family, Kind, batch, element_message, object};
use crate::conntrack;
use crate::error::{Error, ErrorKind, Result};
use crate::ipam::Subnet;
use crate::netlink::{F_ACK, F_CREATE, F_DUMP, F_EXCL, Message, Refusal, Socket, attributes};
use crate::port::Port;

/// The name of our table.
pub(crate) const TABLE: &str = "container-net";

/// Elements per message; an attribute holds 64 KiB.
const CHUNK: usize = 500;

/// Messages with elements per transaction: some 100 KiB of the send buffer's 208.
const CHUNKS: usize = 4;

/// A netlink socket to nf_tables, in the namespace of the thread that opened it.
///
/// Kept open for as long as possible: closing one after a deletion waits for the kernel's
/// deferred work, some 20 ms.
#[derive(Debug)]
pub(crate) struct Nft(Socket);

/// One element of a set or map, in the kernel's register layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) interval_end: bool,
}

impl Nft {
    pub(crate) fn open() -> Result<Self> {
        Socket::open(rtnetlink::sys::protocols::NETLINK_NETFILTER, "NETLINK_NETFILTER")
            .map(Self)
            .map_err(|error| match error.raw_os_error() {
                Some(errno) if errno == Errno::PROTONOSUPPORT.raw_os_error() => lacking(error),
                _ => error,
            })
    }

    /// Asks for the ruleset's generation: fails when the kernel has no nf_tables.
    pub(crate) fn probe(&mut self) -> Result<()> {
        let message = object(
            Kind::GetGen,
            Family::Unspecified,
            F_ACK,
            Attrs::new(),
            "nft get generation",
            "",
        )?;
        let messages = [message];
        self.0.dump(&messages[0]).map(drop).map_err(|refusal| explain(refusal, &messages))
    }

    /// Makes the table unless it is there.
    pub(crate) fn ensure_table(&mut self) -> Result<()> {
        let messages = batch(ruleset::messages()?)?;
        match self.0.submit(&messages) {
            Err(Refusal { errno: Errno::EXIST, .. }) | Ok(()) => Ok(()),
            // An expression or chain type that the kernel does not have.
            Err(refusal) if refusal.errno == Errno::NOENT => {
                Err(lacking(refusal.into_error(&messages)))
            }
            Err(refusal) => Err(explain(refusal, &messages)),
        }
    }

    /// Adds a network's bridge and subnet.
    pub(crate) fn add_network(&mut self, bridge: &str, subnet: Subnet) -> Result<()> {
        self.change(Kind::NewSetElem, &network_elements(bridge, subnet))
    }

    /// Removes what is left of a network: published ports, bridge, subnet, and the table when it
    /// was the last. What is gone already is no error.
    pub(crate) fn remove_network(&mut self, bridge: &str, subnet: Subnet) -> Result<()> {
        let mut changes = Vec::new();
        for set in ["published", "published_on"] {
            let ours = self.elements(set)?.into_iter().filter(|e| leads_into(e, subnet)).collect();
            changes.push((set, ours));
        }
        let mut last = true;
        for (set, wanted) in network_elements(bridge, subnet) {
            let present = self.elements(set)?;
            if set == "bridges" {
                last = present.iter().all(|e| wanted.contains(e));
            }
            let wanted = wanted.into_iter().filter(|e| present.contains(e)).collect();
            changes.push((set, wanted));
        }
        if last {
            return self.delete_table();
        }
        self.change(Kind::DelSetElem, &changes)
    }

    /// Leads host ports to a container. The caller holds the ports' sockets, so an element that
    /// is there was left by an owner that died, and is replaced.
    pub(crate) fn publish(&mut self, container: Ipv4Addr, ports: &[Port]) -> Result<()> {
        let changes = port_elements(container, ports);
        match self.change(Kind::NewSetElem, &changes) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.unpublish(container, ports)?;
                self.change(Kind::NewSetElem, &changes)
            }
            other => other,
        }
    }

    /// Takes published ports back. Ports that somebody flushed are no error.
    pub(crate) fn unpublish(&mut self, container: Ipv4Addr, ports: &[Port]) -> Result<()> {
        let changes = port_elements(container, ports);
        match self.change(Kind::DelSetElem, &changes) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // One missing element aborts the transaction: take out what is left, singly.
                for (set, elements) in &changes {
                    for element in elements {
                        match self.change(Kind::DelSetElem, &[(set, vec![element.clone()])]) {
                            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                            _ => {}
                        }
                    }
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Forgets the tracked connections of a container, by the same socket: opening and closing
    /// one costs more.
    pub(crate) fn forget_connections(&mut self, container: Ipv4Addr) -> Result<()> {
        conntrack::forget(&mut self.0, container)
    }

    fn delete_table(&mut self) -> Result<()> {
        let mut attrs = Attrs::new();
        attrs.string(1, TABLE);
        let table = object(Kind::DelTable, Family::Inet, F_ACK, attrs, "nft delete table", TABLE)?;
        let messages = batch(vec![table])?;
        match self.0.submit(&messages) {
            Err(refusal) if refusal.errno != Errno::NOENT => Err(explain(refusal, &messages)),
            _ => Ok(()),
        }
    }

    /// Adds or deletes elements, in one transaction as long as the socket's send buffer holds it.
    fn change(&mut self, kind: Kind, changes: &[(&'static str, Vec<Element>)]) -> Result<()> {
        let flags = match kind {
            Kind::NewSetElem => F_ACK | F_CREATE | F_EXCL,
            _ => F_ACK,
        };
        let mut messages = Vec::new();
        for (set, elements) in changes {
            for chunk in elements.chunks(CHUNK) {
                messages.push(element_message(kind, flags, set, chunk)?);
            }
        }
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let messages = batch(messages.by_ref().take(CHUNKS).collect())?;
            self.0.submit(&messages).map_err(|refusal| explain(refusal, &messages))?;
        }
        Ok(())
    }

    /// All elements of a set or map; none when the table is gone.
    fn elements(&mut self, set: &'static str) -> Result<Vec<Element>> {
        let mut attrs = Attrs::new();
        attrs.string(1, TABLE).string(2, set);
        let request = object(Kind::GetSetElem, Family::Inet, F_DUMP, attrs, "nft list set", set)?;
        let messages = [request];
        match self.0.dump(&messages[0]) {
            Ok(replies) => Ok(replies.iter().flat_map(|r| encode::parse_elements(r)).collect()),
            Err(refusal) if refusal.errno == Errno::NOENT => Ok(Vec::new()),
            Err(refusal) => Err(explain(refusal, &messages)),
        }
    }
}

/// A network's elements, set by set.
fn network_elements(bridge: &str, subnet: Subnet) -> [(&'static str, Vec<Element>); 3] {
    let name = ifname(bridge);
    let pair = [name, name].concat();
    let start = subnet.network().octets().to_vec();
    // An interval is two elements: its first address, and the one behind its last.
    let end = subnet.broadcast().to_bits().wrapping_add(1).to_be_bytes().to_vec();
    let plain = |key| Element { key, data: None, interval_end: false };
    [
        ("bridges", vec![plain(name.to_vec())]),
        ("pairs", vec![plain(pair)]),
        ("subnets", vec![plain(start), Element { key: end, data: None, interval_end: true }]),
    ]
}

/// The elements of an endpoint's published ports, map by map.
fn port_elements(container: Ipv4Addr, ports: &[Port]) -> [(&'static str, Vec<Element>); 2] {
    let element = |port: &Port| {
        let mut key = Vec::with_capacity(12);
        if !port.address().is_unspecified() {
            key.extend_from_slice(&port.address().octets());
        }
        // Each part of a concatenation fills whole 32-bit registers.
        key.extend_from_slice(&[port.protocol().number(), 0, 0, 0]);
        key.extend_from_slice(&padded(port.host()));
        let data = [container.octets(), padded(port.container())].concat();
        Element { key, data: Some(data), interval_end: false }
    };
    let (any, one): (Vec<&Port>, Vec<&Port>) =
        ports.iter().partition(|port| port.address().is_unspecified());
    [
        ("published", any.into_iter().map(element).collect()),
        ("published_on", one.into_iter().map(element).collect()),
    ]
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// An interface name as the kernel compares it: 16 bytes, filled up with NUL.
pub(super) fn ifname(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    bytes
}

/// Whether a published port leads to an address of `subnet`.
fn leads_into(element: &Element, subnet: Subnet) -> bool {
    let address = element.data.as_ref().and_then(|d| d.get(..4)).and_then(|b| b.try_into().ok());
    address.is_some_and(|octets: [u8; 4]| subnet.contains(octets.into()))
}

fn explain(refusal: Refusal, messages: &[Message]) -> Error {
    let errno = refusal.errno;
    let error = refusal.into_error(messages);
    match errno {
        Errno::OPNOTSUPP => lacking(error),
        Errno::PERM => error.with_hint("CAP_NET_ADMIN over the network namespace is needed"),
        _ => error,
    }
}

fn lacking(error: Error) -> Error {
    error.with_kind(ErrorKind::KernelLacks).with_hint(
        "the kernel lacks nf_tables or a part of it (nf_tables, nft_nat, nft_masq, nft_ct, \
         nft_fib_inet); load the modules or use another kernel",
    )
}

#[cfg(test)]
mod tests;
