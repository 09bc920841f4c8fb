/// What the compiler has to know of the architecture that it compiles for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// `AUDIT_ARCH_*`: machine number, width and byte order (`linux/audit.h`).
    pub(super) audit_arch: u32,
    /// Numbers from here on belong to another calling convention (x32).
    pub(super) foreign_from: Option<u32>,
    /// Whether the lower half of an argument comes first in memory.
    pub(super) little_endian: bool,
}

impl Target {
    /// The architecture of this build; `None` if it isn't known here.
    pub(super) const fn native() -> Option<Self> {
        let audit_arch = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            0xc000_003e
        } else if cfg!(target_arch = "aarch64") {
            0xc000_00b7
        } else if cfg!(target_arch = "riscv64") {
            0xc000_00f3
        } else if cfg!(target_arch = "loongarch64") {
            0xc000_0102
        } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
            0xc000_0015
        } else if cfg!(target_arch = "s390x") {
            0x8000_0016
        } else if cfg!(target_arch = "x86") {
            0x4000_0003
        } else if cfg!(all(target_arch = "arm", target_endian = "little")) {
            0x4000_0028
        } else {
            return None;
        };
        Some(Self {
            audit_arch,
            foreign_from: if cfg!(target_arch = "x86_64") { Some(0x4000_0000) } else { None },
            little_endian: cfg!(target_endian = "little"),
        })
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
