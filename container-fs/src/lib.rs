//! Union file systems as values: overlay stacks, whiteouts, change sets and safe paths.
//!
//! # Union file systems in one page
//!
//! A container image is a pile of directories, called *layers*: a base system, a language
//! runtime above it, an application on top. A *union* file system shows the pile as one tree.
//! For each name the topmost layer that has it wins, and directories of the same name are
//! merged. The layers are never written to, so a hundred containers share them, and starting
//! one copies nothing.
//!
//! ```text
//!   merged            what the container sees:   etc/{hosts, motd}   app
//!   ──────────────────────────────────────────────────────────────────────
//!   upper (writable)  what it changed:           etc/motd            (passwd: whiteout)
//!   layer 2           application:                                   app
//!   layer 1           base:                      etc/{hosts, motd}   passwd
//! ```
//!
//! Three things happen in the *upper* directory when the container writes:
//!
//! - **copy-up**: a changed file is copied there first, and changed there;
//! - **whiteout**: a deleted file gets a mark that hides it ([`whiteout`]);
//! - **opaque directory**: one that was deleted and made anew hides all below it.
//!
//! So the upper directory *is* the difference between the container and its image. Reading it
//! gives the list of [`changes`], and writing it out as an archive gives the next layer of a new
//! image.
//!
//! # The crate
//!
//! | to | use |
//! |---|---|
//! | show layers as one tree | [`Stack`] → [`Mounted`] → [`Attached`] |
//! | list what changed | [`Stack::changes`], [`changes::between`] |
//! | translate deletions between images and overlay | [`whiteout`] |
//! | write into a tree that others control | [`Root`], [`Dir`] |
//! | remove a tree, whatever is in it | [`remove_tree`] |
//! | find out what the machine can do | [`probe()`] |
//!
//! Mounting needs privileges (root, or root of a user namespace); all else works for anybody.
//!
//! # Example
//!
//! A container's writes, made by hand (as root; an ordinary user sees the plain comparison):
//!
//! ```
//! use container_fs::{Root, Stack};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let at = |name: &str| dir.path().join(name);
//! for name in ["base/etc", "app", "upper", "work", "merged"] {
//!     std::fs::create_dir_all(at(name))?;
//! }
//! std::fs::write(at("base/etc/motd"), "welcome")?;
//! std::fs::write(at("base/passwd"), "secret")?;
//! std::fs::write(at("app/run"), "#!/bin/sh")?;
//!
//! // Bottom to top: base, then app; writes go to upper.
//! let stack = Stack::new([at("base"), at("app")]).writable(at("upper"), at("work"));
//! if let Ok(mounted) = stack.mount() {
//!     let attached = mounted.attach(at("merged"))?;
//!     std::fs::write(at("merged/etc/motd"), "changed")?; // copy-up
//!     std::fs::remove_file(at("merged/passwd"))?; // whiteout
//!     std::fs::write(at("merged/new"), "")?;
//!     attached.detach()?;
//!
//!     let changes: Vec<String> = stack.changes()?.iter().map(ToString::to_string).collect();
//!     assert_eq!(changes, ["M /etc/motd", "A /new", "D /passwd"]);
//!     assert_eq!(std::fs::read(at("base/passwd"))?, b"secret"); // the layer is as it was
//! }
//!
//! container_fs::remove_tree(Root::open(dir.path())?, "work")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Safety, and what is promised
//!
//! The crate has no `unsafe` code. It acts by descriptor: a path is resolved once, inside a root
//! where others control the tree, and what is then done is done to the opened object. It changes
//! nothing of the calling process: where a system call affects the calling thread (a mount
//! namespace for kernels before 6.7), a thread made for it takes the effect and ends. Bad input
//! is refused with a typed [`Error`] before anything is touched.

#![forbid(unsafe_code)]

pub mod changes;
mod error;
mod metadata;
mod probe;
mod remove;
pub mod safe_path;
pub mod stack;
mod sys;
pub mod whiteout;

pub use changes::{Change, ChangeKind};
pub use error::{Error, ErrorKind, Result};
pub use metadata::{FileType, Metadata};
pub use probe::{Facility, Probe, probe};
pub use remove::remove_tree;
pub use safe_path::{Dir, DirEntry, Node, Root};
pub use stack::{Attached, MountOption, Mounted, Stack};
pub use whiteout::{Mark, XattrNamespace};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
