//! The credential part of a plan: who the payload is and what it may do.

use super::assemble::Assembly;
use super::op::Op;
use crate::capability::Capabilities;
use crate::error::Result;
use crate::process::Description;
use crate::seccomp::Program;
use crate::user::User;

/// The highest capability that this library knows; dropping one that the
/// kernel lacks would answer EINVAL, so the kernel's own number counts.
fn last_capability() -> u32 {
    const KNOWN: u32 = 40;
    std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(KNOWN)
        .min(63)
}

/// What the caller decided about ids.
pub(super) struct Ids<'a> {
    pub(super) user: Option<&'a User>,
    /// The kernel forbids `setgroups` in this user namespace.
    pub(super) groups_denied: bool,
    /// It may forbid it, or not.
    pub(super) joins_user_namespace: bool,
    /// The process has every capability of a user namespace it came to by
    /// clone or setns, and ambient ones among them.
    pub(super) in_user_namespace: bool,
}

/// Adds the operations from the bounding set to `no_new_privs`; the filter
/// comes later unless it must come before the privileges go.
pub(super) fn add(assembly: &mut Assembly, description: &Description, ids: &Ids<'_>) {
    let capabilities = description.capabilities.as_ref();
    if let Some(capabilities) = capabilities {
        let keep = capabilities.bounding.bits();
        assembly.push(
            Op::CapBounding { keep, last: last_capability() },
            "no exec can ever bring these back",
        );
    }
    if let Some(filter) = early_filter(description) {
        assembly.push(
            Op::Seccomp { filter: filter.as_bytes().to_vec(), flags: u64::from(filter.flags()) },
            "without no_new_privs the filter needs CAP_SYS_ADMIN, which goes next",
        );
    }
    if let Some(user) = ids.user {
        add_ids(assembly, user, ids, capabilities);
    }
    match capabilities {
        Some(set) => add_capabilities(assembly, set),
        None if ids.in_user_namespace => {
            // An ordinary user inside has lost them by becoming that user.
            let root = ids.user.is_none_or(|user| user.uid() == 0);
            let set = if root { (1u64 << (last_capability() + 1)) - 1 } else { 0 };
            assembly.push(
                Op::CapSet { effective: set, permitted: set, inheritable: 0 },
                "the init kept its capabilities across exec by making them ambient; the payload \
                 gets them by being root inside, or not at all",
            );
        }
        None => {}
    }
    if description.no_new_privileges {
        assembly.push(Op::NoNewPrivs, "no set-user-id program gives privileges from here on");
    }
}

fn add_ids(
    assembly: &mut Assembly,
    user: &User,
    ids: &Ids<'_>,
    capabilities: Option<&Capabilities>,
) {
    if !ids.groups_denied {
        let groups = user.additional_gids().to_vec();
        let own_only = groups.iter().all(|gid| *gid == user.gid());
        assembly.push(
            Op::SetGroups { groups, unless_denied: ids.joins_user_namespace && own_only },
            "explicit, else the caller's groups would stay",
        );
    }
    assembly.push(Op::SetGid(user.gid()), "the group, while it may still be changed");
    let keeps = capabilities.is_some_and(|set| !set.permitted.is_empty());
    if user.uid() != 0 && keeps {
        assembly.push(Op::KeepCaps, "else the change of user clears the permitted set");
    }
    assembly.push(Op::SetUid(user.uid()), "the user: real, effective and saved");
}

fn add_capabilities(assembly: &mut Assembly, set: &Capabilities) {
    assembly.push(
        Op::CapSet {
            effective: set.effective.bits(),
            permitted: set.permitted.bits(),
            inheritable: set.inheritable.bits(),
        },
        "exactly these, inheritable ones only if asked for",
    );
    assembly.push(Op::CapAmbient(set.ambient.bits()), "those that an ordinary user keeps on exec");
}

/// The filter, if it must be installed before the privileges go.
pub(super) fn early_filter(description: &Description) -> Option<&Program> {
    description.seccomp.as_ref().filter(|_| !description.no_new_privileges)
}

/// The filter, if it is installed last.
pub(super) fn late_filter(description: &Description) -> Option<&Program> {
    description.seccomp.as_ref().filter(|_| description.no_new_privileges)
}

/// Which ids `description` asks for; names are looked up in the root's files.
pub(super) fn resolve_user(description: &Description) -> Result<Option<User>> {
    let Some(spec) = &description.user else {
        return Ok(None);
    };
    if !spec.needs_files() {
        return spec.resolve(&[], &[]).map(Some);
    }
    let root = super::root_files::open(description)?;
    let passwd = root.read("etc/passwd")?;
    let group = root.read("etc/group")?;
    spec.resolve(&passwd, &group).map(Some)
}
