use super::architecture::Architecture;

/// What the compiler has to know of an architecture that it compiles for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// Whose names count.
    pub(super) architecture: Architecture,
    /// `AUDIT_ARCH_*`: machine number, width and byte order (`linux/audit.h`).
    pub(super) audit_arch: u32,
    /// Whether arguments have 32 bits: then only the lower half is looked at.
    pub(super) narrow: bool,
    /// Whether the lower half of an argument comes first in memory.
    pub(super) little_endian: bool,
}

/// On x86-64 the numbers from here on are those of x32.
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Target {
    /// `None` for one that can't be compiled for.
    pub(super) const fn of(architecture: Architecture) -> Option<Self> {
        let (audit_arch, narrow, little_endian) = match architecture {
            Architecture::X86_64 => (0xc000_003e, false, true),
            Architecture::X32 => (0xc000_003e, true, true),
            Architecture::X86 => (0x4000_0003, true, true),
            Architecture::Aarch64 => (0xc000_00b7, false, true),
            Architecture::Arm => (0x4000_0028, true, true),
            Architecture::Riscv64 => (0xc000_00f3, false, true),
            Architecture::Loongarch64 => (0xc000_0102, false, true),
            Architecture::Ppc64Le => (0xc000_0015, false, true),
            Architecture::S390X => (0x8000_0016, false, false),
            _ => return None,
        };
        Some(Self { architecture, audit_arch, narrow, little_endian })
    }

    /// The architecture of this build; `None` if it isn't known here.
    pub(super) const fn native() -> Option<Self> {
        match Architecture::native() {
            Some(architecture) => Self::of(architecture),
            None => None,
        }
    }

    /// The numbers that belong to it: from, and up to but not including.
    pub(super) const fn numbers(self) -> (u32, u64) {
        match self.architecture {
            Architecture::X86_64 => (0, X32_BIT as u64),
            Architecture::X32 => (X32_BIT, 1 << 32),
            _ => (0, 1 << 32),
        }
    }

    /// The offset of the lower half of an argument in `struct seccomp_data`.
    pub(super) const fn lower(self, argument: u8) -> u32 {
        16 + 8 * argument as u32 + if self.little_endian { 0 } else { 4 }
    }

    /// The offset of the upper half of an argument.
    pub(super) const fn upper(self, argument: u8) -> u32 {
        16 + 8 * argument as u32 + if self.little_endian { 4 } else { 0 }
    }
}
