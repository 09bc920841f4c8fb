//! What clients send for standard input, until the container takes it.

use core::cell::UnsafeCell;

use crate::attach::CHUNK;
use crate::kernel::{self, EAGAIN, EINTR, sys};
use crate::raw::nr;

/// Two messages: while there is no room for one, clients are not read from,
/// so that it is they who wait.
const BUFFER: usize = 2 * CHUNK;
/// End of file, as a terminal is told (termios(3), `VEOF`).
const CTRL_D: u8 = 4;

#[repr(C, align(64))]
struct Storage(UnsafeCell<[u8; BUFFER]>);

// SAFETY: the supervisor has one thread.
unsafe impl Sync for Storage {}

static STORAGE: Storage = Storage(UnsafeCell::new([0; BUFFER]));

pub struct Input {
    /// The pipe, or the terminal's master; -1 if nobody reads it (any more).
    pub fd: i32,
    terminal: bool,
    buffer: &'static mut [u8; BUFFER],
    length: usize,
    closing: bool,
}

impl Input {
    /// # Safety
    ///
    /// To be called once.
    pub unsafe fn new(fd: i32) -> Self {
        // SAFETY: one thread, one caller, as the contract says.
        let buffer = unsafe { &mut *STORAGE.0.get() };
        Self { fd, terminal: false, buffer, length: 0, closing: false }
    }

    pub fn is_terminal(&mut self, master: i32) {
        (self.fd, self.terminal) = (master, true);
    }

    pub fn has_room(&self) -> bool {
        self.fd < 0 || self.length + CHUNK <= BUFFER
    }

    pub fn waits(&self) -> bool {
        self.fd >= 0 && self.length > 0
    }

    /// Adds bytes of a client; there is room.
    pub fn add(&mut self, bytes: &[u8]) {
        if self.fd < 0 || self.closing {
            return;
        }
        let room = self.buffer.get_mut(self.length..).unwrap_or(&mut []);
        let added = bytes.len().min(room.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.length += added;
        self.flush();
    }

    /// No more will come.
    pub fn close(&mut self) {
        if self.terminal {
            return self.add(&[CTRL_D]);
        }
        self.closing = true;
        self.flush();
    }

    /// Writes as much as is taken.
    pub fn flush(&mut self) {
        while self.waits() {
            match sys!(nr::WRITE, self.fd, self.buffer.as_ptr(), self.length) {
                Ok(written) if written > 0 => self.remove(written),
                Err(EINTR) => {}
                Ok(_) | Err(EAGAIN) => return,
                // A terminal may be opened again; a pipe never.
                Err(_) if self.terminal => self.length = 0,
                Err(_) => self.give_up(),
            }
        }
        if self.closing && !self.terminal {
            self.give_up();
        }
    }

    fn remove(&mut self, count: usize) {
        self.length -= count.min(self.length);
        for index in 0..self.length {
            let byte = self.buffer.get(index + count).copied().unwrap_or(0);
            if let Some(place) = self.buffer.get_mut(index) {
                *place = byte;
            }
        }
    }

    fn give_up(&mut self) {
        if !self.terminal {
            kernel::close(self.fd);
        }
        (self.fd, self.length) = (-1, 0);
    }
}
