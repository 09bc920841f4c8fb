//! container-fs
#![forbid(unsafe_code)]
mod error;
mod metadata;
mod remove;
pub mod safe_path;
pub mod stack;
mod sys;
pub mod whiteout;
pub use error::{Error, ErrorKind, Result};
pub use metadata::{FileType, Metadata};
pub use remove::remove_tree;
pub use safe_path::{Dir, DirEntry, Node, Root};
pub use stack::{Attached, MountOption, Mounted, Stack};
