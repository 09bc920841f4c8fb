//! The root and the mounts, as a spec says them.

use std::ffi::{OsStr, OsString};

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Mount as Described, Root};

use super::{built, describe, text, unsayable};
use crate::error::Result;
use crate::idmap::IdMap;
use crate::mount::{
    ATIME, Attributes, FileSystemOptions, Mount, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID,
    NOSYMFOLLOW, Propagation, RDONLY, Rootfs, STRICTATIME, Source,
};

/// Each attribute's word for set and for cleared.
const WORDS: [(u64, &str, &str); 6] = [
    (RDONLY, "ro", "rw"),
    (NOSUID, "nosuid", "suid"),
    (NODEV, "nodev", "dev"),
    (NOEXEC, "noexec", "exec"),
    (NOSYMFOLLOW, "nosymfollow", "symfollow"),
    (NODIRATIME, "nodiratime", "diratime"),
];

pub(super) fn root(rootfs: &Rootfs) -> Result<Root> {
    let Source::Bind { path, recursive: true } = &rootfs.source else {
        return Err(unsayable("root", "a root that is no directory with all below it"));
    };
    if rootfs.no_pivot || rootfs.attach_at.is_some() {
        return Err(unsayable("root", "where and how the root is attached"));
    }
    let mut root = Root::default();
    root.set_path(path.clone()).set_readonly(rootfs.read_only.then_some(true));
    Ok(root)
}

/// The value of `linux.rootfsPropagation`.
pub(super) fn root_propagation(rootfs: &Rootfs) -> Option<String> {
    rootfs.propagation.map(|(kind, recursive)| propagation(kind, recursive))
}

fn propagation(kind: Propagation, recursive: bool) -> String {
    format!("{}{}", if recursive { "r" } else { "" }, kind.name())
}

/// `tty` is whether group 5 exists.
pub(super) fn mount(mount: &Mount, tty: bool) -> Result<Described> {
    let mut described = Described::default();
    described.set_destination(mount.target.clone());
    let mut options = Vec::new();
    match &mount.source {
        Source::Bind { path, recursive } => {
            described.set_typ(Some("bind".into())).set_source(Some(path.clone()));
            options.push(if *recursive { "rbind" } else { "bind" }.to_owned());
            if *recursive {
                options.extend(words(mount.tree, "r"));
                options.extend(words(mount.top, ""));
            } else {
                options.extend(words(mount.tree.then(mount.top), ""));
            }
        }
        Source::Detached(_) => {
            return Err(unsayable(describe(mount), "a mount that has no name yet"));
        }
        Source::FileSystem { kind, options: data } => {
            described.set_typ(Some(text("mounts", kind)?));
            new_file_system(&mut described, mount, data, &mut options)?;
            if mount.tty_group && tty && !data.iter().any(|(key, _)| key == "gid") {
                options.push("gid=5".into());
            }
        }
        Source::Dev { options: data } => {
            if mount.target.as_os_str() != "/dev" {
                return Err(unsayable(describe(mount), "a /dev in another place"));
            }
            described.set_typ(Some("tmpfs".into()));
            new_file_system(&mut described, mount, data, &mut options)?;
        }
        Source::Cgroup { options: data } => {
            described.set_typ(Some("cgroup".into()));
            new_file_system(&mut described, mount, data, &mut options)?;
        }
    }
    options.extend(mount.propagation.map(|kind| propagation(kind, !mount.propagates_top)));
    id_map(&mut described, mount, &mut options)?;
    if mount.copy_up {
        options.push("tmpcopyup".into());
    }
    described.set_options((!options.is_empty()).then_some(options));
    Ok(described)
}

fn new_file_system(
    described: &mut Described,
    mount: &Mount,
    data: &FileSystemOptions,
    options: &mut Vec<String>,
) -> Result<()> {
    // A new file system is one mount.
    options.extend(words(mount.tree.then(mount.top), ""));
    for (key, value) in data {
        match value {
            Some(value) if key == "source" => {
                described.set_source(Some(value.into()));
            }
            value => options.push(option(key, value.as_deref())?),
        }
    }
    let given = |name: &str| data.iter().any(|(key, _)| key == name);
    let tmpfs = mount.source.kind() == Some(OsStr::new("tmpfs"));
    if tmpfs && !mount.mode_of_target && !given("mode") {
        // Else it would be that of the directory below.
        options.push("mode=1777".into());
    }
    if !tmpfs && mount.mode_of_target {
        return Err(unsayable(describe(mount), "the mode of what is below"));
    }
    Ok(())
}

fn option(key: &OsString, value: Option<&OsStr>) -> Result<String> {
    let key = text("mounts", key)?;
    match value {
        Some(value) => Ok(format!("{key}={}", text("mounts", value)?)),
        None => Ok(key),
    }
}

/// The words of attributes, each with this prefix.
fn words(attributes: Attributes, prefix: &str) -> Vec<String> {
    let Attributes { set, clear } = attributes;
    let time = match (set & ATIME, clear & ATIME) {
        (NOATIME, _) => Some("noatime"),
        (STRICTATIME, _) => Some("strictatime"),
        (0, 0) => None,
        _ => Some("relatime"),
    };
    let words = WORDS.iter().filter_map(|(bit, on, off)| match (set & bit, clear & bit) {
        (0, 0) => None,
        (0, _) => Some(*off),
        _ => Some(*on),
    });
    words.chain(time).map(|word| format!("{prefix}{word}")).collect()
}

fn id_map(described: &mut Described, mount: &Mount, options: &mut Vec<String>) -> Result<()> {
    let Some(map) = &mount.id_map else {
        return Ok(());
    };
    options.push(if map.recursive { "ridmap" } else { "idmap" }.into());
    if let Some(mappings) = &map.mappings {
        described
            .set_uid_mappings(Some(extents(&mappings.uids)?))
            .set_gid_mappings(Some(extents(&mappings.gids)?));
    }
    Ok(())
}

/// A map as a spec lists it.
pub(super) fn extents(map: &IdMap) -> Result<Vec<LinuxIdMapping>> {
    map.extents()
        .iter()
        .map(|extent| {
            let mapping = LinuxIdMappingBuilder::default()
                .container_id(extent.inside)
                .host_id(extent.outside)
                .size(extent.count)
                .build();
            built("linux.uidMappings", mapping)
        })
        .collect()
}
