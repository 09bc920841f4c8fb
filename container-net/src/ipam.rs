//! Address management: which address of a subnet belongs to whom.
//!
//! A [`Subnet`] is a range of IPv4 addresses; a [`Pool`] hands them out one by one. Both are pure
//! values: they know no kernel, no file and no clock. The pool never gives out the network
//! address, the broadcast address or the gateway, and goes round the subnet before it gives a
//! released address again, so that neighbours' ARP caches and late packets have died down.
//!
//! ```
//! use container_net::Subnet;
//! use container_net::ipam::Pool;
//!
//! let mut pool = Pool::new("10.88.0.0/29".parse::<Subnet>()?);
//! assert_eq!(pool.gateway().to_string(), "10.88.0.1");
//! assert_eq!(pool.allocate()?.to_string(), "10.88.0.2");
//! assert_eq!(pool.allocate()?.to_string(), "10.88.0.3");
//! assert_eq!(pool.free(), 3);
//! # Ok::<(), container_net::Error>(())
//! ```

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// An IPv4 network address with its prefix length, such as `10.88.0.0/24`.
///
/// Parsing is strict: no bits may be set behind the prefix, and a container network needs room
/// for a gateway and a container, so the prefix is 8 to 30 bits long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subnet {
    network: u32,
    prefix: u8,
}

impl Subnet {
    /// The subnet `network/prefix`. Refused when the prefix is not 8 to 30, when host bits are
    /// set, or when it is not a unicast range (loopback, multicast, `0.0.0.0/8`).
    pub fn new(network: Ipv4Addr, prefix: u8) -> Result<Self> {
        let refuse = |hint: String| {
            let text = format!("{network}/{prefix}");
            Err(Error::refused(ErrorKind::InvalidInput, "subnet", text, hint))
        };
        if !(8..=30).contains(&prefix) {
            return refuse("the prefix of a container network is 8 to 30 bits".into());
        }
        let first = network.to_bits() & mask(prefix);
        if first != network.to_bits() {
            let meant = Ipv4Addr::from_bits(first);
            return refuse(format!("host bits are set; did you mean {meant}/{prefix}?"));
        }
        if network.is_loopback() || network.is_multicast() || network.octets()[0] == 0 {
            return refuse("containers need a unicast range such as 10.88.0.0/24".into());
        }
        Ok(Self { network: first, prefix })
    }

    /// The network address, the first of the range.
    #[must_use]
    pub fn network(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network)
    }

    /// The broadcast address, the last of the range.
    #[must_use]
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.last())
    }

    /// The prefix length in bits.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies in the range.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.network
    }

    /// Whether the two ranges share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Subnet) -> bool {
        self.overlaps_route(other.network(), other.prefix)
    }

    /// Whether the range shares an address with a route's destination.
    pub(crate) fn overlaps_route(&self, destination: Ipv4Addr, prefix: u8) -> bool {
        let shorter = mask(self.prefix.min(prefix));
        self.network & shorter == destination.to_bits() & shorter
    }

    fn last(&self) -> u32 {
        self.network | !mask(self.prefix)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || {
            let hint = "write it as ADDRESS/PREFIX, for instance 10.88.0.0/24";
            Error::refused(ErrorKind::InvalidInput, "subnet", text, hint)
        };
        let (network, prefix) = text.split_once('/').ok_or_else(malformed)?;
        // `u8::from_str` takes a leading plus sign and zeros.
        let strict = (1..=2).contains(&prefix.len())
            && prefix.bytes().all(|b| b.is_ascii_digit())
            && !prefix.starts_with('0');
        if !strict {
            return Err(malformed());
        }
        let network = network.parse().map_err(|_| malformed())?;
        Subnet::new(network, prefix.parse().map_err(|_| malformed())?)
    }
}

/// Picks the first subnet of `prefix` bits inside `range` that overlaps none of `taken`.
pub(crate) fn first_free(range: Subnet, prefix: u8, taken: &[(Ipv4Addr, u8)]) -> Option<Subnet> {
    let step = 1u32.checked_shl(32 - u32::from(prefix))?;
    (range.network..=range.last())
        .step_by(usize::try_from(step).ok()?)
        .map(|network| Subnet { network, prefix })
        .find(|subnet| !taken.iter().any(|&(net, bits)| subnet.overlaps_route(net, bits)))
}

/// The addresses of one subnet, each free or leased. See the [module documentation](self).
#[derive(Debug, Clone)]
pub struct Pool {
    subnet: Subnet,
    gateway: Ipv4Addr,
    /// One bit for each address of the subnet, set when it is not to be given out.
    used: Vec<u64>,
    /// The offset at which the next search starts.
    next: u32,
    free: u32,
}

impl Pool {
    /// A pool with the first address of the subnet as gateway.
    #[must_use]
    pub fn new(subnet: Subnet) -> Self {
        Self::build(subnet, subnet.network + 1)
    }

    /// A pool with a gateway of the caller's choice, which must be a host address of the subnet.
    pub fn with_gateway(subnet: Subnet, gateway: Ipv4Addr) -> Result<Self> {
        check_host(&subnet, gateway, "gateway")?;
        Ok(Self::build(subnet, gateway.to_bits()))
    }

    fn build(subnet: Subnet, gateway: u32) -> Self {
        let size = subnet.last() - subnet.network + 1;
        let words = size.div_ceil(64) as usize;
        let mut pool = Self {
            subnet,
            gateway: Ipv4Addr::from_bits(gateway),
            used: vec![0; words],
            next: 1,
            free: size,
        };
        // A subnet smaller than a word leaves bits behind its end.
        if size < 64 {
            pool.used[0] = u64::MAX << size;
        }
        for taken in [0, size - 1, gateway - subnet.network] {
            pool.take(taken);
        }
        pool
    }

    /// The subnet.
    #[must_use]
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The gateway: the bridge's own address, never leased.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// How many addresses can still be leased.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Leases the next free address, going round the subnet.
    ///
    /// Fails with [`ErrorKind::AddressesExhausted`] when none is left.
    pub fn allocate(&mut self) -> Result<Ipv4Addr> {
        let Some(offset) = self.find_free() else {
            return Err(Error::refused(
                ErrorKind::AddressesExhausted,
                "allocate address",
                self.subnet.to_string(),
                "disconnect an endpoint or use a larger subnet",
            ));
        };
        self.take(offset);
        self.next = offset + 1;
        Ok(Ipv4Addr::from_bits(self.subnet.network + offset))
    }

    /// Leases this very address (a static address, or one that is to be kept out of use).
    ///
    /// Fails with [`ErrorKind::InvalidInput`] outside the subnet's host addresses and with
    /// [`ErrorKind::AddressInUse`] when it is the gateway or leased.
    pub fn reserve(&mut self, address: Ipv4Addr) -> Result<()> {
        check_host(&self.subnet, address, "address")?;
        if !self.take(address.to_bits() - self.subnet.network) {
            return Err(Error::refused(
                ErrorKind::AddressInUse,
                "reserve address",
                address.to_string(),
                "it is the gateway or leased already",
            ));
        }
        Ok(())
    }

    /// Gives an address back. Returns whether it was leased; the gateway never is.
    pub fn release(&mut self, address: Ipv4Addr) -> bool {
        if address == self.gateway || check_host(&self.subnet, address, "address").is_err() {
            return false;
        }
        let offset = address.to_bits() - self.subnet.network;
        let (word, bit) = position(offset);
        let leased = self.used[word] & bit != 0;
        if leased {
            self.used[word] &= !bit;
            self.free += 1;
        }
        leased
    }

    /// Marks an offset used. Returns whether it was free.
    fn take(&mut self, offset: u32) -> bool {
        let (word, bit) = position(offset);
        let free = self.used[word] & bit == 0;
        if free {
            self.used[word] |= bit;
            self.free -= 1;
        }
        free
    }

    /// The first free offset at or behind `next`, then from the start.
    fn find_free(&self) -> Option<u32> {
        let (start, _) = position(self.next);
        let words = self.used.len();
        // The starting word is looked at twice: its upper part first, the rest of it last.
        for turn in 0..=words {
            let index = (start + turn) % words;
            let mut free = !self.used[index];
            if turn == 0 {
                free &= u64::MAX << (self.next % 64);
            }
            if free != 0 {
                return u32::try_from(index).ok().map(|i| i * 64 + free.trailing_zeros());
            }
        }
        None
    }
}

fn position(offset: u32) -> (usize, u64) {
    ((offset / 64) as usize, 1 << (offset % 64))
}

fn check_host(subnet: &Subnet, address: Ipv4Addr, what: &'static str) -> Result<()> {
    let host =
        subnet.contains(address) && address != subnet.network() && address != subnet.broadcast();
    if host {
        return Ok(());
    }
    let hint = format!("give a host address of {subnet}");
    Err(Error::refused(ErrorKind::InvalidInput, what, address.to_string(), hint))
}

#[cfg(test)]
mod tests;
