//! The container's own part of the cgroup trees.

use std::ffi::OsString;
use std::path::PathBuf;

use super::super::assemble::Assembly;
use super::super::op::{Op, Slot};
use super::super::validate::{c_string, inside};
use super::super::wire::target;
use super::{Context, make_read_only, place, source};
use crate::cgroup::{Cgroup, Controllers, Hierarchy, HierarchyMount, Layout, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::mount::{Mount, Propagation, RDONLY, Source};
use crate::namespace::{Namespace, NamespaceKind};

/// Adds what [`Mount::cgroup`](crate::Mount::cgroup) stands for on this host.
pub(super) fn add(
    assembly: &mut Assembly,
    context: &Context<'_>,
    mount: &Mount,
    root: Slot,
) -> Result<()> {
    let hierarchy = Hierarchy::discover()?;
    let own = context.description.cgroup.as_ref();
    match hierarchy.layout() {
        Layout::Absent => Err(Error::with(
            ErrorKind::Unsupported,
            "check mount",
            mount.target.to_string_lossy(),
            "the host has no cgroup hierarchy mounted",
        )),
        Layout::Unified => add_unified(assembly, context, mount, root, &hierarchy, own),
        _ => add_legacy(assembly, mount, root, &hierarchy, own),
    }
}

/// cgroup2 itself, whose root is that of the cgroup namespace; without one,
/// just the own cgroup.
fn add_unified(
    assembly: &mut Assembly,
    context: &Context<'_>,
    mount: &Mount,
    root: Slot,
    hierarchy: &Hierarchy,
    own: Option<&Cgroup>,
) -> Result<()> {
    let shares =
        matches!(context.description.namespaces.get(NamespaceKind::Cgroup), Namespace::Inherit);
    let source = match (shares, hierarchy.unified()) {
        (true, Some(unified)) => {
            let path = own_directory(unified, own);
            Source::Bind { path, recursive: false }
        }
        _ => {
            let options = match &mount.source {
                Source::Cgroup { options } => options.clone(),
                _ => Vec::new(),
            };
            Source::FileSystem { kind: "cgroup2".into(), options }
        }
    };
    super::add_mount(assembly, context, &Mount { source, ..mount.clone() }, None, root)
}

/// A tmpfs with a directory for each hierarchy, and the own cgroup on each.
fn add_legacy(
    assembly: &mut Assembly,
    mount: &Mount,
    root: Slot,
    hierarchy: &Hierarchy,
    own: Option<&Cgroup>,
) -> Result<()> {
    let attributes = mount.tree.then(mount.top);
    let path = inside("check mount", &mount.target)?;
    let options = vec![("mode".into(), Some("755".into()))];
    let top = source::add_file_system(
        assembly,
        c"tmpfs".into(),
        &options,
        attributes.set & !RDONLY,
        mount.why,
    )?;
    for found in hierarchy.mounts() {
        let name = directory_name(found);
        let name = c_string("check mount", &name)?;
        let why = "a hierarchy's place, named as on the host";
        assembly.push(Op::Mkdir { dir: top, name: name.clone(), mode: 0o755 }, why);
        for link in links(found, name.as_bytes()) {
            let (name, target) = (c_string("link", link.as_ref())?, name.clone());
            let why = "one of several controllers of that hierarchy";
            assembly.push(Op::Symlink { dir: top, name, target }, why);
        }
    }
    make_read_only(assembly, top, "only the places are in it");
    place(assembly, top, root, path, target::DIRECTORY | target::NO_SYMLINKS);
    for found in hierarchy.mounts() {
        let out = assembly.slot();
        let directory = own_directory(found, own);
        let tree = c_string("check mount", directory.as_os_str())?;
        let why = "the container's own cgroup and those below it, no other";
        assembly.push(Op::OpenTree { path: tree, recursive: false, out }, why);
        let why = "not to be changed from inside: release_agent would run on the host";
        assembly.push(
            Op::MountSetattr {
                slot: out,
                set: attributes.set,
                clear: attributes.clear,
                propagation: Propagation::Private.flag() as u32,
                recursive: false,
            },
            why,
        );
        let place_of = inside("check mount", &mount.target.join(directory_name(found)))?;
        place(assembly, out, root, place_of, target::NO_SYMLINKS);
    }
    Ok(())
}

/// The name of a hierarchy's directory, as on the host.
fn directory_name(found: &HierarchyMount) -> OsString {
    found.mount_point().file_name().unwrap_or_default().to_owned()
}

/// The controllers of a hierarchy that has several, each by its name.
fn links(found: &HierarchyMount, directory: &[u8]) -> Vec<String> {
    if found.version() == Version::V2 {
        return Vec::new();
    }
    let names: Vec<String> = Controllers::iter(found.controllers())
        .map(|controller| controller.to_string())
        .filter(|name| name.as_bytes() != directory)
        .collect();
    names
}

/// The container's cgroup in this hierarchy: the one it is put in, else the
/// caller's, which it inherits.
fn own_directory(found: &HierarchyMount, own: Option<&Cgroup>) -> PathBuf {
    let given = own.and_then(|cgroup| {
        cgroup.directories().find(|directory| directory.starts_with(found.mount_point()))
    });
    given.unwrap_or_else(|| {
        let inherited = found.own_path().unwrap_or("/").trim_start_matches('/');
        if inherited.is_empty() {
            found.mount_point().to_owned()
        } else {
            found.mount_point().join(OsString::from(inherited))
        }
    })
}
