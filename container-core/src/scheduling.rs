//! How the kernel serves a process: processors, disks and memory nodes.
//!
//! Beside the limits of a [cgroup](crate::cgroup), which share the machine out
//! between groups, a single process has attributes of its own:
//!
//! - its **policy** and priority: when it gets a processor ([`Scheduler`],
//!   [sched(7)]);
//! - its **affinity**: which processors it may use ([`CpuAffinity`]);
//! - its **i/o priority**: when the disk serves it ([`IoPriority`]);
//! - its **memory policy**: from which NUMA nodes its pages come
//!   ([`MemoryPolicy`]);
//! - its **personality**: as which kernel the system shows itself
//!   ([`Personality`]).
//!
//! All of them stay on `execve` and pass on to children.
//!
//! ```
//! use container_core::ProcessBuilder;
//! use container_core::scheduling::{CpuAffinity, IoClass, IoPriority, Policy, Scheduler};
//!
//! let output = ProcessBuilder::new("/bin/sh")
//!     .args(["-c", "exec /bin/true"])
//!     .scheduler(Scheduler::new(Policy::Batch).nice(5))
//!     .io_priority(IoPriority::new(IoClass::BestEffort, 7)?)
//!     .cpu_affinity(CpuAffinity::none().after("0".parse()?))
//!     .output()?;
//! assert!(output.status.success());
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! [sched(7)]: https://man7.org/linux/man-pages/man7/sched.7.html

mod memory;
mod policy;

pub use memory::{MemoryMode, MemoryPolicy, MemoryPolicyFlag};
pub use policy::{Policy, Scheduler, SchedulerFlag};

use std::fmt;
use std::str::FromStr;

use crate::cgroup::IdSet;
use crate::error::{Error, Result};

/// The class of an i/o priority
/// ([ioprio_set(2)](https://man7.org/linux/man-pages/man2/ioprio_set.2.html)).
///
/// Parses from its name, such as `IOPRIO_CLASS_BE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IoClass {
    /// `IOPRIO_CLASS_RT`: before all others; takes `CAP_SYS_NICE` or
    /// `CAP_SYS_ADMIN`.
    RealTime,
    /// `IOPRIO_CLASS_BE`: the usual one.
    BestEffort,
    /// `IOPRIO_CLASS_IDLE`: when nobody else wants the disk.
    Idle,
}

impl IoClass {
    const ALL: [Self; 3] = [Self::RealTime, Self::BestEffort, Self::Idle];

    /// The name, such as `IOPRIO_CLASS_BE`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RealTime => "IOPRIO_CLASS_RT",
            Self::BestEffort => "IOPRIO_CLASS_BE",
            Self::Idle => "IOPRIO_CLASS_IDLE",
        }
    }
}

impl FromStr for IoClass {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        named("parse i/o class", text, &Self::ALL, |class| class.name())
    }
}

/// An i/o priority: a class, and a level from 0 (served first) to 7 in it.
/// Schedulers of the block layer that know priorities heed it (`bfq`,
/// `mq-deadline`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IoPriority {
    class: IoClass,
    level: u8,
}

impl IoPriority {
    /// A class and a level, which means nothing to the idle class.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a level above 7.
    pub fn new(class: IoClass, level: u8) -> Result<Self> {
        if level > 7 {
            return Err(Error::invalid(
                "check i/o priority",
                level.to_string(),
                "the levels are 0 to 7",
            ));
        }
        Ok(Self { class, level })
    }

    /// The class.
    #[must_use]
    pub const fn class(self) -> IoClass {
        self.class
    }

    /// The level in the class.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// As the kernel takes it.
    pub(crate) const fn bits(self) -> u32 {
        let class = match self.class {
            IoClass::RealTime => 1,
            IoClass::BestEffort => 2,
            IoClass::Idle => 3,
        };
        class << 13 | self.level as u32
    }
}

impl fmt::Display for IoPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.class.name(), self.level)
    }
}

/// On which processors a process runs
/// ([sched_setaffinity(2)](https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html)):
/// while it is set up, and when it runs its program. Without either the kernel
/// decides: all processors of the cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct CpuAffinity {
    initial: Option<IdSet>,
    last: Option<IdSet>,
}

impl CpuAffinity {
    /// As the kernel decides.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The processors before the cgroup is entered, which makes the entry a
    /// step of its own (else the process is born in the cgroup).
    #[must_use]
    pub fn before(mut self, cpus: IdSet) -> Self {
        self.initial = Some(cpus);
        self
    }

    /// The processors when the cgroup has been entered: the program's.
    #[must_use]
    pub fn after(mut self, cpus: IdSet) -> Self {
        self.last = Some(cpus);
        self
    }

    /// The processors before the cgroup is entered.
    #[must_use]
    pub fn get_before(&self) -> Option<&IdSet> {
        self.initial.as_ref()
    }

    /// The program's processors.
    #[must_use]
    pub fn get_after(&self) -> Option<&IdSet> {
        self.last.as_ref()
    }

    pub(crate) fn check(&self) -> Result<()> {
        for cpus in [&self.initial, &self.last].into_iter().flatten() {
            check_ids("check CPU affinity", cpus)?;
        }
        Ok(())
    }
}

/// As which kernel the system shows itself to the process
/// ([personality(2)](https://man7.org/linux/man-pages/man2/personality.2.html)).
///
/// Parses from `LINUX` and `LINUX32`. The flags of the system call are not
/// offered, as the OCI specification has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Personality {
    /// The machine's own.
    Linux,
    /// `uname -m` tells the 32-bit architecture.
    Linux32,
}

impl Personality {
    /// The name, `LINUX` or `LINUX32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linux => "LINUX",
            Self::Linux32 => "LINUX32",
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Linux => 0,
            Self::Linux32 => 8,
        }
    }
}

impl FromStr for Personality {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        named("parse personality", text, &[Self::Linux, Self::Linux32], |one| one.name())
    }
}

/// The one of `all` with this name.
fn named<T: Copy>(
    step: &'static str,
    text: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T> {
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| {
        let names = all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
        Error::invalid(step, text, "not one of the names").hint(format!("give one of {names}"))
    })
}

/// A set of processors or nodes that the kernel can take.
fn check_ids(step: &'static str, ids: &IdSet) -> Result<()> {
    match ids.iter().last() {
        None => Err(Error::invalid(step, "", "an empty list")),
        Some(last) if last > MAX_CPU => {
            Err(Error::invalid(step, last.to_string(), format!("above {MAX_CPU}")))
        }
        Some(_) => Ok(()),
    }
}

/// The highest number of a processor or node that any kernel is built for.
const MAX_CPU: u32 = 8191;

/// As the kernel takes a set: one bit for each number.
pub(crate) fn mask(ids: &IdSet) -> Vec<u64> {
    let mut mask = Vec::new();
    for id in ids.iter().take_while(|id| *id <= MAX_CPU) {
        let word = id as usize / 64;
        if mask.len() <= word {
            mask.resize(word + 1, 0);
        }
        mask[word] |= 1 << (id % 64);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_those_of_the_specification() {
        assert_eq!("IOPRIO_CLASS_RT".parse::<IoClass>().unwrap(), IoClass::RealTime);
        assert_eq!("LINUX32".parse::<Personality>().unwrap(), Personality::Linux32);
        for wrong in ["", "rt", "IOPRIO_CLASS_NONE", "linux32"] {
            assert!(wrong.parse::<IoClass>().is_err(), "{wrong:?}");
            assert!(wrong.parse::<Personality>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn levels_are_eight() {
        assert_eq!(IoPriority::new(IoClass::BestEffort, 7).unwrap().bits(), 2 << 13 | 7);
        assert!(IoPriority::new(IoClass::BestEffort, 8).is_err());
    }

    #[test]
    fn an_affinity_is_not_empty_and_not_beyond_any_machine() {
        assert!(CpuAffinity::none().after(IdSet::default()).check().is_err());
        let high: IdSet = [9000].into_iter().collect();
        assert!(CpuAffinity::none().before(high).check().is_err());
        CpuAffinity::none().before("0-3,8191".parse().unwrap()).check().unwrap();
    }

    proptest! {
        #[test]
        fn a_mask_has_the_bits_of_its_set(ids in proptest::collection::btree_set(0..8192u32, 0..40)) {
            let mask = mask(&ids.iter().copied().collect());
            let back: BTreeSet<u32> = (0..mask.len() as u32 * 64)
                .filter(|id| mask[*id as usize / 64] & (1 << (id % 64)) != 0)
                .collect();
            prop_assert_eq!(back, ids);
        }

        #[test]
        fn names_never_panic(text in ".*") {
            let _ = text.parse::<IoClass>();
            let _ = text.parse::<Policy>();
            let _ = text.parse::<SchedulerFlag>();
            let _ = text.parse::<MemoryMode>();
            let _ = text.parse::<MemoryPolicyFlag>();
        }
    }
}
