use crate::capability::{Capabilities, CapabilitySet};

use super::action::Action;
use super::architecture::Architecture;
use super::condition::Condition;
use super::filter::{Filter, Rule};
use super::profile_table::{ALLOWED, ALLOWED_ELSEWHERE, GATED, REFUSED};

const EPERM: u16 = libc::EPERM as u16;
const ENOSYS: u16 = libc::ENOSYS as u16;
const EAFNOSUPPORT: u16 = libc::EAFNOSUPPORT as u16;

/// Every `CLONE_NEW*` flag that `clone` takes.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
/// Every `CLONE_NEW*` flag that `unshare` takes; `CLONE_NEWTIME` is among them.
const UNSHARE_NAMESPACES: u64 = CLONE_NAMESPACES | 0x80;
/// On s390 the first two arguments of `clone` change places.
const CLONE_FLAGS: u8 = if cfg!(target_arch = "s390x") { 1 } else { 0 };

/// Execution domains: Linux, the same reporting 32 bits, both reporting
/// version 2.6, and the query.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const AF_ALG: u32 = 38;
const AF_VSOCK: u32 = 40;
/// The choice of `socket` in `socketcall`.
const SYS_SOCKET: u32 = 1;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

impl Filter {
    /// The profile for containers with the capabilities of
    /// [`Capabilities::container_default`]; see
    /// [`container_default_with`](Self::container_default_with).
    pub fn container_default() -> Self {
        Self::container_default_with(Capabilities::container_default().bounding)
    }

    /// The profile for containers whose content isn't trusted, and which hold
    /// these capabilities.
    ///
    /// It is an **allow list**, for the kernel gains system calls each year and
    /// a deny list would let each of them in unseen. What isn't allowed answers
    /// in one of two ways:
    ///
    /// - `EPERM` for the calls that are known and refused: mounts, namespaces,
    ///   modules, kexec, swap, clock, BPF, performance events, `io_uring`,
    ///   `userfaultfd`, keyrings (which no namespace separates), file handles.
    ///   A program sees that it may not.
    /// - `ENOSYS` for everything else, which is what an older kernel says. C
    ///   libraries try a new call first and fall back on `ENOSYS` alone; an
    ///   `EPERM` there breaks programs with each release of the C library.
    ///
    /// Some calls depend on their arguments:
    ///
    /// - `clone` and `unshare` are allowed without `CLONE_NEW*` flags: user
    ///   namespaces open much of the kernel to ordinary users. `clone3` keeps
    ///   its flags in memory, where no filter sees them: it answers `ENOSYS`,
    ///   upon which C libraries use `clone`.
    /// - `socket` answers `EAFNOSUPPORT` for `AF_VSOCK`, which reaches the
    ///   hypervisor past the network namespace, and for `AF_ALG`, the kernel's
    ///   cryptography with its record of escalations.
    /// - `ioctl` refuses `TIOCSTI` and `TIOCLINUX`, which type into the terminal
    ///   that started the container.
    /// - `personality` takes the values of ordinary Linux programs only, for
    ///   others switch off address randomisation.
    ///
    /// A capability opens the calls that it is for, such as `CAP_SYS_ADMIN` the
    /// mounts and namespaces, `CAP_SYS_TIME` the clock, `CAP_BPF` `bpf`.
    /// `ptrace` is allowed: since Linux 4.8 no tracer leads a call past the
    /// filter, and it reaches processes of the same container only.
    ///
    /// The 32-bit architecture that the kernel takes besides the native one (on
    /// x86-64 x86, on AArch64 ARM) gets the same rules; x32, which hardly any
    /// kernel or program has, is left out: it would cost each start a fifth of
    /// the filter's installation. 32-bit x86 has
    /// `socketcall`, which keeps the arguments in memory, where no filter sees
    /// them: through it no socket is made (`EAFNOSUPPORT`), while all else
    /// works; C libraries have used `socket` itself since Linux 4.3.
    ///
    /// ```
    /// use container_core::capability::{Capability, CapabilitySet};
    /// use container_core::seccomp::Filter;
    ///
    /// let program = Filter::container_default().compile()?;
    /// let with_clock = CapabilitySet::of(&[Capability::SysTime]);
    /// assert_ne!(program, Filter::container_default_with(with_clock).compile()?);
    /// # Ok::<(), container_core::Error>(())
    /// ```
    pub fn container_default_with(capabilities: CapabilitySet) -> Self {
        let native = Architecture::native().into_iter();
        let companions = native.flat_map(|own| own.companions().iter().copied());
        let filter = Self::new(Action::Errno(ENOSYS))
            .architectures(companions.filter(|other| *other != Architecture::X32))
            .skip_unknown(true);
        let filter = gated(filter, capabilities);
        sockets_and_terminals(filter)
            .allow(ALLOWED.iter().copied())
            .allow(ALLOWED_ELSEWHERE.iter().copied())
            .deny(REFUSED.iter().copied(), EPERM)
    }
}

fn gated(mut filter: Filter, capabilities: CapabilitySet) -> Filter {
    for (openers, names) in GATED {
        let names = names.iter().copied();
        let open = !CapabilitySet::of(openers).intersection(capabilities).is_empty();
        filter = if open { filter.allow(names) } else { filter.deny(names, EPERM) };
    }
    if capabilities.contains(crate::capability::Capability::SysAdmin) {
        return filter.allow(["clone", "clone3", "unshare"]);
    }
    let without = |name, argument, bits| {
        Rule::new([name], Action::Allow).when(Condition::without_bits(argument, bits))
    };
    filter
        .rule(without("clone", CLONE_FLAGS, CLONE_NAMESPACES))
        .rule(without("unshare", 0, UNSHARE_NAMESPACES))
        .deny(["clone", "unshare"], EPERM)
        .deny(["clone3"], ENOSYS)
}

fn sockets_and_terminals(mut filter: Filter) -> Filter {
    let when = |name, action, argument, value| {
        Rule::new([name], action).when(Condition::equal32(argument, value))
    };
    for family in [AF_ALG, AF_VSOCK] {
        filter = filter.rule(when("socket", Action::Errno(EAFNOSUPPORT), 0, family));
    }
    // The multiplexer of 32-bit x86, once more by its own name: its other calls
    // need no look at each.
    filter = filter.rule(when("socketcall", Action::Errno(EAFNOSUPPORT), 0, SYS_SOCKET));
    for command in [TIOCSTI, TIOCLINUX] {
        filter = filter.rule(when("ioctl", Action::Errno(EPERM), 1, command));
    }
    for personality in PERSONALITIES {
        filter = filter.rule(when("personality", Action::Allow, 0, personality));
    }
    filter.allow(["socketcall", "ipc", "socket", "ioctl"]).deny(["personality"], EPERM)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::capability::Capability;
    use crate::seccomp::Program;
    use crate::seccomp::compile::compile_for;
    use crate::seccomp::decide::{Call, run};
    use crate::seccomp::model::model;
    use crate::seccomp::table;
    use crate::seccomp::target::Target;

    fn verdict_of(filter: &Filter, name: &str, arguments: [u64; 6]) -> Action {
        let target = Target::native().unwrap();
        let number = table::number(target.architecture, name).unwrap_or_else(|| panic!("{name}"));
        let call = Call { number, arch: target.audit_arch, arguments };
        let (code, _) = run(&compile_for(filter, target).unwrap(), &call, true);
        assert_eq!(code, model(filter, &call, target));
        Action::from_code(code).unwrap()
    }

    fn verdict(name: &str, arguments: [u64; 6]) -> Action {
        verdict_of(&Filter::container_default(), name, arguments)
    }

    const DENIED: Action = Action::Errno(EPERM);

    #[test]
    fn what_programs_need_is_allowed_and_the_dangerous_is_not() {
        for name in
            ["read", "openat", "execve", "futex", "clone", "socket", "ioctl", "ptrace", "chroot"]
        {
            assert_eq!(verdict(name, [0; 6]), Action::Allow, "{name}");
        }
        for name in [
            "mount",
            "umount2",
            "pivot_root",
            "fsopen",
            "move_mount",
            "mount_setattr",
            "setns",
            "kexec_load",
            "init_module",
            "bpf",
            "perf_event_open",
            "io_uring_setup",
            "userfaultfd",
            "keyctl",
            "add_key",
            "open_by_handle_at",
            "reboot",
            "swapon",
            "clock_settime",
            "sethostname",
        ] {
            assert_eq!(verdict(name, [0; 6]), DENIED, "{name}");
        }
        assert_eq!(verdict("clone3", [0; 6]), Action::Errno(ENOSYS));
    }

    #[test]
    fn arguments_decide() {
        let first = |value: u64| [value, 0, 0, 0, 0, 0];
        let second = |value: u64| [0, value, 0, 0, 0, 0];
        let upper = 1u64 << 32;
        assert_eq!(verdict("unshare", first(libc::CLONE_FS as u64)), Action::Allow);
        assert_eq!(verdict("unshare", first(libc::CLONE_NEWUSER as u64)), DENIED);
        assert_eq!(verdict("unshare", first(libc::CLONE_NEWTIME as u64)), DENIED);
        if CLONE_FLAGS == 0 {
            assert_eq!(verdict("clone", first(libc::SIGCHLD as u64)), Action::Allow);
            assert_eq!(verdict("clone", first(upper | libc::CLONE_NEWNS as u64)), DENIED);
        }
        for family in [AF_ALG, AF_VSOCK] {
            let answer = Action::Errno(EAFNOSUPPORT);
            assert_eq!(verdict("socket", first(family.into())), answer);
            assert_eq!(verdict("socket", first(upper | u64::from(family))), answer);
        }
        assert_eq!(verdict("socket", first(2)), Action::Allow);
        assert_eq!(verdict("ioctl", second(TIOCSTI.into())), DENIED);
        assert_eq!(verdict("ioctl", second(upper | u64::from(TIOCSTI))), DENIED);
        assert_eq!(verdict("personality", first(0xffff_ffff)), Action::Allow);
        assert_eq!(verdict("personality", first(0x004_0000)), DENIED);
    }

    #[test]
    fn capabilities_open_their_calls() {
        let with = |capability: Capability| {
            Filter::container_default_with(CapabilitySet::of(&[capability]))
        };
        let admin = with(Capability::SysAdmin);
        for name in ["mount", "setns", "clone3", "bpf", "fsopen"] {
            assert_eq!(verdict_of(&admin, name, [0; 6]), Action::Allow, "{name}");
        }
        let flags = [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0];
        assert_eq!(verdict_of(&admin, "unshare", flags), Action::Allow);
        assert_eq!(verdict_of(&admin, "kexec_load", [0; 6]), DENIED);
        assert_eq!(verdict_of(&with(Capability::SysTime), "clock_settime", [0; 6]), Action::Allow);
        assert_eq!(verdict_of(&with(Capability::SysTime), "chroot", [0; 6]), DENIED);
    }

    /// Names of calls that no kernel has any more, left to the default.
    #[cfg(target_arch = "x86_64")]
    const GONE: [&str; 14] = [
        "_sysctl",
        "afs_syscall",
        "create_module",
        "epoll_ctl_old",
        "epoll_wait_old",
        "get_kernel_syms",
        "getpmsg",
        "nfsservctl",
        "putpmsg",
        "query_module",
        "security",
        "tuxcall",
        "uselib",
        "vserver",
    ];

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn each_call_of_this_kernel_generation_is_decided_once() {
        let special = ["clone", "clone3", "unshare", "socket", "ioctl", "personality"];
        let lists = [ALLOWED, REFUSED, &special, &GONE];
        let gated = GATED.iter().map(|(_, names)| *names);
        let mut seen = HashSet::new();
        for name in lists.into_iter().chain(gated).flatten() {
            assert!(seen.insert(*name), "{name} is listed twice");
        }
        for sysno in syscalls::Sysno::iter() {
            let name = sysno.name();
            assert!(
                seen.contains(name) || ALLOWED_ELSEWHERE.contains(&name),
                "{name} is undecided"
            );
        }
    }

    #[test]
    fn unknown_numbers_look_like_an_old_kernel() {
        let target = Target::native().unwrap();
        let program = compile_for(&Filter::container_default(), target).unwrap();
        for number in [600, 100_000, 0x3fff_ffff] {
            let call = Call { number, arch: target.audit_arch, arguments: [0; 6] };
            assert_eq!(run(&program, &call, true).0, Action::Errno(ENOSYS).code());
        }
    }

    #[test]
    fn the_compiled_profile_is_shared() {
        let (a, b) = (Program::container_default().unwrap(), Program::container_default().unwrap());
        assert!(std::ptr::eq(a.as_bytes(), b.as_bytes()));
        assert_eq!(a, Filter::container_default().compile().unwrap());
    }

    #[test]
    fn the_search_is_balanced() {
        let target = Target::native().unwrap();
        let filter = Filter::container_default();
        let program = compile_for(&filter, target).unwrap();
        let steps = |number| {
            run(&program, &Call { number, arch: target.audit_arch, arguments: [0; 6] }, true).1
        };
        let most = (0..600).map(steps).max().unwrap();
        assert!(most <= 24, "{most} of {} instructions", program.len());
        for number in 0..600 {
            let call = Call { number, arch: target.audit_arch, arguments: [u64::MAX; 6] };
            assert_eq!(run(&program, &call, true).0, model(&filter, &call, target));
        }
    }
}
