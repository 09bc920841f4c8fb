//! From which NUMA nodes a process gets its memory.

use std::fmt;
use std::str::FromStr;

use super::{check_ids, named};
use crate::cgroup::IdSet;
use crate::error::{Error, Result};

/// How pages are placed ([set_mempolicy(2)]).
///
/// Parses from its name, such as `MPOL_BIND`.
///
/// [set_mempolicy(2)]: https://man7.org/linux/man-pages/man2/set_mempolicy.2.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryMode {
    /// `MPOL_DEFAULT`: the system's own policy.
    Default,
    /// `MPOL_PREFERRED`: this node first, then any.
    Preferred,
    /// `MPOL_BIND`: these nodes only.
    Bind,
    /// `MPOL_INTERLEAVE`: page by page over these nodes.
    Interleave,
    /// `MPOL_LOCAL`: the node of the processor that asks.
    Local,
    /// `MPOL_PREFERRED_MANY`: these nodes first, then any (Linux 5.15).
    PreferredMany,
    /// `MPOL_WEIGHTED_INTERLEAVE`: as interleaved, by weight (Linux 6.9).
    WeightedInterleave,
}

impl MemoryMode {
    const ALL: [Self; 7] = [
        Self::Default,
        Self::Preferred,
        Self::Bind,
        Self::Interleave,
        Self::Local,
        Self::PreferredMany,
        Self::WeightedInterleave,
    ];

    /// The name, such as `MPOL_BIND`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "MPOL_DEFAULT",
            Self::Preferred => "MPOL_PREFERRED",
            Self::Bind => "MPOL_BIND",
            Self::Interleave => "MPOL_INTERLEAVE",
            Self::Local => "MPOL_LOCAL",
            Self::PreferredMany => "MPOL_PREFERRED_MANY",
            Self::WeightedInterleave => "MPOL_WEIGHTED_INTERLEAVE",
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Default => 0,
            Self::Preferred => 1,
            Self::Bind => 2,
            Self::Interleave => 3,
            Self::Local => 4,
            Self::PreferredMany => 5,
            Self::WeightedInterleave => 6,
        }
    }
}

impl FromStr for MemoryMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        named("parse memory policy", text, &Self::ALL, |mode| mode.name())
    }
}

/// A flag of a memory policy. Parses from its name, such as
/// `MPOL_F_STATIC_NODES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryPolicyFlag {
    /// `MPOL_F_STATIC_NODES`: the nodes stay these when the cpuset changes.
    StaticNodes,
    /// `MPOL_F_RELATIVE_NODES`: the numbers count within the cpuset.
    RelativeNodes,
    /// `MPOL_F_NUMA_BALANCING`: pages may move between the nodes (Linux 5.12).
    NumaBalancing,
}

impl MemoryPolicyFlag {
    pub(crate) const ALL: [Self; 3] = [Self::StaticNodes, Self::RelativeNodes, Self::NumaBalancing];

    /// The name, such as `MPOL_F_STATIC_NODES`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StaticNodes => "MPOL_F_STATIC_NODES",
            Self::RelativeNodes => "MPOL_F_RELATIVE_NODES",
            Self::NumaBalancing => "MPOL_F_NUMA_BALANCING",
        }
    }

    pub(crate) const fn bit(self) -> u32 {
        match self {
            Self::StaticNodes => 1 << 15,
            Self::RelativeNodes => 1 << 14,
            Self::NumaBalancing => 1 << 13,
        }
    }
}

impl FromStr for MemoryPolicyFlag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        named("parse memory policy flag", text, &Self::ALL, |flag| flag.name())
    }
}

/// A memory policy ([set_mempolicy(2)]): mode, nodes and flags. Which go
/// together is checked when a plan is made.
///
/// [set_mempolicy(2)]: https://man7.org/linux/man-pages/man2/set_mempolicy.2.html
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemoryPolicy {
    pub(crate) mode: MemoryMode,
    pub(crate) flags: u32,
    pub(crate) nodes: IdSet,
}

impl MemoryPolicy {
    /// The mode without nodes and flags.
    #[must_use]
    pub fn new(mode: MemoryMode) -> Self {
        Self { mode, flags: 0, nodes: IdSet::default() }
    }

    /// The nodes, such as `"0-1".parse()?`.
    #[must_use]
    pub fn nodes(mut self, nodes: IdSet) -> Self {
        self.nodes = nodes;
        self
    }

    /// Adds a flag.
    #[must_use]
    pub fn flag(mut self, flag: MemoryPolicyFlag) -> Self {
        self.flags |= flag.bit();
        self
    }

    /// Checks that nodes and flags are those of the mode.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming what does not
    /// fit.
    pub fn check(&self) -> Result<()> {
        use MemoryMode::{Bind, Default, Local, Preferred, PreferredMany};
        let wrong = |reason: &'static str| {
            Err(Error::invalid("check memory policy", self.to_string(), reason))
        };
        let has = |flag: MemoryPolicyFlag| self.flags & flag.bit() != 0;
        let (placed, balanced) = (
            has(MemoryPolicyFlag::StaticNodes) || has(MemoryPolicyFlag::RelativeNodes),
            has(MemoryPolicyFlag::NumaBalancing),
        );
        if matches!(self.mode, Default | Local) && !self.nodes.is_empty() {
            return wrong("this mode takes no nodes");
        }
        if !matches!(self.mode, Default | Local | Preferred) && self.nodes.is_empty() {
            return wrong("this mode takes nodes");
        }
        if has(MemoryPolicyFlag::StaticNodes) && has(MemoryPolicyFlag::RelativeNodes) {
            return wrong("nodes are either static or relative");
        }
        if placed && self.nodes.is_empty() {
            return wrong("static or relative, but no nodes");
        }
        if balanced && !matches!(self.mode, Bind | PreferredMany) {
            return wrong("balancing goes with MPOL_BIND and MPOL_PREFERRED_MANY");
        }
        if self.nodes.is_empty() { Ok(()) } else { check_ids("check memory policy", &self.nodes) }
    }

    /// Mode and flags in one word, as the kernel takes them.
    pub(crate) fn mode_bits(&self) -> u32 {
        self.mode.number() | self.flags
    }

    pub(crate) fn node_mask(&self) -> Vec<u64> {
        super::mask(&self.nodes)
    }
}

/// Mode, nodes and flags.
impl fmt::Display for MemoryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mode.name())?;
        if !self.nodes.is_empty() {
            write!(f, " {}", self.nodes)?;
        }
        let flags = MemoryPolicyFlag::ALL.into_iter();
        for flag in flags.filter(|flag| self.flags & flag.bit() != 0) {
            write!(f, " {}", flag.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for mode in MemoryMode::ALL {
            assert_eq!(mode.name().parse::<MemoryMode>().unwrap(), mode);
        }
        for flag in MemoryPolicyFlag::ALL {
            assert_eq!(flag.name().parse::<MemoryPolicyFlag>().unwrap(), flag);
        }
        assert!("MPOL_F_LOCAL".parse::<MemoryMode>().is_err());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        use MemoryPolicyFlag::{NumaBalancing, RelativeNodes, StaticNodes};
        let new = MemoryPolicy::new;
        let zero = || "0".parse::<IdSet>().unwrap();
        for wrong in [
            new(MemoryMode::Default).nodes(zero()),
            new(MemoryMode::Local).nodes(zero()),
            new(MemoryMode::Bind),
            new(MemoryMode::Interleave),
            new(MemoryMode::Bind).nodes(zero()).flag(StaticNodes).flag(RelativeNodes),
            new(MemoryMode::Preferred).flag(StaticNodes),
            new(MemoryMode::Interleave).nodes(zero()).flag(NumaBalancing),
            new(MemoryMode::Bind).nodes([8192].into_iter().collect()),
        ] {
            assert!(wrong.check().is_err(), "{wrong}");
        }
        for right in [
            new(MemoryMode::Default),
            new(MemoryMode::Preferred),
            new(MemoryMode::Bind).nodes(zero()).flag(NumaBalancing).flag(StaticNodes),
        ] {
            right.check().unwrap();
        }
    }
}
