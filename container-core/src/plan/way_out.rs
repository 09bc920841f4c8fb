//! What to do about a failed operation.

use super::op::Op;

/// The way out of a failed operation, where one is known.
pub(super) fn way_out(op: &Op, errno: i32) -> Option<&'static str> {
    Some(match (op, errno) {
        // Engines tell a missing program by these words of other runtimes.
        (Op::Exec { candidates, .. } | Op::CheckExec(candidates), libc::ENOENT)
            if candidates.len() > 1 =>
        {
            "executable file not found in $PATH of the container: install it in the root, or \
             give its path"
        }
        (Op::Exec { .. }, libc::ENOENT) => {
            "the program, or the interpreter that it names, is not in the root"
        }
        (Op::CheckExec(_), libc::ENOENT) => "the program is not in the root",
        (Op::CheckExec(_), libc::EISDIR) => "give a program",
        (Op::Exec { .. } | Op::CheckExec(_), libc::EACCES) => {
            "make it an executable file, on a mount without noexec, that the user may execute"
        }
        (Op::Exec { .. }, libc::ENOEXEC) => "it is neither a program for this machine nor a script",
        (Op::Exec { .. }, libc::E2BIG) => {
            "one argument or variable takes 128 KiB at most, all together a quarter of RLIMIT_STACK"
        }
        (Op::OpenTree { .. } | Op::AttachAt { .. }, libc::EACCES) => {
            "root of the user namespace must be able to reach it: let others search the \
             directories on the way, or hand it over as a detached mount"
        }
        (Op::FsOpen { .. }, libc::ENODEV) => "the kernel lacks this file system",
        (Op::FsCreate { .. }, libc::EPERM) => {
            "a user namespace may mount it only with new pid (proc), net (sysfs) or ipc (mqueue) \
             namespaces, and only if no part of the host's own is hidden"
        }
        (Op::Target { .. } | Op::DeviceNode { .. } | Op::DeviceLink { .. }, libc::ELOOP) => {
            "a symlink stands where a kernel file system or a device belongs, or leads to itself"
        }
        (Op::MountSetattr { clear, .. }, libc::EPERM) if *clear != 0 => {
            "what the host has set is locked in a user namespace: it can't be cleared"
        }
        (Op::MountSetattr { .. }, libc::EPERM) => {
            "access times of a mount of the host's are locked in a user namespace"
        }
        (Op::MoveMount { .. }, libc::ENOTDIR) => {
            "a file is mounted on a file, a directory on a directory"
        }
        (Op::CopyUp { .. }, libc::ENOSPC) => "the tmpfs is too small for what it is to copy",
        (Op::DeviceNode { .. }, libc::EEXIST) => "remove what is there from the root",
        (Op::Sysctl { .. }, libc::ENOENT) => {
            "this kernel has no such setting, or not in a namespace"
        }
        (Op::Sysctl { .. }, libc::EACCES | libc::EPERM) => {
            "the user namespace does not own the namespace, or this kernel keeps it for the \
             host's root"
        }
        (Op::PivotRoot(_), libc::EINVAL) => {
            "where the old root is the initial RAM file system: Rootfs::no_pivot"
        }
        (Op::Chdir(_), libc::ENOENT) => "make the working directory in the root first",
        (Op::Scheduler(_), libc::EPERM) => {
            "a real-time policy, a deadline or a lower nice value takes CAP_SYS_NICE of the \
             first user namespace, and a deadline that no affinity or cpuset narrows the \
             processors"
        }
        (Op::Scheduler(_), libc::EBUSY) => "the processors have not so much time left to promise",
        (Op::Scheduler(_), libc::ENOSYS) => "the kernel lacks it: Linux 3.14 or newer is needed",
        (Op::Scheduler(_), libc::EINVAL | libc::E2BIG | libc::EOPNOTSUPP) => {
            "the kernel lacks this policy or flag: utilisation takes Linux 5.3 with \
             CONFIG_UCLAMP_TASK"
        }
        (Op::IoPriority(_), libc::EPERM) => "the real-time class takes CAP_SYS_NICE",
        (Op::IoPriority(_), libc::ENOSYS) => "the kernel lacks CONFIG_BLOCK",
        (Op::Affinity(_), libc::EINVAL) => "give processors that are online and in the cpuset",
        (Op::MemoryPolicy(_), libc::ENOSYS) => "the kernel lacks CONFIG_NUMA",
        (Op::MemoryPolicy(_), libc::EINVAL) => {
            "the kernel lacks this mode or flag, or the nodes are not online and in the cpuset"
        }
        (Op::Personality(_), libc::EINVAL) => "the kernel lacks this personality",
        (Op::Keyring(_), libc::EDQUOT) => {
            "the user has too many keys: see /proc/sys/kernel/keys/maxkeys"
        }
        (Op::Keyring(_), libc::EPERM | libc::EACCES) => {
            "keyctl is filtered, or the keyring of this name is another's"
        }
        (Op::WriteProc { path, .. }, errno)
            if path.to_bytes().ends_with(b"exec") && errno != libc::ENOENT =>
        {
            "load the profile (AppArmor), or give a label that the policy knows (SELinux)"
        }
        (Op::WriteProc { path, .. }, libc::ENOENT) if path.to_bytes().ends_with(b"exec") => {
            "the AppArmor profile is not loaded"
        }
        (Op::Rlimit { .. }, libc::EPERM) => "raising a hard limit takes CAP_SYS_RESOURCE",
        (Op::WriteProc { .. }, libc::EACCES) => "lowering oom_score_adj takes CAP_SYS_RESOURCE",
        (Op::Setns { .. } | Op::Unshare { .. }, libc::EPERM) => {
            "run as root, or in a user namespace that owns it"
        }
        (Op::Mknod { .. } | Op::DeviceNode { .. }, libc::EPERM) => "making devices takes CAP_MKNOD",
        (Op::Supervise { .. }, libc::EPERM) => {
            "new namespaces take CAP_SYS_ADMIN: run as root, or add a new user namespace"
        }
        (Op::Supervise { .. }, libc::ENOSPC | libc::EUSERS) => {
            "a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces"
        }
        (Op::Supervise { .. }, libc::EINVAL) => "the kernel lacks one of these namespaces",
        (Op::Supervise { .. }, libc::EAGAIN) => {
            "a limit on processes is reached: RLIMIT_NPROC or pids.max"
        }
        _ => return None,
    })
}
