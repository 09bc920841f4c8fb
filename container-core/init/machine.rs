//! What the operations work on: the plan, the registers, the control socket.

use crate::control::{Control, Slots};
use crate::kernel::{self, EBADF, Errno, Text};
use crate::supervise;
use crate::wire::{self, Op, Span, record};

/// Everything that the operations work on.
pub struct Machine {
    pub control: Control,
    slots: Slots,
    plan: &'static mut [u8],
    /// The call within a composite operation, for the failure's text.
    pub detail: &'static str,
    /// The kernel's own explanation of a failed file system configuration.
    pub log: [u8; 160],
    pub log_length: usize,
    /// What the supervisor will be told to do.
    pub supervision: supervise::Config,
}

impl Machine {
    /// A machine that has done nothing yet; the plan has been checked.
    pub fn new(control: Control, slots: Slots, plan: &'static mut [u8]) -> Self {
        let supervision = supervise::Config::NONE;
        Self { control, slots, plan, detail: "", log: [0; 160], log_length: 0, supervision }
    }

    /// The operation at `index`.
    pub fn op(&self, index: u32) -> Option<Op> {
        wire::op_at(self.plan, index as usize)
    }

    /// Entry `index` of a validated list: an offset in the plan.
    pub fn entry(&self, list: Span, index: usize) -> Option<u64> {
        wire::list_entry(self.plan, list.at as usize, index)
    }

    /// Reports the failure, and ends.
    pub fn fail(&self, index: u32, errno: Errno) -> ! {
        let mut text = [0u8; wire::MAX_TEXT];
        let log = self.log.get(..self.log_length).unwrap_or(&[]);
        let mut length = 0;
        for byte in self.detail.bytes().chain(log.iter().copied()) {
            if let Some(place) = text.get_mut(length) {
                *place = byte;
                length += 1;
            }
        }
        self.control.send(record::FAILED, index, errno, text.get(..length).unwrap_or(&[]));
        self.control.give_up()
    }

    pub fn slot(&self, slot: u32) -> Result<i32, Errno> {
        match self.slots.get(slot as usize) {
            Some(fd) if *fd >= 0 => Ok(*fd),
            _ => Err(EBADF),
        }
    }

    pub fn slot_or_cwd(&self, slot: u32) -> Result<i32, Errno> {
        if slot == wire::CWD { Ok(kernel::AT_FDCWD) } else { self.slot(slot) }
    }

    pub fn fill(&mut self, slot: u32, fd: i32) -> Result<(), Errno> {
        *self.slots.get_mut(slot as usize).ok_or(EBADF)? = fd;
        Ok(())
    }

    /// The descriptor of a slot that is empty from here on.
    pub fn take(&mut self, slot: u32) -> Result<i32, Errno> {
        let fd = self.slot(slot)?;
        self.fill(slot, -1)?;
        Ok(fd)
    }

    pub fn release(&mut self, slot: u32) {
        if let Some(fd) = self.slots.get_mut(slot as usize) {
            kernel::close(*fd);
            *fd = -1;
        }
    }

    /// A validated string of the plan.
    pub fn text(&self, span: Span) -> Text {
        match self.plan.get(span.at as usize..) {
            Some(bytes) => Text(bytes.as_ptr()),
            None => Text::EMPTY,
        }
    }

    /// Raw bytes of the plan.
    pub fn bytes(&self, span: Span) -> &[u8] {
        let end = (span.at as usize).saturating_add(span.len as usize);
        self.plan.get(span.at as usize..end).unwrap_or(&[])
    }

    pub fn bytes_mut(&mut self, span: Span) -> &mut [u8] {
        let end = (span.at as usize).saturating_add(span.len as usize);
        self.plan.get_mut(span.at as usize..end).unwrap_or(&mut [])
    }

    /// Turns a list's offsets into pointers, in place.
    pub fn relocate(&mut self, list: Span) -> *const usize {
        let base = self.plan.as_ptr() as u64;
        for index in 0..list.len as usize {
            let at = list.at as usize + index * 8;
            let Some(entry) = self.entry(list, index) else {
                break;
            };
            if let Some(place) = self.plan.get_mut(at..at + 8) {
                place.copy_from_slice(&(base + entry).to_le_bytes());
            }
        }
        self.plan.get(list.at as usize..).map_or(core::ptr::null(), |list| list.as_ptr().cast())
    }
}
