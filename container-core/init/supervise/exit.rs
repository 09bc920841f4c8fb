//! The exit status on disk: written into a file that has its blocks already,
//! then given its name, so that it is there whole or not at all, on a full
//! disk too.

use super::Config;
use super::text::{Line, Moment};
use crate::attach::{EXIT_FILE, EXIT_FILE_NEW, EXIT_FILE_SIZE, SOCKET};
use crate::kernel::sys;
use crate::raw::nr;

/// What is written down of the end.
pub struct End {
    /// As wait(2) encodes it.
    pub status: i32,
    pub at: Moment,
}

/// The lines of the file, `name=value`.
pub fn record(config: &Config, process: usize, end: &End, log_lost: u64) {
    let mut buffer = [0u8; EXIT_FILE_SIZE];
    let mut text = Line::new(&mut buffer);
    text.bytes(b"version=1\nprocess=");
    text.number(process as u64);
    text.bytes(b"\nstatus=");
    text.number(end.status as u32 as u64);
    let signal = end.status & 0x7f;
    text.bytes(if signal == 0 { b"\ncode=" } else { b"\nsignal=" });
    text.number(if signal == 0 { (end.status >> 8) & 0xff } else { signal } as u64);
    text.bytes(b"\nfinished=");
    end.at.write(&mut text);
    text.bytes(b"\nlog_lost=");
    text.number(log_lost);
    text.bytes(b"\n");
    let bytes = text.as_bytes();
    let written = sys!(nr::PWRITE64, config.exit_file, bytes.as_ptr(), bytes.len(), 0);
    if written == Ok(bytes.len()) && sys!(nr::FTRUNCATE, config.exit_file, bytes.len()).is_ok() {
        let (from, to) = (EXIT_FILE_NEW.as_ptr(), EXIT_FILE.as_ptr());
        let _ = sys!(nr::RENAMEAT, config.directory, from, config.directory, to);
    }
    remove(config, SOCKET);
}

/// It never ran: nothing is to be told.
pub fn forget(config: &Config) {
    remove(config, EXIT_FILE_NEW);
    remove(config, SOCKET);
}

fn remove(config: &Config, name: &core::ffi::CStr) {
    let _ = sys!(nr::UNLINKAT, config.directory, name.as_ptr(), 0);
}
