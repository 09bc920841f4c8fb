//! The supervisor: this process stays outside of the container, makes its
//! first process in the way the host would have, and outlives the host.
//!
//! It owns the other ends of the standard streams, keeps the log, lets clients
//! attach, reaps, and writes the exit status down. It has no more memory than
//! is declared here, and nothing that a client does or leaves undone holds the
//! container up for good.

use crate::attach::MAX_LOGS;
use crate::control::Control;
use crate::kernel::{self, EINVAL, Errno, SIGCHLD, Text, sys};
use crate::machine::Machine;
use crate::raw::{nr, nr_all};
use crate::wire::{Op, Span, code, record};

#[path = "supervise/clients.rs"]
mod clients;
#[path = "supervise/exit.rs"]
mod exit;
#[path = "supervise/input.rs"]
mod input;
#[path = "supervise/log.rs"]
mod log;
#[path = "supervise/ring.rs"]
mod ring;
#[path = "supervise/serve.rs"]
mod serve;
#[path = "supervise/text.rs"]
mod text;

/// What the operations before the clone have said; descriptors are -1 where
/// there is none.
pub struct Config {
    directory: i32,
    exit_file: i32,
    listener: i32,
    /// Our ends of standard input, output and error.
    streams: [i32; 3],
    cgroup: i32,
    log: LogConfig,
}

/// Where output is written down, and how.
#[derive(Clone, Copy)]
pub struct LogConfig {
    file: i32,
    directory: i32,
    /// With time, stream and tag before each line.
    cri: bool,
    /// Bytes after which it is rotated; 0 for never.
    most: u64,
    names: [Text; MAX_LOGS],
    count: usize,
}

impl Config {
    pub const NONE: Self = Self {
        directory: -1,
        exit_file: -1,
        listener: -1,
        streams: [-1; 3],
        cgroup: -1,
        log: LogConfig {
            file: -1,
            directory: -1,
            cri: false,
            most: 0,
            names: [Text::EMPTY; MAX_LOGS],
            count: 0,
        },
    };

    fn descriptors(&self) -> [i32; 9] {
        let [input, output, error] = self.streams;
        let (log, logs) = (self.log.file, self.log.directory);
        let own = [self.directory, self.exit_file, self.listener, self.cgroup];
        [own[0], own[1], own[2], own[3], input, output, error, log, logs]
    }
}

pub fn perform(machine: &mut Machine, index: u32, op: &Op) -> Result<(), Errno> {
    match op.code {
        code::SUPERVISE_STREAM => {
            let fd = machine.take(op.a)?;
            *machine.supervision.streams.get_mut(op.b as usize).ok_or(EINVAL)? = fd;
        }
        code::SUPERVISE_CGROUP => machine.supervision.cgroup = machine.take(op.a)?,
        code::SUPERVISE_LOG => {
            let mut log = LogConfig {
                file: machine.take(op.a)?,
                directory: machine.take(op.b)?,
                cri: op.c & 1 != 0,
                most: op.x,
                names: [Text::EMPTY; MAX_LOGS],
                count: (op.t.len as usize).min(MAX_LOGS),
            };
            for (index, name) in log.names.iter_mut().enumerate().take(log.count) {
                let at = machine.entry(op.t, index).unwrap_or(0);
                *name = machine.text(Span { at: at as u32, len: 0 });
            }
            machine.supervision.log = log;
        }
        code::SUPERVISE => {
            machine.supervision.directory = machine.take(op.a)?;
            machine.supervision.exit_file = machine.take(op.b)?;
            machine.supervision.listener = machine.take(op.c)?;
            return split(machine, index, op.x);
        }
        _ => return Err(EINVAL),
    }
    Ok(())
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
    stack: [u64; 3],
    set_tid: [u64; 2],
    cgroup: u64,
}

/// Makes the container's first process, in which this function returns: it
/// goes on with the plan. The caller becomes the supervisor.
fn split(machine: &mut Machine, index: u32, namespaces: u64) -> Result<(), Errno> {
    const CLONE_PIDFD: u64 = 0x1000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    const PR_SET_CHILD_SUBREAPER: usize = 36;
    machine.detail = "setsid";
    sys!(nr::SETSID)?;
    machine.detail = "prctl PR_SET_CHILD_SUBREAPER";
    sys!(nr::PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)?;
    machine.detail = "socketpair";
    let (ours, theirs) = kernel::packet_pair()?;
    let mut pidfd: i32 = -1;
    let mut args = CloneArgs {
        flags: namespaces | CLONE_PIDFD,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if machine.supervision.cgroup >= 0 {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = machine.supervision.cgroup as u64;
    }
    machine.detail = "clone3";
    let child = sys!(nr_all::CLONE3, &raw const args, size_of::<CloneArgs>())?;
    if child == 0 {
        kernel::close(ours);
        for fd in machine.supervision.descriptors() {
            kernel::close(fd);
        }
        machine.supervision = Config::NONE;
        machine.control.notify(theirs);
        // The host has to hear of this process before it hears from it.
        if kernel::read(theirs, &mut [0u8; 1]) != Ok(1) {
            machine.control.give_up();
        }
        return Ok(());
    }
    kernel::close(theirs);
    let told = machine.control.send_descriptor(record::FORKED, index, pidfd);
    kernel::close(pidfd);
    machine.control.close();
    let told = told.and_then(|()| kernel::write_all(ours, &[1]));
    if told.is_err() {
        // Nobody is there to go on with it.
        serve::kill(child, serve::SIGKILL);
    }
    stand_aside(&machine.supervision, ours);
    serve::run(&machine.supervision, child, Control::new(ours), told.is_err())
}

/// Lets go of everything that was the host's: descriptors, directory, name.
fn stand_aside(config: &Config, notices: i32) {
    const PR_SET_NAME: usize = 15;
    let descriptors = config.descriptors();
    let mut from = 0;
    loop {
        let mut next = notices;
        for fd in descriptors {
            if fd >= from && (fd < next || next < from) {
                next = fd;
            }
        }
        if next < from {
            break;
        }
        if next > from {
            let _ = sys!(nr_all::CLOSE_RANGE, from, next - 1, 0);
        }
        from = next + 1;
    }
    let _ = sys!(nr_all::CLOSE_RANGE, from, u32::MAX, 0);
    kernel::close(config.cgroup);
    let _ = sys!(nr::CHDIR, c"/".as_ptr());
    let _ = sys!(nr::UMASK, 0o077);
    let _ = sys!(nr::PRCTL, PR_SET_NAME, c"supervisor".as_ptr(), 0, 0, 0);
}
