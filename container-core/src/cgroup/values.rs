//! The values that limits are made of, and the conversions between v1 and v2.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A ceiling: a number, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// At most this many.
    At(u64),
    /// No limit: `max` on v2, `-1` on v1.
    Unlimited,
}

impl Limit {
    /// The number; `None` when there is no limit.
    #[must_use]
    pub fn value(self) -> Option<u64> {
        match self {
            Self::At(value) => Some(value),
            Self::Unlimited => None,
        }
    }
}

impl From<u64> for Limit {
    fn from(value: u64) -> Self {
        Self::At(value)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(value) => value.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// A ceiling of swap, in either version's way of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SwapLimit {
    /// Swap by itself, as v2 counts.
    Alone(Limit),
    /// Memory and swap together, as v1 and OCI count.
    Total(Limit),
}

impl SwapLimit {
    pub(super) fn limit(self) -> Limit {
        match self {
            Self::Alone(limit) | Self::Total(limit) => limit,
        }
    }
}

pub(super) fn page_size() -> u64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096)
}

/// A ceiling of processor time: `quota` microseconds in every `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CpuMax {
    /// Microseconds that may be used in a period, over all processors.
    pub quota: Limit,
    /// Length of the period in microseconds.
    pub period: u64,
}

impl CpuMax {
    /// The kernel's default period: 100 ms.
    pub const DEFAULT_PERIOD: u64 = 100_000;

    /// The ceiling of so many processors; less than 0.01 takes a period of a second.
    #[must_use]
    pub fn of_cpus(cpus: f64) -> Self {
        let period = if cpus < 0.01 { 1_000_000 } else { Self::DEFAULT_PERIOD };
        // A cast saturates: nonsense becomes zero or huge, which validation refuses.
        Self { quota: Limit::At((cpus * period as f64).round() as u64), period }
    }
}

/// A share of processor time relative to siblings, in the scale of either version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CpuShare {
    /// v2's `cpu.weight`, 1 to 10000, default 100.
    Weight(u64),
    /// v1's `cpu.shares`, 2 to 262144, default 1024.
    Shares(u64),
}

impl CpuShare {
    pub(super) fn weight(self) -> u64 {
        match self {
            Self::Weight(weight) => weight,
            Self::Shares(shares) => weight_from_shares(shares),
        }
    }

    pub(super) fn shares(self) -> u64 {
        match self {
            Self::Weight(weight) => shares_from_weight(weight),
            Self::Shares(shares) => shares,
        }
    }
}

pub(super) const SHARES_MIN: u64 = 2;
pub(super) const SHARES_MAX: u64 = 262_144;
pub(super) const WEIGHT_MAX: u64 = 10_000;

/// v1 `cpu.shares` to v2 `cpu.weight`, as runc does since 1.3.2 and crun since 1.23.
///
/// A quadratic in the logarithms through the minima (2, 1), the defaults (1024, 100) and the
/// maxima (262144, 10000); values outside are clamped. Older runc had a straight line
/// from minimum to maximum, which made of the default share 39 instead of 100.
///
/// ```
/// use container_core::cgroup::weight_from_shares;
///
/// assert_eq!([2, 1024, 262_144].map(weight_from_shares), [1, 100, 10_000]);
/// ```
#[must_use]
pub fn weight_from_shares(shares: u64) -> u64 {
    if shares <= SHARES_MIN {
        return 1;
    }
    if shares >= SHARES_MAX {
        return WEIGHT_MAX;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    10_f64.powf(exponent).ceil() as u64
}

/// v2 `cpu.weight` to v1 `cpu.shares`: the inverse of [`weight_from_shares`].
///
/// The largest share that weighs no more than `weight`; values outside are clamped.
///
/// ```
/// use container_core::cgroup::shares_from_weight;
///
/// assert_eq!([1, 100, 10_000].map(shares_from_weight), [2, 1024, 262_144]);
/// ```
#[must_use]
pub fn shares_from_weight(weight: u64) -> u64 {
    let exponent = (weight.clamp(1, WEIGHT_MAX) as f64).log10() + 7.0 / 34.0;
    let log = ((125.0 * 125.0 + 4.0 * 612.0 * exponent).sqrt() - 125.0) / 2.0;
    // The three fixed points are whole numbers that floating point just misses.
    let shares = (log.exp2() + 1e-6).floor() as u64;
    shares.clamp(SHARES_MIN, SHARES_MAX)
}

/// The highest id that a kernel can be built for.
const ID_MAX: u32 = 8191;

/// A set of processor or memory node ids, as in `cpuset.cpus`.
///
/// ```
/// use container_core::cgroup::IdSet;
///
/// let cpus: IdSet = "0-2,7".parse()?;
/// assert_eq!(cpus, [0, 1, 2, 7].into_iter().collect());
/// assert_eq!(cpus.to_string(), "0-2,7");
/// # Ok::<(), container_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct IdSet(BTreeSet<u32>);

impl IdSet {
    /// Whether `id` is in the set.
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        self.0.contains(&id)
    }

    /// The ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An id that no kernel has.
    pub(super) fn impossible(&self) -> Option<u32> {
        self.0.last().copied().filter(|id| *id > ID_MAX)
    }
}

impl FromIterator<u32> for IdSet {
    fn from_iter<I: IntoIterator<Item = u32>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl From<Range<u32>> for IdSet {
    fn from(range: Range<u32>) -> Self {
        range.take(ID_MAX as usize + 2).collect()
    }
}

impl FromStr for IdSet {
    type Err = Error;

    /// Reads the kernel's list format: numbers and ranges between commas.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            let reason = "is no list of ids from 0 to 8191 such as 0-3,7";
            Error::invalid("cpuset list", text, reason)
        };
        let number = |digits: &str| -> Result<u32> {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<u32>().ok().filter(|id| plain && *id <= ID_MAX).ok_or_else(refuse)
        };
        let mut ids = BTreeSet::new();
        for part in text.trim_end_matches('\n').split(',').filter(|_| !text.trim().is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(refuse());
            }
            ids.extend(first..=last);
        }
        Ok(Self(ids))
    }
}

impl fmt::Display for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = ids.next() {
            let mut last = first;
            while let Some(next) = ids.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_as_runc_has_them() {
        // shares, weight: from the table that the change of the formula came with.
        for (shares, weight) in
            [(2, 1), (102, 17), (512, 59), (1024, 100), (2000, 170), (262_144, 10_000)]
        {
            assert_eq!(weight_from_shares(shares), weight, "{shares}");
        }
        assert_eq!(weight_from_shares(0), 1);
        assert_eq!(weight_from_shares(u64::MAX), 10_000);
    }

    #[test]
    fn cpus() {
        assert_eq!(CpuMax::of_cpus(1.5), CpuMax { quota: Limit::At(150_000), period: 100_000 });
        assert_eq!(CpuMax::of_cpus(0.001), CpuMax { quota: Limit::At(1000), period: 1_000_000 });
        assert_eq!(CpuMax::of_cpus(f64::NAN).quota, Limit::At(0));
        assert_eq!(CpuMax::of_cpus(-1.0).quota, Limit::At(0));
    }

    #[test]
    fn lists() {
        for bad in ["a", "1-", "-1", "3-1", "0,,1", "8192", "0-9999999999", "+1", " 1"] {
            assert!(bad.parse::<IdSet>().is_err(), "{bad}");
        }
        assert!("\n".parse::<IdSet>().unwrap().is_empty());
        assert_eq!("0,1,2,4\n".parse::<IdSet>().unwrap().to_string(), "0-2,4");
        assert_eq!(IdSet::from(0..u32::MAX).impossible(), Some(8192));
    }

    proptest! {
        #[test]
        fn a_list_survives_its_text(ids in proptest::collection::btree_set(0_u32..300, 0..40)) {
            let set = IdSet(ids);
            prop_assert_eq!(set.to_string().parse::<IdSet>().unwrap(), set);
        }

        #[test]
        fn any_list_text_is_survived(text in "[0-9,\\- \n]{0,12}") {
            let _ = text.parse::<IdSet>();
        }

        #[test]
        fn weights_survive_the_way_through_shares(weight in 1_u64..=10_000) {
            let shares = shares_from_weight(weight);
            prop_assert!((SHARES_MIN..=SHARES_MAX).contains(&shares));
            // Of small weights not every one has a share: then the next lighter one.
            prop_assert!(weight_from_shares(shares) <= weight);
            prop_assert!(shares == SHARES_MAX || weight_from_shares(shares + 1) > weight);
        }

        #[test]
        fn shares_survive_the_way_through_weights(shares in 2_u64..=262_144) {
            let weight = weight_from_shares(shares);
            prop_assert_eq!(weight_from_shares(shares_from_weight(weight)), weight);
        }

        #[test]
        fn more_shares_never_weigh_less(shares in 2_u64..262_144) {
            prop_assert!(weight_from_shares(shares) <= weight_from_shares(shares + 1));
            prop_assert!((1..=10_000).contains(&weight_from_shares(shares)));
        }
    }
}
