//! The log file. A disk that is full loses lines, counted, and never a
//! program: what was written of a line that did not fit is taken back.

use core::cell::UnsafeCell;

use super::LogConfig;
use super::text::{Line, Moment};
use crate::attach::{CHUNK, to_client};
use crate::kernel::{self, EINTR, Errno, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, sys};
use crate::raw::nr;

/// Entries on their way to the file: some lines of one chunk.
const BUFFER: usize = 2 * CHUNK;
/// What stands before a line, at most, and its end.
const PREFIX: usize = 64;

const O_APPEND: usize = 0o2000;
const O_NONBLOCK: usize = 0o4000;
const MODE: usize = 0o600;

#[repr(C, align(64))]
struct Storage(UnsafeCell<[u8; BUFFER]>);

// SAFETY: the supervisor has one thread.
unsafe impl Sync for Storage {}

static STORAGE: Storage = Storage(UnsafeCell::new([0; BUFFER]));

pub struct Log {
    config: LogConfig,
    buffer: Line<'static>,
    /// Bytes in the current file.
    size: u64,
    /// Bytes that could not be written.
    pub lost: u64,
}

impl Log {
    /// # Safety
    ///
    /// To be called once.
    pub unsafe fn new(config: LogConfig) -> Self {
        // SAFETY: one thread, one caller, as the contract says.
        let buffer = Line::new(unsafe { &mut *STORAGE.0.get() });
        let size = kernel::file_size(config.file).unwrap_or(0);
        Self { config, buffer, size, lost: 0 }
    }

    /// Writes a chunk of output down.
    pub fn write(&mut self, kind: u8, output: &[u8]) {
        if self.config.file < 0 {
            return;
        }
        if !self.config.cri {
            return self.append_raw(output);
        }
        let now = Moment::now();
        let mut rest = output;
        while !rest.is_empty() {
            let line = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = match line {
                Some(at) => (rest.get(..at), rest.get(at + 1..)),
                None => (Some(rest), None),
            };
            self.entry(now, kind, line.unwrap_or(&[]), after.is_some());
            rest = after.unwrap_or(&[]);
        }
        self.flush();
    }

    fn append_raw(&mut self, output: &[u8]) {
        self.buffer.bytes(output);
        self.flush();
    }

    /// A line, or a part of one whose rest comes later (tag `P`), in the log
    /// format of the Kubernetes container runtime interface.
    fn entry(&mut self, now: Moment, kind: u8, line: &[u8], full: bool) {
        if self.buffer.room() < line.len() + PREFIX {
            self.flush();
        }
        now.write(&mut self.buffer);
        self.buffer.bytes(if kind == to_client::STDERR { b" stderr " } else { b" stdout " });
        self.buffer.bytes(if full { b"F " } else { b"P " });
        self.buffer.bytes(line);
        self.buffer.bytes(b"\n");
    }

    fn flush(&mut self) {
        let length = self.buffer.as_bytes().len() as u64;
        if length == 0 {
            return;
        }
        if self.config.most > 0 && self.size > 0 && self.size + length > self.config.most {
            self.rotate();
        }
        match append(self.config.file, self.buffer.as_bytes()) {
            Ok(()) => self.size += length,
            Err(_) => self.lost += length,
        }
        self.buffer.clear();
    }

    /// Moves every file one name on, the last one away, and starts a new one.
    /// Where that fails, the current one grows on for as long again.
    fn rotate(&mut self) {
        let directory = self.config.directory;
        self.size = 0;
        let Some(names) = self.config.names.get(..self.config.count) else {
            return;
        };
        let (Some(first), true) = (names.first(), names.len() > 1) else {
            let _ = sys!(nr::FTRUNCATE, self.config.file, 0);
            return;
        };
        for (from, to) in names.iter().zip(names.iter().skip(1)).rev() {
            let _ = sys!(nr::RENAMEAT, directory, from.0, directory, to.0);
        }
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | kernel::O_CLOEXEC;
        if let Ok(fresh) = sys!(nr::OPENAT, directory, first.0, flags, MODE) {
            kernel::close(self.config.file);
            self.config.file = fresh as i32;
        }
    }

    /// Opens the file anew by its name.
    pub fn reopen(&mut self) {
        let Some(name) = self.config.names.first() else {
            return;
        };
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | kernel::O_CLOEXEC;
        let opened = sys!(nr::OPENAT, self.config.directory, name.0, flags, MODE);
        let Ok(fresh) = opened.map(|fd| fd as i32) else {
            return;
        };
        if self.config.file < 0 || !kernel::stat(fresh).is_ok_and(|found| found.is_regular()) {
            return kernel::close(fresh);
        }
        kernel::close(self.config.file);
        self.config.file = fresh;
        self.size = kernel::file_size(fresh).unwrap_or(0);
    }
}

/// Writes all, or takes back what it wrote.
fn append(file: i32, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match sys!(nr::WRITE, file, rest.as_ptr(), rest.len()) {
            Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or(&[]),
            Err(EINTR) => {}
            other => {
                let written = (bytes.len() - rest.len()) as u64;
                if written > 0
                    && let Ok(size) = kernel::file_size(file)
                {
                    let _ = sys!(nr::FTRUNCATE, file, size.saturating_sub(written));
                }
                return Err(other.err().unwrap_or(kernel::EINVAL));
            }
        }
    }
    Ok(())
}
