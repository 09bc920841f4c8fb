//! Mounts, files, devices and settings, each proven by its effect in the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

mod attacks;
mod attributes;
mod cgroups;
mod copy_up;
mod devices;
mod file_systems;
mod id_maps;
mod refused;
mod root;
mod support;
mod sysctls;
mod user_namespace;
