//! What this machine can do for container networks, and how to get what is missing.
//!
//! Links of a kind are tried out in a namespace made for it, which then disappears: the kernel's
//! answer is the only one that counts. Trying may make it load a module, as using it would.
//!
//! ```
//! let probe = container_net::probe();
//! println!("{probe}");
//! assert!(probe.get("veth").is_some());
//! if let Some(limitation) = container_net::limitation() {
//!     println!("{limitation}");
//! }
//! ```

use std::fmt;

use rtnetlink::packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoVlan, InfoVxlan, IpVlanMode, LinkMessage,
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};
use rustix::thread::CapabilitySet;

use crate::error::{Error, ErrorKind, Result};
use crate::firewall::nft::Nft;
use crate::link::Rtnl;
use crate::netns::NetNs;
use crate::sysctl;

/// Something that a kernel or a process has or lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facility {
    /// A short name, such as `veth`.
    pub name: &'static str,
    /// Whether it can be used here and now.
    pub available: bool,
    /// What it is needed for, or what stands in the way.
    pub detail: String,
    /// How to get it, when it is missing.
    pub way_out: Option<String>,
}

impl fmt::Display for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.available { "yes" } else { "no" };
        write!(f, "{:<22} {state:<3}  {}", self.name, self.detail)?;
        match &self.way_out {
            Some(way_out) => write!(f, "; {way_out}"),
            None => Ok(()),
        }
    }
}

/// The answers of [`probe`], one line each when displayed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// All facilities, in a fixed order.
    pub facilities: Vec<Facility>,
}

impl Probe {
    /// The facility of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Facility> {
        self.facilities.iter().find(|facility| facility.name == name)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facilities.iter().try_for_each(|facility| writeln!(f, "{facility}"))
    }
}

/// What a program without privilege over the host's network has to do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limitation {
    /// What a container gets.
    pub available: &'static str,
    /// What was left out.
    pub left_out: &'static str,
    /// Why.
    pub reason: &'static str,
    /// How to get it.
    pub way_out: &'static str,
}

impl fmt::Display for Limitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { available, left_out, reason, way_out } = self;
        write!(f, "{available}; {left_out} were left out, because {reason}; {way_out}")
    }
}

/// What is left for an unprivileged user.
const LOOPBACK_ONLY: Limitation = Limitation {
    available: "the container has a network namespace of its own with its loopback link up",
    left_out: "the bridge, the veth link to the host, masquerade and published ports",
    reason: "this process has no CAP_NET_ADMIN over the host's network namespace, and a link \
             needs it at both ends",
    way_out: "run as root, or install pasta or slirp4netns, which carry the traffic in user space",
};

/// What containers of this process have to do without; `None` when [`Network`](crate::Network)
/// can be used.
///
/// A network namespace that belongs to a user namespace is made with the container: a thread of
/// a program cannot enter a user namespace, so [`NetNs::new`] is no way there.
#[must_use]
pub fn limitation() -> Option<Limitation> {
    let privileged = rights().is_ok_and(|rights| rights.net_admin && rights.sys_admin);
    (!privileged).then_some(LOOPBACK_ONLY)
}

/// Asks for every facility that this crate uses or will use. Needs no privilege; what cannot be
/// found out without is reported as not available, with the reason.
#[must_use]
pub fn probe() -> Probe {
    let mut facilities = privileges();
    facilities.extend(links());
    facilities.push(nf_tables());
    facilities.extend(settings());
    Probe { facilities }
}

struct Rights {
    net_admin: bool,
    sys_admin: bool,
}

/// The capabilities that count in the current network namespace.
fn rights() -> Result<Rights> {
    let sets = rustix::thread::capabilities(None)
        .map_err(|cause| Error::os("capget", "this thread", cause))?;
    let ours = NetNs::current()?.is_owned_by_us();
    let has = |capability| ours && sets.effective.contains(capability);
    Ok(Rights {
        net_admin: has(CapabilitySet::NET_ADMIN),
        sys_admin: has(CapabilitySet::SYS_ADMIN),
    })
}

fn privileges() -> Vec<Facility> {
    let rights = rights().unwrap_or(Rights { net_admin: false, sys_admin: false });
    let facility = |name, available, detail: &str| Facility {
        name,
        available,
        detail: detail.into(),
        way_out: (!available)
            .then(|| "run as root, or in a user namespace that owns the network namespace".into()),
    };
    vec![
        facility("CAP_NET_ADMIN", rights.net_admin, "make links, addresses, routes and rules"),
        facility("CAP_SYS_ADMIN", rights.sys_admin, "make and enter network namespaces"),
    ]
}

fn links() -> Vec<Facility> {
    let kinds: [(&'static str, &str, LinkMessage); 6] = [
        ("veth", "the cable between container and bridge", LinkVeth::new("veth0", "veth1").build()),
        ("bridge", "the network's switch", plain("bridge0", InfoKind::Bridge, None)),
        (
            "vxlan",
            "networks across hosts (not used yet)",
            plain(
                "vxlan0",
                InfoKind::Vxlan,
                Some(InfoData::Vxlan(vec![InfoVxlan::Id(1), InfoVxlan::Port(4789)])),
            ),
        ),
        ("dummy", "links without a cable (not used yet)", plain("dummy0", InfoKind::Dummy, None)),
        (
            "ipvlan",
            "containers on the host's own LAN (not used yet)",
            on_loopback(
                "ipvlan0",
                InfoKind::IpVlan,
                InfoData::IpVlan(vec![InfoIpVlan::Mode(IpVlanMode::L2)]),
            ),
        ),
        (
            "vlan",
            "802.1Q tags (not used yet)",
            on_loopback("vlan0", InfoKind::Vlan, InfoData::Vlan(vec![InfoVlan::Id(1)])),
        ),
    ];
    let namespace = NetNs::new();
    let one = |(name, purpose, link): (&'static str, &str, LinkMessage)| {
        let tried = match &namespace {
            Ok(netns) => netns.run(|| Rtnl::open()?.try_kind(link, name)).and_then(|r| r),
            Err(error) => return not_tested(name, purpose, error),
        };
        verdict(name, purpose, tried)
    };
    kinds.into_iter().map(one).collect()
}

fn plain(name: &str, kind: InfoKind, data: Option<InfoData>) -> LinkMessage {
    let link = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind).name(name);
    match data {
        Some(data) => link.set_info_data(data).build(),
        None => link.build(),
    }
}

/// A link that needs another below it: the loopback link stands in, and a refusal of *it* still
/// proves that the kind is known.
fn on_loopback(name: &str, kind: InfoKind, data: InfoData) -> LinkMessage {
    LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind)
        .name(name)
        .link(1)
        .set_info_data(data)
        .build()
}

fn verdict(name: &'static str, purpose: &str, tried: Result<()>) -> Facility {
    let lacking = |detail: String, way_out: &str| Facility {
        name,
        available: false,
        detail,
        way_out: Some(way_out.into()),
    };
    match tried {
        Err(error) if error.kind() == ErrorKind::KernelLacks => lacking(
            format!("the kernel lacks {name}: {purpose}"),
            "load the module, or use a kernel that is built with it",
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            not_tested(name, purpose, &error)
        }
        _ => Facility { name, available: true, detail: purpose.into(), way_out: None },
    }
}

fn not_tested(name: &'static str, purpose: &str, error: &Error) -> Facility {
    let why = match error.kind() {
        ErrorKind::PermissionDenied => "CAP_SYS_ADMIN and CAP_NET_ADMIN are needed".into(),
        _ => error.to_string(),
    };
    Facility {
        name,
        available: false,
        detail: format!("{purpose}; not tested: {why}"),
        way_out: Some("run as root to find out".into()),
    }
}

fn nf_tables() -> Facility {
    let purpose = "masquerade, published ports, isolation";
    match NetNs::new() {
        Ok(netns) => {
            // The whole table, so that a missing expression shows as well.
            let tried = netns.run(|| {
                let mut nft = Nft::open()?;
                nft.probe()?;
                nft.ensure_table()
            });
            verdict("nf_tables", purpose, tried.and_then(|r| r))
        }
        Err(error) => not_tested("nf_tables", purpose, &error),
    }
}

fn settings() -> Vec<Facility> {
    let forward = sysctl::read(sysctl::IP_FORWARD);
    let on = forward.as_deref().is_ok_and(|value| value == "1");
    let ip_forward = Facility {
        name: "ip_forward",
        available: on,
        detail: match &forward {
            Ok(value) => format!("net.ipv4.ip_forward={value}"),
            Err(error) => error.to_string(),
        },
        way_out: (!on).then(|| {
            "a network sets it (see Forwarding); by hand: sysctl net.ipv4.ip_forward=1".into()
        }),
    };
    let calls = sysctl::read("bridge/bridge-nf-call-iptables");
    let br_netfilter = Facility {
        name: "br_netfilter",
        available: calls.is_ok(),
        detail: match &calls {
            Ok(value) if value == "1" => {
                "on: traffic inside a bridge passes the host's forward chains too".into()
            }
            Ok(_) => "off: traffic inside a bridge bypasses the host's forward chains".into(),
            Err(_) => "not loaded: traffic inside a bridge bypasses the forward chains".into(),
        },
        way_out: calls.is_err().then(|| "not needed; modprobe br_netfilter loads it".into()),
    };
    vec![ip_forward, br_netfilter]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_facility_says_how_to_get_it() {
        let found = probe().facilities;
        assert!(found.len() >= 11);
        for facility in &found {
            assert_eq!(facility.way_out.is_none(), facility.available, "{facility:?}");
            assert!(!facility.detail.is_empty(), "{facility:?}");
        }
    }

    #[test]
    fn the_kernels_answer_is_the_ip_programs_answer() {
        if limitation().is_some() || !testkit::require_peer("ip") {
            return;
        }
        for facility in links() {
            let name = facility.name;
            let args = match name {
                "vxlan" => "id 1 dstport 4789",
                "ipvlan" | "vlan" => continue, // `ip` wants a parent that takes them
                _ => "",
            };
            let mut command = std::process::Command::new("ip");
            command.args(["link", "add", "probe0", "type", name]).args(args.split_whitespace());
            let netns = NetNs::new().unwrap();
            let output = netns.run(|| command.output()).unwrap().unwrap();
            assert_eq!(output.status.success(), facility.available, "{facility:?} {output:?}");
        }
    }

    #[test]
    fn an_unknown_kind_of_link_is_named() {
        if limitation().is_some() {
            return;
        }
        let link = plain("odd0", InfoKind::Other("no-such-kind".into()), None);
        let netns = NetNs::new().unwrap();
        let tried = netns.run(|| Rtnl::open()?.try_kind(link, "no-such-kind")).unwrap();
        let error = tried.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KernelLacks);
        assert!(error.to_string().contains("the kernel lacks no-such-kind"), "{error}");
    }

    #[test]
    fn the_sentence_says_what_was_left_out_and_why() {
        let text = LOOPBACK_ONLY.to_string();
        for word in ["loopback", "left out", "CAP_NET_ADMIN", "pasta", "slirp4netns"] {
            assert!(text.contains(word), "{text}");
        }
        let usable = NetNs::new().is_ok();
        assert_eq!(limitation().is_none(), usable);
    }
}
