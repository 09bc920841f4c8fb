//! The floor through a minimal init: the child shares the host's memory for a few system calls on
//! a stack of its own, with the host's thread suspended and signals blocked, and then becomes the
//! static program of `floor-init/main.rs` from a sealed memfd.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;

use super::steps::Setup;
use super::{Child, sys};

/// The minimal init, ready to be exec'd.
#[derive(Debug)]
pub struct InitImage {
    memfd: File,
}

impl InitImage {
    /// Puts the program into a sealed memfd. Made once, outside the measured time.
    pub fn new() -> io::Result<Self> {
        const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/floor-init"));
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        let name = c"floor-init".as_ptr();
        // SAFETY: the name ends in NUL.
        let mut fd = unsafe { libc::memfd_create(name, flags | libc::MFD_EXEC) };
        if fd == -1 {
            // Kernels before 6.3 don't know MFD_EXEC, and make every memfd executable.
            // SAFETY: as above.
            fd = unsafe { libc::memfd_create(name, flags) };
        }
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nothing else owns.
        let mut memfd = unsafe { File::from_raw_fd(fd) };
        memfd.write_all(PROGRAM)?;
        let seals =
            libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
        // SAFETY: F_ADD_SEALS takes an integer.
        if unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) } == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { memfd })
    }
}

/// What the child reads before its exec.
struct Start {
    memfd: c_int,
    argv: *const *const c_char,
    mapped: Option<c_int>,
}

const STACK: usize = 16 * 1024;

#[repr(align(16))]
struct Stack(MaybeUninit<[u8; STACK]>);

/// # Safety
///
/// `setup.argv` must be a NULL-terminated array of strings.
pub(super) unsafe fn spawn(
    image: &InitImage,
    setup: &Setup<'_>,
    flags: c_int,
) -> io::Result<Child> {
    let socket = CString::new(setup.mapped.unwrap_or(0).to_string())?;
    let words: &CStr = match (setup.net, setup.mapped.is_some()) {
        (false, false) => c"-",
        (true, false) => c"n",
        (false, true) => c"u",
        (true, true) => c"nu",
    };
    let mut argv =
        vec![c"init".as_ptr(), setup.rootfs.as_ptr(), setup.hostname.as_ptr(), words.as_ptr()];
    argv.extend([socket.as_ptr(), setup.program.as_ptr()]);
    // SAFETY: `setup.argv` is NULL-terminated and has at least the program's own name.
    unsafe {
        let mut next = setup.argv.add(1);
        while !(*next).is_null() {
            argv.push(*next);
            next = next.add(1);
        }
    }
    argv.push(ptr::null());
    let mut start =
        Start { memfd: image.memfd.as_raw_fd(), argv: argv.as_ptr(), mapped: setup.mapped };
    let mut stack = Stack(MaybeUninit::uninit());
    let mut pidfd: c_int = -1;
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: an all-zero sigset_t is valid.
    let (mut all, mut old): (libc::sigset_t, libc::sigset_t) = unsafe { std::mem::zeroed() };
    // SAFETY: the sets are writable. The child runs on `stack` and reads `start` only while
    // CLONE_VFORK keeps this thread, and so both of them, where they are.
    let (pid, error) = unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut old);
        let top = stack.0.as_mut_ptr().add(1).cast::<c_void>();
        let pid = libc::clone(child, top, flags, (&raw mut start).cast(), &raw mut pidfd);
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const old, ptr::null_mut());
        (pid, error)
    };
    if pid == -1 {
        return Err(error);
    }
    // SAFETY: the kernel has put a new descriptor there.
    Ok(unsafe { Child::new(pid, pidfd) })
}

/// Runs in the child on its own stack, in the host's memory: system calls and nothing else.
extern "C" fn child(start: *mut c_void) -> c_int {
    // What the init needs before the ids are mapped: SETGID, SETUID, NET_ADMIN, SYS_ADMIN.
    const AMBIENT: u32 = 1 << 6 | 1 << 7 | 1 << 12 | 1 << 21;
    // SAFETY: `start` outlives this call, see `spawn`.
    let start = unsafe { &*start.cast::<Start>() };
    if let Some(socket) = start.mapped
        && (sys::keep_on_exec(socket).is_err() || sys::raise_ambient(AMBIENT).is_err())
    {
        sys::exit(124);
    }
    // SAFETY: `argv` is NULL-terminated, see `spawn`.
    let _ = unsafe { sys::fexecve(start.memfd, start.argv) };
    sys::exit(123)
}
