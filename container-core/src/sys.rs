//! The raw calls that nix lacks, each behind a safe function.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

mod mount;

pub(crate) use mount::{MountChange, is_owner, mount_setattr, open_tree};

#[allow(missing_docs, dead_code, unreachable_pub)]
#[path = "../init/raw.rs"]
pub(crate) mod raw;

/// How a child ended, as wait(2) encodes it.
pub(crate) type WaitStatus = i32;

/// waitid(2) on a pidfd; `None` if `WNOHANG` found it running.
pub(crate) fn wait_pidfd(pidfd: BorrowedFd<'_>, options: i32) -> io::Result<Option<WaitStatus>> {
    loop {
        // SAFETY: an all-zero siginfo_t is valid.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let id = pidfd.as_raw_fd() as libc::id_t;
        // SAFETY: `info` is a writable siginfo_t.
        let result = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, options) };
        if result == 0 {
            // SAFETY: waitid filled in the SIGCHLD fields, or left zeroes.
            let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
            if pid == 0 {
                return Ok(None);
            }
            return Ok(Some(match info.si_code {
                libc::CLD_EXITED => (status & 0xff) << 8,
                libc::CLD_DUMPED => (status & 0x7f) | 0x80,
                _ => status & 0x7f,
            }));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// pidfd_send_signal(2).
pub(crate) fn signal_pidfd(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: no pointer is passed but a null siginfo, which the call takes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// pidfd_open(2).
pub(crate) fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `struct pidfd_info` of `linux/pidfd.h`, its first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

/// The status of a process that somebody else reaped: the kernel keeps it for
/// holders of a pidfd (Linux 6.15). `None` where it does not.
pub(crate) fn exit_status_of(pidfd: BorrowedFd<'_>) -> Option<WaitStatus> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    const PIDFD_GET_INFO: libc::Ioctl = 0xc040_ff0b;
    const { assert!(size_of::<PidfdInfo>() == 64) };
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the ioctl's number carries the struct's size, 64.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// Whether the kernel keeps the status of reaped processes at all (Linux 6.15): those before refuse
/// the question, or answer it without.
pub(crate) fn keeps_exit_status() -> bool {
    nix::sys::utsname::uname().is_ok_and(|name| {
        let release = name.release().to_string_lossy();
        let mut numbers = release.split(['.', '-']).map(|it| it.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 15)
    })
}

/// The permitted capabilities of the calling thread (capget(2)).
pub(crate) fn permitted_capabilities() -> io::Result<u64> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mut data = [0u32; 6];
    // SAFETY: version 3 is a header of two words and two structs of three.
    let result = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(data[1]) | u64::from(data[4]) << 32)
}

/// sched_setaffinity(2) of another process; one bit for each processor.
pub(crate) fn set_affinity(pid: u32, mask: &[u64]) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: the kernel reads as many bytes as the size says.
    let result = unsafe {
        libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(mask), mask.as_ptr())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The `CLONE_NEW…` flag of the namespace that a descriptor on nsfs refers to (ioctl_nsfs(2)).
pub(crate) fn namespace_type(namespace: BorrowedFd<'_>) -> Option<u64> {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: this request takes no argument.
    let flag = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE) };
    u64::try_from(flag).ok()
}

/// Takes ownership of a descriptor that a call has just made.
pub(crate) fn adopt(fd: std::os::fd::RawFd) -> OwnedFd {
    // SAFETY: callers pass numbers that the kernel has just handed to them
    // (fcntl F_DUPFD, SCM_RIGHTS) and that nobody else knows.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Rows and columns of a terminal (ioctl_tty(2)).
pub(crate) fn window_size(terminal: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a writable winsize.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    if result == 0 { Ok((size.ws_row, size.ws_col)) } else { Err(io::Error::last_os_error()) }
}

/// Likewise, to be set.
pub(crate) fn set_window_size(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a readable winsize.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether it is the master of a pseudoterminal: only these have a number.
pub(crate) fn is_pty_master(terminal: BorrowedFd<'_>) -> bool {
    let mut number: libc::c_uint = 0;
    // SAFETY: the ioctl writes one unsigned int.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGPTN, &raw mut number) == 0 }
}
