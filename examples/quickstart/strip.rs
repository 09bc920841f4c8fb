//! This program without its debugging symbols, so that the image stays small.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Result;

/// Copies this program to `path`, without what the kernel and the loader never read.
///
/// They follow the *program headers*; symbols and debugging information are *sections* behind the
/// last of the segments that these name ([elf(5)]). So the file is cut there. Of an ELF file that
/// isn't 64 bits, little-endian, all is taken.
///
/// [elf(5)]: https://man7.org/linux/man-pages/man5/elf.5.html
pub(crate) fn copy_of_this_program(path: &Path) -> Result<()> {
    let mut elf = fs::read("/proc/self/exe")?;
    if let Some(end) = end_of_segments(&elf) {
        elf.truncate(end);
        // e_shoff, e_shnum, e_shstrndx: no sections any more.
        elf[0x28..0x30].fill(0);
        elf[0x3c..0x40].fill(0);
    }
    fs::write(path, elf)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755))?)
}

fn end_of_segments(elf: &[u8]) -> Option<usize> {
    const ELF64_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
    if !elf.starts_with(ELF64_LITTLE_ENDIAN) {
        return None;
    }
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        let value = bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        value.try_into().ok()
    };
    let (headers, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let mut end = headers.checked_add(size * count)?;
    for at in (0..count).map(|index| headers + index * size) {
        let (offset, length) = (number(at + 0x08, 8)?, number(at + 0x20, 8)?);
        end = end.max(offset.checked_add(length)?);
    }
    (end <= elf.len() && end >= 0x40).then_some(end)
}
