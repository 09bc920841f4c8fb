//! Links, addresses and routes over rtnetlink.
//!
//! A link is the kernel's word for a network interface. This module knows the few that a bridge
//! network is made of, each set up with as few requests as the kernel allows: a veth pair with
//! its far end in the container and its near end up and on the bridge is *one* request. See
//! `rtnetlink(7)` and `veth(4)`.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rtnetlink::packet_core::Emitable;
use rtnetlink::packet_core::{NetlinkDeserializable, NetlinkHeader};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{
    InfoBridgePort, InfoData, InfoPortData, InfoPortKind, InfoVeth, LinkMessage,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};
use rtnetlink::{
    AddressMessageBuilder, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth,
    RouteMessageBuilder,
};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::name::Name;
use crate::netlink::{F_ACK, F_CREATE, F_DUMP, F_EXCL, Message, Socket};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;

/// The first link of every network namespace.
const LOOPBACK: u32 = 1;

/// A MAC address.
pub(crate) type Mac = [u8; 6];

/// An rtnetlink socket in the namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Rtnl(Socket);

/// What a veth pair is made of.
#[derive(Debug)]
pub(crate) struct Veth<'a> {
    pub(crate) name: &'a str,
    pub(crate) group: u32,
    pub(crate) bridge: u32,
    pub(crate) peer: &'a Name,
    pub(crate) peer_mac: Mac,
    pub(crate) peer_netns: BorrowedFd<'a>,
    pub(crate) mtu: Option<u32>,
}

impl Rtnl {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self> {
        Socket::open(rtnetlink::sys::protocols::NETLINK_ROUTE, "NETLINK_ROUTE").map(Self)
    }

    /// Sets the loopback link up.
    pub(crate) fn loopback_up(&mut self) -> Result<()> {
        let up = link_up(LOOPBACK, "lo")?;
        self.0.run(vec![up]).map_err(explain)
    }

    /// Makes a bridge that is still down and returns its index.
    pub(crate) fn add_bridge(
        &mut self,
        name: &Name,
        mac: Mac,
        group: u32,
        mtu: Option<u32>,
    ) -> Result<u32> {
        let mut link = LinkMessageBuilder::<LinkBridge>::new(name.as_str())
            .address(mac.to_vec())
            .link_group(group);
        if let Some(mtu) = mtu {
            link = link.mtu(mtu);
        }
        self.add_link(link.build(), "bridge", name.as_str()).map_err(|error| {
            match error.kind() {
                ErrorKind::AlreadyExists => error.with_hint("choose another network name"),
                _ => error,
            }
        })?;
        self.index_of(name.as_str())
    }

    /// Sets a link up and gives it an address.
    pub(crate) fn address_and_up(
        &mut self,
        index: u32,
        name: &str,
        address: (Ipv4Addr, u8),
    ) -> Result<()> {
        let batch = vec![new_address(index, address)?, link_up(index, name)?];
        self.0.run(batch).map_err(explain)
    }

    /// Makes a veth pair: near end up and on the bridge, far end in `peer_netns`
    /// and down: the driver refuses a far end that is up before its partner exists.
    pub(crate) fn add_veth(&mut self, veth: &Veth<'_>) -> Result<()> {
        let mut peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(veth.peer.as_str())
            .address(veth.peer_mac.to_vec())
            .setns_by_fd(veth.peer_netns.as_raw_fd());
        let mut near = LinkMessageBuilder::<LinkVeth>::new(veth.name, veth.peer.as_str())
            .link_group(veth.group)
            .controller(veth.bridge)
            .up();
        if let Some(mtu) = veth.mtu {
            peer = peer.mtu(mtu);
            near = near.mtu(mtu);
        }
        let near = near.set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build()))).build();
        // A container must reach its own published ports through the bridge.
        let hairpin = LinkMessageBuilder::<LinkUnspec>::new()
            .name(veth.name)
            .set_port_kind(InfoPortKind::Bridge)
            .set_port_data(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)]))
            .build();
        let create = F_ACK | F_CREATE | F_EXCL;
        let object = format!("{} <-> {}", veth.name, veth.peer);
        let batch = vec![
            message(NEWLINK, create, &near, "RTM_NEWLINK veth", object.clone())?,
            message(NEWLINK, F_ACK, &hairpin, "RTM_NEWLINK hairpin", object)?,
        ];
        self.0.run(batch).map_err(|error| match error.raw_os_error() {
            Some(errno) if errno == Errno::EXIST.raw_os_error() => {
                error.with_hint("the container has an interface of that name; choose another")
            }
            _ => lacks(error, "veth"),
        })
    }

    /// Inside the container: both links up, address, default route.
    pub(crate) fn configure(
        &mut self,
        name: &Name,
        address: (Ipv4Addr, u8),
        gateway: Option<Ipv4Addr>,
    ) -> Result<()> {
        let index = self.index_of(name.as_str())?;
        let mut batch = vec![
            link_up(LOOPBACK, "lo")?,
            new_address(index, address)?,
            link_up(index, name.as_str())?,
        ];
        if let Some(gateway) = gateway {
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(gateway)
                .output_interface(index)
                .build();
            let flags = F_ACK | F_CREATE | F_EXCL;
            let object = format!("default via {gateway} dev {name}");
            batch.push(message(NEWROUTE, flags, &route, "RTM_NEWROUTE", object)?);
        }
        self.0.run(batch).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => error.with_hint(
                "the namespace has a default route or this address; see EndpointOptions::default_route",
            ),
            _ => explain(error),
        })
    }

    /// Makes a link of a kind with no data of its own, to see whether the kernel has the kind.
    pub(crate) fn try_kind(&mut self, link: LinkMessage, kind: &'static str) -> Result<()> {
        self.add_link(link, kind, kind)
    }

    fn add_link(&mut self, link: LinkMessage, kind: &'static str, name: &str) -> Result<()> {
        let flags = F_ACK | F_CREATE | F_EXCL;
        let object = format!("{kind} {name}");
        let batch = vec![message(NEWLINK, flags, &link, "RTM_NEWLINK", object)?];
        self.0.run(batch).map_err(|error| lacks(error, kind))
    }

    /// Moves a link to another group.
    pub(crate) fn set_group(&mut self, name: &str, group: u32) -> Result<()> {
        let link = LinkMessageBuilder::<LinkUnspec>::new().name(name).link_group(group).build();
        let request = message(NEWLINK, F_ACK, &link, "RTM_NEWLINK group", name.to_owned())?;
        self.0.run(vec![request]).map_err(explain)
    }

    /// Deletes a link by name. A link that is gone is no error.
    pub(crate) fn delete(&mut self, name: &str) -> Result<()> {
        let link = LinkMessageBuilder::<LinkUnspec>::new().name(name).build();
        self.delete_link(&link, name)
    }

    /// Deletes every link of a group in one request: it costs what one deletion costs.
    pub(crate) fn delete_group(&mut self, group: u32) -> Result<()> {
        let link = LinkMessageBuilder::<LinkUnspec>::new().link_group(group).build();
        self.delete_link(&link, &format!("group {group:#x}"))
    }

    fn delete_link(&mut self, link: &LinkMessage, object: &str) -> Result<()> {
        let request = message(DELLINK, F_ACK, link, "RTM_DELLINK", object.to_owned())?;
        let batch = [request];
        match self.0.submit(&batch) {
            Err(refusal) if refusal.errno != Errno::NODEV => {
                Err(explain(refusal.into_error(&batch)))
            }
            _ => Ok(()),
        }
    }

    /// The index of a link.
    pub(crate) fn index_of(&mut self, name: &str) -> Result<u32> {
        let link = LinkMessageBuilder::<LinkUnspec>::new().name(name).build();
        let batch = [message(GETLINK, 0, &link, "RTM_GETLINK", name.to_owned())?];
        let replies = self.0.dump(&batch[0]).map_err(|refusal| refusal.into_error(&batch))?;
        // struct ifinfomsg: family, pad, type (2), index (4), ...
        let index = replies.first().and_then(|r| r.get(4..8)).and_then(|b| b.try_into().ok());
        index.map(u32::from_ne_bytes).ok_or_else(|| Error::os("RTM_GETLINK", name, Errno::NODEV))
    }

    /// The IPv4 destinations that the main table routes, default routes left out, and the host's
    /// own addresses.
    pub(crate) fn destinations(&mut self) -> Result<Vec<(Ipv4Addr, u8)>> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let batch = [message(GETROUTE, F_DUMP, &route, "RTM_GETROUTE", "IPv4 routes")?];
        let replies = self.0.dump(&batch[0]).map_err(|refusal| refusal.into_error(&batch))?;
        let mut header = NetlinkHeader::default();
        header.message_type = NEWROUTE;
        let parse = |payload: &Vec<u8>| match RouteNetlinkMessage::deserialize(&header, payload) {
            Ok(RouteNetlinkMessage::NewRoute(route)) => destination(&route),
            _ => None,
        };
        Ok(replies.iter().filter_map(parse).collect())
    }
}

fn destination(route: &RouteMessage) -> Option<(Ipv4Addr, u8)> {
    let header = &route.header;
    match header.kind {
        RouteType::Unicast if header.table == RouteHeader::RT_TABLE_MAIN => {}
        RouteType::Local => {}
        _ => return None,
    }
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => {
            Some((*address, header.destination_prefix_length))
        }
        _ => None,
    })
}

fn link_up(index: u32, name: &str) -> Result<Message> {
    let link = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
    message(NEWLINK, F_ACK, &link, "RTM_NEWLINK up", name.to_owned())
}

fn new_address(index: u32, (address, prefix): (Ipv4Addr, u8)) -> Result<Message> {
    let request: AddressMessage =
        AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(address, prefix).build();
    let flags = F_ACK | F_CREATE | F_EXCL;
    message(NEWADDR, flags, &request, "RTM_NEWADDR", format!("{address}/{prefix}"))
}

fn message(
    kind: u16,
    flags: u16,
    payload: &impl Emitable,
    step: &'static str,
    object: impl Into<std::borrow::Cow<'static, str>>,
) -> Result<Message> {
    let mut bytes = vec![0; payload.buffer_len()];
    payload.emit(&mut bytes);
    Message::new(kind, flags, &bytes, step, object)
}

/// Names the missing kind when the kernel does not know it.
fn lacks(error: Error, kind: &'static str) -> Error {
    match error.raw_os_error() {
        Some(errno) if errno == Errno::OPNOTSUPP.raw_os_error() => error
            .with_kind(ErrorKind::KernelLacks)
            .with_hint(format!("the kernel lacks {kind}; load its module or use another kernel")),
        _ => explain(error),
    }
}

fn explain(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            error.with_hint("CAP_NET_ADMIN over the network namespace is needed")
        }
        _ => error,
    }
}
