//! Description → plan: the order of things, and why.

use std::ffi::CString;
use std::sync::Arc;

use super::assemble::Assembly;
use super::op::Op;
use super::streams::{count_slots, streams};
use super::validate::{absolute, c_string};
use super::{
    HostSteps, Plan, attributes, credentials, encode, mounts, notifications, supervise, sysctl,
    validate, wire,
};
use crate::error::{Error, Result};
use crate::idmap::IdMappings;
use crate::mount::Source;
use crate::namespace::{Namespace, NamespaceKind};
use crate::process::Description;
use crate::user::User;

/// The facts about the calling process that a plan depends on.
struct Caller {
    is_root: bool,
    initial_user_namespace: bool,
    /// setgroups is forbidden in its user namespace, and in those made below.
    groups_denied: bool,
}

impl Caller {
    fn now() -> Self {
        /// The inode number of the first user namespace (`PROC_USER_INIT_INO`).
        const FIRST: u64 = 0xEFFF_FFFD;
        let inode = nix::sys::stat::stat("/proc/self/ns/user").map(|stat| stat.st_ino);
        Self {
            is_root: nix::unistd::geteuid().is_root(),
            initial_user_namespace: inode == Ok(FIRST),
            groups_denied: inode != Ok(FIRST)
                && std::fs::read("/proc/self/setgroups").is_ok_and(|text| text == b"deny\n"),
        }
    }
}

/// Compiles a description.
pub(crate) fn compile(description: &Description) -> Result<Plan> {
    validate::check(description)?;
    let caller = Caller::now();
    let user = credentials::resolve_user(description)?;
    let mut host = host_steps(description)?;
    check_mapped(user.as_ref(), host.mappings.as_ref())?;
    check_caller_mapped(user.as_ref(), host.mappings.as_ref())?;
    let streams = streams(description);
    let stdio = count_slots(&streams);
    let as_root = caller.is_root && caller.initial_user_namespace;
    let can_mknod = as_root && !has_other_user_namespace(description);
    let mappings = host.mappings.clone();
    let context = mounts::Context::new(description, mappings.as_ref(), can_mknod, as_root)?;
    host.mounts = context.host_mounts().to_vec();
    let opened = supervise::count_slots(description, &streams);
    let cgroup = supervise::cgroup_of(description, &host)?;
    let mut descriptors = descriptors(description);
    descriptors.extend(cgroup.clone());
    let mut assembly = Assembly::new(stdio + opened, descriptors, host.mounts.len() as u32);
    let why = "exec keeps the signals that the host ignored";
    assembly.push(Op::ResetSignals, why);
    supervise::add(&mut assembly, description, &host, &streams, stdio, cgroup.as_ref())?;
    let scope = Scope { description, caller: &caller, host: &host, user: user.as_ref() };
    let second_clone = scope.add_namespaces(&mut assembly)?;
    scope.add_identity(&mut assembly);
    scope.add_host_names(&mut assembly)?;
    sysctl::add(&mut assembly, description)?;
    if description.namespaces.is_new(NamespaceKind::Mount) {
        mounts::add(&mut assembly, &context)?;
    }
    let terminal = scope.add_streams(&mut assembly)?;
    scope.add_process_settings(&mut assembly)?;
    credentials::add(&mut assembly, description, &scope.ids());
    scope.add_ending(&mut assembly, terminal)?;
    assembly.check_size()?;
    let listener = notifications::check(description, &assembly.steps)?;
    let (inherited, slots) = (assembly.inherited(), assembly.slots());
    let bytes = encode::encode(assembly.steps.iter().map(|step| &step.op), inherited, slots);
    wire::validate(&bytes).map_err(|(refusal, op)| {
        let words = wire::Refusal::words(refusal as i32);
        Error::invalid("check plan", format!("operation {op}"), words)
    })?;
    let outside = |uid| match &host.mappings {
        Some(mappings) => mappings.uids.to_outside(uid),
        None => Some(uid),
    };
    let stream_owner = user.as_ref().and_then(|user| outside(user.uid()));
    Ok(Plan {
        steps: assembly.steps,
        bytes,
        host,
        streams,
        descriptors: assembly.descriptors,
        reserved: 3 + description.passed.len() as u32,
        waits_for_start: description.waits_for_start,
        stops_before_pivot: description.stops_before_pivot,
        companions: description.enter.as_ref().map(|enter| Arc::clone(&enter.companions)),
        second_clone,
        listener,
        supervision: description.supervision.clone(),
        stream_owner,
    })
}

/// Descriptors that the plan owns, in slot order.
fn descriptors(description: &Description) -> Vec<std::sync::Arc<std::os::fd::OwnedFd>> {
    let detached = |source: &Source| match source {
        Source::Detached(mount) => Some(mount.clone()),
        _ => None,
    };
    let mut all = description.passed.clone();
    all.extend(description.namespaces.joined().map(|(_, namespace)| namespace.clone()));
    all.extend(description.enter.iter().map(|enter| enter.pidfd.clone()));
    all.extend(description.start_socket.clone());
    all.extend(description.rootfs.iter().filter_map(|rootfs| detached(&rootfs.source)));
    all.extend(description.mounts.iter().filter_map(|mount| detached(&mount.source)));
    all
}

/// What the parent does: clone flags, id maps, cgroup.
fn host_steps(description: &Description) -> Result<HostSteps> {
    let namespaces = &description.namespaces;
    let joins_user = matches!(namespaces.get(NamespaceKind::User), Namespace::Join(_));
    let mut clone_flags = if joins_user { 0 } else { namespaces.clone_flags() };
    clone_flags &= !NamespaceKind::Time.clone_flag();
    if namespaces.is_new(NamespaceKind::Time) {
        clone_flags &= !NamespaceKind::Pid.clone_flag();
    }
    if description.cgroup.is_some() {
        clone_flags &= !NamespaceKind::Cgroup.clone_flag();
    }
    let mappings = match (&description.mappings, namespaces.is_new(NamespaceKind::User)) {
        (Some(mappings), _) => Some(mappings.clone()),
        (None, true) => Some(crate::process::best_mappings()?),
        (None, false) => None,
    };
    let cgroup = description.cgroup.clone();
    let net_devices = description.net_devices.clone();
    let net_namespace = match namespaces.get(NamespaceKind::Net) {
        Namespace::Join(namespace) => Some(Arc::clone(namespace)),
        _ => None,
    };
    let initial_affinity = description.cpu_affinity.get_before().cloned();
    let needed = attributes::needed(description);
    let mut host = HostSteps {
        clone_flags,
        mappings,
        cgroup,
        net_devices,
        intel_rdt: description.intel_rdt.clone(),
        net_namespace,
        initial_affinity,
        needed,
        mounts: Vec::new(),
        waits: false,
    };
    host.waits = host.mappings.is_some()
        || host.attached().is_some()
        || host.initial_affinity.is_some()
        || !host.net_devices.is_empty()
        || host.intel_rdt.is_some();
    Ok(host)
}

/// Whether it will be in another user namespace than the caller.
fn has_other_user_namespace(description: &Description) -> bool {
    let entered = description.enter.iter().any(|enter| enter.kinds.contains(&NamespaceKind::User));
    entered || !matches!(description.namespaces.get(NamespaceKind::User), Namespace::Inherit)
}

/// Every id that the payload takes on must exist in its user namespace.
fn check_mapped(user: Option<&User>, mappings: Option<&IdMappings>) -> Result<()> {
    let (Some(user), Some(mappings)) = (user, mappings) else {
        return Ok(());
    };
    let unmapped = |what: &'static str, id: u32| {
        Error::invalid("check user", format!("{what} {id}"), "not mapped in the user namespace")
            .hint("give id mappings that hold it")
    };
    if mappings.uids.to_outside(user.uid()).is_none() {
        return Err(unmapped("uid", user.uid()));
    }
    let mut gids = user.additional_gids().iter().copied().chain([user.gid()]);
    match gids.find(|gid| mappings.gids.to_outside(*gid).is_none()) {
        Some(gid) => Err(unmapped("gid", gid)),
        None => Ok(()),
    }
}

/// Without a user to become, a caller who is not mapped would stay what it is
/// outside: to files, the host's root for example.
fn check_caller_mapped(user: Option<&User>, mappings: Option<&IdMappings>) -> Result<()> {
    let (None, Some(mappings)) = (user, mappings) else {
        return Ok(());
    };
    let euid = nix::unistd::geteuid().as_raw();
    let root = mappings.uids.to_outside(0).is_some() && mappings.gids.to_outside(0).is_some();
    if root || mappings.uids.to_inside(euid).is_some() {
        return Ok(());
    }
    let reason = "neither root inside nor the caller is mapped: it would stay the host's user";
    Err(Error::invalid("check user", format!("uid {euid}"), reason)
        .hint("give a user who is mapped"))
}

/// What the parts of the compiler look at.
pub(super) struct Scope<'a> {
    pub(super) description: &'a Description,
    caller: &'a Caller,
    host: &'a HostSteps,
    pub(super) user: Option<&'a User>,
}

impl Scope<'_> {
    fn is_new(&self, kind: NamespaceKind) -> bool {
        self.description.namespaces.is_new(kind)
    }

    fn enters(&self, kind: NamespaceKind) -> bool {
        let entered = self.description.enter.iter().any(|enter| enter.kinds.contains(&kind));
        entered || matches!(self.description.namespaces.get(kind), Namespace::Join(_))
    }

    /// setgroups is forbidden where the caller wrote its single-id map itself, and for good where
    /// it is for the caller.
    fn groups_denied(&self) -> bool {
        let alone =
            self.host.mappings.as_ref().is_some_and(|mappings| {
                !self.caller.is_root && crate::process::is_single(mappings)
            });
        let for_caller = self.caller.groups_denied && !self.enters(NamespaceKind::User);
        alone
            || for_caller
            || self.description.enter.as_ref().is_some_and(|enter| enter.groups_denied)
    }

    /// Whoever made that namespace may have had to deny setgroups for good.
    fn joins_user_namespace(&self) -> bool {
        matches!(self.description.namespaces.get(NamespaceKind::User), Namespace::Join(_))
    }

    pub(super) fn ids(&self) -> credentials::Ids<'_> {
        credentials::Ids {
            user: self.user,
            groups_denied: self.groups_denied(),
            joins_user_namespace: self.joins_user_namespace(),
            in_user_namespace: self.is_new(NamespaceKind::User),
        }
    }

    /// Joins, entry by pidfd, what the clone could not make, second clone.
    fn add_namespaces(&self, assembly: &mut Assembly) -> Result<bool> {
        let description = self.description;
        attributes::add_early(assembly, description)?;
        if self.host.waits {
            assembly.push(Op::WaitHost, "until the parent has written id maps and cgroup");
        }
        self.add_joins(assembly)?;
        let mut flags = description.namespaces.clone_flags() & !self.host.clone_flags;
        let time = self.is_new(NamespaceKind::Time);
        if flags != 0 {
            // A cgroup namespace's root is the cgroup of the process that
            // makes it, so it comes after the entry.
            flags &= !NamespaceKind::User.clone_flag();
            assembly.push(Op::Unshare { flags }, "new namespaces that the clone can't make");
        }
        let offsets = description.namespaces.time_offsets();
        if time && !offsets.is_zero() {
            let path = CString::from(c"/proc/self/timens_offsets");
            let data = offsets.to_string().into_bytes();
            let op = Op::WriteProc { path, data, if_permitted: false };
            assembly.push(op, "clocks are set before the first process");
        }
        let late_pid = flags & NamespaceKind::Pid.clone_flag() != 0;
        let second = time || late_pid || self.enters(NamespaceKind::Pid);
        if second {
            if matches!(description.namespaces.get(NamespaceKind::Pid), Namespace::Join(_)) {
                let why = "those who are there already may not look into this one";
                assembly.push(Op::Dumpable(false), why);
            }
            let why = "a pid or time namespace counts for children only: the child goes on";
            assembly.push(Op::Fork, why);
        }
        Ok(second)
    }

    fn add_joins(&self, assembly: &mut Assembly) -> Result<()> {
        let missing = || Error::invalid("make plan", "namespace", "a descriptor without a slot");
        if let Some(enter) = &self.description.enter {
            let why = "no process of the container may look into this one";
            assembly.push(Op::Dumpable(false), why);
            let flags = enter.kinds.iter().fold(0, |flags, kind| flags | kind.clone_flag());
            let slot = assembly.slot_of(&enter.pidfd).ok_or_else(missing)?;
            if flags != 0 {
                let why = "all namespaces of the running process in one call";
                assembly.push(Op::Setns { slot, flags }, why);
            }
        }
        let mut joined: Vec<_> = self.description.namespaces.joined().collect();
        if self.caller.is_root {
            // Root may enter anything now, but not from inside another user
            // namespace; an ordinary user may only from inside.
            joined.sort_by_key(|(kind, _)| *kind == NamespaceKind::User);
        }
        for (kind, namespace) in joined {
            let slot = assembly.slot_of(namespace).ok_or_else(missing)?;
            assembly.push(Op::Setns { slot, flags: kind.clone_flag() }, "an existing namespace");
        }
        Ok(())
    }

    /// In a user namespace: root inside, before any file is made.
    fn add_identity(&self, assembly: &mut Assembly) {
        let new = self.is_new(NamespaceKind::User);
        let has_root = self.host.mappings.as_ref().is_none_or(|mappings| {
            mappings.uids.to_outside(0).is_some() && mappings.gids.to_outside(0).is_some()
        });
        let has_root =
            has_root && self.description.enter.as_ref().is_none_or(|enter| enter.has_root);
        if (new || self.enters(NamespaceKind::User)) && has_root {
            if !self.groups_denied() {
                let unless_denied = self.joins_user_namespace();
                assembly.push(
                    Op::SetGroups { groups: Vec::new(), unless_denied },
                    "the caller's groups mean nothing inside",
                );
            }
            assembly.push(Op::SetGid(0), "files made below belong to an id that is mapped");
            assembly.push(Op::SetUid(0), "likewise");
        }
        if new && self.description.enter.is_none() {
            let why = "no process of the container may look into this one";
            assembly.push(Op::Dumpable(false), why);
        }
    }

    fn add_host_names(&self, assembly: &mut Assembly) -> Result<()> {
        if let Some(name) = &self.description.hostname {
            let name = c_string("check hostname", name)?;
            assembly.push(Op::SetHostname(name), "the container's own name");
        }
        if let Some(name) = &self.description.domainname {
            let name = c_string("check domainname", name)?;
            assembly.push(Op::SetDomainname(name), "the container's own NIS domain");
        }
        if self.is_new(NamespaceKind::Net) {
            assembly.push(Op::LoopbackUp, "a new net namespace has lo, but down");
        }
        Ok(())
    }

    fn add_process_settings(&self, assembly: &mut Assembly) -> Result<()> {
        let description = self.description;
        if let Some(directory) = &description.directory {
            let path = absolute("check working directory", directory)?;
            assembly.push(Op::Chdir(path), "and it must lie in the root");
        }
        let mounted = self.is_new(NamespaceKind::Mount);
        let umask = self.user.and_then(User::umask).or(mounted.then_some(0o022));
        if let Some(umask) = umask {
            assembly.push(Op::Umask(umask), "the payload's, whatever the host's is");
        }
        for limit in &description.rlimits {
            let resource = limit.resource();
            assembly.push(
                Op::Rlimit {
                    resource: resource.number(),
                    name: resource.name(),
                    soft: limit.soft(),
                    hard: limit.hard(),
                },
                "a limit as described, while it may still be raised",
            );
        }
        attributes::add(assembly, description)
    }
}
