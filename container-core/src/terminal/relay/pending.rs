//! Bytes on their way.

use std::fs::File;
use std::io::{self, Write};

use super::CHUNK;
use super::far::Far;

#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    done: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.is_empty() {
            self.bytes.clear();
            self.done = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&self) -> &[u8] {
        &self.bytes[self.done..self.bytes.len().min(self.done + CHUNK)]
    }

    /// Writes once; an error that means "later" is none.
    pub(super) fn write_to(&mut self, mut to: &File) -> io::Result<()> {
        match to.write(self.next()) {
            Ok(written) => self.done += written,
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Likewise to the container.
    pub(super) fn send_to(&mut self, far: &Far) -> io::Result<()> {
        match far {
            Far::Master(master) => self.write_to(master),
            Far::Attached(attachment) => {
                self.done += attachment.try_write(self.next()).map_err(io::Error::other)?;
                Ok(())
            }
        }
    }
}

pub(super) fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
