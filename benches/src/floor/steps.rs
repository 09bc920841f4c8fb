//! The child's side of the list in `floor`: one straight line of system calls, the same file after
//! a fork-like clone and in the minimal init.

use core::ffi::{CStr, c_char, c_int};

use super::sys::{self, Errno};

/// What one container needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) rootfs: &'a CStr,
    pub(crate) hostname: &'a CStr,
    pub(crate) program: &'a CStr,
    /// NULL-terminated.
    pub(crate) argv: *const *const c_char,
    /// A network namespace was made: bring its loopback up.
    pub(crate) net: bool,
    /// A user namespace was made: the end of the socket pair that says when the ids are mapped.
    pub(crate) mapped: Option<c_int>,
}

const NOSUID: usize = 2;
const NODEV: usize = 4;
const NOEXEC: usize = 8;

/// Name in the new `/dev`, path on the host, device number.
const NODES: [(&CStr, &CStr, usize); 6] = [
    (c"null", c"/dev/null", 0x103),
    (c"zero", c"/dev/zero", 0x105),
    (c"full", c"/dev/full", 0x107),
    (c"random", c"/dev/random", 0x108),
    (c"urandom", c"/dev/urandom", 0x109),
    (c"tty", c"/dev/tty", 0x500),
];

const DEV_OPTIONS: [(&CStr, &CStr); 2] = [(c"mode", c"755"), (c"size", c"65536k")];

/// Name in the new `/dev`, target.
const LINKS: [(&CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
];

/// Does the child's work; does not come back.
///
/// # Safety
///
/// The process must be a child made for it (it loses its descriptors and its root), and
/// `setup.argv` a NULL-terminated array of strings.
pub(crate) unsafe fn run(setup: &Setup<'_>) -> ! {
    // SAFETY: the caller's promise.
    let Err((step, Errno(errno))) = (unsafe { try_run(setup) }) else { sys::exit(125) };
    let digits = [(errno / 100) as u8, (errno / 10 % 10) as u8, (errno % 10) as u8];
    let _ = sys::write(2, step);
    let _ = sys::write(2, b": errno ");
    let _ = sys::write(2, &digits.map(|digit| b'0' + digit));
    let _ = sys::write(2, b"\n");
    sys::exit(125)
}

type Failed = (&'static [u8], Errno);

/// # Safety
///
/// As [`run`].
unsafe fn try_run(setup: &Setup<'_>) -> Result<(), Failed> {
    let user = setup.mapped.is_some();
    if let Some(socket) = setup.mapped {
        if !sys::read_byte(socket).map_err(|e| (&b"read"[..], e))? {
            sys::exit(125);
        }
        sys::become_root().map_err(|e| (&b"setresuid"[..], e))?;
    }
    sys::default_signals();
    sys::make_private().map_err(|e| (&b"mount_setattr"[..], e))?;

    let root = sys::clone_tree(setup.rootfs).map_err(|e| (&b"open_tree rootfs"[..], e))?;
    sys::attach(root, sys::CWD, setup.rootfs).map_err(|e| (&b"move_mount rootfs"[..], e))?;
    sys::fchdir(root).map_err(|e| (&b"fchdir"[..], e))?;

    let proc = sys::new_mount(c"proc", &[], NOSUID | NODEV | NOEXEC)
        .map_err(|e| (&b"fsmount proc"[..], e))?;
    sys::attach(proc, root, c"proc").map_err(|e| (&b"move_mount proc"[..], e))?;

    let dev = sys::new_mount(c"tmpfs", &DEV_OPTIONS, NOSUID | NOEXEC)
        .map_err(|e| (&b"fsmount tmpfs"[..], e))?;
    sys::attach(dev, root, c"dev").map_err(|e| (&b"move_mount dev"[..], e))?;
    device_nodes(dev, user).map_err(|e| (&b"device node"[..], e))?;

    sys::sethostname(setup.hostname).map_err(|e| (&b"sethostname"[..], e))?;
    if setup.net {
        sys::loopback_up().map_err(|e| (&b"loopback"[..], e))?;
    }
    sys::pivot_root(c".", c".").map_err(|e| (&b"pivot_root"[..], e))?;
    sys::detach(c".").map_err(|e| (&b"umount2"[..], e))?;
    sys::chdir(c"/").map_err(|e| (&b"chdir"[..], e))?;
    sys::unblock_signals().map_err(|e| (&b"rt_sigprocmask"[..], e))?;
    sys::close_from(3).map_err(|e| (&b"close_range"[..], e))?;
    // SAFETY: `argv` is the caller's promise.
    unsafe { sys::execve(setup.program, setup.argv) }.map_err(|e| (&b"execve"[..], e))
}

fn device_nodes(dev: c_int, user: bool) -> Result<(), Errno> {
    const S_IFREG: usize = 0o100000;
    const S_IFCHR: usize = 0o020000;
    sys::umask(0)?;
    for (name, host, number) in NODES {
        if user {
            sys::mknodat(dev, name, S_IFREG | 0o444, 0)?;
            let node = sys::clone_tree(host)?;
            sys::attach(node, dev, name)?;
            sys::close(node)?;
        } else {
            sys::mknodat(dev, name, S_IFCHR | 0o666, number)?;
        }
    }
    for (name, target) in LINKS {
        sys::symlinkat(target, dev, name)?;
    }
    sys::umask(0o022)
}
