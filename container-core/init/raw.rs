//! System calls by number, without libc: shared by the tiny init and by the
//! few instructions that run between clone and exec.
//!
//! A libc wrapper may take locks, set `errno` (in the *host's* thread when
//! memory is shared) or synchronise threads. These do one thing: enter the
//! kernel and return what it returned, `-errno` included.

/// Issues system call `number` with `args`; the unused ones may be anything.
///
/// # Safety
///
/// The arguments must be what the system call demands: pointers valid for what
/// the kernel reads or writes through them, descriptors owned by the caller.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the register assignment is the kernel's x86-64 calling
    // convention; rcx and r11 are clobbered by `syscall`; memory may be
    // written by the kernel, so no `nomem`. The caller vouches for `args`.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Issues system call `number` with `args`; the unused ones may be anything.
///
/// # Safety
///
/// The arguments must be what the system call demands: pointers valid for what
/// the kernel reads or writes through them, descriptors owned by the caller.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the register assignment is the kernel's AArch64 calling
    // convention; memory may be written by the kernel, so no `nomem`. The
    // caller vouches for `args`.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] as isize => result,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack),
        );
    }
    result
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("container-core's init knows the system calls of x86_64 and aarch64 only");

/// System call numbers that differ between architectures.
#[cfg(target_arch = "x86_64")]
pub mod nr {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const PWRITE64: usize = 18;
    pub const GETPID: usize = 39;
    pub const RECVFROM: usize = 45;
    pub const RECVMSG: usize = 47;
    pub const SOCKETPAIR: usize = 53;
    pub const FTRUNCATE: usize = 77;
    pub const CLOCK_GETTIME: usize = 228;
    pub const UNLINKAT: usize = 263;
    pub const RENAMEAT: usize = 264;
    pub const PPOLL: usize = 271;
    pub const SIGNALFD4: usize = 289;
    pub const IOCTL: usize = 16;
    pub const MMAP: usize = 9;
    pub const SOCKET: usize = 41;
    pub const GETSOCKOPT: usize = 55;
    pub const ACCEPT4: usize = 288;
    pub const SCHED_SETATTR: usize = 314;
    pub const IOPRIO_SET: usize = 251;
    pub const SCHED_SETAFFINITY: usize = 203;
    pub const SET_MEMPOLICY: usize = 238;
    pub const PERSONALITY: usize = 135;
    pub const KEYCTL: usize = 250;
    pub const SENDMSG: usize = 46;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const EXIT_GROUP: usize = 231;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const FCNTL: usize = 72;
    pub const GETCWD: usize = 79;
    pub const CHDIR: usize = 80;
    pub const FCHDIR: usize = 81;
    pub const FSTATFS: usize = 138;
    pub const UMASK: usize = 95;
    pub const SETGROUPS: usize = 116;
    pub const SETRESUID: usize = 117;
    pub const SETRESGID: usize = 119;
    pub const SETSID: usize = 112;
    pub const CAPSET: usize = 126;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const PIVOT_ROOT: usize = 155;
    pub const PRCTL: usize = 157;
    pub const UMOUNT2: usize = 166;
    pub const SETHOSTNAME: usize = 170;
    pub const SETDOMAINNAME: usize = 171;
    pub const OPENAT: usize = 257;
    pub const MKDIRAT: usize = 258;
    pub const MKNODAT: usize = 259;
    pub const SYMLINKAT: usize = 266;
    pub const UNSHARE: usize = 272;
    pub const DUP3: usize = 292;
    pub const PRLIMIT64: usize = 302;
    pub const SETNS: usize = 308;
    pub const SECCOMP: usize = 317;
    pub const EXECVEAT: usize = 322;
    pub const STATX: usize = 332;
    pub const FCHOWNAT: usize = 260;
    pub const GETDENTS64: usize = 217;
    pub const SENDFILE: usize = 40;
    pub const READLINKAT: usize = 267;
    pub const FCHMOD: usize = 91;
    pub const UTIMENSAT: usize = 280;
    pub const FLISTXATTR: usize = 196;
    pub const FGETXATTR: usize = 193;
    pub const FSETXATTR: usize = 190;
    pub const CHROOT: usize = 161;
}

/// System call numbers that differ between architectures.
#[cfg(target_arch = "aarch64")]
pub mod nr {
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const CLOSE: usize = 57;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const PWRITE64: usize = 68;
    pub const GETPID: usize = 172;
    pub const RECVFROM: usize = 207;
    pub const RECVMSG: usize = 212;
    pub const SOCKETPAIR: usize = 199;
    pub const FTRUNCATE: usize = 46;
    pub const CLOCK_GETTIME: usize = 113;
    pub const UNLINKAT: usize = 35;
    pub const RENAMEAT: usize = 38;
    pub const PPOLL: usize = 73;
    pub const SIGNALFD4: usize = 74;
    pub const IOCTL: usize = 29;
    pub const MMAP: usize = 222;
    pub const SOCKET: usize = 198;
    pub const GETSOCKOPT: usize = 209;
    pub const ACCEPT4: usize = 242;
    pub const SCHED_SETATTR: usize = 274;
    pub const IOPRIO_SET: usize = 30;
    pub const SCHED_SETAFFINITY: usize = 122;
    pub const SET_MEMPOLICY: usize = 237;
    pub const PERSONALITY: usize = 92;
    pub const KEYCTL: usize = 219;
    pub const SENDMSG: usize = 211;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const EXIT_GROUP: usize = 94;
    pub const WAIT4: usize = 260;
    pub const KILL: usize = 129;
    pub const FCNTL: usize = 25;
    pub const GETCWD: usize = 17;
    pub const CHDIR: usize = 49;
    pub const FCHDIR: usize = 50;
    pub const FSTATFS: usize = 44;
    pub const UMASK: usize = 166;
    pub const SETGROUPS: usize = 159;
    pub const SETRESUID: usize = 147;
    pub const SETRESGID: usize = 149;
    pub const SETSID: usize = 157;
    pub const CAPSET: usize = 91;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const PIVOT_ROOT: usize = 41;
    pub const PRCTL: usize = 167;
    pub const UMOUNT2: usize = 39;
    pub const SETHOSTNAME: usize = 161;
    pub const SETDOMAINNAME: usize = 162;
    pub const OPENAT: usize = 56;
    pub const MKDIRAT: usize = 34;
    pub const MKNODAT: usize = 33;
    pub const SYMLINKAT: usize = 36;
    pub const UNSHARE: usize = 97;
    pub const DUP3: usize = 24;
    pub const PRLIMIT64: usize = 261;
    pub const SETNS: usize = 268;
    pub const SECCOMP: usize = 277;
    pub const EXECVEAT: usize = 281;
    pub const STATX: usize = 291;
    pub const FCHOWNAT: usize = 54;
    pub const GETDENTS64: usize = 61;
    pub const SENDFILE: usize = 71;
    pub const READLINKAT: usize = 78;
    pub const FCHMOD: usize = 52;
    pub const UTIMENSAT: usize = 88;
    pub const FLISTXATTR: usize = 13;
    pub const FGETXATTR: usize = 10;
    pub const FSETXATTR: usize = 7;
    pub const CHROOT: usize = 51;
}

/// System call numbers that are the same on every architecture (since 5.1).
pub mod nr_all {
    pub const OPEN_TREE: usize = 428;
    pub const MOVE_MOUNT: usize = 429;
    pub const FSOPEN: usize = 430;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
    pub const CLONE3: usize = 435;
    pub const CLOSE_RANGE: usize = 436;
    pub const OPENAT2: usize = 437;
    pub const FACCESSAT2: usize = 439;
    pub const MOUNT_SETATTR: usize = 442;
}
