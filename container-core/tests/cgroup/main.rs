//! Cgroups against the real kernel: every limit proven by its effect, on every layout at hand.
//!
//! A hybrid machine is used three ways: as it is, with the v2 hierarchy left out (a v1 machine),
//! and with only the v2 hierarchy. A v2 machine is used as it is.
#![allow(clippy::unwrap_used, clippy::panic)]

mod container;
mod control;
mod devices;
mod limits;
mod peers;
mod privilege;
mod rare_limits;
mod support;
mod tree;
mod watch;
