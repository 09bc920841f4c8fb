//! Writing limits: all of them, or the old ones again.

use std::fs::File;
use std::io;

use nix::fcntl::OFlag;

use super::compile::{Place, Present, Undo, Write, compile};
use super::controller::{Controller, Version};
use super::dir;
use super::group::{Cgroup, Node};
use super::resources::Resources;
use super::resources::field;
use super::stats::limit_of;
use super::values::Limit;
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
        self.check_before_update(limits)?;
        let writes = compile(limits, version_of, &self.present(limits)?)?;
        let mut changes = Vec::with_capacity(writes.len());
        for write in writes {
            changes.extend(self.prepare(write)?);
        }
        for at in 0..changes.len() {
            let change = &mut changes[at];
            if let Err(e) = dir::write_open(&mut change.file, &change.write.value) {
                let error = self.refused(change, e);
                return Err(self.set_back(&mut changes[..at], error));
            }
        }
        match limits.device_rules().map(|rules| self.set_devices(rules)) {
            Some(Err(error)) => Err(self.set_back(&mut changes, error)),
            _ => Ok(()),
        }
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

    /// Reads what the writes depend on, and only if they do.
    fn present(&self, limits: &Resources) -> Result<Present> {
        let mut present = Present::default();
        let cpu = &limits.cpu;
        if (cpu.quota.is_some() || cpu.period.is_some())
            && let Some((node, version)) = self.node_of(Controller::Cpu)
        {
            let (quota, period) = match version {
                Version::V1 => (
                    self.read_file(node, "cpu.cfs_quota_us")?,
                    self.read_file(node, "cpu.cfs_period_us")?,
                ),
                Version::V2 => {
                    let text = self.read_file(node, "cpu.max")?;
                    let (quota, period) = text.split_once(' ').unwrap_or_default();
                    (quota.to_owned(), period.to_owned())
                }
            };
            present.cpu.quota = limit_of(&quota).unwrap_or(Limit::Unlimited);
            present.cpu.period = period.trim().parse().unwrap_or(present.cpu.period);
        }
        if (limits.memory.max.is_some() || limits.memory.swap.is_some())
            && let Some((node, version)) = self.node_of(Controller::Memory)
        {
            let file = match version {
                Version::V1 => "memory.limit_in_bytes",
                Version::V2 => "memory.max",
            };
            present.memory = limit_of(&self.read_file(node, file)?).unwrap_or(present.memory);
            present.memory_and_swap = dir::read(node.fd(), "memory.memsw.limit_in_bytes")
                .ok()
                .and_then(|text| limit_of(&text));
        }
        if let Some((node, version)) = self.node_of(Controller::Io) {
            let file = match version {
                Version::V1 => "blkio.bfq.weight",
                Version::V2 => "io.bfq.weight",
            };
            present.bfq = !limits.block_io.is_empty() && dir::exists(node.fd(), file);
        }
        Ok(present)
    }

    /// OCI `checkBeforeUpdate`: v2 would take a limit below the usage, and kill.
    fn check_before_update(&self, limits: &Resources) -> Result<()> {
        let (Some(Limit::At(max)), true) = (limits.memory.max, limits.memory.check_before_update)
        else {
            return Ok(());
        };
        let used = self.stats()?.memory.current.unwrap_or(0);
        if used <= max {
            return Ok(());
        }
        let reason = format!("{used} bytes are in use, and checkBeforeUpdate is set");
        Err(Error::with(ErrorKind::Busy, "set limit", field("memory.limit"), reason))
    }

    /// Empty where there is no such file: what is to be written finds none either, and says so.
    fn read_file(&self, node: &Node, file: &str) -> Result<String> {
        match dir::read(node.fd(), file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read,
        }
        .map_err(|e| Error::os(format!("read {file}"), self.directory_of(node), e))
    }

    fn node_at(&self, place: Place) -> Result<&Node> {
        match place {
            Place::Of(controller) => self.serving(controller),
            Place::Unified => self.v2().ok_or_else(|| {
                Error::with(
                    ErrorKind::Unsupported,
                    "set limit",
                    field("unified"),
                    format!("the cgroup {} is on v1 only", self.path),
                )
                .hint("mount -t cgroup2 none /sys/fs/cgroup/unified")
            }),
        }
    }

    /// Opens the file and remembers its value; `None` for one that may be missing, and is.
    fn prepare(&self, write: Write) -> Result<Option<Change>> {
        let node = self.node_at(write.place)?;
        let file = write.file.as_ref();
        let failed = |step, e| Error::os(format!("{step} {file}"), self.directory_of(node), e);
        let opened = match dir::open(node.fd(), file, OFlag::O_RDWR) {
            // A file that can only be written has nothing to be set back to.
            Err(e) if write.place == Place::Unified && e.kind() != io::ErrorKind::NotFound => {
                let file = dir::open(node.fd(), file, OFlag::O_WRONLY);
                let file = file.map_err(|e| failed("open", e))?;
                let directory = self.directory_of(node);
                return Ok(Some(Change { write, file, old: Vec::new(), directory }));
            }
            opened => opened,
        };
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(e) if e.kind() == io::ErrorKind::NotFound && write.optional => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(self.no_file(node, &write)),
            Err(e) => return Err(failed("open", e)),
        };
        let text = dir::read_open(&mut opened).map_err(|e| failed("read", e))?;
        let directory = self.directory_of(node);
        Ok(Some(Change { old: old_of(&write.undo, &text), write, file: opened, directory }))
    }

    fn no_file(&self, node: &Node, write: &Write) -> Error {
        let file = write.file.as_ref();
        let step = format!("open {file}");
        if let Place::Of(controller) = write.place
            && !self.controllers().contains(controller)
        {
            return self.made_without(controller);
        }
        let hint = match file {
            "memory.swap.max" | "memory.memsw.limit_in_bytes" => {
                "the kernel does not account for swap: boot with swapaccount=1, or leave the limit \
                 of swap out"
            }
            "cpu.idle" => "it came with Linux 5.15: leave it out",
            "cpu.max.burst" | "cpu.cfs_burst_us" => "it came with Linux 5.14: leave it out",
            "cpu.rt_period_us" | "cpu.rt_runtime_us" => {
                "the kernel was built without CONFIG_RT_GROUP_SCHED: leave it out"
            }
            "memory.kmem.tcp.limit_in_bytes" => "memory.limit counts these buffers: leave it out",
            _ if file.starts_with("hugetlb.") => {
                "the machine has no pages of this size: see /sys/kernel/mm/hugepages"
            }
            _ if file.contains("leaf_weight") => "it went with Linux 5.0: leave it out",
            _ if file.ends_with("weight") || file.ends_with("weight_device") => {
                "the kernel has no proportional scheduler of block devices: leave it out"
            }
            _ if write.place == Place::Unified => "no such file in this v2 cgroup",
            _ => {
                let missing = io::Error::from_raw_os_error(libc::ENOENT);
                return Error::os(step, self.directory_of(node), missing);
            }
        };
        let reason = "the kernel does not have this file";
        Error::with(ErrorKind::Unsupported, step, self.directory_of(node), reason).hint(hint)
    }

    fn refused(&self, change: &Change, error: io::Error) -> Error {
        let controller = match change.write.place {
            Place::Of(controller) => Some(controller),
            Place::Unified => None,
        };
        let hint = match (error.raw_os_error(), controller) {
            (Some(libc::EBUSY), Some(Controller::Memory)) => {
                "more than that is in use and cannot be reclaimed"
            }
            (Some(libc::EINVAL), Some(Controller::Cpu)) => {
                "the ratio of quota and period may not pass that of an ancestor"
            }
            (Some(libc::EACCES | libc::EINVAL | libc::ERANGE), Some(Controller::CpuSet)) => {
                "only ids that the parent has, and that exist, can be given"
            }
            (Some(libc::EBUSY | libc::ENOSPC), Some(Controller::CpuSet)) => {
                "children or processes need what would be taken away"
            }
            (Some(libc::ENODEV | libc::ENXIO), _) => "there is no such device",
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
                let old = change.old.clone();
                let mut back = old.iter().map(|old| (old, dir::write_open(&mut change.file, old)));
                back.find_map(|(old, written)| written.err().map(|e| (old, e))).map(|(old, e)| {
                    format!("{} could not be set back to {}: {e}", change.write.file, old.trim())
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
    /// The lines that bring the former value back.
    old: Vec<String>,
    directory: String,
}

/// The lines to write for what was read.
fn old_of(undo: &Undo, text: &str) -> Vec<String> {
    match undo {
        // An empty list is set by an empty line: writing nothing at all does nothing.
        Undo::Text if text.trim().is_empty() => vec!["\n".to_owned()],
        Undo::Text => text.trim().lines().map(str::to_owned).collect(),
        Undo::Entry { key, unset } => {
            let line = text.lines().find(|line| line.split(' ').next() == Some(key));
            vec![line.unwrap_or(unset).to_owned()]
        }
        Undo::Flag(key) => {
            let flag = text.lines().find_map(|line| line.strip_prefix(key));
            flag.map(|flag| flag.trim().to_owned()).into_iter().collect()
        }
    }
}
