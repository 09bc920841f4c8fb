//! The latest output, as messages one behind the other in a ring: what clients
//! are sent from, at their own pace, and what late comers are shown.

use core::cell::UnsafeCell;

use crate::attach::{CHUNK, KEPT};

/// A message's length (two bytes) stands before it; its kind is its first byte.
const LENGTH: u64 = 2;
/// The room that one chunk of output takes.
pub const FRAME: u64 = LENGTH + 1 + CHUNK as u64;

#[repr(C, align(64))]
struct Storage(UnsafeCell<[u8; KEPT]>);

// SAFETY: the supervisor has one thread.
unsafe impl Sync for Storage {}

/// Pages that cost nothing until output fills them.
static STORAGE: Storage = Storage(UnsafeCell::new([0; KEPT]));

/// Positions count bytes from the beginning; they never wrap.
pub struct Ring {
    bytes: &'static mut [u8; KEPT],
    pub oldest: u64,
    pub head: u64,
    /// Bytes of output before `oldest`, without lengths and kinds.
    pub gone: u64,
    /// Bytes of output before `head`.
    pub told: u64,
}

/// A message in the ring: one piece, or two where it goes around the end.
pub struct Message<'a> {
    pub parts: [&'a [u8]; 2],
    /// Bytes of output in it.
    pub output: u64,
    /// Where the next one starts.
    pub next: u64,
}

impl Ring {
    /// # Safety
    ///
    /// To be called once.
    pub unsafe fn new() -> Self {
        // SAFETY: one thread, one caller, as the contract says.
        let bytes = unsafe { &mut *STORAGE.0.get() };
        Self { bytes, oldest: 0, head: 0, gone: 0, told: 0 }
    }

    fn byte(&self, at: u64) -> u8 {
        self.bytes.get(at as usize % KEPT).copied().unwrap_or(0)
    }

    fn put(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.head as usize % KEPT) {
            *place = byte;
        }
        self.head += 1;
    }

    /// Adds a message; the oldest make room.
    pub fn push(&mut self, kind: u8, output: &[u8]) {
        let output = output.get(..CHUNK.min(output.len())).unwrap_or(&[]);
        let needs = LENGTH + 1 + output.len() as u64;
        while self.head + needs - self.oldest > KEPT as u64 {
            let Some(message) = self.message(self.oldest) else {
                break;
            };
            let (next, output) = (message.next, message.output);
            self.oldest = next;
            self.gone += output;
        }
        let length = output.len() + 1;
        self.put(length as u8);
        self.put((length >> 8) as u8);
        self.put(kind);
        let start = self.head as usize % KEPT;
        let first = output.len().min(KEPT - start);
        copy(self.bytes.get_mut(start..), output.get(..first));
        copy(Some(self.bytes.as_mut_slice()), output.get(first..));
        self.head += output.len() as u64;
        self.told += output.len() as u64;
    }

    /// The message at a position between `oldest` and `head`.
    pub fn message(&self, at: u64) -> Option<Message<'_>> {
        if at >= self.head {
            return None;
        }
        let length = usize::from(self.byte(at)) | usize::from(self.byte(at + 1)) << 8;
        let start = (at + LENGTH) as usize % KEPT;
        let first = length.min(KEPT - start);
        let parts = [self.bytes.get(start..start + first)?, self.bytes.get(..length - first)?];
        let output = (length as u64).saturating_sub(1);
        Some(Message { parts, output, next: at + LENGTH + length as u64 })
    }
}

fn copy(to: Option<&mut [u8]>, from: Option<&[u8]>) {
    if let (Some(to), Some(from)) = (to, from) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    }
}
