use std::collections::HashMap;
use std::sync::OnceLock;

use syscalls::{aarch64, arm, x86, x86_64};

use super::architecture::Architecture;
use super::target::X32_BIT;

/// The number of a system call.
pub(super) fn number(architecture: Architecture, name: &str) -> Option<u32> {
    names(architecture)?.get(name).copied()
}

/// The name of a number.
pub(super) fn name(architecture: Architecture, number: u32) -> Option<&'static str> {
    names(architecture)?.iter().find(|(_, own)| **own == number).map(|(name, _)| *name)
}

type Names = HashMap<&'static str, u32>;

/// The table of an architecture, which is made once.
fn names(architecture: Architecture) -> Option<&'static Names> {
    static X86: OnceLock<Names> = OnceLock::new();
    static X86_64: OnceLock<Names> = OnceLock::new();
    static X32: OnceLock<Names> = OnceLock::new();
    static ARM: OnceLock<Names> = OnceLock::new();
    static AARCH64: OnceLock<Names> = OnceLock::new();
    Some(match architecture {
        Architecture::X86 => {
            X86.get_or_init(|| collect(x86::Sysno::iter().map(|s| (s.name(), s.id()))))
        }
        Architecture::X86_64 => {
            X86_64.get_or_init(|| collect(x86_64::Sysno::iter().map(|s| (s.name(), s.id()))))
        }
        Architecture::X32 => X32.get_or_init(x32),
        Architecture::Arm => ARM.get_or_init(|| {
            collect(arm::Sysno::iter().map(|s| (s.name(), s.id())).chain(ARM_PRIVATE))
        }),
        Architecture::Aarch64 => {
            AARCH64.get_or_init(|| collect(aarch64::Sysno::iter().map(|s| (s.name(), s.id()))))
        }
        other if Architecture::native() == Some(other) => return native(),
        _ => return None,
    })
}

/// The table of this build, where it is none of those above.
#[cfg(not(any(
    target_arch = "x86",
    target_arch = "x86_64",
    target_arch = "arm",
    target_arch = "aarch64"
)))]
fn native() -> Option<&'static Names> {
    static NATIVE: OnceLock<Names> = OnceLock::new();
    Some(NATIVE.get_or_init(|| collect(syscalls::Sysno::iter().map(|s| (s.name(), s.id())))))
}

#[cfg(any(
    target_arch = "x86",
    target_arch = "x86_64",
    target_arch = "arm",
    target_arch = "aarch64"
))]
fn native() -> Option<&'static Names> {
    None
}

fn collect(pairs: impl Iterator<Item = (&'static str, i32)>) -> Names {
    pairs.filter_map(|(name, id)| Some((name, u32::try_from(id).ok()?))).collect()
}

/// The calls of x32: those of x86-64 with a bit set, but those that take
/// structures with pointers have numbers of their own, and some old ones are
/// missing (`arch/x86/entry/syscalls/syscall_64.tbl`).
fn x32() -> Names {
    let mut names = collect(x86_64::Sysno::iter().map(|s| (s.name(), s.id())));
    for name in X32_LACKS {
        names.remove(name);
    }
    for (number, name) in (512..).zip(X32_OWN) {
        names.insert(name, number);
    }
    names.values_mut().for_each(|number| *number |= X32_BIT);
    names
}

#[rustfmt::skip]
const X32_LACKS: &[&str] = &[
    "_sysctl", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms",
    "get_thread_area", "nfsservctl", "query_module", "set_thread_area", "uretprobe", "uprobe",
    "uselib", "vserver",
];

/// From 512 on.
#[rustfmt::skip]
const X32_OWN: &[&str] = &[
    "rt_sigaction", "rt_sigreturn", "ioctl", "readv", "writev", "recvfrom", "sendmsg", "recvmsg",
    "execve", "ptrace", "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo", "sigaltstack",
    "timer_create", "mq_notify", "kexec_load", "waitid", "set_robust_list", "get_robust_list",
    "vmsplice", "move_pages", "preadv", "pwritev", "rt_tgsigqueueinfo", "recvmmsg", "sendmmsg",
    "process_vm_readv", "process_vm_writev", "setsockopt", "getsockopt", "io_setup", "io_submit",
    "execveat", "preadv2", "pwritev2",
];

/// What 32-bit ARM has beyond its table, and a second name in it.
const ARM_PRIVATE: [(&str, i32); 7] = [
    ("breakpoint", 0xf_0001),
    ("cacheflush", 0xf_0002),
    ("usr26", 0xf_0003),
    ("usr32", 0xf_0004),
    ("set_tls", 0xf_0005),
    ("get_tls", 0xf_0006),
    ("sync_file_range2", 341),
];

/// A call that is also, or only, reached by another which takes the choice in
/// its first argument: `socketcall(2)` and `ipc(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Multiplexed {
    /// The number of the call that it is reached by.
    pub(super) number: u32,
    /// The bits of the first argument that choose.
    pub(super) mask: u32,
    /// The choice.
    pub(super) choice: u32,
}

/// By what other call this one is reached on 32-bit x86.
pub(super) fn multiplexed(architecture: Architecture, name: &str) -> Option<Multiplexed> {
    static X86: OnceLock<HashMap<&'static str, Multiplexed>> = OnceLock::new();
    if architecture != Architecture::X86 {
        return None;
    }
    let by_name = X86.get_or_init(|| {
        let sockets = (1..).zip(SOCKETCALL);
        let sockets = sockets
            .map(|(choice, name)| (*name, Multiplexed { number: 102, mask: u32::MAX, choice }));
        // The upper half of the choice is a version.
        let ipc = IPC.iter().map(|(name, choice)| {
            (*name, Multiplexed { number: 117, mask: 0xffff, choice: *choice })
        });
        sockets.chain(ipc).collect()
    });
    by_name.get(name).copied()
}

/// From 1 on (`linux/net.h`).
#[rustfmt::skip]
const SOCKETCALL: &[&str] = &[
    "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair",
    "send", "recv", "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg",
    "recvmsg", "accept4", "recvmmsg", "sendmmsg",
];

/// `linux/ipc.h`.
const IPC: &[(&str, u32)] = &[
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_by_architecture() {
        let of = |architecture| number(architecture, "ioctl").unwrap();
        assert_eq!(of(Architecture::X86_64), 16);
        assert_eq!(of(Architecture::X86), 54);
        assert_eq!(of(Architecture::X32), X32_BIT | 514);
        assert_eq!(of(Architecture::Arm), 54);
        assert_eq!(of(Architecture::Aarch64), 29);
        assert_eq!(number(Architecture::X32, "pwritev2"), Some(X32_BIT | 547));
        assert_eq!(number(Architecture::X32, "uselib"), None);
        assert_eq!(number(Architecture::Aarch64, "open"), None);
    }

    /// The kernel's own header for x32 has the same names and numbers, as far
    /// as it goes.
    #[test]
    fn x32_agrees_with_the_kernel_headers() {
        let path = "/usr/include/x86_64-linux-gnu/asm/unistd_x32.h";
        let Ok(text) = std::fs::read_to_string(path) else {
            println!("SKIP: no {path}");
            return;
        };
        let mut checked = 0;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some("#define"), Some(name)) = (words.next(), words.next()) else { continue };
            let Some(name) = name.strip_prefix("__NR_") else { continue };
            let value = words.last().unwrap_or_default().trim_end_matches(')');
            let value = value.parse::<u32>().unwrap() | X32_BIT;
            assert_eq!(number(Architecture::X32, name), Some(value), "{name}");
            checked += 1;
        }
        assert!(checked > 300);
    }
}
