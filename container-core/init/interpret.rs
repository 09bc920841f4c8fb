//! The interpreter: one operation after the other, each a system call or a
//! few; the first failure is reported with its index and ends the process.

use crate::control::{Control, Slots};
use crate::kernel::{self, EINVAL, EXIT_SETUP, Errno, RESOLVE_NO_SYMLINKS, Text, sys};
use crate::machine::Machine;
use crate::raw::{nr, nr_all};
use crate::wire::{self, Op, Span, code, record};
use crate::{attributes, copy_up, credentials, device, mount, reap, start, supervise, terminal};

/// Checks the plan, then carries it out; never returns.
pub fn run(control: Control, slots: Slots, plan: &'static mut [u8]) -> ! {
    let header = match wire::validate(plan) {
        Ok(checked) => checked.header,
        Err((refusal, op)) => {
            control.send(record::REFUSED, op, refusal as i32, &[]);
            kernel::exit(EXIT_SETUP);
        }
    };
    let filled = slots.iter().take_while(|fd| **fd >= 0).count();
    if filled != header.inherited as usize {
        control.send(record::REFUSED, 0, wire::Refusal::Slots as i32, &[]);
        kernel::exit(EXIT_SETUP);
    }
    let mut machine = Machine::new(control, slots, plan);
    for index in 0..header.ops {
        let result = match machine.op(index) {
            Some(op) => machine.perform(index, &op),
            None => Err(EINVAL),
        };
        if let Err(errno) = result {
            machine.fail(index, errno);
        }
    }
    kernel::exit(EXIT_SETUP)
}

impl Machine {
    fn perform(&mut self, index: u32, op: &Op) -> Result<(), Errno> {
        self.detail = "";
        self.log_length = 0;
        match op.code {
            code::MKDIR..=code::SYMLINK | code::DEVICE_NODE | code::DEVICE_LINK => {
                device::perform(self, op)
            }
            code::COPY_UP => copy_up::perform(self, op),
            code::OPEN_TREE..=code::READ_ONLY
            | code::PROPAGATION
            | code::PIVOT_ROOT
            | code::ATTACH_AT..=code::UNMOUNT => mount::perform(self, op),
            code::SET_UID..=code::SET_GROUPS
            | code::CAP_BOUNDING..=code::NO_NEW_PRIVS
            | code::SECCOMP => credentials::perform(self, op),
            code::SECCOMP_LISTEN => credentials::listen(self, index, op),
            code::OPEN_PTY | code::CONTROLLING_TTY => terminal::perform(self, index, op),
            code::SETNS | code::UNSHARE | code::FORK => self.namespace(index, op),
            code::SUPERVISE_STREAM..=code::SUPERVISE => supervise::perform(self, index, op),
            code::INIT => reap::become_init(self, op),
            code::EXEC => self.exec(op),
            code::SCHEDULER..=code::KEYRING => attributes::perform(self, op),
            code::ACCEPT => start::accept(self, index, op),
            code::CHECK_EXEC => start::check_exec(self, op),
            code::WAIT_HOST => {
                self.control.wait();
                Ok(())
            }
            code::REPORT => {
                self.control.send(record::REACHED, index, op.a as i32, &[]);
                Ok(())
            }
            _ => self.process(op),
        }
    }

    fn namespace(&mut self, index: u32, op: &Op) -> Result<(), Errno> {
        match op.code {
            code::SETNS => sys!(nr::SETNS, self.slot(op.a)?, op.x).map(drop),
            code::UNSHARE => sys!(nr::UNSHARE, op.x).map(drop),
            _ => self.second_clone(index),
        }
    }

    /// Goes on in a child that has the same parent as this process: needed
    /// after joining a pid namespace or making a time namespace, which count
    /// for children only (`pid_namespaces(7)`, `time_namespaces(7)`).
    fn second_clone(&mut self, index: u32) -> Result<(), Errno> {
        const CLONE_PIDFD: usize = 0x1000;
        const CLONE_PARENT: usize = 0x8000;
        let mut pidfd: i32 = -1;
        let flags = CLONE_PARENT | CLONE_PIDFD | kernel::SIGCHLD;
        let child = sys!(nr::CLONE, flags, 0, &raw mut pidfd, 0, 0)?;
        if child == 0 {
            return Ok(());
        }
        let sent = self.control.send_descriptor(record::FORKED, index, pidfd);
        if let Err(errno) = sent {
            // Nobody would own it.
            const SIGKILL: usize = 9;
            let _ = sys!(nr::KILL, child, SIGKILL);
            self.fail(index, errno);
        }
        self.control.tell(record::FORKED, index, child as i32);
        kernel::exit(0)
    }

    /// Operations on the process itself.
    fn process(&mut self, op: &Op) -> Result<(), Errno> {
        match op.code {
            code::SET_HOSTNAME => sys!(nr::SETHOSTNAME, self.text(op.s).0, op.s.len).map(drop),
            code::SET_DOMAINNAME => sys!(nr::SETDOMAINNAME, self.text(op.s).0, op.s.len).map(drop),
            code::LOOPBACK_UP => self.loopback_up(),
            code::WRITE_PROC => self.write_proc(op),
            code::SYSCTL => self.write_setting(op),
            code::OPEN_PATH => {
                let fd = kernel::open(self.text(op.s), op.x as usize)?;
                self.fill(op.b, fd)
            }
            code::CHECK_DEVICE => {
                let found = kernel::stat(self.slot(op.a)?)?;
                let same = found.is_device(op.c == 1, op.x as u32, op.y as u32);
                if same { Ok(()) } else { Err(kernel::ENODEV) }
            }
            code::CHDIR => self.change_directory(op),
            code::CLOSE => {
                self.release(op.a);
                Ok(())
            }
            code::UMASK => sys!(nr::UMASK, op.a).map(drop),
            code::RLIMIT => {
                let limit = [op.x, op.y];
                sys!(nr::PRLIMIT64, 0, op.a, limit.as_ptr(), 0).map(drop)
            }
            code::SETSID => sys!(nr::SETSID).map(drop),
            code::DUP => sys!(nr::DUP3, self.slot(op.a)?, op.b, 0).map(drop),
            code::DUMPABLE => {
                sys!(nr::PRCTL, credentials::PR_SET_DUMPABLE, op.a, 0, 0, 0).map(drop)
            }
            code::PARENT_DEATH => {
                const PR_SET_PDEATHSIG: usize = 1;
                sys!(nr::PRCTL, PR_SET_PDEATHSIG, op.a, 0, 0, 0).map(drop)
            }
            code::RESET_SIGNALS => {
                reset_signals();
                Ok(())
            }
            code::CLOSE_FROM => {
                const CLOSE_RANGE_CLOEXEC: usize = 4;
                sys!(nr_all::CLOSE_RANGE, op.a, u32::MAX, CLOSE_RANGE_CLOEXEC).map(drop)
            }
            _ => Err(EINVAL),
        }
    }

    /// Sets `IFF_UP` on `lo` (netdevice(7)).
    fn loopback_up(&mut self) -> Result<(), Errno> {
        const AF_INET: usize = 2;
        const SOCK_DGRAM_CLOEXEC: usize = 2 | 0o200_0000;
        const SIOCSIFFLAGS: usize = 0x8914;
        const IFF_UP: u8 = 1;
        self.detail = "socket";
        let socket = sys!(nr::SOCKET, AF_INET, SOCK_DGRAM_CLOEXEC, 0)? as i32;
        self.detail = "ioctl SIOCSIFFLAGS";
        let mut request = [0u64; 5];
        request[0] = u64::from_le_bytes(*b"lo\0\0\0\0\0\0");
        request[2] = u64::from(IFF_UP);
        let up = sys!(nr::IOCTL, socket, SIOCSIFFLAGS, request.as_ptr());
        kernel::close(socket);
        up.map(drop)
    }

    /// Writes to a file that must be procfs's own, whatever is mounted where.
    fn write_proc(&mut self, op: &Op) -> Result<(), Errno> {
        const PROC_SUPER_MAGIC: u64 = 0x9fa0;
        self.detail = "open";
        let fd = kernel::open(self.text(op.s), kernel::O_WRONLY | kernel::O_NOFOLLOW)?;
        self.detail = "fstatfs";
        let genuine = kernel::file_system(fd) == Ok(PROC_SUPER_MAGIC);
        self.detail = if genuine { "write" } else { "not a procfs file" };
        let written = if genuine { kernel::write_all(fd, self.bytes(op.t)) } else { Err(EINVAL) };
        kernel::close(fd);
        match written {
            Err(kernel::EPERM | kernel::EACCES) if op.a == 1 => Ok(()),
            other => other,
        }
    }

    /// Writes a file below `/proc/sys`, reached through procfs alone: without
    /// symlinks and without another mount on the way (CVE-2025-52881).
    fn write_setting(&mut self, op: &Op) -> Result<(), Errno> {
        const PROC_SUPER_MAGIC: u64 = 0x9fa0;
        self.detail = "open /proc/sys";
        let flags = kernel::O_PATH | kernel::O_DIRECTORY | kernel::O_NOFOLLOW;
        let base = kernel::open(Text(c"/proc/sys".as_ptr().cast()), flags)?;
        self.detail = "fstatfs";
        let genuine = kernel::file_system(base) == Ok(PROC_SUPER_MAGIC);
        self.detail = if genuine { "openat2" } else { "/proc is no procfs" };
        let resolve = kernel::RESOLVE_BENEATH | kernel::RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
        let opened = if genuine {
            kernel::open_in(base, self.text(op.s), kernel::O_WRONLY, resolve)
        } else {
            Err(EINVAL)
        };
        kernel::close(base);
        let file = opened?;
        self.detail = "write";
        let written = kernel::write_all(file, self.bytes(op.t));
        kernel::close(file);
        written
    }

    /// Changes the directory and makes sure that it lies in the root: a
    /// directory descriptor that leaked in could lead out (CVE-2024-21626).
    fn change_directory(&mut self, op: &Op) -> Result<(), Errno> {
        self.detail = "chdir";
        sys!(nr::CHDIR, self.text(op.s).0)?;
        self.detail = "getcwd: outside of the root";
        let mut path = [0u8; 4096];
        sys!(nr::GETCWD, path.as_mut_ptr(), path.len())?;
        if path[0] == b'/' { Ok(()) } else { Err(kernel::EXDEV) }
    }

    /// Tries each candidate as execvp(3) does: a missing one is passed over,
    /// a forbidden one remembered.
    fn exec(&mut self, op: &Op) -> Result<(), Errno> {
        let environment = Span { at: op.x as u32, len: (op.x >> 32) as u32 };
        let arguments = self.relocate(op.t);
        let environment = self.relocate(environment);
        let mask = 0u64;
        const SIG_SETMASK: usize = 2;
        sys!(nr::RT_SIGPROCMASK, SIG_SETMASK, &raw const mask, 0, size_of::<u64>())?;
        let mut refused = Err(kernel::ENOENT);
        for index in 0..op.s.len as usize {
            let at = self.entry(op.s, index).unwrap_or(0);
            let path = self.text(Span { at: at as u32, len: 0 });
            match sys!(nr::EXECVE, path.0, arguments, environment) {
                Err(kernel::ENOENT | kernel::ENOTDIR) => {}
                Err(kernel::EACCES) => refused = Err(kernel::EACCES),
                other => return other.map(drop),
            }
        }
        refused
    }
}

/// Back to the default for every signal: exec keeps what the host ignored.
fn reset_signals() {
    const SIGNALS: usize = 64;
    let default = [0u64; 4];
    for signal in 1..=SIGNALS {
        // SIGKILL and SIGSTOP answer EINVAL.
        let _ = sys!(nr::RT_SIGACTION, signal, default.as_ptr(), 0, size_of::<u64>());
    }
}
