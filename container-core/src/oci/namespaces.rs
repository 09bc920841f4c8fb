//! `linux.namespaces`, the id mappings and the clock offsets.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use oci_spec::runtime::{
    Linux, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, LinuxTimeOffset,
};

use super::field::{inside, invalid, unsupported};
use crate::error::{Error, Result};
use crate::idmap::{IdExtent, IdMap, IdMappings};
use crate::namespace::{NamespaceKind, Namespaces, TimeOffset, TimeOffsets};

/// A namespace's kind by its type in a spec.
pub(super) fn kind(typ: LinuxNamespaceType) -> NamespaceKind {
    match typ {
        LinuxNamespaceType::Mount => NamespaceKind::Mount,
        LinuxNamespaceType::Cgroup => NamespaceKind::Cgroup,
        LinuxNamespaceType::Uts => NamespaceKind::Uts,
        LinuxNamespaceType::Ipc => NamespaceKind::Ipc,
        LinuxNamespaceType::User => NamespaceKind::User,
        LinuxNamespaceType::Pid => NamespaceKind::Pid,
        LinuxNamespaceType::Network => NamespaceKind::Net,
        LinuxNamespaceType::Time => NamespaceKind::Time,
    }
}

/// The namespaces with their clock offsets: those listed are new, or joined
/// by path; all others inherited.
pub(super) fn namespaces(linux: &Linux) -> Result<Namespaces> {
    let mut namespaces = Namespaces::none();
    let mut seen: Vec<NamespaceKind> = Vec::new();
    for (index, entry) in linux.namespaces().iter().flatten().enumerate() {
        let field = format!("linux.namespaces[{index}]");
        let kind = kind(entry.typ());
        if seen.contains(&kind) {
            return Err(invalid(field, format!("a second namespace of the type {}", entry.typ())));
        }
        seen.push(kind);
        namespaces = add(namespaces, kind, entry, &field)?;
    }
    let offsets = time_offsets(linux.time_offsets().as_ref())?;
    if offsets.is_zero() {
        return Ok(namespaces);
    }
    if !namespaces.is_new(NamespaceKind::Time) {
        return Err(invalid("linux.timeOffsets", "needs a new time namespace")
            .hint("add {\"type\": \"time\"} to linux.namespaces"));
    }
    Ok(namespaces.with_time(offsets))
}

fn add(
    namespaces: Namespaces,
    kind: NamespaceKind,
    entry: &LinuxNamespace,
    field: &str,
) -> Result<Namespaces> {
    let path = match entry.path() {
        Some(path) if !path.as_os_str().is_empty() => path,
        _ => return Ok(namespaces.with(kind)),
    };
    let field = format!("{field}.path");
    if kind == NamespaceKind::Mount {
        let reason = "the root is set up in a mount namespace of its own, none is joined";
        return Err(unsupported(field, reason).hint("leave the path out"));
    }
    inside(&field, path)?;
    // A FIFO or a terminal must not hold up or take over the caller.
    let file = File::options()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path)
        .map_err(|error| Error::os("open", path.to_string_lossy(), error).in_field(&field))?;
    let found = NamespaceKind::of(&file).map_err(|error| error.in_field(&field))?;
    if found != kind {
        let reason = format!("{} is a namespace of the type {found}", path.display());
        return Err(invalid(field, reason));
    }
    Ok(namespaces.join(kind, file))
}

/// Where those to join are.
pub(super) fn paths(linux: &Linux) -> Vec<(NamespaceKind, PathBuf)> {
    let list = linux.namespaces().iter().flatten();
    list.filter_map(|entry| Some((kind(entry.typ()), entry.path().clone()?))).collect()
}

/// The maps of the new user namespace, which has to have them.
pub(super) fn mappings(
    linux: &Linux,
    namespaces: &Namespaces,
    ignored: &mut Vec<String>,
) -> Result<Option<IdMappings>> {
    let (uids, gids) = (linux.uid_mappings(), linux.gid_mappings());
    let some = |list: &Option<Vec<LinuxIdMapping>>| list.as_ref().is_some_and(|l| !l.is_empty());
    let given = some(uids) || some(gids);
    let field = if some(uids) { "linux.uidMappings" } else { "linux.gidMappings" };
    if namespaces.is_new(NamespaceKind::User) {
        return id_mappings(uids.as_deref(), gids.as_deref(), "linux").and_then(|found| {
            found.map(Some).ok_or_else(|| {
                invalid("linux.uidMappings", "a new user namespace needs id mappings")
            })
        });
    }
    if given && namespaces.joined().any(|(kind, _)| kind == NamespaceKind::User) {
        // Checked, but they were written by whoever made that namespace.
        id_mappings(uids.as_deref(), gids.as_deref(), "linux")?;
        ignored.push(format!("{field}: the user namespace that is joined has its own"));
        return Ok(None);
    }
    match given {
        true => Err(invalid(field, "needs a new user namespace")
            .hint("add {\"type\": \"user\"} to linux.namespaces")),
        false => Ok(None),
    }
}

/// Two lists of mappings, both or none.
pub(super) fn id_mappings(
    uids: Option<&[LinuxIdMapping]>,
    gids: Option<&[LinuxIdMapping]>,
    parent: &str,
) -> Result<Option<IdMappings>> {
    let (uids, gids) = (uids.unwrap_or_default(), gids.unwrap_or_default());
    if uids.is_empty() != gids.is_empty() {
        let (missing, given) = match uids.is_empty() {
            true => ("uidMappings", "gidMappings"),
            false => ("gidMappings", "uidMappings"),
        };
        return Err(invalid(format!("{parent}.{missing}"), format!("missing beside {given}")));
    }
    if uids.is_empty() {
        return Ok(None);
    }
    Ok(Some(IdMappings {
        uids: id_map(uids, &format!("{parent}.uidMappings"))?,
        gids: id_map(gids, &format!("{parent}.gidMappings"))?,
    }))
}

fn id_map(list: &[LinuxIdMapping], field: &str) -> Result<IdMap> {
    let extents = list.iter().map(|entry| IdExtent {
        inside: entry.container_id(),
        outside: entry.host_id(),
        count: entry.size(),
    });
    for (index, extent) in extents.clone().enumerate() {
        IdMap::new([extent]).map_err(|error| error.in_field(format!("{field}[{index}]")))?;
    }
    IdMap::new(extents).map_err(|error| error.in_field(field))
}

fn time_offsets(offsets: Option<&HashMap<String, LinuxTimeOffset>>) -> Result<TimeOffsets> {
    let mut found = TimeOffsets::default();
    for (clock, offset) in offsets.into_iter().flatten() {
        let field = format!("linux.timeOffsets.{clock}");
        let value = TimeOffset::new(
            offset.secs().unwrap_or_default(),
            offset.nanosecs().unwrap_or_default(),
        )
        .map_err(|error| error.in_field(&field))?;
        match clock.as_str() {
            "monotonic" => found.monotonic = value,
            "boottime" => found.boottime = value,
            _ => {
                return Err(invalid(field, "no clock of a time namespace")
                    .hint("monotonic and boottime are"));
            }
        }
    }
    Ok(found)
}
