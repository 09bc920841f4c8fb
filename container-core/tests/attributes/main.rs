//! Attributes of a process, seen where the kernel shows them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod ids;
mod keys;
mod limits;
mod placement;
mod scheduling;
mod support;
mod terminal;
