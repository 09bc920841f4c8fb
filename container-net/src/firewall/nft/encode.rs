//! The wire form of nf_tables messages: attributes with checked lengths, batches, elements.
//!
//! An attribute's length is 16 bits wide. A value that does not fit makes the whole message fail
//! instead of being cut or running into what follows (the mechanism of CVE-2021-43784).

use rustix::io::Errno;

use super::{Element, TABLE, attributes};
use crate::error::{Error, Result};
use crate::netlink::Message;

const NESTED: u16 = 0x8000;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// An element of a list (`NFTA_LIST_ELEM`).
pub(super) const LIST_ELEMENT: u16 = 1;
/// A plain value (`NFTA_DATA_VALUE`).
pub(super) const DATA_VALUE: u16 = 1;

/// Message types (`NFT_MSG_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    NewTable = 0,
    DelTable = 2,
    NewChain = 3,
    NewRule = 6,
    NewSet = 9,
    NewSetElem = 12,
    GetSetElem = 13,
    DelSetElem = 14,
    GetGen = 16,
}

/// Protocol families (`NFPROTO_*`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Family {
    Unspecified = 0,
    Inet = 1,
}

/// A list of netlink attributes under construction.
#[derive(Debug, Default)]
pub(super) struct Attrs {
    bytes: Vec<u8>,
    overflow: bool,
}

impl Attrs {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        match u16::try_from(value.len() + 4) {
            Ok(length) => {
                self.bytes.extend_from_slice(&length.to_ne_bytes());
                self.bytes.extend_from_slice(&kind.to_ne_bytes());
                self.bytes.extend_from_slice(value);
                self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
            }
            Err(_) => self.overflow = true,
        }
        self
    }

    /// A 32-bit number; nf_tables wants them in network byte order.
    pub(super) fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn string(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attrs)) -> &mut Self {
        let mut inner = Attrs::new();
        fill(&mut inner);
        self.nested(kind, inner)
    }

    pub(super) fn nested(&mut self, kind: u16, inner: Attrs) -> &mut Self {
        self.overflow |= inner.overflow;
        self.bytes(kind | NESTED, &inner.bytes)
    }

    /// A value in the form that expressions and elements take it.
    pub(super) fn value(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.nest(kind, |data| {
            data.bytes(DATA_VALUE, value);
        })
    }

    pub(super) fn finish(self) -> Option<Vec<u8>> {
        (!self.overflow).then_some(self.bytes)
    }
}

/// One nf_tables message.
pub(super) fn object(
    kind: Kind,
    family: Family,
    flags: u16,
    attrs: Attrs,
    step: &'static str,
    name: impl Into<String>,
) -> Result<Message> {
    let name = name.into();
    let Some(attrs) = attrs.finish() else {
        return Err(Error::os(step, name, Errno::MSGSIZE).with_hint("an attribute exceeds 64 KiB"));
    };
    let payload = [&[family as u8, 0, 0, 0], attrs.as_slice()].concat();
    Message::new(SUBSYSTEM << 8 | kind as u16, flags, &payload, step, name)
}

/// Encloses messages in a transaction: the kernel takes all of them or none.
pub(super) fn batch(messages: Vec<Message>) -> Result<Vec<Message>> {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    let payload = [Family::Unspecified as u8, 0, high, low];
    let mut all = Vec::with_capacity(messages.len() + 2);
    all.push(Message::new(BATCH_BEGIN, 0, &payload, "nft transaction", TABLE)?);
    all.extend(messages);
    all.push(Message::new(BATCH_END, 0, &payload, "nft transaction", TABLE)?);
    Ok(all)
}

const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_FLAGS: u16 = 3;
const INTERVAL_END: u32 = 1;
const LIST_ELEMENTS: u16 = 3;

/// A message that adds or deletes elements of a set of our table.
pub(super) fn element_message(
    kind: Kind,
    flags: u16,
    set: &'static str,
    elements: &[Element],
) -> Result<Message> {
    let mut attrs = Attrs::new();
    attrs.string(1, TABLE).string(2, set).nest(LIST_ELEMENTS, |list| {
        for element in elements {
            list.nest(LIST_ELEMENT, |e| {
                e.value(ELEMENT_KEY, &element.key);
                if let Some(data) = &element.data {
                    e.value(ELEMENT_DATA, data);
                }
                if element.interval_end {
                    e.u32(ELEMENT_FLAGS, INTERVAL_END);
                }
            });
        }
    });
    let step = match kind {
        Kind::DelSetElem => "nft delete element",
        _ => "nft add element",
    };
    object(kind, Family::Inet, flags, attrs, step, set)
}

/// The elements in an answer to `NFT_MSG_GETSETELEM` (the payload behind the netlink header).
pub(super) fn parse_elements(payload: &[u8]) -> Vec<Element> {
    let attrs = payload.get(4..).unwrap_or_default();
    let lists = attributes(attrs).filter(|(kind, _)| *kind == LIST_ELEMENTS);
    lists.flat_map(|(_, list)| attributes(list)).filter_map(|(_, e)| parse_element(e)).collect()
}

fn parse_element(bytes: &[u8]) -> Option<Element> {
    let find = |wanted| attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, v)| v);
    let value =
        |nest| attributes(nest).find(|(kind, _)| *kind == DATA_VALUE).map(|(_, v)| v.to_vec());
    let flags = find(ELEMENT_FLAGS).and_then(|v| v.try_into().ok()).map_or(0, u32::from_be_bytes);
    Some(Element {
        key: value(find(ELEMENT_KEY)?)?,
        data: find(ELEMENT_DATA).and_then(value),
        interval_end: flags & INTERVAL_END != 0,
    })
}
