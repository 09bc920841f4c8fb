//! What the process sees: namespaces, root, mounts, names, cgroup.

use std::ffi::OsString;
use std::path::PathBuf;

use super::ProcessBuilder;
use crate::cgroup::Cgroup;
use crate::idmap::IdMappings;
use crate::mount::{Device, Mount, Rootfs};
use crate::namespace::Namespaces;
use crate::net_device::NetDevice;
use crate::process::Enter;

impl ProcessBuilder {
    /// Which namespaces are new, joined or inherited.
    pub fn namespaces(mut self, namespaces: Namespaces) -> Self {
        self.description.namespaces = namespaces;
        self
    }

    /// The ids of a new user namespace.
    ///
    /// Without, a new user namespace gets the best that the caller may do: as
    /// root every id as it is; as an ordinary user with subordinate ids and
    /// `newuidmap` the full range of these, else root alone.
    pub fn id_mappings(mut self, mappings: IdMappings) -> Self {
        self.description.mappings = Some(mappings);
        self
    }

    /// The root: a directory's path, or a [`Rootfs`]. Needs a new mount
    /// namespace.
    pub fn rootfs(mut self, rootfs: impl Into<Rootfs>) -> Self {
        self.description.rootfs = Some(rootfs.into());
        self
    }

    /// Adds a mount; the order counts. Needs a new mount namespace.
    pub fn mount(mut self, mount: Mount) -> Self {
        self.description.mounts.push(mount);
        self
    }

    /// The SELinux label of all new file systems that can have one (`tmpfs`,
    /// `devpts`, disks), their mount option `context`.
    ///
    /// Making the plan fails as
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where SELinux is not in
    /// use.
    pub fn mount_label(mut self, label: impl Into<OsString>) -> Self {
        self.description.mount_label = Some(label.into());
        self
    }

    /// Adds a device node, made after all mounts. Needs a root of its own. In a
    /// user namespace the host's node of that number is bound instead.
    pub fn device(mut self, device: Device) -> Self {
        self.description.devices.push(device);
        self
    }

    /// Makes the usual devices and links of [`Mount::dev`] in whatever `/dev`
    /// is when all mounts are done, where they are not there yet.
    pub fn default_devices(mut self, on: bool) -> Self {
        self.description.default_devices = on;
        self
    }

    /// Sets a kernel setting ([sysctl(8)]) of the process's own namespaces;
    /// `net.core.somaxconn` and `net/core/somaxconn` are the same.
    ///
    /// Only what a namespace of its own confines: `net.*` (net), `fs.mqueue.*`
    /// and `kernel.{msgmax,msgmnb,msgmni,sem,shmall,shmmax,shmmni,shm_rmid_forced}`
    /// (ipc), `kernel.domainname` (uts). Anything else is refused when the plan
    /// is made, `kernel.hostname` for [`hostname`](Self::hostname)'s sake. The
    /// setting is written through the host's procfs before the root is
    /// switched, so that no content of the root can lead it elsewhere.
    ///
    /// [sysctl(8)]: https://man7.org/linux/man-pages/man8/sysctl.8.html
    pub fn sysctl(mut self, key: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.description.sysctls.push((key.into(), value.into()));
        self
    }

    /// Hides these paths: directories under an empty tmpfs, files under
    /// `/dev/null`. What does not exist is passed over.
    pub fn masked_paths<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.description.masked.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Makes these paths read-only. What does not exist is passed over.
    pub fn read_only_paths<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.description.read_only.extend(paths.into_iter().map(Into::into));
        self
    }

    /// The host name, at most 64 bytes. Needs a new uts namespace.
    pub fn hostname(mut self, name: impl Into<OsString>) -> Self {
        self.description.hostname = Some(name.into());
        self
    }

    /// The NIS domain name, at most 64 bytes. Needs a new uts namespace.
    pub fn domainname(mut self, name: impl Into<OsString>) -> Self {
        self.description.domainname = Some(name.into());
        self
    }

    /// Hands a network device of the caller's over. Needs a net namespace of
    /// its own.
    pub fn net_device(mut self, device: NetDevice) -> Self {
        self.description.net_devices.push(device);
        self
    }

    /// The cgroup to run in: entered by the clone itself on v2
    /// (`CLONE_INTO_CGROUP`), by one attach pass on v1.
    pub fn cgroup(mut self, cgroup: Cgroup) -> Self {
        self.description.cgroup = Some(cgroup);
        self
    }

    /// Stops when all mounts are there and the root is not switched yet, for
    /// hooks; see [`crate::process::spawn_with`].
    pub(crate) fn stop_before_pivot(mut self) -> Self {
        self.description.stops_before_pivot = true;
        self
    }

    pub(crate) fn enter(mut self, enter: Enter) -> Self {
        self.description.enter = Some(enter);
        self
    }
}
