//! The part of a plan on what the kernel keeps about the process: scheduling,
//! memory placement, labels, keys, and the score for when memory is short.

use std::ffi::CString;

use super::assemble::Assembly;
use super::op::Op;
use super::validate::c_string;
use crate::capability::CapabilitySet;
use crate::error::{Error, ErrorKind, Result};
use crate::lsm;
use crate::namespace::NamespaceKind;
use crate::process::Description;

/// Refuses what can't be, or what the kernel lacks.
pub(super) fn check(description: &Description) -> Result<()> {
    if let Some(oom) = description.oom_score_adj
        && !(-1000..=1000).contains(&oom.score)
    {
        let object = oom.score.to_string();
        return Err(Error::invalid("check oom_score_adj", object, "out of -1000 to 1000"));
    }
    if let Some(scheduler) = &description.scheduler {
        scheduler.check()?;
        if description.init && scheduler.breaks_at_fork() {
            let reason = "the init could not make the program's process under it";
            return Err(Error::invalid("check scheduler", scheduler.to_string(), reason)
                .hint("leave out either ProcessBuilder::init or this policy"));
        }
    }
    if let Some(policy) = &description.memory_policy {
        policy.check()?;
    }
    description.cpu_affinity.check()?;
    check_capabilities(description)
}

fn check_capabilities(description: &Description) -> Result<()> {
    let Some(capabilities) = &description.capabilities else { return Ok(()) };
    capabilities.check()?;
    let last = super::credentials::last_capability();
    let unknown = capabilities.unknown_to(u8::try_from(last).unwrap_or(u8::MAX));
    if unknown.is_empty() {
        return Ok(());
    }
    let reason = "the kernel lacks them";
    Err(Error::with(ErrorKind::Unsupported, "check capabilities", unknown.to_string(), reason)
        .hint("Capabilities::restricted_to leaves them out"))
}

/// Right at the start, through the host's own procfs: no mount of a container
/// can be in the way yet.
pub(super) fn add_early(assembly: &mut Assembly, description: &Description) -> Result<()> {
    if let Some(oom) = description.oom_score_adj {
        let path = CString::from(c"/proc/self/oom_score_adj");
        let data = oom.score.to_string().into_bytes();
        let op = Op::WriteProc { path, data, if_permitted: oom.if_permitted };
        assembly.push(op, "while the host's procfs is in reach");
    }
    let profile = description.apparmor_profile.as_deref();
    let profile = profile.map(lsm::apparmor_attribute).transpose()?.flatten();
    let label = description.selinux_label.as_deref().map(lsm::selinux_attribute).transpose()?;
    for attribute in profile.into_iter().chain(label) {
        let (path, data) = (attribute.path.to_owned(), attribute.data);
        let op = Op::WriteProc { path, data, if_permitted: false };
        assembly
            .push(op, "the kernel confines the program from its exec on, whatever comes between");
    }
    Ok(())
}

/// While there are privileges.
pub(super) fn add(assembly: &mut Assembly, description: &Description) -> Result<()> {
    if let Some(name) = &description.session_keyring {
        let name = c_string("check session keyring", name)?;
        assembly.push(Op::Keyring(name), "the caller's keys are not for the container");
    }
    if let Some(policy) = &description.memory_policy {
        assembly.push(Op::MemoryPolicy(policy.clone()), "where its memory comes from");
    }
    if let Some(personality) = description.personality {
        assembly.push(Op::Personality(personality), "as which kernel the system shows itself");
    }
    if let Some(priority) = description.io_priority {
        assembly.push(Op::IoPriority(priority), "when the disk serves it");
    }
    if let Some(scheduler) = description.scheduler {
        assembly.push(Op::Scheduler(scheduler), "when it gets a processor, while it may say so");
    }
    Ok(())
}

/// The program's own, when the cgroup has been entered.
pub(super) fn add_late(assembly: &mut Assembly, description: &Description) {
    if let Some(cpus) = description.cpu_affinity.get_after() {
        let why = "the program's processors, now that the cgroup is entered";
        assembly.push(Op::Affinity(cpus.clone()), why);
    }
}

/// What the caller must hold to give it; nothing where a user namespace gives
/// all.
pub(super) fn needed(description: &Description) -> CapabilitySet {
    let user = NamespaceKind::User;
    let own = !matches!(description.namespaces.get(user), crate::namespace::Namespace::Inherit);
    let entered = description.enter.iter().any(|enter| enter.kinds.contains(&user));
    match &description.capabilities {
        Some(set) if !own && !entered => set.permitted,
        _ => CapabilitySet::EMPTY,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, encode};
    use super::*;
    use crate::ProcessBuilder;

    /// The program after a write to an attribute file, as the modules have it.
    fn writing(path: &str, data: &[u8], if_permitted: bool) -> Plan {
        let mut plan = ProcessBuilder::new("/bin/true").plan().unwrap();
        let op =
            Op::WriteProc { path: CString::new(path).unwrap(), data: data.to_vec(), if_permitted };
        plan.steps.insert(0, super::super::InitStep { op, why: "" });
        plan.bytes = encode::encode(plan.steps.iter().map(|step| &step.op), 0, 0);
        plan
    }

    /// What a container could put in the place of procfs (CVE-2019-16884).
    #[test]
    fn a_label_goes_to_procfs_only() {
        let dir = testkit::TempDir::new();
        let fake = dir.join("exec");
        std::fs::write(&fake, "").unwrap();
        let refused = writing(fake.to_str().unwrap(), b"exec profile", true).status().unwrap_err();
        assert!(refused.to_string().contains("not a procfs file"), "{refused}");
        assert_eq!(std::fs::read(&fake).unwrap(), b"", "nothing was written");
        let link = dir.join("link");
        std::os::unix::fs::symlink("/proc/self/comm", &link).unwrap();
        let refused = writing(link.to_str().unwrap(), b"x", true).status().unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ELOOP), "{refused}");
    }

    /// Without a module in the kernel nobody takes the order, and it is told.
    #[test]
    fn an_order_that_nobody_takes_fails_with_words() {
        if lsm::apparmor().available || lsm::selinux().available {
            return;
        }
        let path = "/proc/thread-self/attr/exec";
        let refused = writing(path, b"exec no-such-profile", false).status().unwrap_err();
        assert!(refused.to_string().contains(path), "{refused}");
        assert!(refused.way_out().is_some(), "{refused}");
    }

    #[test]
    fn an_attribute_of_the_thread_itself_is_written() {
        let score = std::fs::read_to_string("/proc/thread-self/oom_score_adj").unwrap();
        let plan = writing("/proc/thread-self/oom_score_adj", score.trim().as_bytes(), false);
        assert!(plan.status().unwrap().success());
    }
}
