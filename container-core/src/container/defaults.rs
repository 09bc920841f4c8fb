//! The safe defaults of a container: what every runtime of its kind agrees on.

use crate::mount::Mount;

/// Files and directories that tell or do things which concern the host.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Settings of the whole machine.
pub const READ_ONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// `/proc`, `/dev` with terminals, shared memory and message queues, `/sys`
/// read-only, and the cgroup2 tree, read-only, where it is the only one (a
/// v1 tree is never mounted: CVE-2022-0492).
pub(super) fn mounts() -> Vec<Mount> {
    let mut mounts = vec![
        Mount::proc("/proc"),
        Mount::dev("/dev"),
        Mount::devpts("/dev/pts"),
        Mount::tmpfs("/dev/shm")
            .option("mode", "1777")
            .option("size", "64m")
            .nosuid()
            .nodev()
            .noexec(),
        Mount::mqueue("/dev/mqueue"),
        Mount::sysfs("/sys"),
    ];
    let unified = nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|found| found.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC);
    if unified {
        mounts.push(Mount::cgroup2("/sys/fs/cgroup"));
    }
    mounts
}
