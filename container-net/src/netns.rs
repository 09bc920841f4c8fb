//! Network namespaces: the *sandbox* of the container network model.
//!
//! A network namespace has its own links, addresses, routes, firewall and port numbers. A
//! [`NetNs`] is an open descriptor of one: the kernel keeps the namespace as long as such a
//! descriptor or a process in it exists, and no longer; nothing is pinned in the file system. See
//! `network_namespaces(7)`.
//!
//! The calling thread never changes its namespace. What has to happen inside one happens on a
//! thread made for it ([`NetNs::run`]) that ends afterwards.
//!
//! ```no_run
//! use container_net::NetNs;
//!
//! let netns = NetNs::new()?; // needs CAP_SYS_ADMIN
//! let listener = netns.run(|| std::net::TcpListener::bind("127.0.0.1:80"))??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::fs::{Mode, OFlags, fstat, fstatfs, open};

use crate::error::{Error, ErrorKind, Result};
use crate::link::Rtnl;
use crate::sys;
use crate::task::enter;

/// The file system that namespace descriptors live on (`linux/magic.h`).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// `CLONE_NEWNET`, which is also what `NS_GET_NSTYPE` answers for a network namespace.
const NEWNET: i32 = 0x4000_0000;

/// A network namespace, kept alive by this handle. See the [module documentation](self).
#[derive(Clone)]
pub struct NetNs {
    fd: Arc<OwnedFd>,
}

impl NetNs {
    /// Makes a network namespace with nothing in it but a loopback link, which is up.
    ///
    /// Needs `CAP_SYS_ADMIN` in the caller's user namespace. An unprivileged program gets its
    /// network namespace from the container's own user namespace instead, at clone time: see
    /// [`limitation`](crate::limitation).
    pub fn new() -> Result<Self> {
        on_thread(|| {
            sys::unshare_net().map_err(|cause| {
                Error::os("unshare", "CLONE_NEWNET", cause).with_hint(
                    "CAP_SYS_ADMIN is needed; without it create the namespace with the \
                     container, in a user namespace",
                )
            })?;
            Rtnl::open()?.loopback_up()?;
            Self::current()
        })
    }

    /// The namespace of the calling thread.
    pub fn current() -> Result<Self> {
        Self::from_path("/proc/thread-self/ns/net")
    }

    /// The namespace of a process, by `/proc/PID/ns/net`. Needs ptrace access to the process
    /// (`PTRACE_MODE_READ_FSCREDS`). The caller must know that `pid` has not been reused.
    pub fn from_pid(pid: u32) -> Result<Self> {
        Self::from_path(format!("/proc/{pid}/ns/net"))
    }

    /// A namespace by path: `/proc/PID/ns/net`, or a pinned one such as `/run/netns/NAME`.
    ///
    /// Fails with [`ErrorKind::InvalidInput`] when the file is something else.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fd = open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
            .map_err(|cause| Error::os("open network namespace", path.to_string_lossy(), cause))?;
        Self::checked(fd, &path.to_string_lossy())
    }

    /// A namespace by descriptor. Fails with [`ErrorKind::InvalidInput`] when it is something
    /// else than a network namespace.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        Self::checked(fd, "descriptor")
    }

    pub(crate) fn duplicate(fd: impl AsFd) -> Result<Self> {
        let fd = fd.as_fd().try_clone_to_owned();
        Self::from_fd(fd.map_err(|cause| Error::os("dup", "network namespace", cause))?)
    }

    fn checked(fd: OwnedFd, name: &str) -> Result<Self> {
        let fs = fstatfs(&fd).map_err(|cause| Error::os("fstatfs", name, cause))?;
        let is_netns = fs.f_type == NSFS_MAGIC && sys::namespace_type(fd.as_fd()) == Ok(NEWNET);
        if !is_netns {
            return Err(Error::refused(
                ErrorKind::InvalidInput,
                "network namespace",
                name,
                "it is no network namespace; give /proc/PID/ns/net or a bind mount of one",
            ));
        }
        Ok(Self { fd: Arc::new(fd) })
    }

    /// Runs `work` inside the namespace, on a thread made for it, and waits for the result.
    ///
    /// What `work` opens there (sockets above all) belongs to the namespace and can be used
    /// anywhere afterwards. A panic in `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        on_thread(|| enter(&self.fd).map(|()| work()))
    }

    /// Sets the loopback link up, in a namespace that was made elsewhere.
    pub fn loopback_up(&self) -> Result<()> {
        self.run(|| Rtnl::open()?.loopback_up())?
    }

    /// The inode number that `readlink /proc/PID/ns/net` shows; unique among living namespaces.
    pub fn inode(&self) -> Result<u64> {
        let stat =
            fstat(&*self.fd).map_err(|cause| Error::os("fstat", "network namespace", cause))?;
        Ok(stat.st_ino)
    }

    pub(crate) fn shared_fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.fd)
    }

    /// Whether the calling process's user namespace owns this one, so that its capabilities
    /// count here.
    pub(crate) fn is_owned_by_us(&self) -> bool {
        let Ok(owner) = sys::owner_user_namespace(&*self.fd) else {
            return false;
        };
        let Ok(ours) = File::open("/proc/self/ns/user") else {
            return false;
        };
        let id = |fd: BorrowedFd<'_>| fstat(fd).map(|s| (s.st_dev, s.st_ino)).ok();
        id(owner.as_fd()).is_some() && id(owner.as_fd()) == id(ours.as_fd())
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for NetNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetNs").field("inode", &self.inode().ok()).finish()
    }
}

/// Runs `work` on a scoped thread of its own.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let fail = |cause: io::Error| Error::os("start thread", "container-net", cause);
        let thread = thread::Builder::new().name("container-net".into());
        match thread.spawn_scoped(scope, work).map_err(fail)?.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_namespaces_are_taken() {
        assert!(NetNs::current().unwrap().inode().unwrap() > 0);
        for other in ["/proc/self/ns/uts", "/proc/self/status", "/dev/null", "/"] {
            let error = NetNs::from_path(other).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{other}");
        }
        let error = NetNs::from_path("/nonexistent").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn without_privilege_the_error_names_the_capability() {
        if crate::limitation().is_none() {
            return;
        }
        let error = NetNs::new().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
    }
}
