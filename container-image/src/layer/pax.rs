//! Pax records: `LENGTH KEY=VALUE\n`, which override fields of the header that follows.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::entry::Xattrs;
use super::tar_read::malformed;
use super::time::Timestamp;
use crate::error::Result;

/// The records that mean something in a layer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) linkpath: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<Timestamp>,
    pub(crate) xattrs: Xattrs,
    /// A record of GNU's sparse formats was there.
    pub(crate) sparse: bool,
}

impl Pax {
    /// Adds the records of one pax header. A later record wins over an earlier one.
    pub(crate) fn parse(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (key, value, rest) =
                split_record(bytes).ok_or_else(|| malformed("", "a broken pax record"))?;
            self.set(key, value)?;
            bytes = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let broken = || {
            let key = String::from_utf8_lossy(key);
            malformed(key, "a pax record whose value is not of its type")
        };
        // An empty value takes an earlier record back.
        let number = || match value {
            b"" => Ok(None),
            digits => decimal(digits).map(Some).ok_or_else(broken),
        };
        let text = || match value {
            b"" => Ok(None),
            text if text.contains(&0) => Err(broken()),
            text => Ok(Some(text.to_vec())),
        };
        match key {
            b"path" => self.path = text()?,
            b"linkpath" => self.linkpath = text()?,
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value).ok_or_else(broken)?),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if name.is_empty() || name.contains(&0) {
                        return Err(broken());
                    }
                    self.xattrs.insert(OsString::from_vec(name.to_vec()), value.to_vec());
                }
            }
        }
        Ok(())
    }
}

/// Key, value and what follows the first record.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?;
    let (b'\n', record) = record.split_last()? else {
        return None;
    };
    let equals = record.iter().position(|b| *b == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, &bytes[length..]))
}

/// Digits and nothing else.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Decimal seconds with an optional sign and fraction; digits beyond nanoseconds are dropped.
fn time(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let nanos = match parts.next() {
        None | Some(b"") => 0,
        Some(fraction) => {
            decimal(&fraction[..fraction.len().min(18)])?;
            let all_digits = fraction.iter().all(u8::is_ascii_digit);
            let nine = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
            let nanos = nine.fold(0, |sum, digit| sum * 10 + u32::from(digit.wrapping_sub(b'0')));
            all_digits.then_some(nanos)?
        }
    };
    Some(match (negative, nanos) {
        (false, _) => Timestamp { seconds, nanos },
        (true, 0) => Timestamp { seconds: -seconds, nanos },
        (true, _) => Timestamp { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Pax> {
        let mut pax = Pax::default();
        pax.parse(bytes).map(|()| pax)
    }

    #[test]
    fn records_of_every_type() {
        let pax =
            parse(b"9 path=a\n9 size=5\n21 mtime=-1.25000000\n27 SCHILY.xattr.user.x=a\n\x00\n");
        let pax = pax.unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a"[..]));
        assert_eq!(pax.size, Some(5));
        assert_eq!(pax.mtime, Some(Timestamp { seconds: -2, nanos: 750_000_000 }));
        assert_eq!(pax.xattrs[&OsString::from("user.x")], b"a\n\0");
    }

    #[test]
    fn broken_records() {
        for bad in [
            &b"10 path=a"[..],
            b"11 path=a\n",
            b"8 path=a\n",
            b"path=a\n",
            b" path=a\n",
            b"0 a=b\n",
            b"+9 path=a\n",
            b"99999999999999999999999 a=b\n",
            b"4 =\n",
            b"5 ab\n",
            b"12 size=0x5\n",
            b"11 size=-5\n",
            b"11 path=\0a\n",
            b"12 mtime=1.x\n",
            b"12 mtime=1.-\n",
        ] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = time(&bytes);
        }
    }
}
