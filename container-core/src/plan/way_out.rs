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
        (Op::OpenTree { .. }, libc::EACCES) => {
            "root of the user namespace must be able to reach it: let others search the \
             directories on the way, or hand it over as a detached mount"
        }
        (Op::FsOpen { .. }, libc::ENODEV) => "the kernel lacks this file system",
        (Op::FsCreate { .. }, libc::EPERM) => {
            "a user namespace may mount it only with new pid (proc), net (sysfs) or ipc (mqueue) \
             namespaces, and only if no part of the host's own is hidden"
        }
        (Op::Target { .. }, libc::ELOOP) => "a symlink stands where a kernel file system belongs",
        (Op::Chdir(_), libc::ENOENT) => "make the working directory in the root first",
        (Op::Rlimit { .. }, libc::EPERM) => "raising a hard limit takes CAP_SYS_RESOURCE",
        (Op::WriteProc { .. }, libc::EACCES) => "lowering oom_score_adj takes CAP_SYS_RESOURCE",
        (Op::Setns { .. } | Op::Unshare { .. }, libc::EPERM) => {
            "run as root, or in a user namespace that owns it"
        }
        (Op::Mknod { .. }, libc::EPERM) => "making devices takes CAP_MKNOD",
        _ => return None,
    })
}
