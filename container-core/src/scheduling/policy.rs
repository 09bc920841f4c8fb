//! When a process gets a processor.

use std::fmt;
use std::str::FromStr;

use super::named;
use crate::error::{Error, ErrorKind, Result};

/// A scheduling policy ([sched(7)]).
///
/// Parses from its name, such as `SCHED_BATCH`. `SCHED_ISO` is refused: it is
/// reserved, and no kernel has it.
///
/// [sched(7)]: https://man7.org/linux/man-pages/man7/sched.7.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// `SCHED_OTHER`: fair shares by nice value; the default.
    Other,
    /// `SCHED_BATCH`: likewise, for work that nobody waits for.
    Batch,
    /// `SCHED_IDLE`: less than any nice value.
    Idle,
    /// `SCHED_FIFO`: real time, until it blocks.
    Fifo,
    /// `SCHED_RR`: real time, in turns with its equals.
    RoundRobin,
    /// `SCHED_DEADLINE`: so much time in each period.
    Deadline,
}

impl Policy {
    const ALL: [Self; 6] =
        [Self::Other, Self::Batch, Self::Idle, Self::Fifo, Self::RoundRobin, Self::Deadline];

    /// The name, such as `SCHED_FIFO`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "SCHED_OTHER",
            Self::Batch => "SCHED_BATCH",
            Self::Idle => "SCHED_IDLE",
            Self::Fifo => "SCHED_FIFO",
            Self::RoundRobin => "SCHED_RR",
            Self::Deadline => "SCHED_DEADLINE",
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Other => 0,
            Self::Fifo => 1,
            Self::RoundRobin => 2,
            Self::Batch => 3,
            Self::Idle => 5,
            Self::Deadline => 6,
        }
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "SCHED_ISO" {
            let reason = "reserved, but no kernel has this policy";
            return Err(Error::with(
                ErrorKind::Unsupported,
                "parse scheduler policy",
                text,
                reason,
            ));
        }
        named("parse scheduler policy", text, &Self::ALL, |policy| policy.name())
    }
}

/// A flag of [sched_setattr(2)].
///
/// Parses from its name in the OCI specification, such as
/// `SCHED_FLAG_RECLAIM`.
///
/// [sched_setattr(2)]: https://man7.org/linux/man-pages/man2/sched_setattr.2.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchedulerFlag {
    /// `SCHED_FLAG_RESET_ON_FORK`: children inherit no real-time policy,
    /// deadline or nice value below 0.
    ResetOnFork,
    /// `SCHED_FLAG_RECLAIM`: may use the time that other deadline processes
    /// leave.
    Reclaim,
    /// `SCHED_FLAG_DL_OVERRUN`: `SIGXCPU` when a deadline process overruns.
    DeadlineOverrun,
    /// `SCHED_FLAG_KEEP_POLICY`: changes no policy (Linux 5.3).
    KeepPolicy,
    /// `SCHED_FLAG_KEEP_PARAMS`: changes no nice value or priority (Linux 5.3).
    KeepParams,
    /// `SCHED_FLAG_UTIL_CLAMP_MIN`: with [`Scheduler::util_min`] (Linux 5.3).
    UtilClampMin,
    /// `SCHED_FLAG_UTIL_CLAMP_MAX`: with [`Scheduler::util_max`] (Linux 5.3).
    UtilClampMax,
}

impl SchedulerFlag {
    pub(crate) const ALL: [Self; 7] = [
        Self::ResetOnFork,
        Self::Reclaim,
        Self::DeadlineOverrun,
        Self::KeepPolicy,
        Self::KeepParams,
        Self::UtilClampMin,
        Self::UtilClampMax,
    ];

    /// The name, such as `SCHED_FLAG_RECLAIM`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResetOnFork => "SCHED_FLAG_RESET_ON_FORK",
            Self::Reclaim => "SCHED_FLAG_RECLAIM",
            Self::DeadlineOverrun => "SCHED_FLAG_DL_OVERRUN",
            Self::KeepPolicy => "SCHED_FLAG_KEEP_POLICY",
            Self::KeepParams => "SCHED_FLAG_KEEP_PARAMS",
            Self::UtilClampMin => "SCHED_FLAG_UTIL_CLAMP_MIN",
            Self::UtilClampMax => "SCHED_FLAG_UTIL_CLAMP_MAX",
        }
    }

    pub(crate) const fn bit(self) -> u64 {
        match self {
            Self::ResetOnFork => 0x01,
            Self::Reclaim => 0x02,
            Self::DeadlineOverrun => 0x04,
            Self::KeepPolicy => 0x08,
            Self::KeepParams => 0x10,
            Self::UtilClampMin => 0x20,
            Self::UtilClampMax => 0x40,
        }
    }
}

impl FromStr for SchedulerFlag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        named("parse scheduler flag", text, &Self::ALL, |flag| flag.name())
    }
}

/// A policy with its parameters, as [sched_setattr(2)] takes them. Which go
/// together is checked when a plan is made.
///
/// [sched_setattr(2)]: https://man7.org/linux/man-pages/man2/sched_setattr.2.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scheduler {
    pub(crate) policy: Policy,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
    pub(crate) util_min: u32,
    pub(crate) util_max: u32,
}

impl Scheduler {
    /// The policy without parameters.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            flags: 0,
            nice: 0,
            priority: 0,
            runtime: 0,
            deadline: 0,
            period: 0,
            util_min: 0,
            util_max: 0,
        }
    }

    /// The nice value of [`Policy::Other`] and [`Policy::Batch`], -20 (most
    /// time) to 19. Less than the caller's own takes `CAP_SYS_NICE`.
    #[must_use]
    pub const fn nice(mut self, nice: i32) -> Self {
        self.nice = nice;
        self
    }

    /// The priority of [`Policy::Fifo`] and [`Policy::RoundRobin`], 1 to 99
    /// (first).
    #[must_use]
    pub const fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Of [`Policy::Deadline`], in nanoseconds: so much processor time within
    /// so much of each period. 1024 <= `runtime` <= `deadline` <= `period`; a
    /// period of 0 is as long as the deadline.
    #[must_use]
    pub const fn deadline(mut self, runtime: u64, deadline: u64, period: u64) -> Self {
        (self.runtime, self.deadline, self.period) = (runtime, deadline, period);
        self
    }

    /// Adds a flag.
    #[must_use]
    pub const fn flag(mut self, flag: SchedulerFlag) -> Self {
        self.flags |= flag.bit();
        self
    }

    /// The least utilisation, 0 to 1024, that a processor's frequency is chosen
    /// for while it runs; sets [`SchedulerFlag::UtilClampMin`].
    #[must_use]
    pub const fn util_min(mut self, utilisation: u32) -> Self {
        self.util_min = utilisation;
        self.flag(SchedulerFlag::UtilClampMin)
    }

    /// The greatest; sets [`SchedulerFlag::UtilClampMax`].
    #[must_use]
    pub const fn util_max(mut self, utilisation: u32) -> Self {
        self.util_max = utilisation;
        self.flag(SchedulerFlag::UtilClampMax)
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    pub(crate) const fn has(&self, flag: SchedulerFlag) -> bool {
        self.flags & flag.bit() != 0
    }

    /// Checks ranges, and that the parameters are those of the policy.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming what does not fit.
    pub fn check(&self) -> Result<()> {
        let wrong =
            |reason: &'static str| Err(Error::invalid("check scheduler", self.to_string(), reason));
        let fair = matches!(self.policy, Policy::Other | Policy::Batch);
        let real_time = matches!(self.policy, Policy::Fifo | Policy::RoundRobin);
        let deadline = self.policy == Policy::Deadline;
        if !(-20..=19).contains(&self.nice) {
            return wrong("a nice value is -20 to 19");
        }
        if self.nice != 0 && !fair {
            return wrong("only SCHED_OTHER and SCHED_BATCH have a nice value");
        }
        if self.priority != 0 && !real_time {
            return wrong("only SCHED_FIFO and SCHED_RR have a priority");
        }
        if real_time && !(1..=99).contains(&self.priority) && !self.has(SchedulerFlag::KeepParams) {
            return wrong("a real-time priority is 1 to 99");
        }
        let times = [self.runtime, self.deadline, self.period];
        if !deadline && times != [0; 3] {
            return wrong("only SCHED_DEADLINE has runtime, deadline and period");
        }
        if deadline && !self.has(SchedulerFlag::KeepParams) {
            self.check_deadline()?;
        }
        let own = self.has(SchedulerFlag::Reclaim) || self.has(SchedulerFlag::DeadlineOverrun);
        if own && !deadline {
            return wrong("RECLAIM and DL_OVERRUN are flags of SCHED_DEADLINE");
        }
        if self.util_min > 1024 || self.util_max > 1024 {
            return wrong("a utilisation is 0 to 1024");
        }
        Ok(())
    }

    fn check_deadline(&self) -> Result<()> {
        /// The kernel counts in units of 1024 nanoseconds.
        const LEAST: u64 = 1024;
        let period = if self.period == 0 { self.deadline } else { self.period };
        let ordered = LEAST <= self.runtime
            && self.runtime <= self.deadline
            && self.deadline <= period
            && period <= i64::MAX as u64;
        if ordered {
            return Ok(());
        }
        let reason = "1024 <= runtime <= deadline <= period does not hold";
        Err(Error::invalid("check scheduler", self.to_string(), reason))
    }

    /// Whether a process under it can't make the child that runs the program,
    /// or the child would not be under it.
    pub(crate) fn breaks_at_fork(&self) -> bool {
        self.policy == Policy::Deadline || self.has(SchedulerFlag::ResetOnFork)
    }

    /// `struct sched_attr` in its second version, 56 bytes.
    pub(crate) fn attributes(&self) -> Vec<u8> {
        const SIZE: u32 = 56;
        let mut bytes = Vec::with_capacity(SIZE as usize);
        bytes.extend(SIZE.to_ne_bytes());
        bytes.extend(self.policy.number().to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(self.nice.to_ne_bytes());
        bytes.extend(self.priority.to_ne_bytes());
        for time in [self.runtime, self.deadline, self.period] {
            bytes.extend(time.to_ne_bytes());
        }
        bytes.extend(self.util_min.to_ne_bytes());
        bytes.extend(self.util_max.to_ne_bytes());
        bytes
    }
}

/// The policy and what was given with it.
impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.policy.name())?;
        if self.nice != 0 {
            write!(f, " nice {}", self.nice)?;
        }
        if self.priority != 0 {
            write!(f, " priority {}", self.priority)?;
        }
        if [self.runtime, self.deadline, self.period] != [0; 3] {
            write!(f, " {}/{}/{} ns", self.runtime, self.deadline, self.period)?;
        }
        for flag in SchedulerFlag::ALL.into_iter().filter(|flag| self.has(*flag)) {
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
        for policy in Policy::ALL {
            assert_eq!(policy.name().parse::<Policy>().unwrap(), policy);
        }
        for flag in SchedulerFlag::ALL {
            assert_eq!(flag.name().parse::<SchedulerFlag>().unwrap(), flag);
        }
        assert_eq!("SCHED_ISO".parse::<Policy>().unwrap_err().kind(), ErrorKind::Unsupported);
        assert!("sched_other".parse::<Policy>().is_err());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        use Policy::{Batch, Deadline, Fifo, Idle, Other, RoundRobin};
        let new = Scheduler::new;
        for wrong in [
            new(Other).nice(20),
            new(Other).nice(-21),
            new(Other).priority(1),
            new(Idle).nice(1),
            new(Fifo),
            new(Fifo).priority(100),
            new(RoundRobin).priority(1).nice(1),
            new(Batch).deadline(1, 0, 0),
            new(Deadline),
            new(Deadline).deadline(1023, 2000, 2000),
            new(Deadline).deadline(3000, 2000, 4000),
            new(Deadline).deadline(2000, 3000, 2500),
            new(Deadline).deadline(2000, u64::MAX, 0),
            new(Deadline).deadline(2000, 3000, 4000).nice(1),
            new(Other).flag(SchedulerFlag::Reclaim),
            new(Other).util_max(1025),
        ] {
            let error = wrong.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
            assert_eq!(error.object(), wrong.to_string());
        }
        for right in [
            new(Other),
            new(Other).nice(-20).flag(SchedulerFlag::ResetOnFork),
            new(Batch).nice(19),
            new(Idle),
            new(Fifo).priority(1),
            new(RoundRobin).priority(99),
            new(Deadline).deadline(1024, 1024, 0),
            new(Deadline).deadline(2000, 3000, 4000).flag(SchedulerFlag::DeadlineOverrun),
            new(Other).util_min(0).util_max(1024),
        ] {
            right.check().unwrap();
            assert_eq!(right.attributes().len(), 56);
        }
    }
}
