//! From a description to a network.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use super::reaper::Reaper;
use super::record::{Claim, Lock, Record, RunDir};
use super::{Leases, Network, Shared, Sockets, close_later, demolish};
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::nft::Nft;
use crate::ipam::{Pool, Subnet, first_free};
use crate::link::Rtnl;
use crate::name::Name;
use crate::netns::NetNs;
use crate::sysctl;
use crate::task::Task;

/// Where subnets come from when none is given: the first free /24 of this range.
const RANGE: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 88, 0, 0), 16);
const RUN_DIR: &str = "/run/container-net";

/// What to do with `net.ipv4.ip_forward`, without which no packet passes from the LAN to a
/// container or back. It concerns the whole host, so it is the caller's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Forwarding {
    /// Set it to 1, and back to 0 with the last network if it was 0 before the first; with it go
    /// back `conf/all/accept_redirects` and each link's `forwarding`, which the kernel writes
    /// along. Another program that began to count on it meanwhile loses it then: use `Keep` beside such.
    #[default]
    Restore,
    /// Set it to 1 and leave it so, as Docker and Podman do; also when another network was to
    /// restore it.
    Keep,
    /// Touch nothing; fail when it is 0.
    Require,
}

/// Describes a network; [`create`](Self::create) makes it.
#[derive(Clone)]
#[must_use = "nothing happens before create()"]
pub struct NetworkBuilder {
    name: String,
    subnet: Option<Subnet>,
    gateway: Option<Ipv4Addr>,
    mtu: Option<u32>,
    forwarding: Forwarding,
    run_dir: PathBuf,
    host: Option<NetNs>,
}

impl NetworkBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            subnet: None,
            gateway: None,
            mtu: None,
            forwarding: Forwarding::default(),
            run_dir: PathBuf::from(RUN_DIR),
            host: None,
        }
    }

    /// The subnet. Default: the first /24 of 10.88.0.0/16 that no route or address of the host
    /// overlaps.
    ///
    /// A subnet that equals or contains a route or an address of the host is refused. A wider
    /// route is not (a
    /// VPN's 10.0.0.0/8, say): the network then covers its part of it.
    pub fn subnet(mut self, subnet: Subnet) -> Self {
        self.subnet = Some(subnet);
        self
    }

    /// The bridge's address. Default: the subnet's first.
    pub fn gateway(mut self, gateway: Ipv4Addr) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// The MTU of the bridge and its links, 68 to 65535 bytes. Default: the kernel's, 1500.
    pub fn mtu(mut self, bytes: u32) -> Self {
        self.mtu = Some(bytes);
        self
    }

    /// What to do with `net.ipv4.ip_forward`. Default: [`Forwarding::Restore`].
    pub fn forwarding(mut self, forwarding: Forwarding) -> Self {
        self.forwarding = forwarding;
        self
    }

    /// Where the record is kept. Default: `/run/container-net`. Processes that share a host must
    /// agree on it; it must belong to the caller, nobody else may write to it, and it is made
    /// (mode 0700) when missing.
    pub fn run_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.run_dir = path.into();
        self
    }

    /// The namespace that plays the host, where the bridge and the rules are made. Default: the
    /// namespace of the thread that calls [`create`](Self::create).
    pub fn host(mut self, netns: &NetNs) -> Self {
        self.host = Some(netns.clone());
        self
    }

    /// Makes the network, after removing what owners that died have left in the run directory.
    ///
    /// Needs `CAP_NET_ADMIN` and `CAP_SYS_ADMIN` over the host's network namespace. Bad values
    /// are refused before anything is touched; on a later failure what was made is removed.
    pub fn create(self) -> Task<Network> {
        match self.check() {
            Ok(plan) => Task::start(Some(plan.host.shared_fd()), move || plan.create()),
            Err(error) => Task::failed(error),
        }
    }

    fn check(self) -> Result<Plan> {
        let name = Name::new("network name", &self.name)?;
        if let (Some(subnet), Some(gateway)) = (self.subnet, self.gateway) {
            Pool::with_gateway(subnet, gateway)?;
        }
        if self.gateway.is_some() && self.subnet.is_none() {
            let hint = "give the subnet that it belongs to as well";
            return Err(Error::refused(ErrorKind::InvalidInput, "gateway", self.name, hint));
        }
        if let Some(mtu) = self.mtu
            && !(68..=65535).contains(&mtu)
        {
            let hint = "an MTU is 68 to 65535 bytes";
            return Err(Error::refused(ErrorKind::InvalidInput, "mtu", mtu.to_string(), hint));
        }
        let host = match self.host {
            Some(host) => host,
            None => NetNs::current()?,
        };
        Ok(Plan {
            run_dir: RunDir::new(self.run_dir, host.inode()?),
            name,
            subnet: self.subnet,
            gateway: self.gateway,
            mtu: self.mtu,
            forwarding: self.forwarding,
            host,
        })
    }
}

impl fmt::Debug for NetworkBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkBuilder")
            .field("name", &self.name)
            .field("subnet", &self.subnet)
            .field("run_dir", &self.run_dir)
            .finish_non_exhaustive()
    }
}

/// A checked description.
struct Plan {
    name: Name,
    subnet: Option<Subnet>,
    gateway: Option<Ipv4Addr>,
    mtu: Option<u32>,
    forwarding: Forwarding,
    run_dir: RunDir,
    host: NetNs,
}

impl Plan {
    /// Runs in the host's namespace.
    fn create(self) -> Result<Network> {
        let mut sockets = Sockets { rtnl: Rtnl::open()?, nft: Nft::open()? };
        let reaper = Rtnl::open()?;
        let lock = self.run_dir.lock()?;
        reclaim(&lock, &mut sockets)?;
        if self.forwarding == Forwarding::Require && sysctl::read(sysctl::IP_FORWARD)? == "0" {
            return Err(Error::refused(
                ErrorKind::InvalidInput,
                "forwarding",
                "net.ipv4.ip_forward=0",
                "set it to 1, or let the network do it (Forwarding::Restore)",
            ));
        }
        let subnet = self.choose_subnet(&lock, &mut sockets.rtnl)?;
        let pool = match self.gateway {
            Some(gateway) => Pool::with_gateway(subnet, gateway)?,
            None => Pool::new(subnet),
        };
        let claim = lock.claim(Record::new(self.name.clone(), subnet, random_group())?)?;
        match self.build(&lock, &mut sockets, claim.record(), pool.gateway()) {
            Ok(bridge) => Ok(self.finish(sockets, reaper, claim, pool, bridge)),
            Err(error) => {
                // The first error is the one to report; a record that stays is tried again.
                if demolish(&mut sockets, claim.record()).is_empty() {
                    let _ = lock.forget(claim);
                    let _ = lock.restore_forwarding();
                }
                close_later(sockets);
                Err(error)
            }
        }
    }

    fn build(
        &self,
        lock: &Lock,
        sockets: &mut Sockets,
        record: &Record,
        gateway: Ipv4Addr,
    ) -> Result<u32> {
        let name = record.name.as_str();
        let bridge = sockets.rtnl.add_bridge(
            &record.name,
            bridge_mac(record.group),
            record.group,
            self.mtu,
        )?;
        // Before the bridge is up.
        sysctl::without_ipv6(name)?;
        // The host reaches published ports by 127.0.0.1; the table's `raw` chain shuts the door
        // that this opens to containers.
        sysctl::write(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
        sockets.nft.ensure_table()?;
        sockets.nft.add_network(name, record.subnet)?;
        sockets.rtnl.address_and_up(bridge, name, (gateway, record.subnet.prefix()))?;
        match self.forwarding {
            Forwarding::Restore => lock.enable_forwarding(true)?,
            Forwarding::Keep => lock.enable_forwarding(false)?,
            Forwarding::Require => {}
        }
        Ok(bridge)
    }

    fn finish(
        self,
        sockets: Sockets,
        reaper: Rtnl,
        claim: Claim,
        pool: Pool,
        bridge: u32,
    ) -> Network {
        let shared = Shared {
            subnet: pool.subnet(),
            gateway: pool.gateway(),
            mtu: self.mtu,
            group: claim.record().group,
            bridge,
            host: self.host.shared_fd(),
            run_dir: self.run_dir,
            sockets: Mutex::new(Some(sockets)),
            reaper: Reaper::new(claim.record().group, reaper),
            leases: Mutex::new(Leases { pool, next_link: 0 }),
            claim: RwLock::new(Some(claim)),
            name: self.name,
        };
        Network { shared: Arc::new(shared), removing: false }
    }

    fn choose_subnet(&self, lock: &Lock, rtnl: &mut Rtnl) -> Result<Subnet> {
        let mut taken = rtnl.destinations()?;
        let others: Vec<Subnet> = lock.records()?.iter().map(|record| record.subnet).collect();
        let Some(subnet) = self.subnet else {
            taken.extend(others.iter().map(|s| (s.network(), s.prefix())));
            let range = Subnet::new(RANGE.0, RANGE.1)?;
            return first_free(range, 24, &taken).ok_or_else(|| {
                let hint = "every /24 of it overlaps a route of the host; give a subnet";
                Error::refused(ErrorKind::SubnetInUse, "choose subnet", range.to_string(), hint)
            });
        };
        let route = taken
            .iter()
            .find(|(net, bits)| *bits >= subnet.prefix() && subnet.overlaps_route(*net, *bits))
            .map(|(net, bits)| format!("the host has a route to {net}/{bits}"));
        let network = others
            .iter()
            .find(|other| other.overlaps(&subnet))
            .map(|other| format!("another network has {other}"));
        match network.or(route) {
            Some(who) => {
                let hint = format!("{who}; choose another subnet");
                Err(Error::refused(ErrorKind::SubnetInUse, "subnet", subnet.to_string(), hint))
            }
            None => Ok(subnet),
        }
    }
}

/// Removes what owners that died have left.
fn reclaim(lock: &Lock, sockets: &mut Sockets) -> Result<()> {
    let mut failures = Vec::new();
    for abandoned in lock.abandoned()? {
        let mut failed = match abandoned.record_of_this_boot()? {
            Some(record) => demolish(sockets, record),
            None => Vec::new(),
        };
        if failed.is_empty() {
            failed.extend(lock.discard(abandoned).err());
        }
        failures.append(&mut failed);
    }
    failures.extend(lock.restore_forwarding().err());
    Error::all("remove what a dead owner left", "networks", failures)
}

/// A number that marks the network's links, so that one request can delete them all.
fn random_group() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    // The low half of the hash; never 0, the default group of every other link, and even, because
    // the odd number next to it is the group of links that are being deleted.
    (random as u32 | 0x8000_0000) & !1
}

/// Locally administered, and fixed: a bridge without an address of its own takes that of its
/// lowest port and changes it as ports come and go.
fn bridge_mac(group: u32) -> [u8; 6] {
    let [a, b, c, d] = group.to_be_bytes();
    [0x02, a, b, c, d, 0x01]
}
