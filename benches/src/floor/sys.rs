//! The system calls of the floor, raw: no libc, so that the same file serves in the minimal init
//! (`floor-init/main.rs`, `no_std`) and after a fork-like clone.

use core::ffi::{CStr, c_char, c_int};

/// A positive `errno` value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errno(pub(crate) i32);

/// `AT_FDCWD`.
pub(crate) const CWD: c_int = -100;

#[cfg(target_arch = "x86_64")]
mod nr {
    pub(super) const READ: usize = 0;
    pub(super) const WRITE: usize = 1;
    pub(super) const CLOSE: usize = 3;
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const IOCTL: usize = 16;
    pub(super) const SOCKET: usize = 41;
    pub(super) const EXECVE: usize = 59;
    pub(super) const FCNTL: usize = 72;
    pub(super) const CHDIR: usize = 80;
    pub(super) const FCHDIR: usize = 81;
    pub(super) const UMASK: usize = 95;
    pub(super) const SETRESUID: usize = 117;
    pub(super) const SETRESGID: usize = 119;
    pub(super) const CAPSET: usize = 126;
    pub(super) const PIVOT_ROOT: usize = 155;
    pub(super) const PRCTL: usize = 157;
    pub(super) const UMOUNT2: usize = 166;
    pub(super) const SETHOSTNAME: usize = 170;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const MKNODAT: usize = 259;
    pub(super) const SYMLINKAT: usize = 266;
    pub(super) const RT_SIGACTION: usize = 13;
    pub(super) const EXECVEAT: usize = 322;
}

#[cfg(target_arch = "aarch64")]
mod nr {
    pub(super) const FCNTL: usize = 25;
    pub(super) const IOCTL: usize = 29;
    pub(super) const MKNODAT: usize = 33;
    pub(super) const SYMLINKAT: usize = 36;
    pub(super) const RT_SIGACTION: usize = 134;
    pub(super) const UMOUNT2: usize = 39;
    pub(super) const PIVOT_ROOT: usize = 41;
    pub(super) const CHDIR: usize = 49;
    pub(super) const FCHDIR: usize = 50;
    pub(super) const CLOSE: usize = 57;
    pub(super) const READ: usize = 63;
    pub(super) const WRITE: usize = 64;
    pub(super) const CAPSET: usize = 91;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const RT_SIGPROCMASK: usize = 135;
    pub(super) const SETRESUID: usize = 147;
    pub(super) const SETRESGID: usize = 149;
    pub(super) const SETHOSTNAME: usize = 161;
    pub(super) const UMASK: usize = 166;
    pub(super) const PRCTL: usize = 167;
    pub(super) const SOCKET: usize = 198;
    pub(super) const EXECVE: usize = 221;
    pub(super) const EXECVEAT: usize = 281;
}

// Numbers from 424 on are the same on every architecture.
const OPEN_TREE: usize = 428;
const MOVE_MOUNT: usize = 429;
const FSOPEN: usize = 430;
const FSCONFIG: usize = 431;
const FSMOUNT: usize = 432;
const CLOSE_RANGE: usize = 436;
const MOUNT_SETATTR: usize = 442;

/// Makes one system call.
///
/// # Safety
///
/// The arguments must satisfy the call's own contract: pointers valid for what it reads and writes.
unsafe fn call(nr: usize, args: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = args;
    let ret: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel's calling convention; the pointers are the caller's promise.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") nr as isize => ret,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("svc 0", in("x8") nr, inlateout("x0") a as isize => ret,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f, options(nostack));
    }
    if ret < 0 { Err(Errno(-ret as i32)) } else { Ok(ret as usize) }
}

fn ptr(path: &CStr) -> usize {
    path.as_ptr() as usize
}

fn fd(value: usize) -> c_int {
    value as c_int
}

/// read(2) of one byte; false at the end of file.
pub(crate) fn read_byte(file: c_int) -> Result<bool, Errno> {
    let mut byte = 0u8;
    // SAFETY: `byte` is writable for one byte.
    let got = unsafe { call(nr::READ, [file as usize, &raw mut byte as usize, 1, 0, 0, 0]) }?;
    Ok(got == 1)
}

/// write(2).
pub(crate) fn write(file: c_int, text: &[u8]) -> Result<(), Errno> {
    // SAFETY: `text` is readable for its length.
    unsafe { call(nr::WRITE, [file as usize, text.as_ptr() as usize, text.len(), 0, 0, 0]) }?;
    Ok(())
}

/// close(2).
pub(crate) fn close(file: c_int) -> Result<(), Errno> {
    // SAFETY: no memory is passed; the descriptor is the caller's own.
    unsafe { call(nr::CLOSE, [file as usize, 0, 0, 0, 0, 0]) }?;
    Ok(())
}

/// fcntl(2) `F_SETFD` 0: lets a descriptor live across exec.
pub(crate) fn keep_on_exec(file: c_int) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    unsafe { call(nr::FCNTL, [file as usize, 2, 0, 0, 0, 0]) }?;
    Ok(())
}

/// rt_sigprocmask(2): sets an empty mask.
pub(crate) fn unblock_signals() -> Result<(), Errno> {
    let empty = 0u64;
    // SAFETY: `SIG_SETMASK` reads eight bytes of `empty`.
    unsafe { call(nr::RT_SIGPROCMASK, [2, &raw const empty as usize, 0, 8, 0, 0]) }?;
    Ok(())
}

/// Sets `IFF_UP` on `lo`: socket(2), ioctl(2) `SIOCSIFFLAGS`, close(2).
pub(crate) fn loopback_up() -> Result<(), Errno> {
    #[repr(C)]
    struct IfReq {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    const SIOCSIFFLAGS: usize = 0x8914;
    let mut name = [0; 16];
    (name[0], name[1]) = (b'l', b'o');
    let request = IfReq { name, flags: 1, rest: [0; 22] };
    // SAFETY: no memory is passed (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC).
    let socket = unsafe { call(nr::SOCKET, [2, 2 | 0o2000000, 0, 0, 0, 0]) }?;
    // SAFETY: the kernel reads one `ifreq` from `request`.
    unsafe { call(nr::IOCTL, [socket, SIOCSIFFLAGS, &raw const request as usize, 0, 0, 0]) }?;
    close(fd(socket))
}

/// umask(2).
pub(crate) fn umask(mask: usize) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    unsafe { call(nr::UMASK, [mask, 0, 0, 0, 0, 0]) }?;
    Ok(())
}

/// chdir(2).
pub(crate) fn chdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: `path` ends in NUL.
    unsafe { call(nr::CHDIR, [ptr(path), 0, 0, 0, 0, 0]) }?;
    Ok(())
}

/// fchdir(2).
pub(crate) fn fchdir(dir: c_int) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    unsafe { call(nr::FCHDIR, [dir as usize, 0, 0, 0, 0, 0]) }?;
    Ok(())
}

/// setresgid(2) and setresuid(2) to 0.
pub(crate) fn become_root() -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    unsafe { call(nr::SETRESGID, [0; 6]) }?;
    // SAFETY: no memory is passed.
    unsafe { call(nr::SETRESUID, [0; 6]) }?;
    Ok(())
}

/// Keeps the capabilities of `mask` across the exec of an unmapped user: capset(2), then one
/// prctl(2) `PR_CAP_AMBIENT_RAISE` for each.
pub(crate) fn raise_ambient(mask: u32) -> Result<(), Errno> {
    let header = [0x2008_0522u32, 0];
    let data = [mask, mask, mask, 0, 0, 0];
    // SAFETY: version 3 reads a header of two and data of six 32-bit words.
    unsafe {
        call(nr::CAPSET, [&raw const header as usize, &raw const data as usize, 0, 0, 0, 0])
    }?;
    let mut left = mask;
    while left != 0 {
        let bit = left.trailing_zeros() as usize;
        left &= left - 1;
        // SAFETY: PR_CAP_AMBIENT (47), PR_CAP_AMBIENT_RAISE (2); no memory is passed.
        unsafe { call(nr::PRCTL, [47, 2, bit, 0, 0, 0]) }?;
    }
    Ok(())
}

/// pivot_root(2).
pub(crate) fn pivot_root(new: &CStr, old: &CStr) -> Result<(), Errno> {
    // SAFETY: both paths end in NUL.
    unsafe { call(nr::PIVOT_ROOT, [ptr(new), ptr(old), 0, 0, 0, 0]) }?;
    Ok(())
}

/// umount2(2) with `MNT_DETACH`.
pub(crate) fn detach(path: &CStr) -> Result<(), Errno> {
    // SAFETY: `path` ends in NUL.
    unsafe { call(nr::UMOUNT2, [ptr(path), 2, 0, 0, 0, 0]) }?;
    Ok(())
}

/// sethostname(2).
pub(crate) fn sethostname(name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` is readable for its length.
    unsafe { call(nr::SETHOSTNAME, [ptr(name), name.count_bytes(), 0, 0, 0, 0]) }?;
    Ok(())
}

/// mknodat(2).
pub(crate) fn mknodat(dir: c_int, name: &CStr, mode: usize, dev: usize) -> Result<(), Errno> {
    // SAFETY: `name` ends in NUL.
    unsafe { call(nr::MKNODAT, [dir as usize, ptr(name), mode, dev, 0, 0]) }?;
    Ok(())
}

/// symlinkat(2).
pub(crate) fn symlinkat(target: &CStr, dir: c_int, name: &CStr) -> Result<(), Errno> {
    // SAFETY: both strings end in NUL.
    unsafe { call(nr::SYMLINKAT, [ptr(target), dir as usize, ptr(name), 0, 0, 0]) }?;
    Ok(())
}

/// rt_sigaction(2): the default for every signal, as exec keeps those that the host ignores.
pub(crate) fn default_signals() {
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads a `sigaction` of four words. SIGKILL and SIGSTOP answer EINVAL.
        let _ =
            unsafe { call(nr::RT_SIGACTION, [signal, &raw const default as usize, 0, 8, 0, 0]) };
    }
}

/// execve(2) with an empty environment.
///
/// # Safety
///
/// `argv` must be a NULL-terminated array of strings.
pub(crate) unsafe fn execve(path: &CStr, argv: *const *const c_char) -> Result<(), Errno> {
    let envp = [core::ptr::null::<c_char>()];
    // SAFETY: `path` ends in NUL, `argv` is the caller's promise, `envp` is empty.
    unsafe { call(nr::EXECVE, [ptr(path), argv as usize, envp.as_ptr() as usize, 0, 0, 0]) }?;
    Ok(())
}

/// execveat(2) of the file behind a descriptor, with an empty environment.
///
/// # Safety
///
/// `argv` must be a NULL-terminated array of strings.
pub(crate) unsafe fn fexecve(file: c_int, argv: *const *const c_char) -> Result<(), Errno> {
    const AT_EMPTY_PATH: usize = 0x1000;
    let envp = [core::ptr::null::<c_char>()];
    let (argv, envp) = (argv as usize, envp.as_ptr() as usize);
    // SAFETY: as in `execve`.
    unsafe { call(nr::EXECVEAT, [file as usize, ptr(c""), argv, envp, AT_EMPTY_PATH, 0]) }?;
    Ok(())
}

/// exit_group(2).
pub(crate) fn exit(code: i32) -> ! {
    loop {
        // SAFETY: no memory is passed.
        let _ = unsafe { call(nr::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]) };
    }
}

/// open_tree(2) with `OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC`: a detached copy of one mount.
pub(crate) fn clone_tree(path: &CStr) -> Result<c_int, Errno> {
    // SAFETY: `path` ends in NUL.
    unsafe { call(OPEN_TREE, [CWD as usize, ptr(path), 1 | 0o2000000, 0, 0, 0]) }.map(fd)
}

/// move_mount(2) with `MOVE_MOUNT_F_EMPTY_PATH`: attaches a detached mount.
pub(crate) fn attach(mount: c_int, dir: c_int, path: &CStr) -> Result<(), Errno> {
    let (mount, dir) = (mount as usize, dir as usize);
    // SAFETY: both paths end in NUL.
    unsafe { call(MOVE_MOUNT, [mount, ptr(c""), dir, ptr(path), 4, 0]) }?;
    Ok(())
}

/// A new file system as a detached mount: fsopen(2), fsconfig(2) for the option and for
/// `FSCONFIG_CMD_CREATE`, fsmount(2), close(2).
pub(crate) fn new_mount(
    fstype: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: usize,
) -> Result<c_int, Errno> {
    // SAFETY: `fstype` ends in NUL.
    let context = unsafe { call(FSOPEN, [ptr(fstype), 1, 0, 0, 0, 0]) }?;
    for (key, value) in options {
        // SAFETY: both strings end in NUL (FSCONFIG_SET_STRING).
        unsafe { call(FSCONFIG, [context, 1, ptr(key), ptr(value), 0, 0]) }?;
    }
    // SAFETY: FSCONFIG_CMD_CREATE takes no memory.
    unsafe { call(FSCONFIG, [context, 6, 0, 0, 0, 0]) }?;
    // SAFETY: no memory is passed.
    let mount = unsafe { call(FSMOUNT, [context, 1, attributes, 0, 0, 0]) }.map(fd)?;
    close(fd(context))?;
    Ok(mount)
}

/// mount_setattr(2): every mount below `/` private.
pub(crate) fn make_private() -> Result<(), Errno> {
    const AT_RECURSIVE: usize = 0x8000;
    const MS_PRIVATE: u64 = 1 << 18;
    let attr = [0u64, 0, MS_PRIVATE, 0];
    let (at, size) = (&raw const attr as usize, size_of_val(&attr));
    // SAFETY: the kernel reads one `mount_attr` (four 64-bit words) from `attr`.
    unsafe { call(MOUNT_SETATTR, [CWD as usize, ptr(c"/"), AT_RECURSIVE, at, size, 0]) }?;
    Ok(())
}

/// close_range(2): every descriptor from `first` on.
pub(crate) fn close_from(first: c_int) -> Result<(), Errno> {
    // SAFETY: no memory is passed; the process execs next and owns no descriptor in Rust's sense.
    unsafe { call(CLOSE_RANGE, [first as usize, u32::MAX as usize, 0, 0, 0, 0]) }?;
    Ok(())
}
