//! Mounts by descriptor, and who owns a namespace.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// open_tree(2): a copy of the mount at `path`, with all below it if
/// `recursive`, attached nowhere.
pub(crate) fn open_tree(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let below = if recursive { libc::AT_RECURSIVE as u32 } else { 0 };
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | below;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// What mount_setattr(2) is to change.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MountChange<'a> {
    pub(crate) set: u64,
    pub(crate) propagation: u64,
    /// For `MOUNT_ATTR_IDMAP`.
    pub(crate) user_namespace: Option<BorrowedFd<'a>>,
}

/// mount_setattr(2) on the mount itself, or on all below it too.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: bool,
    change: MountChange<'_>,
) -> io::Result<()> {
    let namespace = change.user_namespace.map_or(0, |fd| fd.as_raw_fd() as u64);
    // `struct mount_attr`: set, clear, propagation, user namespace.
    let attributes: [u64; 4] = [change.set, 0, change.propagation, namespace];
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the string and the struct outlive the call, which reads as many
    // bytes of the struct as told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether a namespace belongs to this user namespace (ioctl_ns(2)).
pub(crate) fn is_owner(user: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> bool {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    // SAFETY: the ioctl takes no argument.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) };
    if fd < 0 {
        return false;
    }
    // SAFETY: a new descriptor that nobody else knows.
    let owner = unsafe { OwnedFd::from_raw_fd(fd) };
    match (nix::sys::stat::fstat(user), nix::sys::stat::fstat(&owner)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}
