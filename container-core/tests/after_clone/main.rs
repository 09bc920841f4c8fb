//! Nothing of the host runs or shows after the clone.
//!
//! Between clone and exec only the few named system calls happen, afterwards
//! the init's are those of the plan; no process of a container has the host's
//! memory, binary, environment, descriptors or signal state.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod calls;
#[path = "../common/mod.rs"]
mod common;
mod regressions;
mod shows;
mod tracer;

fn can_isolate() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}
