//! Networks: a bridge that containers are connected to.
//!
//! A bridge is a switch inside the kernel. Each connected container has a cable to it (a veth
//! pair) and an address of the network's subnet; the bridge itself holds the gateway address, by
//! which the host routes and masquerades what leaves, and leads published ports in.
//!
//! What a network changes on the host, and takes back when it is removed:
//!
//! | what | taken back |
//! |---|---|
//! | a bridge named after the network, veth ends | deleted in one request |
//! | `inet container-net`, one nftables table for all networks | elements deleted; the table with the last network |
//! | `net.ipv4.ip_forward=1` | see [`Forwarding`] |
//! | `route_localnet=1` of the bridge alone | gone with the bridge |
//! | `accept_ra=0`, `disable_ipv6=1` of the bridge and of both ends of a veth pair | gone with them |
//! | each published host port, held by a bound socket | closed with the endpoint |
//! | a record under the run directory, locked while the owner lives | deleted, and empty directories with it |
//!
//! The record is what makes a crash harmless: it is written before the first change, and its lock
//! ends with its owner. Whoever creates a network next finds it unlocked and removes what it
//! describes first.
//!
//! ```no_run
//! use container_net::{EndpointOptions, NetNs, Network, Port};
//!
//! let network = Network::bridge("web0").create().wait()?;
//! let netns = NetNs::new()?;
//! let options = EndpointOptions::new().publish(Port::tcp(8080, 80));
//! let endpoint = network.connect(&netns, options).wait()?;
//! println!("{} by {}", endpoint.address(), endpoint.gateway());
//! endpoint.disconnect().wait()?;
//! network.remove().wait()?;
//! # Ok::<(), container_net::Error>(())
//! ```

mod builder;
mod reaper;
mod record;

use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

pub use self::builder::{Forwarding, NetworkBuilder};
pub(crate) use self::record::{Claim, Record};

use crate::endpoint::{self, Endpoint, EndpointOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::nft::Nft;
use crate::ipam::{Pool, Subnet};
use crate::link::Rtnl;
use crate::name::Name;
use crate::netns::NetNs;
use crate::task::Task;
use reaper::Reaper;
use record::RunDir;

/// A bridge network on this host. See the [module documentation](self).
///
/// Dropping it removes it, with every endpoint, and waits for that (some 30 ms, on a thread of
/// its own); errors are then lost, so call [`remove`](Self::remove).
#[must_use = "a dropped network is removed"]
pub struct Network {
    shared: Arc<Shared>,
    /// Set once somebody else waits for the removal.
    removing: bool,
}

/// What a network and its endpoints share.
pub(crate) struct Shared {
    pub(crate) name: Name,
    pub(crate) subnet: Subnet,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) mtu: Option<u32>,
    pub(crate) group: u32,
    pub(crate) bridge: u32,
    host: Arc<OwnedFd>,
    run_dir: RunDir,
    sockets: Mutex<Option<Sockets>>,
    pub(crate) reaper: Reaper,
    leases: Mutex<Leases>,
    /// The claim on the record; `None` once removed. Held for reading by whatever needs the
    /// network to stay while it works.
    claim: RwLock<Option<Claim>>,
}

/// Netlink sockets in the host's namespace, opened once.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) rtnl: Rtnl,
    pub(crate) nft: Nft,
}

#[derive(Debug)]
pub(crate) struct Leases {
    pub(crate) pool: Pool,
    next_link: u32,
}

impl Network {
    /// Describes a bridge network. The name becomes the bridge's interface name: 1 to 15 ASCII
    /// letters, digits, `_`, `-`, `.`, starting with a letter or digit.
    pub fn bridge(name: impl Into<String>) -> NetworkBuilder {
        NetworkBuilder::new(name.into())
    }

    /// The network's name, which is also the bridge's.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }

    /// The subnet that endpoints get their addresses from.
    #[must_use]
    pub fn subnet(&self) -> Subnet {
        self.shared.subnet
    }

    /// The bridge's own address, the containers' default gateway.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.shared.gateway
    }

    /// Connects a network namespace (a container's, by any descriptor of it): interface, address,
    /// default route, published ports. The container may be created or running.
    ///
    /// On any failure nothing is left behind, on the host or in the namespace, but the loopback
    /// link that was set up.
    pub fn connect(&self, netns: impl AsFd, options: EndpointOptions) -> Task<Endpoint> {
        let checked = options.check().and_then(|wish| Ok((wish, self.shared.sandbox(netns)?)));
        match checked {
            Ok((wish, netns)) => {
                let shared = Arc::clone(&self.shared);
                Task::start(Some(shared.host()), move || endpoint::connect(&shared, &netns, wish))
            }
            Err(error) => Task::failed(error),
        }
    }

    /// Removes the network: every endpoint, rule, lease, the bridge, the record. Goes on past
    /// failures and returns all of them ([`Error::failures`]); the record stays then, and the
    /// next [`NetworkBuilder::create`] tries again.
    pub fn remove(mut self) -> Task<()> {
        self.removing = true;
        self.start_removal()
    }

    fn start_removal(&self) -> Task<()> {
        let shared = Arc::clone(&self.shared);
        Task::start(Some(Arc::clone(&shared.host)), move || shared.remove())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if !self.removing {
            // Best effort by contract; `remove` is there for those who want the errors.
            let _ = self.start_removal().wait();
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("name", &self.name())
            .field("subnet", &self.subnet().to_string())
            .field("gateway", &self.gateway())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Keeps the network from being removed while the guard lives.
    pub(crate) fn alive(&self) -> Result<RwLockReadGuard<'_, Option<Claim>>> {
        let claim = self.claim.read().unwrap_or_else(PoisonError::into_inner);
        if claim.is_none() {
            return Err(self.removed());
        }
        Ok(claim)
    }

    pub(crate) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works with the host's sockets; fails when the network was removed.
    pub(crate) fn with_sockets<T>(
        &self,
        work: impl FnOnce(&mut Sockets) -> Result<T>,
    ) -> Result<T> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.as_mut().map_or_else(|| Err(self.removed()), work)
    }

    pub(crate) fn host(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.host)
    }

    /// A namespace to connect: any but the host's, whose own routes would be replaced.
    fn sandbox(&self, netns: impl AsFd) -> Result<NetNs> {
        let netns = NetNs::duplicate(netns)?;
        if netns.inode()? == NetNs::duplicate(&*self.host)?.inode()? {
            return Err(Error::refused(
                ErrorKind::InvalidInput,
                "connect",
                self.name.as_str(),
                "this is the host's own network namespace; give the container's",
            ));
        }
        Ok(netns)
    }

    fn removed(&self) -> Error {
        Error::refused(ErrorKind::Removed, "network", self.name.as_str(), "it was removed")
    }

    fn remove(&self) -> Result<()> {
        let mut claim = self.claim.write().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = claim.take() else {
            return Ok(());
        };
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut sockets) = sockets else {
            return Ok(());
        };
        let lock = self.run_dir.lock()?;
        let mut failures = demolish(&mut sockets, held.record());
        if failures.is_empty() {
            failures.extend(lock.forget(held).err());
            failures.extend(lock.restore_forwarding().err());
        }
        drop(lock);
        close_later(sockets);
        Error::all("remove network", self.name.as_str(), failures)
    }
}

impl Leases {
    /// A number for the next veth pair; unique for as long as 2^24 others are made.
    pub(crate) fn link_number(&mut self) -> u32 {
        self.next_link = (self.next_link + 1) & 0xff_ffff;
        self.next_link
    }
}

/// Removes whatever there is of a network from the kernel, whole or half made.
fn demolish(sockets: &mut Sockets, record: &Record) -> Vec<Error> {
    let mut failures = Vec::new();
    for group in [record.group, reaper::burial_group(record.group)] {
        failures.extend(sockets.rtnl.delete_group(group).err());
    }
    // A bridge without its rules is an open door: they go after it, or stay with it.
    if failures.is_empty() {
        failures.extend(sockets.nft.remove_network(record.name.as_str(), record.subnet).err());
    }
    failures
}

/// Closes an nftables socket without waiting: `close` sits out the kernel's deferred work.
fn close_later(sockets: Sockets) {
    // Without a thread the closure, and the sockets in it, are dropped here: slower, no worse.
    let _ = thread::Builder::new().name("container-net".into()).spawn(move || drop(sockets));
}
