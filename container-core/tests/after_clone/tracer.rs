//! A small tracer (ptrace(2)): runs a test of this program again, as a host of
//! its own, and writes down the system calls of each task that it makes.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use syscalls::Sysno;

/// Set in the traced program: which of the things to do.
pub(crate) const ROLE: &str = "AFTER_CLONE_ROLE";

const LIMIT: Duration = Duration::from_secs(60);

/// What a task did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Call(Sysno, [u64; 6]),
    /// An exec succeeded: other code from here on.
    Exec,
    /// This task made another: by vfork, or by another clone.
    Made {
        task: i32,
        vfork: bool,
    },
}

impl Event {
    pub(crate) fn call(&self) -> Option<Sysno> {
        if let Self::Call(number, _) = self { Some(*number) } else { None }
    }
}

/// The events of every task.
#[derive(Debug)]
pub(crate) struct Trace {
    tasks: BTreeMap<i32, Vec<Event>>,
    pub(crate) success: bool,
}

impl Trace {
    pub(crate) fn of(&self, task: i32) -> &[Event] {
        &self.tasks[&task]
    }

    /// Tasks made with `CLONE_VFORK`: from clone3 to the end of the payload.
    pub(crate) fn vforked(&self) -> Vec<i32> {
        self.made(true, |_| true)
    }

    /// Processes that `task` itself made without `CLONE_VFORK`.
    pub(crate) fn made_by(&self, task: i32) -> Vec<i32> {
        self.made(false, |maker| maker == task)
    }

    fn made(&self, vforked: bool, by: impl Fn(i32) -> bool) -> Vec<i32> {
        let events = self.tasks.iter().filter(|(maker, _)| by(**maker)).flat_map(|(_, all)| all);
        events
            .filter_map(|event| match event {
                Event::Made { task, vfork } if *vfork == vforked => Some(*task),
                _ => None,
            })
            .collect()
    }
}

/// `struct ptrace_syscall_info`, as far as an entry needs it.
#[repr(C)]
#[derive(Default)]
struct SyscallInfo {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction: u64,
    stack: u64,
    number: u64,
    arguments: [u64; 6],
    rest: [u64; 2],
}

/// Runs test `name` of this program as `role`, traced to its end.
pub(crate) fn trace(name: &str, role: &str) -> Trace {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: one system call, no memory.
    unsafe {
        command.pre_exec(|| check(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0)));
    }
    let child = command.spawn().unwrap();
    let root = child.id() as i32;
    let (over, watched) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if watched.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            // SAFETY: a signal to our own child, which nobody has waited for.
            unsafe { libc::kill(root, libc::SIGKILL) };
        }
    });
    let trace = follow(root);
    drop(over);
    watchdog.join().unwrap();
    // The child was waited for by its number.
    drop(child);
    trace
}

fn follow(root: i32) -> Trace {
    let mut trace = Trace { tasks: BTreeMap::new(), success: false };
    loop {
        let mut status = 0;
        // SAFETY: `status` is writable; only this thread's own tracees count.
        let task = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if task < 0 {
            return trace;
        }
        if !libc::WIFSTOPPED(status) {
            if task == root {
                trace.success = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
            }
            continue;
        }
        let new = !trace.tasks.contains_key(&task);
        let events = trace.tasks.entry(task).or_default();
        let signal = stopped(task, status, new, new && task == root, events);
        // The task may have been killed meanwhile.
        let _ = request(libc::PTRACE_SYSCALL, task, 0, signal as usize);
    }
}

/// Writes down why the task stopped; returns the signal to go on with.
fn stopped(task: i32, status: i32, new: bool, root: bool, events: &mut Vec<Event>) -> i32 {
    if root {
        let options = libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK
            | libc::PTRACE_O_TRACEEXEC
            | libc::PTRACE_O_EXITKILL;
        request(libc::PTRACE_SETOPTIONS, task, 0, options as usize).unwrap();
        return 0;
    }
    let signal = libc::WSTOPSIG(status);
    let event = status >> 16;
    match event {
        libc::PTRACE_EVENT_EXEC => events.push(Event::Exec),
        libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_CLONE => {
            let mut made: libc::c_ulong = 0;
            let place = &raw mut made as usize;
            request(libc::PTRACE_GETEVENTMSG, task, 0, place).unwrap();
            let vfork = event == libc::PTRACE_EVENT_VFORK;
            events.push(Event::Made { task: made as i32, vfork });
        }
        _ if signal == libc::SIGTRAP | 0x80 => events.extend(entered(task)),
        // A new tracee starts with this stop.
        _ if new && signal == libc::SIGSTOP => {}
        _ => return signal,
    }
    0
}

/// The call that a task stopped at, if it stopped on the way in.
fn entered(task: i32) -> Option<Event> {
    const PTRACE_GET_SYSCALL_INFO: libc::c_uint = 0x420e;
    const ENTRY: u8 = 1;
    let mut info = SyscallInfo::default();
    let place = &raw mut info as usize;
    request(PTRACE_GET_SYSCALL_INFO, task, size_of::<SyscallInfo>(), place).ok()?;
    let number = Sysno::new(info.number as usize)?;
    (info.op == ENTRY).then_some(Event::Call(number, info.arguments))
}

fn request(what: libc::c_uint, task: i32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: address and data are numbers, or point to a live object of the
    // size that the request writes.
    check(unsafe { libc::ptrace(what, task, address, data) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
