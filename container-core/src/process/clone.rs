//! From clone to exec: the only code of this library that runs in the child.
//!
//! The child shares the host's memory and the calling thread is suspended
//! until it has executed the init (`CLONE_VM|CLONE_VFORK`, [clone(2)]). It
//! makes raw system calls on a stack of its own and touches nothing of the
//! host's: no allocator, no lock, no thread-local, no libc. Signals are
//! blocked from before the clone, so that no handler of the host runs in it.
//!
//! ```text
//! close_range(3.., CLOEXEC)   nothing leaks, whoever forgot close-on-exec
//! fcntl(fd, F_SETFD, 0)       but the control socket and the plan's slots
//! capset, prctl               only into a new user namespace: ambient caps
//! execveat(init)
//! ```
//!
//! [clone(2)]: https://man7.org/linux/man-pages/man2/clone.2.html
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::sys::raw::{self, nr, nr_all};

/// What the child needs; it reads this from the suspended parent's memory.
#[derive(Debug)]
pub(super) struct Birth<'a> {
    pub(super) flags: u64,
    pub(super) cgroup: Option<BorrowedFd<'a>>,
    /// The control socket's number as the init's argument, NUL-terminated.
    pub(super) control_text: &'a [u8],
    pub(super) init: BorrowedFd<'a>,
    /// Descriptors that survive the exec, the control socket among them.
    pub(super) keep: &'a [RawFd],
}

/// A process that executes the init.
#[derive(Debug)]
pub(super) struct Born {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
}

/// `struct clone_args` of clone3(2).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Shared between parent and child.
#[repr(C)]
struct Task {
    arguments: [*const u8; 3],
    environment: [*const u8; 1],
    init: RawFd,
    keep: *const RawFd,
    keep_count: usize,
    new_user_namespace: bool,
    /// Written by the child: the step that failed, and its errno.
    failed_step: u32,
    errno: i32,
}

const STEPS: [&str; 4] = ["close_range", "fcntl F_SETFD", "capset", "execveat of the init"];

/// Clones and executes the init; returns when it has been executed.
pub(super) fn clone_and_exec(birth: &Birth<'_>) -> Result<Born, (&'static str, io::Error)> {
    let mut stack = [MaybeUninit::<u128>::uninit(); 2048];
    let mut task = Task {
        arguments: [
            c"container-init".as_ptr().cast(),
            birth.control_text.as_ptr(),
            std::ptr::null(),
        ],
        environment: [std::ptr::null()],
        init: birth.init.as_raw_fd(),
        keep: birth.keep.as_ptr(),
        keep_count: birth.keep.len(),
        new_user_namespace: birth.flags & libc::CLONE_NEWUSER as u64 != 0,
        failed_step: 0,
        errno: 0,
    };
    let mut pidfd: RawFd = -1;
    let base = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    let mut args = CloneArgs {
        flags: birth.flags | base as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: size_of_val(&stack) as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = birth.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let blocked = BlockedSignals::new();
    // SAFETY: `args` describes a private stack that outlives the child's use of
    // it, as CLONE_VFORK keeps this thread suspended until the child has
    // executed or ended; `task` likewise.
    let pid = unsafe { clone3(&args, &raw mut task) };
    drop(blocked);
    if pid < 0 {
        return Err(("clone3", io::Error::from_raw_os_error(-pid as i32)));
    }
    // SAFETY: clone3 succeeded, so the kernel stored a new descriptor there
    // that nobody else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: the child wrote through the raw pointer that clone3 was given.
    let (step, errno) = unsafe {
        (std::ptr::read_volatile(&task.failed_step), std::ptr::read_volatile(&task.errno))
    };
    if errno != 0 {
        let _ = crate::sys::wait_pidfd(std::os::fd::AsFd::as_fd(&pidfd), libc::WEXITED);
        let step = STEPS.get(step as usize).copied().unwrap_or("child");
        return Err((step, io::Error::from_raw_os_error(errno)));
    }
    Ok(Born { pid: pid as u32, pidfd })
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Blocks every signal of this thread, those of the threading library too.
struct BlockedSignals {
    before: u64,
}

impl BlockedSignals {
    fn new() -> Self {
        let (all, mut before) = (u64::MAX, 0u64);
        set_signal_mask(&all, Some(&mut before));
        Self { before }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        set_signal_mask(&self.before, None);
    }
}

fn set_signal_mask(mask: &u64, before: Option<&mut u64>) {
    let before = before.map_or(std::ptr::null_mut(), std::ptr::from_mut);
    let args = [
        libc::SIG_SETMASK as usize,
        std::ptr::from_ref(mask) as usize,
        before as usize,
        size_of::<u64>(),
        0,
        0,
    ];
    // SAFETY: both pointers are to 8-byte masks, as the size says.
    unsafe { raw::syscall(nr::RT_SIGPROCMASK, args) };
}

/// Makes the child, which runs [`child`] on its own stack.
///
/// # Safety
///
/// `args` must hold `CLONE_VM`, `CLONE_VFORK` and a stack that nobody uses;
/// `task` must be valid until the child has executed or ended.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(args: &CloneArgs, task: *mut Task) -> isize {
    let result: isize;
    // SAFETY: in the parent this is a plain system call. In the child all
    // registers are those of the parent but the stack pointer, which is the
    // 16-byte aligned end of the new stack; it calls `child`, which never
    // returns. Memory is clobbered as the child writes to the task.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") nr_all::CLONE3 as isize => result,
            in("rdi") std::ptr::from_ref(args),
            in("rsi") size_of::<CloneArgs>(),
            in("r12") task,
            in("r13") child as *const (),
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Makes the child, which runs [`child`] on its own stack.
///
/// # Safety
///
/// `args` must hold `CLONE_VM`, `CLONE_VFORK` and a stack that nobody uses;
/// `task` must be valid until the child has executed or ended.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(args: &CloneArgs, task: *mut Task) -> isize {
    let result: isize;
    // SAFETY: as for x86-64; the stack pointer is the end of the new stack.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") nr_all::CLONE3,
            inlateout("x0") std::ptr::from_ref(args) as isize => result,
            in("x1") size_of::<CloneArgs>(),
            in("x20") task,
            in("x21") child as *const (),
            lateout("x30") _,
        );
    }
    result
}

/// Everything between clone and exec.
///
/// # Safety
///
/// Called in the child only, with the parent's task.
unsafe extern "C" fn child(task: *mut Task) -> ! {
    // SAFETY: raw system calls on descriptors and memory that the suspended
    // parent holds; the task is written by this process alone.
    unsafe {
        let call = |number: usize, args: [usize; 6]| raw::syscall(number, args);
        let fail = |step: u32, result: isize| -> ! {
            std::ptr::write_volatile(&raw mut (*task).failed_step, step);
            std::ptr::write_volatile(&raw mut (*task).errno, -result as i32);
            loop {
                raw::syscall(nr::EXIT_GROUP, [125, 0, 0, 0, 0, 0]);
            }
        };
        let cloexec = libc::CLOSE_RANGE_CLOEXEC as usize;
        let result = call(nr_all::CLOSE_RANGE, [3, u32::MAX as usize, cloexec, 0, 0, 0]);
        if result < 0 {
            fail(0, result);
        }
        let mut index = 0;
        while index < (*task).keep_count {
            let fd = *(*task).keep.add(index);
            let result = call(nr::FCNTL, [fd as usize, libc::F_SETFD as usize, 0, 0, 0, 0]);
            if result < 0 {
                fail(1, result);
            }
            index += 1;
        }
        if (*task).new_user_namespace {
            let result = raise_ambient();
            if result < 0 {
                fail(2, result);
            }
        }
        let empty = c"".as_ptr() as usize;
        let arguments = (&raw const (*task).arguments) as usize;
        let environment = (&raw const (*task).environment) as usize;
        let flags = libc::AT_EMPTY_PATH as usize;
        let init = (*task).init as usize;
        fail(3, call(nr::EXECVEAT, [init, empty, arguments, environment, flags, 0]))
    }
}

/// In a new user namespace whose ids are not mapped yet, exec would drop the
/// capabilities; ambient ones stay ([capabilities(7)]). Adding them changes
/// neither ids nor the permitted set, so the shared memory's dumpable flag,
/// the host's own, stays as it is.
///
/// [capabilities(7)]: https://man7.org/linux/man-pages/man7/capabilities.7.html
///
/// # Safety
///
/// Called in the child only.
unsafe fn raise_ambient() -> isize {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mut data = [0u32; 6];
    let (header, sets) = ((&raw const header) as usize, (&raw mut data) as usize);
    // SAFETY: capget and capset take a header and two structs of three words.
    unsafe {
        let result = raw::syscall(libc::SYS_capget as usize, [header, sets, 0, 0, 0, 0]);
        if result < 0 {
            return result;
        }
        // Inheritable becomes what is permitted.
        data[2] = data[1];
        data[5] = data[4];
        let result = raw::syscall(nr::CAPSET, [header, sets, 0, 0, 0, 0]);
        if result < 0 {
            return result;
        }
        let permitted = u64::from(data[1]) | u64::from(data[4]) << 32;
        let (ambient, raise) = (libc::PR_CAP_AMBIENT as usize, libc::PR_CAP_AMBIENT_RAISE as usize);
        let mut capability = 0;
        while capability < 64 {
            if permitted & (1 << capability) != 0 {
                let result = raw::syscall(nr::PRCTL, [ambient, raise, capability, 0, 0, 0]);
                if result < 0 {
                    return result;
                }
            }
            capability += 1;
        }
    }
    0
}
