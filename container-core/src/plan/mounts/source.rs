//! From a mount's source to a mount in a slot.

use std::borrow::Cow;
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::assemble::Assembly;
use super::super::op::{Op, Slot};
use super::super::validate::{absolute, c_string};
use super::super::wire::target;
use super::{Context, layers};
use crate::error::{Error, Result};
use crate::idmap::IdMappings;
use crate::mount::{Attributes, FileSystemOptions, Mount, Source};
use crate::namespace::{Namespace, NamespaceKind, Namespaces};
use crate::process::Description;

/// The mounts as the kernel will permit them: sysfs and mqueue show a net and
/// an ipc namespace, so that a user namespace which shares these may not mount
/// them anew; the host's are bound there instead.
pub(super) fn feasible(description: &Description) -> Result<Vec<Cow<'_, Mount>>> {
    let namespaces = &description.namespaces;
    description
        .mounts
        .iter()
        .map(|mount| {
            let shared = match mount.source.kind().and_then(OsStr::to_str) {
                Some("sysfs") => (NamespaceKind::Net, "/sys"),
                Some("mqueue") => (NamespaceKind::Ipc, "/dev/mqueue"),
                _ => return Ok(Cow::Borrowed(mount)),
            };
            let (kind, host) = shared;
            if !is_foreign(namespaces, kind) {
                return Ok(Cow::Borrowed(mount));
            }
            let why = "the host's, as a user namespace can't mount what it shares with the host";
            let source = Source::Bind { path: host.into(), recursive: true };
            let tree = mount.tree.then(mount.top);
            let top = Attributes::default();
            Ok(Cow::Owned(Mount { source, tree, top, why, ..mount.clone() }))
        })
        .collect()
}

/// Whether the namespace of this kind does not belong to the process's own
/// user namespace.
fn is_foreign(namespaces: &Namespaces, kind: NamespaceKind) -> bool {
    match (namespaces.get(NamespaceKind::User), namespaces.get(kind)) {
        (Namespace::Inherit, _) | (_, Namespace::New) => false,
        (Namespace::Join(user), Namespace::Join(other)) => {
            !crate::sys::is_owner(user.as_fd(), other.as_fd())
        }
        _ => true,
    }
}

/// The operations that end with the mount in a slot.
pub(super) fn add(
    assembly: &mut Assembly,
    context: &Context<'_>,
    mount: &Mount,
    attributes: u64,
) -> Result<Slot> {
    let step = "check mount";
    let options = match &mount.source {
        Source::FileSystem { options, .. } | Source::Dev { options } => options,
        source => return open(assembly, context, step, source, mount.why),
    };
    let kind = mount.source.kind().unwrap_or_default();
    let options = layers::split(kind, options);
    let mut options = labelled(context, kind, &options);
    let has_gid = options.iter().any(|(key, _)| key == "gid");
    if mount.tty_group
        && !has_gid
        && maps_tty_group(&context.description.namespaces, context.mappings)
    {
        options.to_mut().push(("gid".into(), Some("5".into())));
    }
    add_file_system(assembly, c_string(step, kind)?, &options, attributes, mount.why)
}

/// Group 5, `tty` by custom, owns terminals where it exists.
pub(crate) fn maps_tty_group(namespaces: &Namespaces, mappings: Option<&IdMappings>) -> bool {
    const TTY: u32 = 5;
    let joins = matches!(namespaces.get(NamespaceKind::User), Namespace::Join(_));
    !joins && mappings.is_none_or(|mappings| mappings.gids.to_outside(TTY).is_some())
}

/// The options with the container's label, for a file system that takes one:
/// those of the kernel's own have the labels that its policy gives.
fn labelled<'a>(
    context: &Context<'_>,
    kind: &OsStr,
    options: &'a FileSystemOptions,
) -> Cow<'a, FileSystemOptions> {
    let own = ["proc", "sysfs", "mqueue", "cgroup", "cgroup2"].iter().any(|own| kind == *own);
    match &context.description.mount_label {
        Some(label) if !own => {
            let label = ("context".into(), Some(label.clone()));
            Cow::Owned(options.iter().cloned().chain([label]).collect())
        }
        _ => Cow::Borrowed(options),
    }
}

/// Likewise, of a source without what only a mount has.
pub(super) fn open(
    assembly: &mut Assembly,
    context: &Context<'_>,
    step: &'static str,
    source: &Source,
    why: &'static str,
) -> Result<Slot> {
    match source {
        Source::Bind { path, recursive } => {
            let out = assembly.slot();
            let path = absolute(step, path)?;
            assembly.push(Op::OpenTree { path, recursive: *recursive, out }, why);
            Ok(out)
        }
        Source::FileSystem { kind, options } => {
            let options = layers::split(kind, options);
            let options = labelled(context, kind, &options);
            add_file_system(assembly, c_string(step, kind)?, &options, 0, why)
        }
        Source::Detached(mount) => assembly
            .slot_of(mount)
            .ok_or_else(|| Error::invalid(step, "", "a detached mount without a slot")),
        Source::Dev { .. } | Source::Cgroup { .. } => {
            Err(Error::invalid(step, "", "no root can be made of it"))
        }
    }
}

pub(super) fn add_file_system(
    assembly: &mut Assembly,
    kind: CString,
    options: &FileSystemOptions,
    attributes: u64,
    why: &'static str,
) -> Result<Slot> {
    let step = "check mount";
    let (context, out) = (assembly.slot(), assembly.slot());
    assembly.push(Op::FsOpen { kind, out: context }, why);
    for (key, value) in options {
        let key = c_string(step, key)?;
        let op = match value {
            Some(value) => Op::FsSet { context, key, value: c_string(step, value)? },
            None => Op::FsFlag { context, key },
        };
        assembly.push(op, "an option of this file system");
    }
    let device = options.iter().any(|(key, value)| {
        let value = value.as_deref().unwrap_or_default();
        key == "source" && value.as_bytes().starts_with(b"/")
    });
    if device && attributes & crate::mount::RDONLY != 0 {
        let key = CString::from(c"ro");
        assembly.push(Op::FsFlag { context, key }, "a device that may not be writable at all");
    }
    assembly.push(Op::FsCreate { context }, "it comes to be, with these options");
    assembly.push(Op::FsMount { context, attributes, out }, "a mount of it, attached nowhere yet");
    assembly.reuse(context);
    Ok(out)
}

/// Whether the source is a mount that may have peers on the host.
pub(super) fn is_attached(source: &Source) -> bool {
    matches!(source, Source::Bind { .. } | Source::Detached(_))
}

/// What is made where the target is missing, and how it must be reached.
pub(super) fn target_flags(mount: &Mount) -> Result<u32> {
    let make = if makes_directory(&mount.source)? { target::DIRECTORY } else { target::FILE };
    Ok(make | if mount.strict { target::NO_SYMLINKS } else { 0 })
}

fn makes_directory(source: &Source) -> Result<bool> {
    match source {
        Source::Bind { path, .. } => is_directory(path),
        Source::Detached(mount) => {
            let stat = nix::sys::stat::fstat(mount.as_fd())
                .map_err(|error| Error::os("fstat", "detached mount", error))?;
            Ok(stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
        }
        Source::FileSystem { .. } | Source::Dev { .. } | Source::Cgroup { .. } => Ok(true),
    }
}

fn is_directory(path: &Path) -> Result<bool> {
    std::fs::metadata(path)
        .map(|found| found.is_dir())
        .map_err(|error| Error::os("check mount", path.to_string_lossy(), error))
}
