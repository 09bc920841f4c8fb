//! Opening the mounts that the host hands over ([open_tree(2)],
//! [mount_setattr(2)]): attached nowhere, they are gone with their descriptors.
//!
//! [open_tree(2)]: https://man7.org/linux/man-pages/man2/open_tree.2.html
//! [mount_setattr(2)]: https://man7.org/linux/man-pages/man2/mount_setattr.2.html

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::clone::{self, Birth};
use super::launch::Unborn;
use super::{image, mappings};
use crate::error::{Error, ErrorKind, Result};
use crate::idmap::IdMappings;
use crate::namespace::NamespaceKind;
use crate::plan::{HostMount, IdSource};
use crate::sys;

/// Opens them in order. Each has a mapping of its own, but equal ones share
/// a user namespace.
pub(super) fn open(mounts: &[HostMount]) -> Result<Vec<OwnedFd>> {
    let mut namespaces: Vec<(&IdMappings, OwnedFd)> = Vec::new();
    let mut opened = Vec::with_capacity(mounts.len());
    for mount in mounts {
        if let Some((IdSource::Mappings(mappings), _)) = &mount.id_map
            && !namespaces.iter().any(|(other, _)| *other == mappings)
        {
            namespaces.push((mappings, user_namespace(mappings)?));
        }
        opened.push(open_one(mount, &namespaces)?);
    }
    Ok(opened)
}

fn open_one(mount: &HostMount, namespaces: &[(&IdMappings, OwnedFd)]) -> Result<OwnedFd> {
    let shown = || mount.path.to_string_lossy().into_owned();
    let tree = sys::open_tree(&mount.path, mount.recursive)
        .map_err(|error| Error::os("open_tree", shown(), error))?;
    if mount.slave {
        let change = sys::MountChange { propagation: libc::MS_SLAVE, ..Default::default() };
        sys::mount_setattr(tree.as_fd(), mount.recursive, change)
            .map_err(|error| Error::os("mount_setattr MS_SLAVE", shown(), error))?;
    }
    let Some((source, recursive)) = &mount.id_map else {
        return Ok(tree);
    };
    let namespace = match source {
        IdSource::Namespace(namespace) => Some(namespace.as_fd()),
        IdSource::Mappings(mappings) => {
            namespaces.iter().find(|(other, _)| *other == mappings).map(|(_, fd)| fd.as_fd())
        }
    };
    let change = sys::MountChange {
        set: libc::MOUNT_ATTR_IDMAP,
        user_namespace: namespace,
        ..Default::default()
    };
    match sys::mount_setattr(tree.as_fd(), *recursive, change) {
        Ok(()) => Ok(tree),
        Err(error) => Err(refused(shown(), error)),
    }
}

/// Why the kernel maps no ids there.
fn refused(path: String, error: std::io::Error) -> Error {
    let step = "mount_setattr MOUNT_ATTR_IDMAP";
    match error.raw_os_error() {
        Some(libc::EINVAL) => {
            let (major, minor) = crate::probe::kernel_version();
            let reason = format!(
                "this file system does not map ids in Linux {major}.{minor}, or it is mapped already"
            );
            Error::with(ErrorKind::Unsupported, step, path, reason).hint(
                "ext4, xfs and vfat can since Linux 5.12, btrfs since 5.15, erofs since 5.19, \
                 squashfs since 6.2, tmpfs since 6.3; overlay can't, but its layers may be mapped",
            )
        }
        Some(libc::EPERM) => Error::os(step, path, error)
            .hint("mapping the ids of a file system takes root where it was mounted"),
        _ => Error::os(step, path, error),
    }
}

/// A new user namespace with these maps. The process that it is made with
/// waits for a plan that never comes, and is gone when this returns.
fn user_namespace(ids: &IdMappings) -> Result<OwnedFd> {
    let image = image::image()?;
    let (ours, theirs) =
        UnixStream::pair().map_err(|error| Error::os("socketpair", "control", error))?;
    let text = format!("{}\0", theirs.as_raw_fd());
    let birth = Birth {
        flags: NamespaceKind::User.clone_flag(),
        cgroup: None,
        control_text: text.as_bytes(),
        init: image.as_fd(),
        keep: &[theirs.as_raw_fd()],
    };
    let born = clone::clone_and_exec(&birth)
        .map_err(|(step, error)| Error::os(step, "user namespace of an id-mapped mount", error))?;
    let path = format!("/proc/{}/ns/user", born.pid);
    let unborn = Unborn::new(born);
    mappings::write(unborn.pid(), ids)?;
    let namespace = std::fs::File::open(&path).map_err(|error| Error::os("open", path, error))?;
    drop((unborn, ours));
    Ok(namespace.into())
}
