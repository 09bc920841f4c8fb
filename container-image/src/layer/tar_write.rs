//! Writing tar entries: a ustar header, with pax records only for what it can't hold.
//!
//! The same input gives the same bytes: no names of users, no access times, records sorted.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{EntryType, Header};

use super::entry::Metadata;
use super::time::Timestamp;

/// Bytes of a tar block.
pub(crate) const BLOCK: usize = 512;
/// The greatest number that fits a header field of 7 octal digits (uid, gid).
const MAX_OCTAL_7: u32 = 0o7_777_777;
/// The greatest number that fits a header field of 11 octal digits (size, mtime).
const MAX_OCTAL_11: u64 = 0o77_777_777_777;
/// Bytes of the name and link name fields.
const NAME_FIELD: usize = 100;

/// Writes one tar stream.
pub(crate) struct TarWriter<W> {
    out: W,
}

/// One entry as the header sees it. A directory's path has no trailing slash here.
pub(crate) struct EntryHeader<'a> {
    pub(crate) path: &'a Path,
    pub(crate) kind: EntryType,
    pub(crate) metadata: &'a Metadata,
    pub(crate) mtime: Timestamp,
    pub(crate) link: Option<&'a Path>,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) size: u64,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry's header and its `size` bytes of `content`.
    pub(crate) fn entry(&mut self, entry: &EntryHeader<'_>, content: impl Read) -> io::Result<()> {
        let mut name = entry.path.as_os_str().as_bytes().to_vec();
        if entry.kind == EntryType::Directory {
            name.push(b'/');
        }
        let link = entry.link.map(|link| link.as_os_str().as_bytes()).unwrap_or_default();
        let records = pax_records(entry, &name, link);
        if !records.is_empty() {
            self.pax(&records)?;
        }
        let mut header = Header::new_ustar();
        set_field(&mut header.as_old_mut().name, &name);
        set_field(&mut header.as_old_mut().linkname, link);
        header.set_entry_type(entry.kind);
        header.set_mode(entry.metadata.mode);
        header.set_uid(u64::from(entry.metadata.uid.min(MAX_OCTAL_7)));
        header.set_gid(u64::from(entry.metadata.gid.min(MAX_OCTAL_7)));
        header.set_size(entry.size.min(MAX_OCTAL_11));
        header.set_mtime(u64::try_from(entry.mtime.seconds).unwrap_or(0).min(MAX_OCTAL_11));
        if let Some((major, minor)) = entry.device {
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.content(content, entry.size)
    }

    /// Ends the archive with its two empty blocks and hands the writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    fn pax(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        set_field(&mut header.as_old_mut().name, b"PaxHeaders/entry");
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.content(records, records.len() as u64)
    }

    fn content(&mut self, mut content: impl Read, size: u64) -> io::Result<()> {
        let copied = io::copy(&mut content.by_ref().take(size), &mut self.out)?;
        // One more byte would mean that the file grew behind its size in the header.
        if copied != size || content.read(&mut [0])? != 0 {
            let reason = "the file changed its size while it was being read";
            return Err(io::Error::other(reason));
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.out.write_all(&[0; BLOCK][..usize::try_from(padding).unwrap_or(0)])
    }
}

/// Copies what fits; a longer value stands whole in a pax record, which wins.
fn set_field(field: &mut [u8; NAME_FIELD], value: &[u8]) {
    let n = value.len().min(NAME_FIELD);
    field[..n].copy_from_slice(&value[..n]);
}

fn pax_records(entry: &EntryHeader<'_>, name: &[u8], link: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let metadata = entry.metadata;
    for (name, value) in &metadata.xattrs {
        let key = [b"SCHILY.xattr.", name.as_bytes()].concat();
        record(&mut out, &key, value);
    }
    if metadata.gid > MAX_OCTAL_7 {
        record(&mut out, b"gid", metadata.gid.to_string().as_bytes());
    }
    if link.len() > NAME_FIELD {
        record(&mut out, b"linkpath", link);
    }
    let Timestamp { seconds, nanos } = entry.mtime;
    if nanos != 0 || u64::try_from(seconds).map_or(true, |s| s > MAX_OCTAL_11) {
        record(&mut out, b"mtime", pax_time(entry.mtime).as_bytes());
    }
    if name.len() > NAME_FIELD {
        record(&mut out, b"path", name);
    }
    if entry.size > MAX_OCTAL_11 {
        record(&mut out, b"size", entry.size.to_string().as_bytes());
    }
    if metadata.uid > MAX_OCTAL_7 {
        record(&mut out, b"uid", metadata.uid.to_string().as_bytes());
    }
    out
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Decimal seconds; the nanoseconds of a time before 1970 count towards 1970.
fn pax_time(time: Timestamp) -> String {
    let (sign, seconds, nanos) = match time {
        Timestamp { seconds, nanos } if seconds >= 0 => ("", seconds.unsigned_abs(), nanos),
        Timestamp { seconds, nanos: 0 } => ("-", seconds.unsigned_abs(), 0),
        Timestamp { seconds, nanos } => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
    };
    if nanos == 0 {
        return format!("{sign}{seconds}");
    }
    let fraction = format!("{nanos:09}");
    format!("{sign}{seconds}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_lengths_count_themselves() {
        for size in [0, 1, 90, 91, 92, 93, 94, 95, 96, 97, 980, 990, 991, 992, 993, 10_000] {
            let mut out = Vec::new();
            record(&mut out, b"k", &vec![b'v'; size]);
            let digits = out.iter().position(|b| *b == b' ').unwrap();
            let length: usize = std::str::from_utf8(&out[..digits]).unwrap().parse().unwrap();
            assert_eq!(length, out.len());
        }
    }

    #[test]
    fn times_as_decimals() {
        let time = |seconds, nanos| pax_time(Timestamp { seconds, nanos });
        assert_eq!(time(12, 0), "12");
        assert_eq!(time(12, 500_000_000), "12.5");
        assert_eq!(time(-1, 0), "-1");
        assert_eq!(time(-2, 750_000_000), "-1.25");
        assert_eq!(time(-1, 750_000_000), "-0.25");
    }
}
