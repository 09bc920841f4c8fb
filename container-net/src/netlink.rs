//! Netlink: requests to the kernel as a batch of messages, answered one by one.
//!
//! `rtnetlink`'s builders make the route messages and `firewall::nft` the nf_tables ones; this
//! module carries both. A batch goes out in one `send`, which the kernel works off before it
//! returns, so the answers are there to be read without waiting. See `netlink(7)`.

use std::borrow::Cow;

use rtnetlink::sys;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::error::{Error, Result};

pub(crate) const F_REQUEST: u16 = 0x1;
pub(crate) const F_ACK: u16 = 0x4;
pub(crate) const F_EXCL: u16 = 0x200;
pub(crate) const F_CREATE: u16 = 0x400;
pub(crate) const F_DUMP: u16 = 0x300;

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const F_MULTI: u16 = 0x2;
const F_CAPPED: u16 = 0x100;
const F_ACK_TLVS: u16 = 0x200;
const F_DUMP_INTERRUPTED: u16 = 0x10;
const DUMP_TRIES: u32 = 20;
const ATTR_MSG: u16 = 1;
const ALIGN: usize = 4;

/// One netlink message and the words for its failure.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    step: &'static str,
    object: Cow<'static, str>,
}

impl Message {
    /// A message from a payload (everything behind the netlink header).
    pub(crate) fn new(
        kind: u16,
        flags: u16,
        payload: &[u8],
        step: &'static str,
        object: impl Into<Cow<'static, str>>,
    ) -> Result<Self> {
        let object = object.into();
        let length = u32::try_from(HEADER + payload.len())
            .map_err(|_| Error::os(step, object.as_ref(), Errno::MSGSIZE))?;
        let mut bytes = Vec::with_capacity(HEADER + payload.len() + ALIGN);
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        Ok(Self { bytes, step, object })
    }

    /// Everything behind the netlink header.
    #[cfg(test)]
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }

    fn wants_ack(&self) -> bool {
        read_u16(&self.bytes, 6).is_some_and(|flags| flags & F_ACK != 0)
    }

    fn without_ack(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let flags = read_u16(&self.bytes, 6).unwrap_or(0) & !F_ACK;
        out[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
    }
}

/// A refusal of one message of a batch.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Which message of the batch; `None` when the whole batch could not be sent or answered.
    pub(crate) index: Option<usize>,
    pub(crate) errno: Errno,
    text: Option<String>,
}

/// An open netlink socket of one protocol, in the namespace that it was opened in.
pub(crate) struct Socket {
    inner: sys::Socket,
    sequence: u32,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open(protocol: isize, name: &'static str) -> Result<Self> {
        let fail = |cause| Error::os("socket AF_NETLINK", name, cause);
        let inner = sys::Socket::new(protocol).map_err(fail)?;
        // Only the error's text and the echo's size depend on these; old kernels lack them.
        let _ = inner.set_ext_ack(true);
        let _ = inner.set_cap_ack(true);
        Ok(Self { inner, sequence: 0 })
    }

    /// Sends a batch and turns the first refusal into an error.
    pub(crate) fn run(&mut self, batch: Vec<Message>) -> Result<()> {
        match self.submit(&batch) {
            Ok(()) => Ok(()),
            Err(refusal) => Err(refusal.into_error(&batch)),
        }
    }

    /// Sends a batch in one go. At least one message must ask for an acknowledgement.
    ///
    /// Only the last that asks gets one: a refusal is answered unasked, and in order, so the
    /// last answer tells that there are no more.
    pub(crate) fn submit(&mut self, batch: &[Message]) -> Result<(), Refusal> {
        let first = self.sequence;
        let last = batch.iter().rposition(Message::wants_ack);
        let mut bytes = Vec::with_capacity(batch.iter().map(|m| m.bytes.len()).sum());
        for (index, message) in batch.iter().enumerate() {
            let start = bytes.len();
            if Some(index) == last {
                bytes.extend_from_slice(&message.bytes);
            } else {
                message.without_ack(&mut bytes);
            }
            bytes[start + 8..start + 12].copy_from_slice(&self.sequence.to_ne_bytes());
            self.sequence = self.sequence.wrapping_add(1);
        }
        let whole = |errno| Refusal { index: None, errno, text: None };
        self.send(&bytes).map_err(whole)?;
        let mut worst: Option<Refusal> = None;
        // The replies are already queued; an empty queue with answers missing is an error.
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let length = match self.receive(&mut buffer) {
                Ok(length) => length,
                Err(errno) => return Err(worst.unwrap_or_else(|| whole(errno))),
            };
            for reply in Replies(&buffer[..length]) {
                let index = reply.sequence.wrapping_sub(first) as usize;
                if index >= batch.len() || reply.kind != NLMSG_ERROR {
                    continue;
                }
                if let Some((errno, text)) = reply.refusal()
                    && worst.is_none()
                {
                    worst = Some(Refusal { index: Some(index), errno, text });
                }
                if Some(index) == last {
                    return worst.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Sends a dump request and returns the payloads of all answers. A dump that a change cut
    /// across is not consistent, and asked for again.
    pub(crate) fn dump(&mut self, request: &Message) -> Result<Vec<Vec<u8>>, Refusal> {
        let mut tries = 0..DUMP_TRIES;
        loop {
            match self.dump_once(request) {
                Err(refusal) if refusal.errno == Errno::INTR && tries.next().is_some() => {}
                other => return other,
            }
        }
    }

    fn dump_once(&mut self, request: &Message) -> Result<Vec<Vec<u8>>, Refusal> {
        let whole = |errno| Refusal { index: None, errno, text: None };
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let mut bytes = request.bytes.clone();
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.send(&bytes).map_err(whole)?;
        let mut found = Vec::new();
        let mut consistent = true;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = self.receive(&mut buffer).map_err(whole)?;
            for reply in Replies(&buffer[..length]) {
                if reply.sequence != sequence {
                    continue;
                }
                consistent &= reply.flags & F_DUMP_INTERRUPTED == 0;
                match reply.kind {
                    NLMSG_DONE | NLMSG_ERROR => {
                        // A dump that broke off says so in its last message.
                        return match reply.refusal() {
                            Some((errno, text)) => Err(Refusal { index: Some(0), errno, text }),
                            None if consistent => Ok(found),
                            None => Err(whole(Errno::INTR)),
                        };
                    }
                    _ => {
                        found.push(reply.payload.to_vec());
                        if reply.flags & F_MULTI == 0 {
                            return Ok(found);
                        }
                    }
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        rustix::io::retry_on_intr(|| send(&self.inner, bytes, SendFlags::empty())).map(drop)
    }

    fn receive(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let (_, length) = rustix::io::retry_on_intr(|| recv(&self.inner, &mut *buffer, flags))?;
        if length > buffer.len() { Err(Errno::MSGSIZE) } else { Ok(length) }
    }
}

impl Refusal {
    pub(crate) fn into_error(self, batch: &[Message]) -> Error {
        let (step, object) = match self.index.and_then(|i| batch.get(i)).or(batch.first()) {
            Some(message) => (message.step, message.object.as_ref()),
            None => ("netlink", ""),
        };
        Error::os(step, object, self.errno).with_kernel_text(self.text)
    }
}

/// The messages in a received datagram.
struct Replies<'a>(&'a [u8]);

struct Reply<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl<'a> Iterator for Replies<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Reply<'a>> {
        let length = read_u32(self.0, 0)? as usize;
        let payload = self.0.get(HEADER..length)?;
        let reply = Reply {
            kind: read_u16(self.0, 4)?,
            flags: read_u16(self.0, 6)?,
            sequence: read_u32(self.0, 8)?,
            payload,
        };
        self.0 = self.0.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some(reply)
    }
}

impl Reply<'_> {
    /// The error number and the kernel's words, unless this is an acknowledgement.
    fn refusal(&self) -> Option<(Errno, Option<String>)> {
        let code = i32::from_ne_bytes(self.payload.get(..4)?.try_into().ok()?);
        if code == 0 {
            return None;
        }
        let text = self.text();
        Some((Errno::from_raw_os_error(code.checked_neg()?), text))
    }

    /// The extended acknowledgement's text, which follows the echoed request.
    fn text(&self) -> Option<String> {
        if self.flags & F_ACK_TLVS == 0 {
            return None;
        }
        let echoed =
            if self.flags & F_CAPPED == 0 { read_u32(self.payload, 4)? as usize } else { HEADER };
        let tlvs = self.payload.get(4 + echoed.next_multiple_of(ALIGN)..)?;
        let (_, text) = attributes(tlvs).find(|(kind, _)| *kind == ATTR_MSG)?;
        let text = text.split(|b| *b == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// The attributes in `bytes`, flags masked off; stops at the first malformed one.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(read_u16(bytes, 0)?);
        let value = bytes.get(4..length)?;
        let kind = read_u16(bytes, 2)? & 0x3fff;
        bytes = bytes.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_datagram_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for reply in Replies(&bytes) {
                let _ = reply.refusal();
                prop_assert!(attributes(reply.payload).count() <= reply.payload.len());
            }
        }
    }

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        // Route requests need no privilege to be refused: this link does not exist.
        let mut socket = Socket::open(sys::protocols::NETLINK_ROUTE, "NETLINK_ROUTE").unwrap();
        let message = Message::new(18, F_ACK, &[0; 16], "RTM_GETLINK", "nothing").unwrap();
        let error = socket.run(vec![message]).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
        assert!(error.to_string().starts_with("RTM_GETLINK \"nothing\": "), "{error}");
    }
}
