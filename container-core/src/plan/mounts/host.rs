//! Mounts that the host opens at each launch and hands over as descriptors.
//!
//! A user namespace can't make an id-mapped mount of the host's file systems,
//! and its root, an ordinary user to files, can't reach what the host's root
//! can. So the calling process opens such sources ([open_tree(2)]); what it
//! hands over is attached nowhere yet.
//!
//! [open_tree(2)]: https://man7.org/linux/man-pages/man2/open_tree.2.html

use std::borrow::Cow;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::idmap::IdMappings;
use crate::mount::{Mount, MountIdMap, Propagation, Source};
use crate::namespace::{Namespace, NamespaceKind};
use crate::process::Description;

/// The most that are opened by the host only for their reach; a plan has
/// a limited number of slots.
const MOST: usize = 128;

/// Where an id-mapped mount has its mapping from.
#[derive(Debug, Clone)]
pub(crate) enum IdSource {
    /// A user namespace made for it.
    Mappings(IdMappings),
    /// One that is there.
    Namespace(Arc<OwnedFd>),
}

/// A mount for the host to open.
#[derive(Debug, Clone)]
pub(crate) struct HostMount {
    pub(crate) path: PathBuf,
    pub(crate) recursive: bool,
    /// The mapping, and whether it is for all that is mounted below too.
    pub(crate) id_map: Option<(IdSource, bool)>,
    /// It takes mounts from the host but gives none back.
    pub(crate) slave: bool,
}

impl HostMount {
    /// Why the host does it.
    pub(crate) fn why(&self) -> &'static str {
        if self.id_map.is_some() {
            "opened by the host, as a user namespace can't map the ids of a mount that it does \
             not own"
        } else {
            "opened by the host, as root of the user namespace may not reach it"
        }
    }
}

impl fmt::Display for HostMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open_tree {}", self.path.display())?;
        match &self.id_map {
            Some((IdSource::Mappings(mappings), _)) => {
                let uids = mappings.uids.to_string().trim_end().replace('\n', ", ");
                write!(f, ", mount_setattr MOUNT_ATTR_IDMAP {uids}")
            }
            Some((IdSource::Namespace(_), _)) => {
                f.write_str(", mount_setattr MOUNT_ATTR_IDMAP as the user namespace joined")
            }
            None => Ok(()),
        }
    }
}

/// The mounts for the host to open, and which is whose.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) mounts: Vec<HostMount>,
    root: Option<usize>,
    of_mounts: Vec<Option<usize>>,
}

impl Prepared {
    pub(super) fn of_root(&self) -> Option<usize> {
        self.root
    }

    pub(super) fn of_mount(&self, index: usize) -> Option<usize> {
        self.of_mounts.get(index).copied().flatten()
    }

    fn push(&mut self, mount: HostMount) -> Option<usize> {
        self.mounts.push(mount);
        Some(self.mounts.len() - 1)
    }
}

/// Which mounts the host opens: the id-mapped ones, and, if it is the
/// machine's root and the container has a user namespace, all binds.
pub(super) fn prepared(
    description: &Description,
    mounts: &[Cow<'_, Mount>],
    as_root: bool,
) -> Result<Prepared> {
    let user = description.namespaces.get(NamespaceKind::User);
    let all = as_root && !matches!(user, Namespace::Inherit);
    let mut prepared = Prepared::default();
    if let (true, Some(Source::Bind { path, recursive })) =
        (all, description.rootfs.as_ref().map(|rootfs| &rootfs.source))
    {
        let (path, recursive) = (path.clone(), *recursive);
        // Whatever its propagation, the root gives no mounts to the host.
        let root = HostMount { path, recursive, id_map: None, slave: true };
        prepared.root = prepared.push(root);
    }
    for mount in mounts {
        let at = match &mount.source {
            Source::Bind { path, recursive }
                if mount.id_map.is_some() || (all && prepared.mounts.len() < MOST) =>
            {
                let id_map = mount.id_map.as_ref();
                let id_map = id_map.map(|map| id_source(description, mount, map)).transpose()?;
                // A user namespace's mounts are not the host's business.
                let spreads =
                    matches!(mount.propagation, Some(Propagation::Shared | Propagation::Slave));
                let (path, recursive) = (path.clone(), *recursive);
                prepared.push(HostMount { path, recursive, id_map, slave: all && spreads })
            }
            _ => None,
        };
        prepared.of_mounts.push(at);
    }
    Ok(prepared)
}

fn id_source(
    description: &Description,
    mount: &Mount,
    map: &MountIdMap,
) -> Result<(IdSource, bool)> {
    if let Some(mappings) = &map.mappings {
        return Ok((IdSource::Mappings(mappings.clone()), map.recursive));
    }
    let source = match description.namespaces.get(NamespaceKind::User) {
        Namespace::Join(namespace) => IdSource::Namespace(Arc::clone(namespace)),
        Namespace::New => match &description.mappings {
            Some(mappings) => IdSource::Mappings(mappings.clone()),
            None => IdSource::Mappings(crate::process::best_mappings()?),
        },
        Namespace::Inherit => {
            let reason = "without a user namespace there are no mappings of the container";
            return Err(Error::invalid("check mount", mount.target.to_string_lossy(), reason)
                .hint("give mappings by Mount::id_map"));
        }
    };
    Ok((source, map.recursive))
}
