//! The floors: the same system calls as a container of ours, in straight-line unsafe code, once
//! after a fork-like clone and once through a minimal init.
//!
//! # The work
//!
//! What every row `floor/…` and `ours/…` does.
//!
//! In the parent:
//!
//! 1. `clone3` with `CLONE_PIDFD` and the namespaces pid, mnt, uts, ipc, cgroup; `full` and `user`
//!    add net; `user` adds user;
//! 2. `user`: write `uid_map` and `gid_map` (root maps 65,536 ids from 100,000; an ordinary user
//!    maps itself to 0, after `setgroups` `deny`), then one byte over a socket pair;
//! 3. `waitid` on the pidfd, close it.
//!
//! In the child:
//!
//! 1. `user`: read the byte, `setresgid`, `setresuid` to 0;
//! 2. `rt_sigaction`: the default for every signal (exec keeps what the host ignores);
//!    `mount_setattr`: every mount private;
//! 3. the root: `open_tree` (clone) of the rootfs directory, `move_mount` onto itself, `fchdir`;
//! 4. `/proc`: `fsopen`, `fsconfig` create, `fsmount` (nosuid, nodev, noexec), `move_mount`;
//! 5. `/dev`: the same for a tmpfs of mode 0755 and 64 MiB (nosuid, noexec), then the links `fd`,
//!    `stdin`, `stdout`, `stderr`, `ptmx` by `symlinkat`, and `null`, `zero`, `full`,
//!    `random`, `urandom`, `tty`: by `mknodat`, or for `user` (where mknod is refused) by an empty
//!    file, `open_tree` of the host's node and `move_mount`; umask 0 around it;
//! 6. `sethostname`;
//! 7. with net: loopback up (`socket`, `ioctl`, `close`);
//! 8. `pivot_root(".", ".")`, `umount2(".", MNT_DETACH)`, `chdir("/")`;
//! 9. an empty signal mask, `close_range` from 3 on;
//! 10. `execve` of `/bin/true` in the rootfs, standard streams inherited, PID 1.
//!
//! Through the minimal init the child's work is the same, after `execveat` of the sealed memfd
//! (with `user`: four capabilities made ambient, because this exec comes before the ids are
//! mapped). Not in it, for any row: cgroups, seccomp, rlimits, capability drops, masked paths.

// Straight-line raw system calls are what a floor is; each block says why it is sound.
#![allow(unsafe_code)]

mod fork;
mod init;
mod steps;
mod sys;

use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::Result;
use crate::fixture::{self, Fixture};
use crate::row::Namespaces;

pub use init::InitImage;
use steps::Setup;

/// How the child gets to its straight line.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// `clone3` without `CLONE_VM`: a copy of the host's address space.
    Fork,
    /// `CLONE_VM|CLONE_VFORK`, then `execveat` of the sealed memfd.
    Init(&'a InitImage),
}

/// One container's description, with its strings made ahead.
#[derive(Debug)]
pub struct Floor {
    rootfs: CString,
    hostname: CString,
    program: CString,
    arguments: Vec<CString>,
    namespaces: Namespaces,
}

impl Floor {
    /// Describes a container that runs `argv` (a path in the rootfs, then its arguments).
    pub fn new(fixture: &Fixture, namespaces: Namespaces, argv: &[&str]) -> Result<Self> {
        let arguments: Vec<_> =
            argv.iter().map(|arg| CString::new(*arg)).collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            rootfs: fixture.rootfs_c()?,
            hostname: CString::new(fixture::HOSTNAME)?,
            program: arguments.first().cloned().ok_or("no program")?,
            arguments,
            namespaces,
        })
    }

    /// Spawns the container and waits for it: the wall time and the exit code.
    pub fn run(&self, path: Path<'_>) -> Result<(Duration, i32)> {
        let mut argv: Vec<*const c_char> = self.arguments.iter().map(|arg| arg.as_ptr()).collect();
        argv.push(std::ptr::null());
        let start = Instant::now();
        let sockets = match self.namespaces {
            Namespaces::User => Some(UnixStream::pair()?),
            Namespaces::Full | Namespaces::NoNet => None,
        };
        let setup = Setup {
            rootfs: &self.rootfs,
            hostname: &self.hostname,
            program: &self.program,
            argv: argv.as_ptr(),
            net: self.namespaces != Namespaces::NoNet,
            mapped: sockets.as_ref().map(|(_, child)| child.as_raw_fd()),
        };
        let child = match path {
            // SAFETY: `argv` is NULL-terminated and outlives the call.
            Path::Fork => unsafe { fork::spawn(&setup, clone_flags(self.namespaces)) },
            // SAFETY: as above.
            Path::Init(image) => unsafe {
                init::spawn(image, &setup, clone_flags(self.namespaces))
            },
        }?;
        let mapped = match &sockets {
            Some((parent, _)) => map_ids(child.pid).and_then(|()| (&*parent).write_all(&[1])),
            None => Ok(()),
        };
        if mapped.is_err() {
            // SAFETY: the child isn't reaped yet, so the id is still its own.
            unsafe { libc::kill(child.pid, libc::SIGKILL) };
        }
        let code = wait(&child.pidfd)?;
        mapped?;
        drop(child);
        Ok((start.elapsed(), code))
    }
}

/// A child by its pidfd.
#[derive(Debug)]
struct Child {
    pid: c_int,
    pidfd: OwnedFd,
}

impl Child {
    /// # Safety
    ///
    /// `pidfd` must be a new descriptor that nothing else owns.
    unsafe fn new(pid: c_int, pidfd: RawFd) -> Self {
        // SAFETY: the caller's promise.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Self { pid, pidfd }
    }
}

fn clone_flags(namespaces: Namespaces) -> c_int {
    let base = libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_PIDFD;
    match namespaces {
        Namespaces::NoNet => base,
        Namespaces::Full => base | libc::CLONE_NEWNET,
        Namespaces::User => base | libc::CLONE_NEWNET | libc::CLONE_NEWUSER,
    }
}

/// Writes the id maps of a child in a new user namespace.
fn map_ids(pid: c_int) -> io::Result<()> {
    // SAFETY: geteuid and getegid have no preconditions.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    if uid == 0 {
        fs::write(format!("/proc/{pid}/uid_map"), fixture::ROOT_MAP)?;
        fs::write(format!("/proc/{pid}/gid_map"), fixture::ROOT_MAP)
    } else {
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
        fs::write(format!("/proc/{pid}/uid_map"), format!("0 {uid} 1"))?;
        fs::write(format!("/proc/{pid}/gid_map"), format!("0 {gid} 1"))
    }
}

/// Reaps a child: its exit code, 128 and the signal's number where one ended it.
fn wait(pidfd: &impl AsFd) -> io::Result<i32> {
    // SAFETY: an all-zero siginfo_t is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = pidfd.as_fd().as_raw_fd() as libc::id_t;
    loop {
        // SAFETY: `info` is writable.
        let got = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED) };
        if got == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: waitid filled in the fields of SIGCHLD.
    let status = unsafe { info.si_status() };
    Ok(if info.si_code == libc::CLD_EXITED { status } else { 128 + status })
}
