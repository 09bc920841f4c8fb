//! OCI images as values.
#![allow(missing_docs)]

pub mod digest;
pub mod error;
mod hash;
pub mod host_programs;
pub mod layer;
pub mod reference;

pub use digest::{Algorithm, ChainId, DiffId, Digest};
pub use error::{Error, ErrorKind, Result};
pub use hash::{HashingReader, HashingWriter};
pub use reference::Reference;
