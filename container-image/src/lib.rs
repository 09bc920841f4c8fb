//! OCI images as values.
#![allow(missing_docs)]

pub mod commit;
pub mod digest;
pub mod error;
mod hash;
pub mod host_programs;
pub mod image;
pub mod layer;
pub mod manifest;
pub mod reference;
pub mod store;

pub use commit::Commit;
pub use digest::{Algorithm, ChainId, DiffId, Digest};
pub use error::{Error, ErrorKind, Result};
pub use hash::{HashingReader, HashingWriter};
pub use host_programs::HostPrograms;
pub use image::{Image, ImageBuilder};
pub use reference::Reference;
pub use store::Store;
