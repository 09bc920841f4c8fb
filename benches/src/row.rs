//! A row of a table: a name, what it is measured against, and how to run it once.

use std::fmt;
use std::time::Duration;

use crate::Result;

/// The sets of namespaces that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// pid, mnt, uts, ipc, cgroup and net.
    Full,
    /// `Full` without net.
    NoNet,
    /// `Full` and user.
    User,
}

impl Namespaces {
    /// All sets.
    pub const ALL: [Self; 3] = [Self::Full, Self::NoNet, Self::User];

    /// The last part of a row's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::NoNet => "nonet",
            Self::User => "user",
        }
    }

    /// The row that the set's ratios refer to.
    #[must_use]
    pub fn floor(self) -> String {
        format!("floor/{}", self.name())
    }
}

/// Runs the row's work once and times it.
pub type Run = Box<dyn FnMut() -> Result<Duration>>;

/// One thing to measure.
pub struct Row {
    /// Such as `peer/runc`.
    pub name: String,
    /// The name of the row that the ratios refer to.
    pub floor: String,
    /// Run in every n-th round: above 1 for what takes much longer than the rest.
    pub stride: usize,
    /// How many failed runs are passed over (and told) before the row is given up: above 0 for
    /// peers that are known to hang now and then.
    pub tolerates: usize,
    /// The work.
    pub run: Run,
}

impl Row {
    /// A row that runs in every round.
    pub fn new(
        name: impl Into<String>,
        floor: impl Into<String>,
        run: impl FnMut() -> Result<Duration> + 'static,
    ) -> Self {
        Self { name: name.into(), floor: floor.into(), stride: 1, tolerates: 0, run: Box::new(run) }
    }

    /// Runs in every `stride`-th round only.
    #[must_use]
    pub fn every(mut self, stride: usize) -> Self {
        self.stride = stride.max(1);
        self
    }

    /// Passes over so many failed runs.
    #[must_use]
    pub fn tolerating(mut self, failures: usize) -> Self {
        self.tolerates = failures;
        self
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("name", &self.name).field("floor", &self.floor).finish()
    }
}
