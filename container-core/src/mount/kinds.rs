//! The file systems that containers have, with the attributes that suit them.

use std::path::PathBuf;

use super::{Mount, Source};

impl Mount {
    fn kernel_file_system(kind: &str, target: impl Into<PathBuf>, why: &'static str) -> Self {
        Self { strict: true, why, ..Self::file_system(kind, target) }.nosuid().nodev().noexec()
    }

    /// The processes of the new pid namespace ([proc(5)]); `nosuid`, `nodev`,
    /// `noexec`.
    ///
    /// [proc(5)]: https://man7.org/linux/man-pages/man5/proc.5.html
    pub fn proc(target: impl Into<PathBuf>) -> Self {
        Self::kernel_file_system(
            "proc",
            target,
            "the processes of the new pid namespace, where programs look for them",
        )
    }

    /// The kernel's devices and settings ([sysfs(5)]), read-only; `nosuid`,
    /// `nodev`, `noexec`.
    ///
    /// A user namespace may mount it only for a net namespace of its own;
    /// where that is shared, the host's `/sys` is bound instead.
    ///
    /// [sysfs(5)]: https://man7.org/linux/man-pages/man5/sysfs.5.html
    pub fn sysfs(target: impl Into<PathBuf>) -> Self {
        Self::kernel_file_system(
            "sysfs",
            target,
            "the devices and settings of the new net namespace, to be read",
        )
        .read_only()
    }

    /// A file system in memory ([tmpfs(5)]); give its size by
    /// `option("size", "64m")`: the default is half of the machine's memory.
    ///
    /// [tmpfs(5)]: https://man7.org/linux/man-pages/man5/tmpfs.5.html
    pub fn tmpfs(target: impl Into<PathBuf>) -> Self {
        let why = "a place to write that is gone with the container";
        Self { why, ..Self::file_system("tmpfs", target) }
    }

    /// A small `/dev`: a tmpfs with `null`, `zero`, `full`, `random`,
    /// `urandom`, `tty` and the links `fd`, `stdin`, `stdout`, `stderr`,
    /// `ptmx`. Made with `mknod` where that is permitted, else of the host's
    /// devices by bind mounts.
    pub fn dev(target: impl Into<PathBuf>) -> Self {
        let options =
            vec![("mode".into(), Some("755".into())), ("size".into(), Some("65536k".into()))];
        let why = "a small /dev in memory: the host's shows every device";
        Self { strict: true, why, ..Self::new(Source::Dev { options }, target) }.nosuid().noexec()
    }

    /// A new set of pseudoterminals, mode 0620, `ptmx` 0666 ([pts(4)]);
    /// `nosuid`, `noexec`. Its group is 5, the customary `tty`, where that is
    /// mapped, unless an option `gid` gives another.
    ///
    /// [pts(4)]: https://man7.org/linux/man-pages/man4/pts.4.html
    pub fn devpts(target: impl Into<PathBuf>) -> Self {
        let why = "terminals of the container's own, apart from the host's";
        Self { strict: true, tty_group: true, why, ..Self::file_system("devpts", target) }
            .nosuid()
            .noexec()
            .option("newinstance", None::<&str>)
            .option("ptmxmode", "0666")
            .option("mode", "0620")
    }

    /// The POSIX message queues of the ipc namespace ([mq_overview(7)]);
    /// `nosuid`, `nodev`, `noexec`.
    ///
    /// A user namespace may mount it only for an ipc namespace of its own;
    /// where that is shared, the host's `/dev/mqueue` is bound instead.
    ///
    /// [mq_overview(7)]: https://man7.org/linux/man-pages/man7/mq_overview.7.html
    pub fn mqueue(target: impl Into<PathBuf>) -> Self {
        Self::kernel_file_system("mqueue", target, "the message queues of the new ipc namespace")
    }

    /// The cgroup2 tree, read-only, from the cgroup namespace's root on.
    pub fn cgroup2(target: impl Into<PathBuf>) -> Self {
        Self::kernel_file_system(
            "cgroup2",
            target,
            "the container's own part of the cgroup tree, to be read",
        )
        .read_only()
    }

    /// The container's own part of the cgroup trees as the host has them,
    /// read-only; `nosuid`, `nodev`, `noexec`.
    ///
    /// On a pure v2 host that is a cgroup2 mount where the container has a
    /// cgroup namespace, else a bind of its own cgroup. On a v1 or hybrid host
    /// it is a small tmpfs with one directory for each hierarchy, on which the
    /// container's own cgroup is bound, and the customary links for those that
    /// hold several controllers (`cpu -> cpu,cpuacct`).
    ///
    /// Writable only if [cleared](Self::clear) of
    /// [`ReadOnly`](super::Attribute::ReadOnly): do that for v1 never, its
    /// `release_agent` runs programs on the host (CVE-2022-0492).
    pub fn cgroup(target: impl Into<PathBuf>) -> Self {
        let why = "the container's own part of the cgroup trees, to be read";
        let source = Source::Cgroup { options: Vec::new() };
        Self { strict: true, why, ..Self::new(source, target) }
            .nosuid()
            .nodev()
            .noexec()
            .read_only()
    }
}
