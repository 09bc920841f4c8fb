//! Looking at a container, and changing its limits.

use super::state::Status;
use super::stored::StoredContainer;
use crate::cgroup::{Resources, Stats, Watch};
use crate::error::Result;

impl StoredContainer {
    /// The numbers of its processes, as the caller's pid namespace has them: those of its cgroup
    /// and the cgroups below; without a cgroup, its first process and the descendants of it.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let record = self.record()?;
        if let Some(cgroup) = self.cgroup_of(&record)? {
            return cgroup.processes_recursive();
        }
        Ok(record.living().map_or_else(Vec::new, |process| descendants(process.pid)))
    }

    /// What it has used.
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) without a cgroup.
    pub fn stats(&self) -> Result<Stats> {
        let record = self.record()?;
        self.need_cgroup("statistics", &record)?.stats()
    }

    /// Tells from now on when it lacks memory, and when its last process ends (cgroup v2).
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) without a cgroup; those of
    /// [`Cgroup::watch`](crate::cgroup::Cgroup::watch).
    pub fn watch(&self) -> Result<Watch> {
        let record = self.record()?;
        self.need_cgroup("watch", &record)?.watch()
    }

    /// Changes its limits.
    ///
    /// # Errors
    ///
    /// [`WrongState`](crate::ErrorKind::WrongState) if it has ended or has no cgroup; those of
    /// [`Cgroup::apply`](crate::cgroup::Cgroup::apply).
    pub fn apply(&self, resources: &Resources) -> Result<()> {
        let _lock = self.directory.lock()?;
        let record = self.record()?;
        match self.status_of(&record) {
            status @ (Status::Creating | Status::Stopped) => {
                Err(self.wrong("update", status, "created or running"))
            }
            _ => self.need_cgroup("update", &record)?.apply(resources),
        }
    }
}

/// A process and all below it (proc_pid_task(5), `children`).
fn descendants(first: u32) -> Vec<u32> {
    let mut all = vec![first];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        all.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        next += 1;
    }
    all
}
