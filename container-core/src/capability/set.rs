use std::fmt;
use std::str::FromStr;

use super::Capability;
use crate::error::{Error, Result};

/// A set of capabilities, one bit for each.
///
/// ```
/// use container_core::capability::{Capability, CapabilitySet};
///
/// const NET: CapabilitySet = CapabilitySet::of(&[Capability::NetAdmin, Capability::NetRaw]);
/// assert_eq!(NET.to_string(), "CAP_NET_ADMIN,CAP_NET_RAW");
/// assert_eq!("net_raw, CAP_NET_ADMIN".parse::<CapabilitySet>()?, NET);
/// # Ok::<(), container_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// Every capability that this crate knows.
    pub const ALL: Self = Self::of(Capability::ALL);

    /// The set of the given capabilities.
    #[must_use]
    pub const fn of(capabilities: &[Capability]) -> Self {
        let mut set = Self::EMPTY;
        let mut i = 0;
        while i < capabilities.len() {
            set = set.with(capabilities[i]);
            i += 1;
        }
        set
    }

    /// The set with these bits, as in the `Cap*` lines of `/proc/PID/status`;
    /// bits of capabilities that this crate doesn't know are dropped.
    #[must_use]
    pub const fn from_bits_truncate(bits: u64) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The set as bits: bit *n* is capability number *n*.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set with one more capability.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability.number())
    }

    /// The set without one capability.
    #[must_use]
    pub const fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(1 << capability.number()))
    }

    /// Adds a capability; true if it was absent.
    pub const fn insert(&mut self, capability: Capability) -> bool {
        let absent = !self.contains(capability);
        *self = self.with(capability);
        absent
    }

    /// Removes a capability; true if it was present.
    pub const fn remove(&mut self, capability: Capability) -> bool {
        let present = self.contains(capability);
        *self = self.without(capability);
        present
    }

    /// Whether the capability is in the set.
    #[must_use]
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability.number()) != 0
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether each capability of this set is in the other as well.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.difference(other).is_empty()
    }

    /// Whether there is no capability in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many capabilities are in the set.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The capabilities of the set by ascending number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |capability| self.contains(*capability))
    }

    /// What the calling thread is permitted, and so can give to a process
    /// outside of a new user namespace.
    ///
    /// # Errors
    ///
    /// A failing `capget`, which no kernel with capabilities gives.
    pub fn of_caller() -> Result<Self> {
        let bits = crate::sys::permitted_capabilities();
        bits.map(Self::from_bits_truncate).map_err(|error| Error::os("capget", "", error))
    }

    /// The part of the set that a kernel doesn't know, whose highest
    /// capability is `last_cap` (`/proc/sys/kernel/cap_last_cap`).
    #[must_use]
    pub const fn unknown_to(self, last_cap: u8) -> Self {
        if last_cap >= 63 {
            return Self::EMPTY;
        }
        Self(self.0 & !((1 << (last_cap + 1)) - 1))
    }
}

impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, capability) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(capability.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

impl FromStr for CapabilitySet {
    type Err = Error;

    /// Names separated by commas; `ALL` is every capability and an empty text
    /// is the empty set.
    fn from_str(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::EMPTY);
        }
        let mut set = Self::EMPTY;
        for name in text.split(',').map(str::trim) {
            set = match name.eq_ignore_ascii_case("ALL") {
                true => Self::ALL,
                false => set.with(name.parse()?),
            };
        }
        Ok(set)
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl Extend<Capability> for CapabilitySet {
    fn extend<I: IntoIterator<Item = Capability>>(&mut self, capabilities: I) {
        *self = self.union(capabilities.into_iter().collect());
    }
}
