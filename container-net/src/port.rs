//! Published ports: a port of the host that leads to a port of a container.
//!
//! ```
//! use std::net::Ipv4Addr;
//! use container_net::Port;
//!
//! let web = Port::tcp(8080, 80);                          // every address of the host
//! let admin = Port::tcp(9090, 90).on(Ipv4Addr::LOCALHOST); // the host itself only
//! let any = Port::udp(0, 53);                             // the kernel picks a free host port
//! assert_eq!(web.to_string(), "8080:80/tcp");
//! assert_eq!(admin.to_string(), "127.0.0.1:9090:90/tcp");
//! assert_eq!(any.host(), 0);
//! ```

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, bind, getsockname, socket_with,
};

use crate::error::{Error, ErrorKind, Result};

/// The transport protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protocol {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
}

impl Protocol {
    /// The number in an IP header (`IPPROTO_*`).
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    fn socket_type(self) -> SocketType {
        match self {
            Self::Tcp => SocketType::STREAM,
            Self::Udp => SocketType::DGRAM,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A host port that leads to a container port. See the [module documentation](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Port {
    protocol: Protocol,
    address: Ipv4Addr,
    host: u16,
    container: u16,
}

impl Port {
    /// Publishes TCP port `container` as `host` on every address of the host. A `host` of 0 lets
    /// the kernel choose; [`Endpoint::ports`](crate::Endpoint::ports) tells which it is.
    #[must_use]
    pub fn tcp(host: u16, container: u16) -> Self {
        Self { protocol: Protocol::Tcp, address: Ipv4Addr::UNSPECIFIED, host, container }
    }

    /// The same for UDP.
    #[must_use]
    pub fn udp(host: u16, container: u16) -> Self {
        Self { protocol: Protocol::Udp, ..Self::tcp(host, container) }
    }

    /// Publishes on one address of the host only. With 127.0.0.1 only the host itself reaches it.
    #[must_use]
    pub fn on(self, address: Ipv4Addr) -> Self {
        Self { address, ..self }
    }

    /// The transport protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The host address that it is published on; `0.0.0.0` stands for all of them.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The port on the host.
    #[must_use]
    pub fn host(&self) -> u16 {
        self.host
    }

    /// The port in the container.
    #[must_use]
    pub fn container(&self) -> u16 {
        self.container
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.container == 0 {
            return Err(Error::refused(
                ErrorKind::InvalidInput,
                "publish port",
                self.to_string(),
                "a container port is 1 to 65535",
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.address.is_unspecified() {
            write!(f, "{}:", self.address)?;
        }
        write!(f, "{}:{}/{}", self.host, self.container, self.protocol)
    }
}

/// A published port with the socket that keeps the host port ours.
///
/// The socket is bound and never listens: packets are redirected before they reach it. It makes
/// the kernel refuse the port to everybody else, and a port that somebody else has to us.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) port: Port,
    _socket: OwnedFd,
}

impl Reserved {
    /// Binds in the calling thread's network namespace; fills in a host port of 0.
    pub(crate) fn new(port: Port) -> Result<Self> {
        let fail = |step, cause: rustix::io::Errno| {
            let error = Error::os(step, port.to_string(), cause);
            match cause {
                rustix::io::Errno::ADDRINUSE => error
                    .with_kind(ErrorKind::PortInUse)
                    .with_hint("another program or endpoint has this host port"),
                rustix::io::Errno::ADDRNOTAVAIL => error
                    .with_kind(ErrorKind::InvalidInput)
                    .with_hint("the host has no such address"),
                _ => error,
            }
        };
        let kind = port.protocol.socket_type();
        let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)
            .map_err(|cause| fail("socket", cause))?;
        bind(&socket, &SocketAddrV4::new(port.address, port.host))
            .map_err(|cause| fail("bind host port", cause))?;
        let mut port = port;
        if port.host == 0 {
            let bound = getsockname(&socket).map_err(|cause| fail("getsockname", cause))?;
            port.host = host_port(bound);
        }
        Ok(Self { port, _socket: socket })
    }
}

fn host_port(address: SocketAddrAny) -> u16 {
    SocketAddrV4::try_from(address).map_or(0, |address| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_refused_to_others_until_dropped() {
        let held = Reserved::new(Port::tcp(0, 80).on(Ipv4Addr::LOCALHOST)).unwrap();
        assert_ne!(held.port.host(), 0);
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, held.port.host());
        assert!(std::net::TcpListener::bind(address).is_err());
        assert_eq!(Reserved::new(held.port).unwrap_err().kind(), ErrorKind::PortInUse);
        let port = held.port;
        drop(held);
        assert!(Reserved::new(port).is_ok());
    }

    #[test]
    fn impossible_ports_are_refused() {
        assert_eq!(Port::tcp(80, 0).check().unwrap_err().kind(), ErrorKind::InvalidInput);
        // A namespace whose loopback was never up has no table of local addresses to check by.
        if std::net::UdpSocket::bind("192.0.2.1:0").is_err() {
            let elsewhere = Port::udp(0, 1).on(Ipv4Addr::new(192, 0, 2, 1));
            assert_eq!(Reserved::new(elsewhere).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
