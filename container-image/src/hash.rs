//! Readers and writers that hash what flows through them.
//!
//! A layer is read or written once; its digests come from the same pass.
//!
//! ```
//! use std::io::Write;
//! use container_image::{Digest, HashingWriter};
//!
//! let mut writer = HashingWriter::new(Vec::new());
//! writer.write_all(b"some bytes").unwrap();
//! let (file, digest, size) = writer.finish();
//! assert_eq!(digest, Digest::sha256(&file));
//! assert_eq!(size, 10);
//! ```

use std::fmt;
use std::io::{self, Read, Write};

use crate::digest::{Algorithm, Digest, Hasher};

/// Passes bytes on to a writer, hashing and counting those that it took.
pub struct HashingWriter<W> {
    inner: W,
    hash: Hasher,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Hashes with SHA-256 what is written to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Hasher::new(Algorithm::Sha256), size: 0 }
    }

    /// The inner writer (not flushed), the digest, and the number of bytes.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hash.finish(), self.size)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hands out the bytes of a reader, hashing and counting them.
pub struct HashingReader<R> {
    inner: R,
    hash: Hasher,
    size: u64,
}

impl<R: Read> HashingReader<R> {
    /// Hashes with `algorithm` what is read from `inner`.
    pub fn new(inner: R, algorithm: Algorithm) -> Self {
        Self { inner, hash: Hasher::new(algorithm), size: 0 }
    }

    /// Bytes read so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The inner reader, the digest of what was read, and the number of bytes.
    pub fn finish(self) -> (R, Digest, u64) {
        (self.inner, self.hash.finish(), self.size)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        self.size += n as u64;
        Ok(n)
    }
}

impl<W> fmt::Debug for HashingWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashingWriter").field("size", &self.size).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for HashingReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashingReader").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_hashes_what_it_hands_out() {
        let mut reader = HashingReader::new(&b"abcdef"[..], Algorithm::Sha256);
        let mut some = [0; 4];
        reader.read_exact(&mut some).unwrap();
        assert_eq!(reader.size(), 4);
        let (rest, digest, size) = reader.finish();
        assert_eq!((rest, size), (&b"ef"[..], 4));
        assert_eq!(digest, Digest::sha256("abcd"));
    }
}
