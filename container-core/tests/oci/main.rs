//! Containers described by specs of the OCI runtime specification.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad;
mod bad_linux;
mod bundle;
mod fields;
mod golden;
mod net_devices;
mod run;
