//! Processes: described by a builder, made by the tiny init, owned by a handle.
//!
//! A [`ProcessBuilder`] is to namespaces what [`std::process::Command`] is to
//! programs. It compiles to a [`Plan`](crate::Plan), which can be printed
//! before anything happens; spawning it gives a [`Process`] that owns a pidfd.
//!
//! ```
//! use container_core::{Namespaces, NamespaceKind, ProcessBuilder, Stdio};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !std::path::Path::new("/bin/hostname").exists() { return Ok(()) }
//! let output = ProcessBuilder::new("/bin/hostname")
//!     .namespaces(Namespaces::none().with(NamespaceKind::User).with(NamespaceKind::Uts))
//!     .hostname("inside")
//!     .output()?;
//! assert_eq!(output.stdout, b"inside\n");
//! # Ok(())
//! # }
//! ```

pub mod start;

mod builder;
mod clone;
mod companions;
mod description;
mod handle;
mod host_mounts;
mod image;
#[cfg(test)]
mod interpreter_tests;
mod launch;
mod lent;
mod mappings;
#[cfg(test)]
mod pivot_tests;
mod receive;
mod spawn;
mod stdio;
mod supervised;

pub use builder::{DEFAULT_PATH, ProcessBuilder};
pub use handle::{ExitStatus, Output, Process};
pub use stdio::{Stdio, WindowSize};

pub(crate) use companions::Companions;
pub(crate) use description::{Description, Enter, OomScore, RdtStep};
pub(crate) use mappings::{best_mappings, is_single};
pub(crate) use spawn::spawn_with;
pub(crate) use spawn::{run, spawn};
