use crate::error::{Error, Result};

/// How an argument is compared, as an unsigned number of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compare {
    /// The argument is this value.
    Equal(u64),
    /// The argument isn't this value.
    NotEqual(u64),
    /// The argument is below this value.
    Less(u64),
    /// The argument is this value or below.
    LessOrEqual(u64),
    /// The argument is above this value.
    Greater(u64),
    /// The argument is this value or above.
    GreaterOrEqual(u64),
    /// The argument has this value under the mask: `argument & mask == value`.
    MaskedEqual {
        /// The bits that count.
        mask: u64,
        /// What they have to be.
        value: u64,
    },
}

/// A condition on one argument of a system call.
///
/// Registers hold 64 bits, but for an argument of the type `int` the kernel
/// looks at the lower 32 only, and the caller may leave anything in the upper
/// ones. A rule that **denies** by such an argument must use
/// [`equal32`](Self::equal32), or it is passed by setting an upper bit
/// (CVE-2019-10063).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// What it is compared to.
    pub compare: Compare,
}

impl Condition {
    /// A condition on argument 0 to 5.
    #[must_use]
    pub const fn new(argument: u8, compare: Compare) -> Self {
        Self { argument, compare }
    }

    /// The lower 32 bits of the argument are this value.
    #[must_use]
    pub const fn equal32(argument: u8, value: u32) -> Self {
        let compare = Compare::MaskedEqual { mask: 0xffff_ffff, value: value as u64 };
        Self::new(argument, compare)
    }

    /// None of these bits is set in the argument.
    #[must_use]
    pub const fn without_bits(argument: u8, bits: u64) -> Self {
        Self::new(argument, Compare::MaskedEqual { mask: bits, value: 0 })
    }

    /// The same on 32-bit architectures, where only the lower half of an
    /// argument and of a value counts.
    pub(super) fn narrowed(self) -> Self {
        let low = |value: u64| value & u64::from(u32::MAX);
        let compare = match self.compare {
            Compare::Equal(value) => Compare::Equal(low(value)),
            Compare::NotEqual(value) => Compare::NotEqual(low(value)),
            Compare::Less(value) => Compare::Less(low(value)),
            Compare::LessOrEqual(value) => Compare::LessOrEqual(low(value)),
            Compare::Greater(value) => Compare::Greater(low(value)),
            Compare::GreaterOrEqual(value) => Compare::GreaterOrEqual(low(value)),
            Compare::MaskedEqual { mask, value } => {
                Compare::MaskedEqual { mask: low(mask), value: low(value) }
            }
        };
        Self { compare, ..self }
    }

    /// Whether it holds for this value of the argument.
    #[must_use]
    pub const fn holds(&self, argument: u64) -> bool {
        match self.compare {
            Compare::Equal(value) => argument == value,
            Compare::NotEqual(value) => argument != value,
            Compare::Less(value) => argument < value,
            Compare::LessOrEqual(value) => argument <= value,
            Compare::Greater(value) => argument > value,
            Compare::GreaterOrEqual(value) => argument >= value,
            Compare::MaskedEqual { mask, value } => argument & mask == value,
        }
    }

    /// Whether it holds whatever the argument.
    pub(super) const fn is_empty(&self) -> bool {
        matches!(self.compare, Compare::MaskedEqual { mask: 0, value: 0 })
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.argument {
            0..=5 => Ok(()),
            argument => Err(Error::invalid(
                "compile seccomp filter",
                format!("argument {argument}"),
                "a system call has the arguments 0 to 5",
            )),
        }
    }
}
