//! Waiting for the end of a container, in any process.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::stored::StoredContainer;
use crate::error::{ErrorKind, Result};
use crate::sys;

/// How long its parent may take to reap it, where nothing else tells the status.
const REAP_PATIENCE: Duration = Duration::from_secs(2);

impl StoredContainer {
    /// Waits for its end, in any process.
    ///
    /// The status is known to the parent of the container's process. Others learn it from the
    /// kernel: as long as the parent has not reaped the process, and after that on Linux 6.15 and
    /// newer, which keeps it for whoever holds a pidfd. `None` where it can't be known: an older
    /// kernel and a fast parent, a process of another user, or a container that had ended before
    /// this call.
    ///
    /// What was executed inside by this process, and has ended, is reaped meanwhile: its handle
    /// still tells the status. What was executed by another process that does not wait for it
    /// holds the container up, where that has a pid namespace of its own (pid_namespaces(7)).
    ///
    /// # Errors
    ///
    /// Those of waiting.
    pub fn wait(&self) -> Result<Option<ExitStatus>> {
        if let Some(process) = &self.process {
            return match process.wait() {
                // Reaped by another handle, or by other code of this process.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                ended => ended.map(Some),
            };
        }
        let record = self.record()?;
        let Some(process) = record.process else {
            return Ok(None);
        };
        let Some(pidfd) = process.open_ended()? else {
            return Ok(None);
        };
        process.companions()?.wait_for_end(pidfd.as_fd(), None)?;
        let deadline = Instant::now() + REAP_PATIENCE;
        loop {
            // In this order: between the two it may be reaped.
            let status = process.status_of_zombie().or_else(|| sys::exit_status_of(pidfd.as_fd()));
            let may_come = sys::keeps_exit_status() && Instant::now() < deadline;
            if status.is_some() || !may_come {
                return Ok(status.map(ExitStatus::from_raw));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
