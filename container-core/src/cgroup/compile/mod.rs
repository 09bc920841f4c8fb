//! Limits to files: which values go where on v1 and on v2, in which order. Pure.

mod cpu;
mod memory;
mod others;

use std::borrow::Cow;

use super::controller::{Controller, Version};
use super::resources::Resources;
use super::values::{CpuMax, Limit};
use crate::error::{Error, ErrorKind, Result};

/// One value for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) place: Place,
    pub(super) file: Cow<'static, str>,
    pub(super) value: String,
    pub(super) undo: Undo,
    /// A file that is missing is passed over: the value is what holds without it.
    pub(super) optional: bool,
}

/// Which of the cgroup's directories has the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// That of the hierarchy that serves the controller.
    Of(Controller),
    /// That on v2.
    Unified,
}

/// How the former value is written back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Undo {
    /// What was read, line by line.
    Text,
    /// The line that starts with `key`, or else `unset`.
    Entry { key: String, unset: String },
    /// The number after the key.
    Flag(&'static str),
}

/// What is in force, as far as the writes or their order depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    /// Microseconds of processor time in a period.
    pub(super) cpu: CpuMax,
    /// The ceiling of memory.
    pub(super) memory: Limit,
    /// `memory.memsw.limit_in_bytes`; `None` where the kernel has no accounting of swap.
    pub(super) memory_and_swap: Option<Limit>,
    /// Whether the weights of block devices are those of the BFQ scheduler.
    pub(super) bfq: bool,
}

impl Default for Present {
    fn default() -> Self {
        Self {
            cpu: CpuMax { quota: Limit::Unlimited, period: CpuMax::DEFAULT_PERIOD },
            memory: Limit::Unlimited,
            memory_and_swap: Some(Limit::Unlimited),
            bfq: false,
        }
    }
}

/// The writes that bring the limits about; device rules are no writes.
pub(super) fn compile(
    limits: &Resources,
    version_of: impl Fn(Controller) -> Version,
    present: &Present,
) -> Result<Vec<Write>> {
    let mut writes = Writes(Vec::new());
    match version_of(Controller::Memory) {
        Version::V1 => writes.memory_v1(limits, present)?,
        Version::V2 => writes.memory_v2(limits, present)?,
    }
    if let Some(limit) = limits.pids_max {
        writes.add(Controller::Pids, "pids.max", max(limit));
    }
    match version_of(Controller::Cpu) {
        Version::V1 => writes.cpu_v1(&limits.cpu, present),
        Version::V2 => writes.cpu_v2(&limits.cpu, present)?,
    }
    if let Some(cpus) = &limits.cpuset_cpus {
        writes.add(Controller::CpuSet, "cpuset.cpus", cpus.to_string());
    }
    if let Some(mems) = &limits.cpuset_mems {
        writes.add(Controller::CpuSet, "cpuset.mems", mems.to_string());
    }
    match version_of(Controller::Io) {
        Version::V1 => writes.block_v1(&limits.block_io, present),
        Version::V2 => writes.block_v2(&limits.block_io, present)?,
    }
    writes.huge_pages(limits, version_of(Controller::HugeTlb));
    writes.network(limits);
    writes.rdma(limits);
    writes.unified(limits, version_of)?;
    Ok(writes.0)
}

struct Writes(Vec<Write>);

impl Writes {
    fn add(&mut self, controller: Controller, file: impl Into<Cow<'static, str>>, value: String) {
        self.push(Place::Of(controller), file, value, Undo::Text);
    }

    /// Adds a line of a file that has one for each key.
    fn entry(
        &mut self,
        controller: Controller,
        file: &'static str,
        key: impl ToString,
        value: &str,
        unset: &str,
    ) {
        let key = key.to_string();
        let undo = Undo::Entry { unset: format!("{key} {unset}"), key: key.clone() };
        self.push(Place::Of(controller), file, format!("{key} {value}"), undo);
    }

    fn push(
        &mut self,
        place: Place,
        file: impl Into<Cow<'static, str>>,
        value: String,
        undo: Undo,
    ) {
        self.0.push(Write { place, file: file.into(), value, undo, optional: false });
    }

    /// The write added last may find no file.
    fn optionally(&mut self) {
        if let Some(last) = self.0.last_mut() {
            last.optional = true;
        }
    }
}

/// A limit that the version in use has no file for.
fn no_such_limit(field: &str, version: Version, hint: &'static str) -> Error {
    Error::with(
        ErrorKind::Unsupported,
        "set limit",
        super::resources::field(field),
        format!("cgroup {version}, which the machine has for it, has no such limit"),
    )
    .hint(hint)
}

fn max(limit: Limit) -> String {
    limit.value().map_or_else(|| "max".to_owned(), |value| value.to_string())
}

fn minus_one(limit: Limit) -> String {
    limit.value().map_or_else(|| "-1".to_owned(), |value| value.to_string())
}

/// In v1's throttle files 0 is no limit.
fn zero(limit: Limit) -> String {
    limit.value().unwrap_or(0).to_string()
}

#[cfg(test)]
mod tests;
