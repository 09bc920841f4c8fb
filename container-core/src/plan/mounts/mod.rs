//! The mount part of a plan: root, mounts, devices, masks, pivot.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::CString;

use super::assemble::Assembly;
use super::op::{Event, Op, Slot};
use super::validate::inside;
use crate::error::Result;
use crate::idmap::IdMappings;
use crate::mount::{Attributes, Mount, NODEV, Propagation, RDONLY, Source};
use crate::process::Description;

mod cgroup;
mod check;
mod devices;
mod host;
mod late;
mod layers;
mod masks;
mod root;
mod source;

pub(super) use check::check;
pub(crate) use host::{HostMount, IdSource, Prepared};
pub(crate) use source::maps_tty_group;

/// What the mount part depends on besides the description.
pub(super) struct Context<'a> {
    pub(super) description: &'a Description,
    /// The mounts as they can be made: see [`source::feasible`].
    mounts: Vec<Cow<'a, Mount>>,
    pub(super) mappings: Option<&'a IdMappings>,
    pub(super) can_mknod: bool,
    prepared: Prepared,
}

impl<'a> Context<'a> {
    /// `as_root` is whether the caller is the machine's root.
    pub(super) fn new(
        description: &'a Description,
        mappings: Option<&'a IdMappings>,
        can_mknod: bool,
        as_root: bool,
    ) -> Result<Self> {
        let mounts = source::feasible(description)?;
        let prepared = host::prepared(description, &mounts, as_root)?;
        Ok(Self { description, mounts, mappings, can_mknod, prepared })
    }

    /// The mounts that the host opens at each launch, in slot order.
    pub(super) fn host_mounts(&self) -> &[HostMount] {
        &self.prepared.mounts
    }
}

/// Adds the operations from private mounts to the pivot.
pub(super) fn add(assembly: &mut Assembly, context: &Context<'_>) -> Result<()> {
    let description = context.description;
    let mut shared = open_shared(assembly, context)?;
    let flags = Propagation::Slave.flag();
    assembly
        .push(Op::Propagation { flags, recursive: true }, "no mount made here shows on the host");
    let changes = description.rootfs.is_some()
        || !description.mounts.is_empty()
        || !description.masked.is_empty()
        || !description.read_only.is_empty();
    if !changes {
        return Ok(());
    }
    assembly.push(Op::Umask(0), "modes below are meant as written");
    let root = root::add(assembly, context)?;
    for (index, mount) in context.mounts.iter().enumerate() {
        let prepared = context.prepared.of_mount(index).map(|at| assembly.prepared(at));
        let early = prepared.is_none() && is_shared_bind(mount);
        let opened = if early { shared.pop_front() } else { prepared };
        add_mount(assembly, context, mount, opened, root)?;
    }
    devices::add(assembly, context, root)?;
    add_directory(assembly, description, root)?;
    if description.stops_before_pivot {
        assembly.push(Op::Report(Event::BeforePivot), "all is mounted, the root not switched yet");
        assembly.push(Op::WaitHost, "until the hooks have run that may change it");
    }
    late::add(assembly, context, root)?;
    masks::add(assembly, description, root)?;
    root::enter(assembly, description, root)
}

/// The working directory, while the root may still be written.
fn add_directory(assembly: &mut Assembly, description: &Description, root: Slot) -> Result<()> {
    let Some(directory) = description.directory.as_ref().filter(|_| description.make_directory)
    else {
        return Ok(());
    };
    let path = inside("check working directory", directory)?;
    if path.as_bytes() == b"." {
        return Ok(());
    }
    let out = assembly.slot();
    assembly.push(
        Op::Target { root, path, make: super::wire::target::DIRECTORY, mode: 0o755, out },
        "the working directory, made if missing",
    );
    assembly.push(Op::Close(out), "it was to be made, no more");
    assembly.reuse(out);
    Ok(())
}

fn is_shared_bind(mount: &Mount) -> bool {
    mount.propagation == Some(Propagation::Shared) && matches!(mount.source, Source::Bind { .. })
}

/// The sources that stay peers of the host's mounts are taken while these
/// still are.
fn open_shared(assembly: &mut Assembly, context: &Context<'_>) -> Result<VecDeque<Slot>> {
    let mounts = context.mounts.iter().enumerate();
    mounts
        .filter(|(index, mount)| {
            is_shared_bind(mount) && context.prepared.of_mount(*index).is_none()
        })
        .map(|(_, mount)| source::add(assembly, context, mount, 0))
        .collect()
}

fn add_mount(
    assembly: &mut Assembly,
    context: &Context<'_>,
    mount: &Mount,
    opened: Option<Slot>,
    root: Slot,
) -> Result<()> {
    if matches!(mount.source, Source::Cgroup { .. }) {
        return cgroup::add(assembly, context, mount, root);
    }
    let path = inside("check mount", &mount.target)?;
    let is_dev = matches!(mount.source, Source::Dev { .. });
    let (tree, top) = attributes(mount);
    let slot = match opened {
        Some(slot) => slot,
        None => source::add(assembly, context, mount, tree.set)?,
    };
    set_attributes(assembly, mount, slot, tree, top);
    if is_dev {
        devices::fill_dev(assembly, slot, context.can_mknod)?;
    }
    if mount.copy_up || mount.mode_of_target {
        let why = if mount.copy_up {
            "the new file system starts with what lies below it"
        } else {
            "as open as the directory that it covers"
        };
        let contents = mount.copy_up;
        assembly.push(Op::CopyUp { root, path: path.clone(), to: slot, contents }, why);
    }
    place(assembly, slot, root, path.clone(), source::target_flags(mount)?);
    if is_dev && !context.can_mknod {
        devices::bind_defaults(assembly, root, &path)?;
    }
    Ok(())
}

/// The attributes of all that is mounted with it, and those of its top alone.
fn attributes(mount: &Mount) -> (Attributes, Attributes) {
    if mount.source.is_tree() {
        return (mount.tree, mount.top);
    }
    let mut own = mount.tree.then(mount.top);
    if matches!(mount.source, Source::Dev { .. }) {
        // Devices must open in /dev.
        own.set &= !NODEV;
    }
    if late::is_filled(mount) {
        own.set &= !RDONLY;
    }
    (own, Attributes::default())
}

/// Sets what a mount of existing files is to have; a new file system got its
/// attributes when it was mounted.
fn set_attributes(
    assembly: &mut Assembly,
    mount: &Mount,
    slot: Slot,
    tree: Attributes,
    top: Attributes,
) {
    let attached = source::is_attached(&mount.source);
    let tree = if attached { tree } else { Attributes::default() };
    if !attached && mount.propagation.is_none() {
        return;
    }
    let recursive = matches!(mount.source, Source::Bind { recursive: true, .. })
        || (mount.source.is_tree() && !tree.is_empty());
    let propagation = mount.propagation.unwrap_or(Propagation::Private);
    // Apart from the top, unbindable is no less private than private.
    let (below, of_top) = match (propagation, mount.propagates_top && recursive) {
        (Propagation::Unbindable, true) => (Propagation::Private.flag(), propagation.flag()),
        (Propagation::Shared, true) => (0, propagation.flag()),
        _ => (propagation.flag(), 0),
    };
    let why = "its attributes, set before anyone can reach it";
    if below != 0 || !tree.is_empty() {
        assembly.push(
            Op::MountSetattr {
                slot,
                set: tree.set,
                clear: tree.clear,
                propagation: below as u32,
                recursive,
            },
            why,
        );
    }
    if of_top != 0 || !top.is_empty() {
        assembly.push(
            Op::MountSetattr {
                slot,
                set: top.set,
                clear: top.clear,
                propagation: of_top as u32,
                recursive: false,
            },
            "likewise, of the topmost mount alone",
        );
    }
}

/// Resolves the target inside the root and puts the mount there.
fn place(assembly: &mut Assembly, mount: Slot, root: Slot, path: CString, make: u32) {
    let out = assembly.slot();
    let mode = if make & super::wire::target::FILE != 0 { 0o644 } else { 0o755 };
    assembly.push(
        Op::Target { root, path: path.clone(), make, mode, out },
        "the target, resolved inside the root and made if missing",
    );
    assembly.push(
        Op::MoveMount { mount, target: out, path },
        "by descriptor: what the root holds can't lead it elsewhere",
    );
    assembly.reuse(mount);
    assembly.reuse(out);
}

/// Makes what is in a slot read-only.
fn make_read_only(assembly: &mut Assembly, slot: Slot, why: &'static str) {
    assembly.push(
        Op::MountSetattr { slot, set: RDONLY, clear: 0, propagation: 0, recursive: false },
        why,
    );
}
