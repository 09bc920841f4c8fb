//! The credential part of a plan: who the payload is and what it may do.

use super::assemble::Assembly;
use super::notifications;
use super::op::Op;
use crate::error::Result;
use crate::process::Description;
use crate::seccomp::Program;
use crate::user::User;

/// The highest capability that this library knows; dropping one that the
/// kernel lacks would answer EINVAL, so the kernel's own number counts.
pub(super) fn last_capability() -> u32 {
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
    let deferred = deferred_filter(description).is_some();
    if let Some(filter) = early_filter(description).filter(|_| !deferred) {
        let why = "without no_new_privs the filter needs CAP_SYS_ADMIN, which goes next";
        assembly.push(install(filter), why);
    }
    if let Some(user) = ids.user {
        let permitted = capabilities.is_some_and(|set| !set.permitted.is_empty());
        add_ids(assembly, user, ids, permitted || deferred);
    }
    match sets(description, ids) {
        Some(set) if deferred => {
            let why = "as it will be, and CAP_SYS_ADMIN, which the filter after the start needs";
            assembly.push(set.op(ADMIN), why);
        }
        Some(set) => add_sets(assembly, &set),
        None => {}
    }
    if description.no_new_privileges {
        assembly.push(Op::NoNewPrivs, "no set-user-id program gives privileges from here on");
    }
}

/// What is left for after the start: a filter that takes privileges to install
/// need not allow the wait, and the privilege goes when it is there.
pub(super) fn add_deferred(assembly: &mut Assembly, description: &Description, ids: &Ids<'_>) {
    let Some(filter) = deferred_filter(description) else { return };
    assembly.push(install(filter), "without no_new_privs it needs CAP_SYS_ADMIN, which goes next");
    if let Some(set) = sets(description, ids) {
        add_sets(assembly, &set);
    }
}

fn add_ids(assembly: &mut Assembly, user: &User, ids: &Ids<'_>, keeps: bool) {
    let groups = user.additional_gids().to_vec();
    let own_only = groups.iter().all(|gid| *gid == user.gid());
    // Groups that were asked for are never left out in silence.
    if !ids.groups_denied || !own_only {
        assembly.push(
            Op::SetGroups { groups, unless_denied: ids.joins_user_namespace && own_only },
            "explicit, else the caller's groups would stay",
        );
    }
    assembly.push(Op::SetGid(user.gid()), "the group, while it may still be changed");
    if user.uid() != 0 && keeps {
        assembly.push(Op::KeepCaps, "else the change of user clears the permitted set");
    }
    assembly.push(Op::SetUid(user.uid()), "the user: real, effective and saved");
}

const ADMIN: u64 = 1 << crate::Capability::SysAdmin.number();

/// What the payload's capabilities will be.
struct Sets {
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: Option<u64>,
    why: &'static str,
}

impl Sets {
    fn op(&self, also: u64) -> Op {
        Op::CapSet {
            effective: self.effective | also,
            permitted: self.permitted | also,
            inheritable: self.inheritable,
        }
    }
}

fn sets(description: &Description, ids: &Ids<'_>) -> Option<Sets> {
    if let Some(set) = &description.capabilities {
        return Some(Sets {
            effective: set.effective.bits(),
            permitted: set.permitted.bits(),
            inheritable: set.inheritable.bits(),
            ambient: Some(set.ambient.bits()),
            why: "exactly these, inheritable ones only if asked for",
        });
    }
    let root = ids.user.is_none_or(|user| user.uid() == 0);
    let kept = deferred_filter(description).is_some() && !root;
    // An ordinary user has lost them by becoming that user.
    let set = if root { u64::MAX >> (63 - last_capability()) } else { 0 };
    (ids.in_user_namespace || kept).then_some(Sets {
        effective: set,
        permitted: set,
        inheritable: 0,
        ambient: None,
        why: "the init kept its capabilities across exec or change of user; the payload gets them \
              by being root inside, or not at all",
    })
}

fn add_sets(assembly: &mut Assembly, set: &Sets) {
    assembly.push(set.op(0), set.why);
    if let Some(ambient) = set.ambient {
        assembly.push(Op::CapAmbient(ambient), "those that an ordinary user keeps on exec");
    }
}

/// The operation that installs a filter.
pub(super) fn install(program: &Program) -> Op {
    let (filter, flags) = (program.as_bytes().to_vec(), u64::from(program.flags()));
    if program.needs_listener() {
        Op::SeccompListen { filter, flags, waits: notifications::can_wait(program) }
    } else {
        Op::Seccomp { filter, flags }
    }
}

/// The filter, if it must be installed before the privileges go.
pub(super) fn early_filter(description: &Description) -> Option<&Program> {
    description.seccomp.as_ref().filter(|_| !description.no_new_privileges)
}

/// The early filter of a process that another one starts: it comes after the
/// start, so that it need not allow the wait.
fn deferred_filter(description: &Description) -> Option<&Program> {
    early_filter(description).filter(|_| description.start_socket.is_some())
}

/// The filter, if it is installed last.
pub(super) fn late_filter(description: &Description) -> Option<&Program> {
    description.seccomp.as_ref().filter(|_| description.no_new_privileges)
}

/// Which ids `description` asks for; names are looked up in the root's files.
pub(crate) fn resolve_user(description: &Description) -> Result<Option<User>> {
    let Some(spec) = &description.user else {
        return Ok(None);
    };
    if !spec.needs_files() {
        let wanted = spec.finds_home() && !description.environment.iter().any(|(n, _)| n == "HOME");
        let passwd = if wanted { read_passwd(description).unwrap_or_default() } else { Vec::new() };
        return spec.resolve(&passwd, &[]).map(Some);
    }
    let root = super::root_files::open(description)?;
    let passwd = root.read("etc/passwd")?;
    let group = root.read("etc/group")?;
    spec.resolve(&passwd, &group).map(Some)
}

fn read_passwd(description: &Description) -> Result<Vec<u8>> {
    super::root_files::open(description)?.read("etc/passwd")
}
