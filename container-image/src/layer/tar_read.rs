//! Reading tar entries, strictly.
//!
//! Layers come from strangers, and two parsers that disagree about where an entry
//! ends let one of them see files that the other does not. So: a pax size wins over
//! the header's; numbers, checksums and pax records must be well-formed; entries that
//! can have no content must say so; the metadata of one entry is capped; sparse files
//! are refused rather than unpacked wrongly.

use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::Range;

use tar::{EntryType, Header};

use super::entry::{MAX_ID, Metadata};
use super::header::{CHECKSUM, GID, MODE, MTIME, SIZE, UID, device, number};
use super::pax::Pax;
use super::tar_write::BLOCK;
use super::time::Timestamp;
use crate::error::{Error, ErrorKind, Result};

/// The most that the long names and pax records of one entry may take, in bytes.
const MAX_METADATA: u64 = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Dir,
    File,
    Symlink(Vec<u8>),
    Hardlink(Vec<u8>),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// One entry; its content is read from the [`TarReader`] that gave it.
#[derive(Debug)]
pub(crate) struct TarEntry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) metadata: Metadata,
}

/// Reads entries one by one; reading the reader itself gives the present entry's content.
pub(crate) struct TarReader<R> {
    inner: R,
    /// Bytes of content left in the present entry, then its padding.
    left: u64,
    padding: u64,
}

/// Records that stand in front of the entry they belong to.
#[derive(Default)]
struct Pending {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    used: u64,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, left: 0, padding: 0 }
    }

    /// The next entry, or `None` at the end of the archive. What is left of the one before is
    /// skipped.
    pub(crate) fn next(&mut self) -> Result<Option<TarEntry>> {
        self.skip()?;
        let mut pending = Pending::default();
        let mut metadata_seen = false;
        loop {
            let Some(header) = self.header()? else {
                if metadata_seen {
                    return Err(malformed(
                        "",
                        "the archive ends between a pax record and its file",
                    ));
                }
                return Ok(None);
            };
            let kind = header.entry_type();
            match kind {
                EntryType::XHeader => {
                    let records = self.records(&header, &mut pending)?;
                    let mut pax = Pax::default();
                    pax.parse(&records)?;
                    only_one(pending.pax.replace(pax))?;
                }
                EntryType::XGlobalHeader if metadata_seen => {
                    return Err(malformed("", "a global pax record between a record and its file"));
                }
                EntryType::XGlobalHeader => {
                    let records = self.records(&header, &mut pending)?;
                    check_global(&records)?;
                    pending.used = 0;
                    continue;
                }
                EntryType::GNULongName => {
                    let name = c_string(self.records(&header, &mut pending)?)?;
                    only_one(pending.long_name.replace(name))?;
                }
                EntryType::GNULongLink => {
                    let link = c_string(self.records(&header, &mut pending)?)?;
                    only_one(pending.long_link.replace(link))?;
                }
                _ => return self.entry(&header, pending).map(Some),
            }
            metadata_seen = true;
        }
    }

    /// Reads on to the end of the stream: only padding may follow the end of the archive.
    pub(crate) fn finish(mut self) -> Result<R> {
        let mut block = [0; 8192];
        loop {
            match self.inner.read(&mut block) {
                Ok(0) => return Ok(self.inner),
                Ok(n) if block[..n].iter().all(|b| *b == 0) => {}
                Ok(_) => return Err(malformed("", "data after the end of the archive")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::os("read layer", "", error)),
            }
        }
    }

    /// Reads over what is left of the present entry. Some programs leave out the padding behind
    /// the last one, so the stream may end there, but not in the content.
    fn skip(&mut self) -> Result<()> {
        let (left, padding) = (self.left, self.padding);
        self.left = 0;
        self.padding = 0;
        let mut rest = self.inner.by_ref().take(left + padding);
        let skipped = io::copy(&mut rest, &mut io::sink())
            .map_err(|error| Error::os("read layer", "", error))?;
        if skipped < left {
            return Err(malformed("", "the archive ends in the middle of a file"));
        }
        Ok(())
    }

    /// The next header with a true checksum; `None` at two empty blocks or a clean end of file.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        for blocks in 0.. {
            match self.block(header.as_mut_bytes())? {
                0 => return Ok(None),
                BLOCK => {}
                _ => return Err(malformed("", "the archive ends in the middle of a header")),
            }
            if header.as_bytes().iter().any(|b| *b != 0) {
                if blocks > 0 {
                    return Err(malformed("", "a single empty block between entries"));
                }
                break;
            }
            if blocks > 0 {
                return Ok(None);
            }
        }
        let sum: u32 = header
            .as_bytes()
            .iter()
            .enumerate()
            .map(|(at, byte)| if CHECKSUM.contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        match number(&header, CHECKSUM, "checksum") {
            Ok(stated) if stated == u64::from(sum) => Ok(Some(header)),
            _ => Err(malformed("", "a header's checksum does not match")),
        }
    }

    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<usize> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::os("read layer", "", error)),
            }
        }
        Ok(filled)
    }

    /// The content of an entry that describes the next one.
    fn records(&mut self, header: &Header, pending: &mut Pending) -> Result<Vec<u8>> {
        let size = number(header, SIZE, "size")?;
        pending.used = pending.used.saturating_add(size);
        if pending.used > MAX_METADATA {
            let reason = "the pax records and long names of one entry exceed 1 MiB";
            return Err(Error::new(ErrorKind::BudgetExceeded, "read layer", "", reason));
        }
        self.set_size(size)?;
        let mut records = Vec::new();
        self.read_to_end(&mut records).map_err(|error| Error::os("read layer", "", error))?;
        self.skip()?;
        Ok(records)
    }

    fn set_size(&mut self, size: u64) -> Result<()> {
        let padded = size
            .checked_next_multiple_of(BLOCK as u64)
            .ok_or_else(|| malformed("", "a size beyond 64 bits"))?;
        self.left = size;
        self.padding = padded - size;
        Ok(())
    }

    fn entry(&mut self, header: &Header, pending: Pending) -> Result<TarEntry> {
        let Pending { pax, long_name, long_link, .. } = pending;
        let pax = pax.unwrap_or_default();
        let path = pax.path.or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
        let shown = || String::from_utf8_lossy(&path[..path.len().min(200)]).into_owned();
        let link = || {
            let own = || header.link_name_bytes().map(Cow::into_owned).unwrap_or_default();
            pax.linkpath.clone().or(long_link).unwrap_or_else(own)
        };
        let size = match pax.size {
            Some(size) => size,
            None => number(header, SIZE, "size")?,
        };
        let kind = match header.entry_type() {
            EntryType::Regular if path.ends_with(b"/") => Kind::Dir,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Dir,
            EntryType::Symlink => Kind::Symlink(link()),
            EntryType::Link => Kind::Hardlink(link()),
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => device(header).map(|(a, b)| Kind::Char(a, b))?,
            EntryType::Block => device(header).map(|(a, b)| Kind::Block(a, b))?,
            EntryType::GNUSparse => return Err(unsupported(shown(), "a sparse file of GNU tar")),
            other => {
                let reason = format!("an entry of the unknown type {:#04x}", other.as_byte());
                return Err(unsupported(shown(), reason));
            }
        };
        if pax.sparse {
            return Err(unsupported(shown(), "a sparse file"));
        }
        if kind != Kind::File && size != 0 {
            return Err(malformed(shown(), "content in an entry that can have none"));
        }
        self.set_size(size)?;
        let metadata = Metadata {
            mode: (number(header, MODE, "mode")? & 0o7777) as u32,
            uid: id(pax.uid, header, UID, &path)?,
            gid: id(pax.gid, header, GID, &path)?,
            mtime: match pax.mtime {
                Some(mtime) => mtime,
                // Base-256 times before 1970 come out as their two's complement.
                None => Timestamp::from_seconds(number(header, MTIME, "mtime")? as i64),
            },
            xattrs: pax.xattrs,
        };
        Ok(TarEntry { path, kind, metadata })
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.by_ref().take(self.left).read(buffer)?;
        if n == 0 && self.left != 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

fn id(pax: Option<u64>, header: &Header, field: Range<usize>, path: &[u8]) -> Result<u32> {
    let id = match pax {
        Some(id) => id,
        None => number(header, field, "owner")?,
    };
    match u32::try_from(id) {
        Ok(small) if small <= MAX_ID => Ok(small),
        _ => {
            let path = String::from_utf8_lossy(&path[..path.len().min(200)]);
            Err(malformed(path, format!("the owner {id} is beyond the range of user ids")))
        }
    }
}

/// Two records of one kind for one entry: some programs take both, some the last one.
fn only_one<T>(before: Option<T>) -> Result<()> {
    match before {
        None => Ok(()),
        Some(_) => Err(malformed("", "two pax records or long names for one entry")),
    }
}

/// Comments and defaults for the whole archive: nothing that a layer may need. What decides
/// where entries end or what they are called is heeded by some programs only.
fn check_global(records: &[u8]) -> Result<()> {
    let mut global = Pax::default();
    global.parse(records)?;
    if global.size.is_none() && global.path.is_none() && global.linkpath.is_none() {
        return Ok(());
    }
    Err(malformed("", "a size or name for the whole archive"))
}

/// The content of a GNU long name: text up to a NUL.
fn c_string(mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(malformed("", "a GNU long name that is empty or has a NUL inside"));
    }
    Ok(bytes)
}

pub(crate) fn malformed(object: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Malformed, "read layer", object, reason)
}

fn unsupported(object: String, reason: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Unsupported, "read layer", object, reason)
}
