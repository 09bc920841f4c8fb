//! A handle of a container on disk.

use std::sync::{Arc, Mutex};

use super::directory::Directory;
use super::record::{CONFIG_FILE, Record, START_SOCKET};
use super::state::{State, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::oci::Bundle;
use crate::process::{Process, start};

/// A container that is known by its state directory.
///
/// Dropping it changes nothing. Each call looks at the state anew, so that several processes may
/// hold the same container.
#[derive(Debug)]
pub struct StoredContainer {
    pub(super) root: Arc<Directory>,
    pub(super) id: String,
    pub(super) directory: Directory,
    /// In the process that created it.
    pub(super) process: Option<Process>,
    pub(super) terminal: Mutex<Option<std::fs::File>>,
}

impl StoredContainer {
    pub(super) fn load(root: &Arc<Directory>, id: &str) -> Result<Self> {
        let directory = root.child(id).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Error::with(ErrorKind::NotFound, "load", id, "container does not exist")
            }
            _ => error,
        })?;
        let container = Self {
            root: Arc::clone(root),
            id: id.to_owned(),
            directory,
            process: None,
            terminal: Mutex::new(None),
        };
        container.record()?;
        Ok(container)
    }

    pub(super) fn record(&self) -> Result<Record> {
        match Record::read(&self.directory, &self.id) {
            // Between reading the directory and the file it may have been deleted.
            Err(error)
                if error.kind() == ErrorKind::Damaged
                    && !self.directory.is_child(&self.root, &self.id) =>
            {
                let reason = "container does not exist";
                Err(Error::with(ErrorKind::NotFound, "load", self.id.clone(), reason))
            }
            other => other,
        }
    }

    /// The name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The spec that it was created from.
    ///
    /// # Errors
    ///
    /// [`Damaged`](ErrorKind::Damaged) if the stored copy can't be read.
    pub fn bundle(&self) -> Result<Bundle> {
        let record = self.record()?;
        let text = self.directory.read(CONFIG_FILE)?;
        Bundle::parse(&record.bundle, &text).map_err(|error| {
            Error::with(
                ErrorKind::Damaged,
                "read stored config",
                self.id.clone(),
                error.to_string(),
            )
        })
    }

    /// What it is like now.
    ///
    /// # Errors
    ///
    /// Those of reading the state.
    pub fn state(&self) -> Result<State> {
        let record = self.record()?;
        Ok(State::new(&record, self.status_of(&record)))
    }

    pub(super) fn status_of(&self, record: &Record) -> Status {
        if record.process.is_none() {
            let creating = record.is_of_this_boot() && record.creator.lives();
            return if creating { Status::Creating } else { Status::Stopped };
        }
        if record.living().is_none() {
            return Status::Stopped;
        }
        // Looked at first: a created container may be paused too, and does not answer then.
        let cgroup = self.cgroup_of(record).ok().flatten();
        if cgroup.is_some_and(|cgroup| cgroup.is_frozen().unwrap_or(false)) {
            return Status::Paused;
        }
        if self.was_started(record) { Status::Running } else { Status::Created }
    }

    /// Written down, or seen by the socket: a starter may have been killed before it wrote.
    fn was_started(&self, record: &Record) -> bool {
        if record.started || self.directory.stat(START_SOCKET).is_none() {
            return true;
        }
        matches!(start::connect(&self.directory.path),
            Err(error) if error.kind() == ErrorKind::WrongState)
    }

    /// The error of an operation that does not fit the state.
    pub(super) fn wrong(&self, step: &'static str, status: Status, needed: &str) -> Error {
        let reason = format!("the container is {status}; it has to be {needed}");
        Error::with(ErrorKind::WrongState, step, self.id.clone(), reason)
    }

    /// The master of its terminal, once, in the process that created it, if it was not sent to a
    /// console socket.
    #[must_use]
    pub fn take_terminal(&self) -> Option<std::fs::File> {
        self.terminal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}
