//! What the dynamic loader would read of an ELF file: its class, interpreter and libraries.
//!
//! Only the program headers are used, as the loader does: a stripped file may have no sections.

use std::fs::File;
use std::path::Path;

use object::elf;
use object::endian::Endianness;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadCacheRange, ReadRef, StringTable};

use crate::error::{Error, ErrorKind, Result};

/// The most dynamic entries and string bytes that are looked at; real files have a few
/// thousand and some megabytes.
const MAX_DYNAMIC: usize = 1 << 16;

/// Which machine a file is for. Libraries of another one are passed over, as the loader does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Machine {
    pub(super) is_64: bool,
    pub(super) big_endian: bool,
    pub(super) machine: u16,
}

/// The parts of an ELF file that decide what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elf {
    pub(super) machine: Machine,
    /// `PT_INTERP`: the dynamic loader; none in libraries and static programs.
    pub(super) interpreter: Option<Vec<u8>>,
    /// `DT_NEEDED`, in order.
    pub(super) needed: Vec<Vec<u8>>,
    /// `DT_RPATH`, searched before everything else, also for the libraries' own needs.
    pub(super) rpath: Option<Vec<u8>>,
    /// `DT_RUNPATH`, searched for this file's own needs only; makes `DT_RPATH` void.
    pub(super) runpath: Option<Vec<u8>>,
    /// `DF_1_NODEFLIB`: the default directories are not searched.
    pub(super) no_default: bool,
}

impl Elf {
    /// Whether the program is started by musl's loader.
    pub(super) fn is_musl(&self) -> bool {
        let name = self.interpreter.as_deref().and_then(|path| path.rsplit(|b| *b == b'/').next());
        name.is_some_and(|name| name.starts_with(b"ld-musl-"))
    }

    /// Reads an open file; `None` if it is no ELF file at all.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for an ELF file that the loader would refuse.
    pub(super) fn read(file: File, path: &Path) -> Result<Option<Self>> {
        let cache = ReadCache::new(file);
        let broken = |what: &'static str| {
            Error::new(ErrorKind::Malformed, "read ELF", path.to_string_lossy(), what)
        };
        let Ok(ident) = (&cache).read_bytes_at(0, 16) else {
            return Ok(None); // shorter than any ELF file
        };
        if ident[..4] != elf::ELFMAG {
            return Ok(None);
        }
        let all = cache.range(0, u64::MAX);
        let parsed = match ident[4] {
            1 => parse::<elf::FileHeader32<Endianness>>(all),
            2 => parse::<elf::FileHeader64<Endianness>>(all),
            _ => return Err(broken("neither 32 nor 64 bit")),
        };
        parsed.map(Some).map_err(broken)
    }
}

type Data<'a> = ReadCacheRange<'a, File>;

fn parse<H: FileHeader<Endian = Endianness>>(data: Data<'_>) -> Result<Elf, &'static str> {
    let header = H::parse(data).map_err(|_| "a broken file header")?;
    let endian = header.endian().map_err(|_| "an unknown byte order")?;
    let segments = header.program_headers(endian, data).map_err(|_| "broken program headers")?;
    let mut found = Elf {
        machine: Machine {
            is_64: header.is_class_64(),
            big_endian: header.is_big_endian(),
            machine: header.e_machine(endian).0,
        },
        interpreter: None,
        needed: Vec::new(),
        rpath: None,
        runpath: None,
        no_default: false,
    };
    for segment in segments {
        if let Some(path) = segment.interpreter(endian, data).map_err(|_| "a broken PT_INTERP")? {
            found.interpreter = Some(path.to_vec());
        }
    }
    for segment in segments {
        if let Some(entries) = segment.dynamic(endian, data).map_err(|_| "a broken PT_DYNAMIC")? {
            dynamic::<H>(endian, data, segments, entries, &mut found)?;
        }
    }
    Ok(found)
}

fn dynamic<H: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    data: Data<'_>,
    segments: &[H::ProgramHeader],
    entries: &[H::Dyn],
    found: &mut Elf,
) -> Result<(), &'static str> {
    let used = entries.iter().position(|entry| entry.tag(endian) == elf::DT_NULL);
    let entries = &entries[..used.unwrap_or(entries.len()).min(MAX_DYNAMIC)];
    let value = |tag| entries.iter().find(|entry| entry.tag(endian) == tag).map(|e| e.val(endian));
    let Some(address) = value(elf::DT_STRTAB) else {
        return Ok(());
    };
    let size = value(elf::DT_STRSZ).ok_or("no size of the string table")?;
    let start = file_offset::<H>(endian, segments, address, size)
        .ok_or("a string table outside of the file's segments")?;
    let end = start.checked_add(size).ok_or("a string table beyond 64 bits")?;
    let strings = StringTable::new(data, start, end);
    for entry in entries {
        let text =
            || entry.string(endian, strings).map(<[u8]>::to_vec).map_err(|_| "a broken string");
        match entry.tag(endian) {
            elf::DT_NEEDED => found.needed.push(text()?),
            elf::DT_RPATH => found.rpath = Some(text()?),
            elf::DT_RUNPATH => found.runpath = Some(text()?),
            elf::DT_FLAGS_1 => {
                found.no_default = entry.val(endian) & elf::DF_1_NODEFLIB.0 != 0;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where the bytes of a virtual address stand in the file.
fn file_offset<H: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    segments: &[H::ProgramHeader],
    address: u64,
    size: u64,
) -> Option<u64> {
    segments.iter().filter(|s| s.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
        let (offset, length) = segment.file_range(endian);
        let inside = address.checked_sub(segment.p_vaddr(endian).into())?;
        (inside.checked_add(size)? <= length).then(|| offset.checked_add(inside)).flatten()
    })
}
