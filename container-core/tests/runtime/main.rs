//! Containers that outlive their creator, made and changed by several processes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checkpoint;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod exec;
mod hooks;
mod lifecycle;
mod limits;
mod processes;
mod races;
mod rules;
mod streams;
mod support;
mod users;
