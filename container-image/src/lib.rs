//! OCI images as values: layers, digests, a store, and images made of the host's own programs.
//!
//! # Container images in one page
//!
//! An image is a file system and a note on what to run in it. The file system comes in
//! **layers**, each a tar of what it adds to, changes in and deletes from the layers below; the
//! note is a small JSON **config**; a **manifest** lists both. All of these are blobs, named by
//! the hash of their content (a [`Digest`]), so equal parts of many images exist once, and
//! whoever has the name can tell whether the content is right.
//!
//! ```text
//!  name "app:1" ─▶ manifest ─┬─▶ config        command, environment, history,
//!                            │                 DiffIDs: hashes of the layers' tars
//!                            ├─▶ layer 1.tar.gz    base:  etc/motd  usr/bin/sh …
//!                            └─▶ layer 2.tar.gz    app:   etc/.wh.motd  usr/bin/app
//! ```
//!
//! A layer has three names. Compressed, as it is stored and sent, it has a [`Digest`]. Its
//! uncompressed tar has a [`DiffId`], which does not change with the compressor. Unpacked *on top
//! of given layers* it has a [`ChainId`], the hash of the whole stack up to it; unpacked layers
//! are kept under that. The [`digest`] module has the recursion and a worked example.
//!
//! A deletion is an entry `.wh.NAME` in the tar (`etc/.wh.motd` above), a *whiteout*. Unpacked for
//! overlayfs it becomes a character device 0:0; see [`layer`].
//!
//! # The crate
//!
//! | to | use |
//! |---|---|
//! | make a layer of files, deletions, links | [`layer::LayerBuilder`] |
//! | make a layer of programs of this machine | [`HostPrograms`] |
//! | unpack one layer | [`layer::apply`] |
//! | keep images and unpacked layers | [`Store`] |
//! | describe an image | [`ImageBuilder`] → [`Image`] |
//! | turn a container's changes into an image | [`Store::commit`] |
//! | find out what the machine can do | [`probe()`] |
//!
//! [`Store::unpack`] returns directories, bottom to top, for `container_fs::Stack`; what runs on
//! them is no business of this crate.
//!
//! # Example
//!
//! An image without a registry: the shell and two programs of this machine in one layer, a
//! change in a second one. (No privilege needed.)
//!
//! ```
//! use container_image::layer::{LayerBuilder, LayerOptions};
//! use container_image::{ChainId, HostPrograms, ImageBuilder, Reference, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temp = testkit::TempDir::new();
//! let store = Store::open(temp.join("store"))?;
//!
//! let programs = HostPrograms::new()
//!     .programs(["/bin/sh", "ls", "cat"])
//!     .add_file("/etc/motd", "hello\n", 0o644)
//!     .add_file("/etc/old", "", 0o644)
//!     .build()?;
//! let mut change = LayerBuilder::new();
//! change.file("etc/motd", "changed\n", 0o644)?;
//! change.whiteout("etc/old")?;
//!
//! let base = store.put_layer(&programs, &LayerOptions::new())?;
//! let top = store.put_layer(&change, &LayerOptions::new())?;
//! let name: Reference = "example:1".parse()?;
//! let image = store.put_image(
//!     &name,
//!     &ImageBuilder::new()
//!         .layer(&base, "programs of this machine")
//!         .layer(&top, "change")
//!         .cmd(["/bin/sh"]),
//! )?;
//!
//! // Three names for one layer.
//! assert_ne!(top.digest(), top.diff_id().digest());
//! let chain = ChainId::base(base.diff_id()).then(top.diff_id());
//! assert_eq!(image.chain_ids()[1], chain);
//!
//! let dirs = store.unpack(&image)?;
//! assert!(dirs[1].ends_with(format!("{}/diff", chain.digest().hex())));
//! assert_eq!(std::fs::read_to_string(dirs[1].join("etc/motd"))?, "changed\n");
//! # Ok(())
//! # }
//! ```
//!
//! The folder is an OCI image layout: `skopeo inspect oci:STORE:example:1` reads it.
//!
//! # Safety, and what is promised
//!
//! The crate has no `unsafe` code, runs no program, and changes nothing of the calling process. A
//! layer comes from a stranger: paths are resolved by descriptor inside the root, digests and
//! sizes are verified before a layer gets its name, budgets bound what it can grow into, and a
//! failure leaves the store as it was. Errors are typed and name step and object ([`Error`]).
//!
//! Not yet here: zstd, registries, archives, sparse files, id shifting for ordinary users.

#![forbid(unsafe_code)]

pub mod commit;
pub mod digest;
mod error;
mod hash;
pub mod host_programs;
pub mod image;
pub mod layer;
pub mod manifest;
mod probe;
pub mod reference;
pub mod store;

pub use commit::Commit;
pub use digest::{Algorithm, ChainId, DiffId, Digest};
pub use error::{Error, ErrorKind, Result};
pub use hash::{HashingReader, HashingWriter};
pub use host_programs::HostPrograms;
pub use image::{Image, ImageBuilder};
pub use probe::{Facility, Probe, probe};
pub use reference::Reference;
pub use store::Store;

/// The example of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
