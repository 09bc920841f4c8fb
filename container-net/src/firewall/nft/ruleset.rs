//! The fixed part of the table: sets, maps, chains and their rules.

use super::encode::{Attrs, Family, Kind, object};
use super::expr::{Ct, Meta, Reg, Rule, Verdict};
use super::{TABLE, ifname};
use crate::error::Result;
use crate::netlink::{F_ACK, F_CREATE, F_EXCL, Message};

/// Type numbers of the `nft` program. The kernel only stores them, for `nft list` to read.
mod datatype {
    pub(super) const ADDRESS: u32 = 7;
    pub(super) const PROTOCOL: u32 = 12;
    pub(super) const PORT: u32 = 13;
    pub(super) const IFNAME: u32 = 41;

    pub(super) fn concat(parts: &[u32]) -> u32 {
        parts.iter().fold(0, |all, part| all << 6 | part)
    }
}

struct Set {
    name: &'static str,
    key: &'static [u32],
    key_len: u32,
    /// Type and length of a map's values.
    data: Option<(&'static [u32], u32)>,
    interval: bool,
}

const TARGET: Option<(&[u32], u32)> = Some((&[datatype::ADDRESS, datatype::PORT], 8));

const SETS: &[Set] = &[
    Set { name: "bridges", key: &[datatype::IFNAME], key_len: 16, data: None, interval: false },
    Set {
        name: "pairs",
        key: &[datatype::IFNAME, datatype::IFNAME],
        key_len: 32,
        data: None,
        interval: false,
    },
    Set { name: "subnets", key: &[datatype::ADDRESS], key_len: 4, data: None, interval: true },
    Set {
        name: "published",
        key: &[datatype::PROTOCOL, datatype::PORT],
        key_len: 8,
        data: TARGET,
        interval: false,
    },
    Set {
        name: "published_on",
        key: &[datatype::ADDRESS, datatype::PROTOCOL, datatype::PORT],
        key_len: 12,
        data: TARGET,
        interval: false,
    },
];

/// A chain, with type, hook number and priority when it hangs on a hook.
struct Chain {
    name: &'static str,
    base: Option<(&'static str, u32, i32)>,
}

const CHAINS: &[Chain] = &[
    Chain { name: "to_container", base: None },
    Chain { name: "to_published", base: None },
    Chain { name: "raw", base: Some(("filter", 0, -300)) },
    Chain { name: "prerouting", base: Some(("nat", 0, -100)) },
    Chain { name: "forward", base: Some(("filter", 2, 0)) },
    Chain { name: "output", base: Some(("nat", 3, -100)) },
    Chain { name: "postrouting", base: Some(("nat", 4, 100)) },
];

/// The messages that make the whole table; they fail with `EEXIST` when it is there.
pub(super) fn messages() -> Result<Vec<Message>> {
    let mut attrs = Attrs::new();
    attrs.string(1, TABLE);
    let flags = F_ACK | F_CREATE | F_EXCL;
    let mut messages =
        vec![object(Kind::NewTable, Family::Inet, flags, attrs, "nft add table", TABLE)?];
    for (id, set) in (1..).zip(SETS) {
        messages.push(set.message(id)?);
    }
    for chain in CHAINS {
        messages.push(chain.message()?);
    }
    for (chain, rule) in rules() {
        messages.push(rule_message(chain, rule)?);
    }
    Ok(messages)
}

fn rules() -> Vec<(&'static str, Rule)> {
    let mut all = published();
    all.extend(forwarded());
    all.extend(masqueraded());
    all
}

/// Published ports: DNAT to the container that the maps name.
fn published() -> Vec<(&'static str, Rule)> {
    let (key, first, second) = (Reg(0), Reg(1), Reg(2));
    let on_address = Rule::new()
        .ipv4()
        .destination_address(key)
        .meta(Meta::Protocol, first)
        .destination_port(second)
        .look_up(key, "published_on")
        .dnat(key, first);
    let on_any = Rule::new()
        .ipv4()
        .meta(Meta::Protocol, key)
        .destination_port(first)
        .look_up(key, "published")
        .dnat(key, first);
    // The bridges have route_localnet: a container must neither reach the host's 127.0.0.1 by it
    // nor pass for it.
    let from_bridge = || Rule::new().meta(Meta::InputName, key).found_in(key, "bridges").ipv4();
    let raw = from_bridge().destination_address(key);
    let disguised = from_bridge().source_address(key);
    let raw = is_loopback(raw, key).verdict(Verdict::Drop);
    let disguised = is_loopback(disguised, key).verdict(Verdict::Drop);
    // Nor must a neighbour on the LAN reach what is published on 127.0.0.1 only.
    let foreign = Rule::new()
        .meta(Meta::InputName, key)
        .not_equal(key, &ifname("lo"))
        .ipv4()
        .destination_address(key);
    let foreign = is_loopback(foreign, key).verdict(Verdict::Return);
    let local =
        || Rule::new().ipv4().destination_is_local(key).verdict(Verdict::Jump("to_published"));
    vec![
        ("to_published", on_address),
        ("to_published", on_any),
        ("raw", raw),
        ("raw", disguised),
        ("prerouting", foreign),
        ("prerouting", local()),
        ("output", local()),
    ]
}

/// What may be forwarded to a bridge. Everything else is none of our business.
fn forwarded() -> Vec<(&'static str, Rule)> {
    const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
    let key = Reg(0);
    let ours = Rule::new()
        .meta(Meta::OutputName, key)
        .found_in(key, "bridges")
        .verdict(Verdict::Jump("to_container"));
    let answers = Rule::new()
        .ct(Ct::State, key)
        .mask(key, ESTABLISHED_OR_RELATED.to_ne_bytes())
        .not_equal(key, &[0; 4])
        .verdict(Verdict::Accept);
    let published = was_redirected(Rule::new(), key).verdict(Verdict::Accept);
    let inside = Rule::new()
        .meta(Meta::InputName, Reg(0))
        .meta(Meta::OutputName, Reg(4))
        .found_in(Reg(0), "pairs")
        .verdict(Verdict::Accept);
    vec![
        ("forward", ours),
        ("to_container", answers),
        ("to_container", published),
        ("to_container", inside),
        ("to_container", Rule::new().verdict(Verdict::Drop)),
    ]
}

/// Source addresses that must become the host's.
fn masqueraded() -> Vec<(&'static str, Rule)> {
    let key = Reg(0);
    let from_subnet = || Rule::new().ipv4().source_address(key).found_in(key, "subnets");
    let leaving =
        from_subnet().meta(Meta::OutputName, key).missing_from(key, "bridges").masquerade();
    // A container that uses a published port of its own network: without this the answer would
    // go straight to the sender, from an address that it never asked.
    let hairpin =
        was_redirected(from_subnet().meta(Meta::OutputName, key).found_in(key, "bridges"), key)
            .masquerade();
    // The host that uses a published port by 127.0.0.1, which no container could answer.
    let loopback = is_loopback(Rule::new().ipv4().source_address(key), key)
        .meta(Meta::OutputName, key)
        .found_in(key, "bridges")
        .masquerade();
    vec![("postrouting", leaving), ("postrouting", hairpin), ("postrouting", loopback)]
}

/// Goes on only for an address of 127.0.0.0/8.
fn is_loopback(rule: Rule, address: Reg) -> Rule {
    rule.mask(address, [255, 0, 0, 0]).equal(address, &[127, 0, 0, 0])
}

/// Goes on only for connections that a DNAT rule has redirected.
fn was_redirected(rule: Rule, key: Reg) -> Rule {
    const IPS_DST_NAT: u32 = 1 << 5;
    rule.ct(Ct::Status, key).mask(key, IPS_DST_NAT.to_ne_bytes()).not_equal(key, &[0; 4])
}

/// Tells `nft list` that keys are in host byte order, as interface names are: one field of
/// user data (type 0, length 4), which the kernel only stores.
const HOST_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

impl Set {
    fn message(&self, id: u32) -> Result<Message> {
        const INTERVAL: u32 = 4;
        const MAP: u32 = 8;
        let flags =
            if self.interval { INTERVAL } else { 0 } | if self.data.is_some() { MAP } else { 0 };
        let mut attrs = Attrs::new();
        attrs.string(1, TABLE).string(2, self.name).u32(3, flags);
        attrs.u32(4, datatype::concat(self.key)).u32(5, self.key_len);
        if let Some((types, length)) = self.data {
            attrs.u32(6, datatype::concat(types)).u32(7, length);
        }
        attrs.u32(10, id);
        if self.key == [datatype::IFNAME] {
            attrs.bytes(13, &HOST_ORDER);
        }
        object(Kind::NewSet, Family::Inet, F_ACK | F_CREATE, attrs, "nft add set", self.name)
    }
}

impl Chain {
    fn message(&self) -> Result<Message> {
        let mut attrs = Attrs::new();
        attrs.string(1, TABLE).string(3, self.name);
        if let Some((kind, hook, priority)) = self.base {
            attrs.nest(4, |h| {
                h.u32(1, hook).bytes(2, &priority.to_be_bytes());
            });
            attrs.string(7, kind);
        }
        object(Kind::NewChain, Family::Inet, F_ACK | F_CREATE, attrs, "nft add chain", self.name)
    }
}

fn rule_message(chain: &'static str, rule: Rule) -> Result<Message> {
    const APPEND: u16 = 0x800;
    let mut attrs = Attrs::new();
    attrs.string(1, TABLE).string(2, chain);
    attrs.nested(4, rule.expressions());
    let flags = F_ACK | F_CREATE | APPEND;
    object(Kind::NewRule, Family::Inet, flags, attrs, "nft add rule", chain)
}
