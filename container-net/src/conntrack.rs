//! Connections that the kernel tracks, by ctnetlink.
//!
//! A tracked connection keeps the address translation that it began with. What was led to a
//! container would therefore be led to the next owner of its address, whatever that one
//! publishes, so the entries go with the endpoint.

use std::net::Ipv4Addr;

use crate::error::{Error, Result};
use crate::netlink::{F_ACK, F_DUMP, Message, Socket, attributes};
use rustix::io::Errno;

const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const FAMILY: [u8; 4] = [2, 0, 0, 0];
const NESTED: u16 = 0x8000;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const FILTER: u16 = 25;

/// Forgets every connection that `address` began or answers.
pub(crate) fn forget(socket: &mut Socket, address: Ipv4Addr) -> Result<()> {
    for direction in [ORIGINAL, REPLY] {
        let request = [request(direction, address)?];
        let entries = match socket.dump(&request[0]) {
            Ok(entries) => entries,
            // A kernel without ctnetlink. One before 5.8 ignores the filter and lists everything.
            Err(refusal) if matches!(refusal.errno, Errno::OPNOTSUPP | Errno::INVAL) => {
                return Ok(());
            }
            Err(refusal) => return Err(refusal.into_error(&request)),
        };
        for entry in entries {
            let Some(delete) = deletion(&entry, direction, address) else { continue };
            let delete =
                [Message::new(DELETE, F_ACK, &delete, "conntrack delete", address.to_string())?];
            match socket.submit(&delete) {
                Err(refusal) if refusal.errno != Errno::NOENT => {
                    return Err(refusal.into_error(&delete));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A dump of the entries whose `direction` comes from `address`; the kernel picks them.
fn request(direction: u16, address: Ipv4Addr) -> Result<Message, Error> {
    const SOURCE: u32 = 1;
    let source = attribute(1 | NESTED, &attribute(1, &address.octets()));
    let filter = attribute(direction, &SOURCE.to_ne_bytes());
    let payload = [
        &FAMILY[..],
        &attribute(direction | NESTED, &source),
        &attribute(FILTER | NESTED, &filter),
    ]
    .concat();
    Message::new(GET, F_DUMP, &payload, "conntrack list", address.to_string())
}

/// The payload that deletes an entry of a dump, if it is one that was asked for.
fn deletion(entry: &[u8], direction: u16, address: Ipv4Addr) -> Option<Vec<u8>> {
    let find = |wanted| {
        attributes(entry.get(4..).unwrap_or_default()).find(|(k, _)| *k == wanted).map(|(_, v)| v)
    };
    let (_, ip) = attributes(find(direction)?).find(|(kind, _)| *kind == 1)?;
    let (_, source) = attributes(ip).find(|(kind, _)| *kind == 1)?;
    if source != address.octets() {
        return None;
    }
    let original = attribute(ORIGINAL | NESTED, find(ORIGINAL)?);
    Some([&FAMILY[..], &original, &attribute(ID, find(ID)?)].concat())
}

/// An attribute of a few bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
