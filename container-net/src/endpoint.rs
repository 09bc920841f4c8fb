//! Endpoints: the cable between a sandbox and a network.
//!
//! An endpoint is a veth pair with one end on the bridge and the other in the container, an
//! address leased from the network's pool, a default route, and the published ports that lead to
//! it. [`Network::connect`](crate::Network::connect) makes one.
//!
//! ```
//! use std::net::Ipv4Addr;
//! use container_net::{EndpointOptions, Port};
//!
//! let options = EndpointOptions::new()
//!     .publish(Port::tcp(8080, 80))
//!     .address(Ipv4Addr::new(10, 88, 0, 10));
//! # drop(options);
//! ```

use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::ipam::Subnet;
use crate::link::{Rtnl, Veth};
use crate::name::Name;
use crate::netns::NetNs;
use crate::network::Shared;
use crate::port::{Port, Reserved};
use crate::sysctl;
use crate::task::{Task, enter};

/// How a container is to be connected.
#[derive(Debug, Clone)]
#[must_use = "pass it to Network::connect"]
pub struct EndpointOptions {
    interface: String,
    address: Option<Ipv4Addr>,
    default_route: bool,
    ports: Vec<Port>,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl EndpointOptions {
    /// `eth0` with the next free address and a default route; nothing published.
    pub fn new() -> Self {
        Self { interface: "eth0".into(), address: None, default_route: true, ports: Vec::new() }
    }

    /// Publishes a port of the container on the host; may be called several times.
    pub fn publish(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// A static address instead of the next free one.
    pub fn address(mut self, address: Ipv4Addr) -> Self {
        self.address = Some(address);
        self
    }

    /// The interface's name in the container. Default `eth0`.
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = name.into();
        self
    }

    /// Whether the network becomes the container's default route. Default true; a container on
    /// several networks can have but one.
    pub fn default_route(mut self, wanted: bool) -> Self {
        self.default_route = wanted;
        self
    }

    pub(crate) fn check(self) -> Result<Wish> {
        for (n, port) in self.ports.iter().enumerate() {
            port.check()?;
            if port.host() != 0 && self.ports[..n].iter().any(|other| collide(other, port)) {
                let hint = "it is published twice";
                return Err(Error::refused(
                    ErrorKind::InvalidInput,
                    "publish port",
                    port.to_string(),
                    hint,
                ));
            }
        }
        Ok(Wish {
            interface: Name::new("interface name", &self.interface)?,
            address: self.address,
            default_route: self.default_route,
            ports: self.ports,
        })
    }
}

fn collide(a: &Port, b: &Port) -> bool {
    a.protocol() == b.protocol() && a.host() == b.host() && a.address() == b.address()
}

/// Checked options.
#[derive(Debug)]
pub(crate) struct Wish {
    interface: Name,
    address: Option<Ipv4Addr>,
    default_route: bool,
    ports: Vec<Port>,
}

/// A connected container. See the [module documentation](self).
///
/// Dropping it disconnects it in the background, errors unheard; [`disconnect`](Self::disconnect)
/// tells them.
#[must_use = "a dropped endpoint is disconnected"]
pub struct Endpoint {
    /// `None` once disconnected.
    parts: Option<Parts>,
    shared: Arc<Shared>,
    interface: Name,
    ports: Vec<Port>,
}

/// What an endpoint has to give back.
#[derive(Debug)]
struct Parts {
    address: Ipv4Addr,
    link: String,
    reserved: Vec<Reserved>,
}

impl Endpoint {
    /// The container's address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.parts.as_ref().map_or(Ipv4Addr::UNSPECIFIED, |parts| parts.address)
    }

    /// The subnet that the address belongs to.
    #[must_use]
    pub fn subnet(&self) -> Subnet {
        self.shared.subnet
    }

    /// The gateway: the bridge's address.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.shared.gateway
    }

    /// The interface's name in the container.
    #[must_use]
    pub fn interface(&self) -> &str {
        self.interface.as_str()
    }

    /// The name of the veth end on the host.
    #[must_use]
    pub fn host_interface(&self) -> &str {
        self.parts.as_ref().map_or("", |parts| &parts.link)
    }

    /// The interface's MAC address. It follows from the address, so that a later owner of the
    /// address is reached in spite of the neighbours' ARP caches.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        mac_of(self.address())
    }

    /// The published ports, with the host ports that the kernel chose filled in.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Takes the endpoint back: rules first, then the link, the connections that the kernel
    /// tracks, the address and host ports.
    ///
    /// The work starts at once and the call returns without waiting; deleting a link keeps the
    /// kernel busy for some 20 ms. A link that went with its container is no error. The task
    /// ends when everything is gone, with all failures.
    pub fn disconnect(mut self) -> Task<()> {
        match self.parts.take() {
            Some(parts) => start_disconnect(Arc::clone(&self.shared), parts),
            None => Task::ready(Ok(())),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            drop(start_disconnect(Arc::clone(&self.shared), parts));
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("network", &self.shared.name.as_str())
            .field("address", &self.address())
            .field("interface", &self.interface())
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// Connects a namespace. Runs in the host's namespace, and leaves the thread in the container's.
pub(crate) fn connect(shared: &Arc<Shared>, netns: &NetNs, wish: Wish) -> Result<Endpoint> {
    let _alive = shared.alive()?;
    let mut parts = {
        let mut leases = shared.leases();
        let address = match wish.address {
            Some(address) => leases.pool.reserve(address).map(|()| address)?,
            None => leases.pool.allocate()?,
        };
        let link = format!("v{:08x}{:x}", shared.group, leases.link_number());
        Parts { address, link, reserved: Vec::new() }
    };
    match plug(shared, netns, &wish, &mut parts) {
        Ok(ports) => Ok(Endpoint {
            parts: Some(parts),
            shared: Arc::clone(shared),
            interface: wish.interface,
            ports,
        }),
        Err(error) => {
            // The first error is the one to report.
            let _ = unplug(shared, parts);
            Err(error)
        }
    }
}

fn plug(shared: &Shared, netns: &NetNs, wish: &Wish, parts: &mut Parts) -> Result<Vec<Port>> {
    for port in &wish.ports {
        parts.reserved.push(Reserved::new(*port)?);
    }
    let ports: Vec<Port> = parts.reserved.iter().map(|reserved| reserved.port).collect();
    let veth = Veth {
        name: &parts.link,
        group: shared.group,
        bridge: shared.bridge,
        peer: &wish.interface,
        peer_mac: mac_of(parts.address),
        peer_netns: netns.as_fd(),
        mtu: shared.mtu,
    };
    shared.with_sockets(|sockets| sockets.rtnl.add_veth(&veth))?;
    sysctl::without_ipv6(&parts.link)?;
    enter(&netns.shared_fd())?;
    sysctl::without_ipv6(wish.interface.as_str())?;
    let gateway = wish.default_route.then_some(shared.gateway);
    let address = (parts.address, shared.subnet.prefix());
    Rtnl::open()?.configure(&wish.interface, address, gateway)?;
    shared.with_sockets(|sockets| sockets.nft.publish(parts.address, &ports))?;
    Ok(ports)
}

fn start_disconnect(shared: Arc<Shared>, parts: Parts) -> Task<()> {
    Task::start(Some(shared.host()), move || {
        // A network that was removed has taken its endpoints with it.
        let Ok(_alive) = shared.alive() else {
            return Ok(());
        };
        let link = parts.link.clone();
        Error::all("disconnect endpoint", &link, unplug(&shared, parts))
    })
}

fn unplug(shared: &Shared, parts: Parts) -> Vec<Error> {
    let ports: Vec<Port> = parts.reserved.iter().map(|reserved| reserved.port).collect();
    let mut failures = Vec::new();
    let rules = shared.with_sockets(|sockets| sockets.nft.unpublish(parts.address, &ports));
    failures.extend(rules.err());
    match shared.reaper.delete(parts.link) {
        Ok(()) => {
            let forgotten =
                shared.with_sockets(|sockets| sockets.nft.forget_connections(parts.address));
            failures.extend(forgotten.err());
            shared.leases().pool.release(parts.address);
        }
        // The address stays leased as long as the link may still have it.
        Err(error) => failures.push(error),
    }
    failures
}

/// Locally administered, the last four bytes being the address.
fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x63, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked_before_anything_is_touched() {
        let bad = [
            EndpointOptions::new().interface("eth/0"),
            EndpointOptions::new().interface("a-name-of-16-byt"),
            EndpointOptions::new().publish(Port::tcp(80, 0)),
            EndpointOptions::new().publish(Port::tcp(80, 1)).publish(Port::tcp(80, 2)),
        ];
        for options in bad {
            assert_eq!(options.check().unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let fine = EndpointOptions::new().publish(Port::tcp(80, 1)).publish(Port::udp(80, 1));
        assert!(fine.check().is_ok());
    }
}
