//! Writing limits: all of them, or the old ones again.

use std::fs::File;
use std::io;

use nix::fcntl::OFlag;

use super::compile::{Present, Write, compile};
use super::controller::{Controller, Version};
use super::dir;
use super::group::{Cgroup, Node};
use super::resources::Resources;
use super::stats::limit_of;
use super::values::CpuMax;
use crate::error::{Error, ErrorKind, Result};

impl Cgroup {
    /// Sets the limits.
    ///
    /// Everything is checked before the first write: the values, the controllers, and that
    /// every file is there and can be written. If the kernel refuses a value after all,
    /// those already written are set back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for an impossible value, [`ErrorKind::Unsupported`] for a
    /// controller that the machine lacks, [`ErrorKind::WrongState`] for one that this cgroup
    /// was not made with, else the kernel's refusal with file and value.
    pub fn apply(&self, limits: &Resources) -> Result<()> {
        limits.validate()?;
        for controller in limits.controllers().iter() {
            self.serving(controller)?;
        }
        let version_of = |c| self.node_of(c).map_or(Version::V2, |(_, version)| version);
        let writes = compile(limits, version_of, &self.present(limits)?)?;
        let mut changes = Vec::with_capacity(writes.len());
        for write in writes {
            changes.push(self.prepare(write)?);
        }
        for at in 0..changes.len() {
            let change = &mut changes[at];
            if let Err(e) = dir::write_open(&mut change.file, &change.write.value) {
                let error = self.refused(change, e);
                return Err(self.set_back(&mut changes[..at], error));
            }
        }
        Ok(())
    }

    fn serving(&self, controller: Controller) -> Result<&Node> {
        match self.node_of(controller) {
            Some((node, _)) => Ok(node),
            None if self.hierarchy.controllers().contains(controller) => {
                Err(self.made_without(controller))
            }
            None => Err(self.hierarchy.lacks(controller)),
        }
    }

    fn made_without(&self, controller: Controller) -> Error {
        Error::with(
            ErrorKind::WrongState,
            "find cgroup controller",
            controller.to_string(),
            format!("the cgroup {} does not have it, only {}", self.path, self.controllers()),
        )
        .hint("create the cgroup with Resources::controllers() of all limits to come")
    }

    /// Reads what the order of writes depends on, and only if it does.
    fn present(&self, limits: &Resources) -> Result<Present> {
        let mut present = Present::default();
        if let (true, Some((node, Version::V1))) =
            (limits.cpu_max.is_some(), self.node_of(Controller::Cpu))
        {
            let period = self.read_file(node, "cpu.cfs_period_us")?;
            present.cpu_period = period.trim().parse().unwrap_or(CpuMax::DEFAULT_PERIOD);
        }
        let about_memory = limits.memory_max.is_some() || limits.memory_swap_max.is_some();
        if let (true, Some((node, Version::V1))) = (about_memory, self.node_of(Controller::Memory))
        {
            let limit = limit_of(&self.read_file(node, "memory.limit_in_bytes")?);
            present.memory = limit.unwrap_or(present.memory);
            present.memory_and_swap = dir::read(node.fd(), "memory.memsw.limit_in_bytes")
                .ok()
                .and_then(|text| limit_of(&text));
        }
        Ok(present)
    }

    fn read_file(&self, node: &Node, file: &str) -> Result<String> {
        dir::read(node.fd(), file)
            .map_err(|e| Error::os(format!("read {file}"), self.directory_of(node), e))
    }

    /// Opens the file and remembers its value.
    fn prepare(&self, write: Write) -> Result<Change> {
        let node = self.serving(write.controller)?;
        let mut file = match dir::open(node.fd(), write.file, OFlag::O_RDWR) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(self.no_file(node, &write)),
            Err(e) => {
                return Err(Error::os(format!("open {}", write.file), self.directory_of(node), e));
            }
        };
        let old = dir::read_open(&mut file)
            .map_err(|e| Error::os(format!("read {}", write.file), self.directory_of(node), e))?;
        // An empty list is set by an empty line: writing nothing at all does nothing.
        let old = if old.trim().is_empty() { "\n".to_owned() } else { old.trim().to_owned() };
        Ok(Change { write, file, old, directory: self.directory_of(node) })
    }

    fn no_file(&self, node: &Node, write: &Write) -> Error {
        let has = self.controllers().contains(write.controller);
        if has && matches!(write.file, "memory.swap.max" | "memory.memsw.limit_in_bytes") {
            return Error::with(
                ErrorKind::Unsupported,
                format!("open {}", write.file),
                self.directory_of(node),
                "the kernel does not account for swap",
            )
            .hint("boot with swapaccount=1, or leave the limit of swap out");
        }
        if has {
            let missing = io::Error::from_raw_os_error(libc::ENOENT);
            return Error::os(format!("open {}", write.file), self.directory_of(node), missing);
        }
        if self.hierarchy.controllers().contains(write.controller) {
            return self.made_without(write.controller);
        }
        self.hierarchy.lacks(write.controller)
    }

    fn refused(&self, change: &Change, error: io::Error) -> Error {
        let hint = match (error.raw_os_error(), change.write.controller) {
            (Some(libc::EBUSY), Controller::Memory) => {
                "more than that is in use and cannot be reclaimed"
            }
            (Some(libc::EINVAL), Controller::Cpu) => {
                "the ratio of quota and period may not pass that of an ancestor"
            }
            (Some(libc::EACCES | libc::EINVAL | libc::ERANGE), Controller::CpuSet) => {
                "only ids that the parent has, and that exist, can be given"
            }
            (Some(libc::EBUSY | libc::ENOSPC), Controller::CpuSet) => {
                "children or processes need what would be taken away"
            }
            _ => "",
        };
        let step = format!("write {} = {}", change.write.file, change.write.value);
        let refused = Error::os(step, change.directory.clone(), error);
        if hint.is_empty() { refused } else { refused.hint(hint) }
    }

    /// Restores in reverse; the failure to do so is added to the one that led here.
    fn set_back(&self, done: &mut [Change], error: Error) -> Error {
        let failed: Vec<String> = done
            .iter_mut()
            .rev()
            .filter_map(|change| {
                dir::write_open(&mut change.file, &change.old).err().map(|e| {
                    format!("{} could not be set back to {}: {e}", change.write.file, change.old)
                })
            })
            .collect();
        if failed.is_empty() {
            return error;
        }
        let own = error.way_out().map(|hint| format!("{hint}; ")).unwrap_or_default();
        error.hint(format!("{own}{}", failed.join("; ")))
    }
}

/// A write about to be done, and its undoing.
struct Change {
    write: Write,
    file: File,
    old: String,
    directory: String,
}
