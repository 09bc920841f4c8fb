//! Putting a plan together: steps in order, slots handed out and taken back.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::op::{Op, Slot};
use super::wire;
use crate::error::{Error, ErrorKind, Result};

/// An operation and why it is there.
#[derive(Debug, Clone)]
pub(crate) struct InitStep {
    pub(crate) op: Op,
    pub(crate) why: &'static str,
}

/// The growing plan.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    pub(super) steps: Vec<InitStep>,
    /// Descriptors that the plan itself owns, by slot from `stdio` on.
    pub(super) descriptors: Vec<Arc<OwnedFd>>,
    /// How many slots the parent fills with standard streams.
    stdio: u32,
    /// How many mounts the parent opens at each launch; their slots follow.
    prepared: u32,
    next: u32,
    free: Vec<Slot>,
}

impl Assembly {
    /// Starts with `stdio` slots for streams that are opened at spawn, then
    /// one for each of `descriptors`, then `prepared` for mounts that are
    /// opened at spawn.
    pub(super) fn new(stdio: u32, descriptors: Vec<Arc<OwnedFd>>, prepared: u32) -> Self {
        let next = stdio + descriptors.len() as u32 + prepared;
        Self { steps: Vec::new(), descriptors, stdio, prepared, next, free: Vec::new() }
    }

    pub(super) fn push(&mut self, op: Op, why: &'static str) {
        self.steps.push(InitStep { op, why });
    }

    /// A slot for a descriptor that the init opens.
    pub(super) fn slot(&mut self) -> Slot {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            Slot(self.next - 1)
        })
    }

    /// Takes a slot back whose descriptor an operation has closed.
    pub(super) fn reuse(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// The slot of a descriptor that the plan owns.
    pub(super) fn slot_of(&self, descriptor: &Arc<OwnedFd>) -> Option<Slot> {
        let index = self.descriptors.iter().position(|own| Arc::ptr_eq(own, descriptor))?;
        Some(Slot(self.stdio + index as u32))
    }

    /// The slot of a mount that the parent opens.
    pub(super) fn prepared(&self, index: usize) -> Slot {
        Slot(self.stdio + self.descriptors.len() as u32 + index as u32)
    }

    pub(super) fn inherited(&self) -> u32 {
        self.stdio + self.descriptors.len() as u32 + self.prepared
    }

    pub(super) fn slots(&self) -> u32 {
        self.next
    }

    /// A plan has room for so much.
    pub(super) fn check_size(&self) -> Result<()> {
        let too_many = |what: &'static str, count: usize, most: usize| {
            Error::with(
                ErrorKind::LimitReached,
                "make plan",
                format!("{count} {what}"),
                format!("a plan takes {most}"),
            )
        };
        if self.slots() as usize > wire::MAX_SLOTS {
            return Err(too_many("descriptors", self.slots() as usize, wire::MAX_SLOTS));
        }
        if self.steps.len() > wire::MAX_OPS {
            return Err(too_many("operations", self.steps.len(), wire::MAX_OPS));
        }
        Ok(())
    }
}
