//! The numbers of a tar header.

use std::ops::Range;

use tar::Header;

use super::tar_read::malformed;
use crate::error::Result;

// Where the numbers stand in a header.
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
pub(super) const CHECKSUM: Range<usize> = 148..156;
const DEVICE_MAJOR: Range<usize> = 329..337;
const DEVICE_MINOR: Range<usize> = 337..345;

/// A number of the header, in octal or, with the top bit set, in base 256. Blank means 0.
pub(super) fn number(header: &Header, field: Range<usize>, name: &str) -> Result<u64> {
    let field = &header.as_bytes()[field];
    let parsed = match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => {
            let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
            let digits = field[..end].trim_ascii();
            let octal = |sum: u64, b: &u8| match b {
                b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(b - b'0')),
                _ => None,
            };
            digits.iter().try_fold(0, octal)
        }
    };
    parsed.ok_or_else(|| malformed("", format!("the {name} field of a header is no number")))
}

/// Big-endian two's complement; a negative number comes out as its 64-bit pattern.
fn base_256(field: &[u8]) -> Option<u64> {
    let negative = field[0] & 0x40 != 0;
    let filler = if negative { 0xff } else { 0x00 };
    let (high, low) = field.split_at(field.len().saturating_sub(8));
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let mut high = high.iter().skip(1).chain(std::iter::once(&first));
    // Of a field of eight bytes, the first is part of the number itself.
    if field.len() > 8 && !high.all(|b| *b == filler) {
        return None;
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(low);
    if field.len() == 8 {
        bytes[0] = first;
    }
    Some(u64::from_be_bytes(bytes))
}

/// Major and minor number of a device.
pub(super) fn device(header: &Header) -> Result<(u32, u32)> {
    let part = |field| {
        let number = number(header, field, "device")?;
        u32::try_from(number).map_err(|_| malformed("", "a device number beyond 32 bits"))
    };
    Ok((part(DEVICE_MAJOR)?, part(DEVICE_MINOR)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_forms() {
        let parse = |field: &[u8]| {
            let mut header = Header::new_old();
            header.as_mut_bytes()[MTIME].fill(0);
            header.as_mut_bytes()[MTIME.start..MTIME.start + field.len()].copy_from_slice(field);
            number(&header, MTIME, "mtime").ok().map(|n| n as i64)
        };
        assert_eq!(parse(b""), Some(0));
        assert_eq!(parse(b"            "), Some(0));
        assert_eq!(parse(b"00000000017"), Some(15));
        assert_eq!(parse(b"   17 \0xxxx"), Some(15));
        assert_eq!(parse(b"777777777777"), Some(0o777_777_777_777));
        for bad in [&b"8"[..], b"-1", b"0x1", b"1 1"] {
            assert_eq!(parse(bad), None);
        }
        let wide = |high: [u8; 4], low: i64| [&high[..], &low.to_be_bytes()[..]].concat();
        assert_eq!(parse(&wide([0x80, 0, 0, 0], 1 << 40)), Some(1 << 40));
        assert_eq!(parse(&wide([0xff, 0xff, 0xff, 0xff], -5)), Some(-5));
        assert_eq!(parse(&wide([0x80, 0, 0, 1], 0)), None);
        let eight = |field: [u8; 8]| base_256(&field);
        assert_eq!(eight([0x80, 0, 0, 0, 0, 0x26, 0x25, 0xa0]), Some(2_500_000));
    }
}
