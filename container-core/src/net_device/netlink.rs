//! The few messages of [rtnetlink(7)] that moving a device takes.
//!
//! [rtnetlink(7)]: https://man7.org/linux/man-pages/man7/rtnetlink.7.html

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const CREATE_EXCLUSIVE: u16 = 0x600;

const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_FLAGS: u16 = 8;
/// `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_BROADCAST`: what makes an address.
const ADDRESS_ATTRIBUTES: [u16; 3] = [1, 2, 4];
const IFA_F_PERMANENT: u32 = 0x80;

const HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// An address of a device, as the kernel wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    family: u8,
    prefix: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// A socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The index of the device of this name.
    pub(super) fn index(&mut self, name: &str) -> io::Result<u32> {
        let mut body = link(0, 0);
        attribute(&mut body, IFLA_IFNAME, &terminated(name));
        let answers = self.request(GET_LINK, ACK, &body)?;
        answers
            .iter()
            .find(|(kind, _)| *kind == NEW_LINK)
            .and_then(|(_, body)| word(body, 4))
            .ok_or_else(|| Errno::EPROTO.into())
    }

    /// Moves a device to another namespace, where it gets this name.
    pub(super) fn move_to(
        &mut self,
        index: u32,
        namespace: BorrowedFd<'_>,
        name: &str,
    ) -> io::Result<()> {
        let mut body = link(index, 0);
        attribute(&mut body, IFLA_NET_NS_FD, &namespace.as_raw_fd().to_le_bytes());
        attribute(&mut body, IFLA_IFNAME, &terminated(name));
        self.request(NEW_LINK, ACK, &body).map(drop)
    }

    /// Sets a device up.
    pub(super) fn up(&mut self, index: u32) -> io::Result<()> {
        self.request(NEW_LINK, ACK, &link(index, libc::IFF_UP as u32)).map(drop)
    }

    /// The permanent addresses of global scope that a device has.
    pub(super) fn addresses(&mut self, index: u32) -> io::Result<Vec<Address>> {
        let answers = self.request(GET_ADDRESS, DUMP, &[0; ADDRESS_HEADER])?;
        Ok(answers
            .iter()
            .filter(|(kind, body)| *kind == NEW_ADDRESS && word(body, 4) == Some(index))
            .filter_map(|(_, body)| global_address(body))
            .collect())
    }

    pub(super) fn add_address(&mut self, index: u32, address: &Address) -> io::Result<()> {
        let mut body = vec![address.family, address.prefix, 0, 0];
        body.extend(index.to_ne_bytes());
        for (kind, value) in &address.attributes {
            attribute(&mut body, *kind, value);
        }
        match self.request(NEW_ADDRESS, ACK | CREATE_EXCLUSIVE, &body) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Sends one message; its answers up to the acknowledgement or the end of
    /// the dump.
    fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<(u16, Vec<u8>)>> {
        self.sequence += 1;
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((flags | REQUEST).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        message.extend(body);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            if self.read_answers(buffer.get(..read).unwrap_or_default(), &mut answers)? {
                return Ok(answers);
            }
        }
    }

    /// Whether that was the last.
    fn read_answers(
        &self,
        mut bytes: &[u8],
        answers: &mut Vec<(u16, Vec<u8>)>,
    ) -> io::Result<bool> {
        while let (Some(length), Some(kind)) = (word(bytes, 0), half(bytes, 4)) {
            let length = length as usize;
            let Some(body) = bytes.get(HEADER..length) else {
                return Err(Errno::EPROTO.into());
            };
            let ours = word(bytes, 8) == Some(self.sequence);
            match kind {
                NLMSG_DONE if ours => return Ok(true),
                NLMSG_ERROR if ours => {
                    return match word(body, 0).map(|code| code as i32) {
                        Some(0) => Ok(true),
                        Some(code) => Err(io::Error::from_raw_os_error(-code)),
                        None => Err(Errno::EPROTO.into()),
                    };
                }
                _ if ours => answers.push((kind, body.to_vec())),
                _ => {}
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(false)
    }
}

/// `struct ifinfomsg`; `up` are the flags to set.
fn link(index: u32, up: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for number in [index, up, up] {
        body.extend(number.to_ne_bytes());
    }
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend(((4 + value.len()) as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn terminated(name: &str) -> Vec<u8> {
    name.bytes().chain([0]).collect()
}

fn global_address(body: &[u8]) -> Option<Address> {
    let (family, prefix, flags, scope) = match body {
        [family, prefix, flags, scope, ..] => (*family, *prefix, *flags, *scope),
        _ => return None,
    };
    let mut flags = u32::from(flags);
    let mut kept = Vec::new();
    let mut rest = body.get(ADDRESS_HEADER..)?;
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(4..length)?;
        if kind == IFA_FLAGS {
            flags = word(value, 0)?;
        }
        if ADDRESS_ATTRIBUTES.contains(&kind) {
            kept.push((kind, value.to_vec()));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let wanted = scope == 0 && flags & IFA_F_PERMANENT != 0;
    wanted.then_some(Address { family, prefix, attributes: kept })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_loopback_device_is_found() {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(netlink.index("lo").unwrap(), 1);
        let error = netlink.index("no-such-dev").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        // Those of lo are of host scope.
        assert_eq!(netlink.addresses(1).unwrap(), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let netlink = Netlink::open().unwrap();
            let _ = netlink.read_answers(&bytes, &mut Vec::new());
            let _ = global_address(&bytes);
        }
    }
}
