//! Another process in a container that a spec describes.

use oci_spec::runtime::{Process, Spec};

use super::process::process;
use super::scheduling;
use crate::error::Result;
use crate::process::ProcessBuilder;

/// The process of an `exec`, on top of a `base` that enters the container
/// whose spec this is. What it does not mention of capabilities, limits,
/// labels and scheduling is as for the container's own process; environment,
/// working directory, user and terminal are its own.
///
/// The container's seccomp filter is for `base` to have.
///
/// # Errors
///
/// Those of [`process`](super::process()).
pub fn exec_process(
    described: &Process,
    container: &Spec,
    mut base: ProcessBuilder,
) -> Result<ProcessBuilder> {
    if let Some(linux) = container.linux() {
        if let Some(policy) = linux.memory_policy() {
            base = base.memory_policy(scheduling::memory_policy(policy)?);
        }
        if let Some(personality) = linux.personality() {
            base = base.personality(scheduling::personality(personality)?);
        }
    }
    match container.process() {
        Some(own) => process(&filled(described, own), base),
        None => process(described, base),
    }
}

fn filled(described: &Process, own: &Process) -> Process {
    let mut filled = described.clone();
    if described.capabilities().is_none() {
        filled.set_capabilities(own.capabilities().clone());
    }
    if described.rlimits().as_ref().is_none_or(Vec::is_empty) {
        filled.set_rlimits(own.rlimits().clone());
    }
    if described.no_new_privileges().is_none() {
        filled.set_no_new_privileges(own.no_new_privileges());
    }
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if !given(described.apparmor_profile()) {
        filled.set_apparmor_profile(own.apparmor_profile().clone());
    }
    if !given(described.selinux_label()) {
        filled.set_selinux_label(own.selinux_label().clone());
    }
    if described.oom_score_adj().is_none() {
        filled.set_oom_score_adj(own.oom_score_adj());
    }
    if described.scheduler().is_none() {
        filled.set_scheduler(own.scheduler().clone());
    }
    if described.io_priority().is_none() {
        filled.set_io_priority(*own.io_priority());
    }
    if described.exec_cpu_affinity().is_none() {
        filled.set_exec_cpu_affinity(own.exec_cpu_affinity().clone());
    }
    filled
}
