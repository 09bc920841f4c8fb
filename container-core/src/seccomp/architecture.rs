//! Which calling conventions a filter knows.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

macro_rules! architectures {
    ($($variant:ident $name:literal $words:literal,)+) => {
        /// A calling convention of system calls: the machine, the width and
        /// the byte order. One kernel takes several: on x86-64 also those of
        /// 32-bit programs (x86) and of x32.
        ///
        /// ```
        /// use container_core::seccomp::Architecture;
        ///
        /// let x86: Architecture = "SCMP_ARCH_X86".parse()?;
        /// assert_eq!(x86, Architecture::X86);
        /// # Ok::<(), container_core::Error>(())
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Architecture {
            $(#[doc = $words] $variant,)+
        }

        impl Architecture {
            /// All that have a name.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in OCI specifications, such as `SCMP_ARCH_X86_64`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("SCMP_ARCH_", $name),)+
                }
            }
        }
    };
}

architectures! {
    X86 "X86" "32-bit x86.",
    X86_64 "X86_64" "64-bit x86.",
    X32 "X32" "64-bit x86 with pointers of 32 bits.",
    Arm "ARM" "32-bit ARM (EABI, little-endian).",
    Aarch64 "AARCH64" "64-bit ARM.",
    Mips "MIPS" "32-bit MIPS, big-endian.",
    Mips64 "MIPS64" "64-bit MIPS, big-endian.",
    Mips64N32 "MIPS64N32" "64-bit MIPS with pointers of 32 bits, big-endian.",
    Mipsel "MIPSEL" "32-bit MIPS, little-endian.",
    Mipsel64 "MIPSEL64" "64-bit MIPS, little-endian.",
    Mipsel64N32 "MIPSEL64N32" "64-bit MIPS with pointers of 32 bits, little-endian.",
    Ppc "PPC" "32-bit PowerPC.",
    Ppc64 "PPC64" "64-bit PowerPC, big-endian.",
    Ppc64Le "PPC64LE" "64-bit PowerPC, little-endian.",
    S390 "S390" "31-bit IBM Z.",
    S390X "S390X" "64-bit IBM Z.",
    Parisc "PARISC" "32-bit PA-RISC.",
    Parisc64 "PARISC64" "64-bit PA-RISC.",
    Riscv64 "RISCV64" "64-bit RISC-V.",
    Loongarch64 "LOONGARCH64" "64-bit LoongArch.",
    M68k "M68K" "Motorola 68000.",
    Sh "SH" "SuperH, little-endian.",
    Sheb "SHEB" "SuperH, big-endian.",
}

impl Architecture {
    /// That of this build; `None` if it isn't known here.
    #[must_use]
    pub const fn native() -> Option<Self> {
        Some(if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            Self::X86_64
        } else if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else if cfg!(target_arch = "riscv64") {
            Self::Riscv64
        } else if cfg!(target_arch = "loongarch64") {
            Self::Loongarch64
        } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
            Self::Ppc64Le
        } else if cfg!(target_arch = "s390x") {
            Self::S390X
        } else if cfg!(target_arch = "x86") {
            Self::X86
        } else if cfg!(all(target_arch = "arm", target_endian = "little")) {
            Self::Arm
        } else {
            return None;
        })
    }

    /// The others whose calls a kernel of this architecture may take.
    #[must_use]
    pub const fn companions(self) -> &'static [Self] {
        match self {
            Self::X86_64 => &[Self::X86, Self::X32],
            Self::Aarch64 => &[Self::Arm],
            _ => &[],
        }
    }
}

/// The name in OCI specifications.
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|architecture| architecture.name() == name)
            .ok_or_else(|| Error::invalid("seccomp architecture", name, "no such architecture"))
    }
}
