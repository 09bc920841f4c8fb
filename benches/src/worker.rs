//! A second host program: `versus` itself, started once, that runs rows when told to and answers
//! with their times. It stands for what can't be changed back and forth in one process: a host with
//! gigabytes of touched memory, or a mount namespace that shows only cgroup2 (for runtimes that
//! refuse a hybrid hierarchy). The time is taken inside the worker.

// mmap and unshare have no safe form in std.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::env;
use std::ffi::{CStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use crate::fixture::Fixture;
use crate::row::Row;
use crate::{Result, args, peers, spawn};

/// The hidden first word of the worker's command line.
pub const WORD: &str = "worker";

/// What is special about a worker.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// So many bytes of touched memory, in small pages.
    HostMemory(usize),
    /// `/sys/fs/cgroup` is a cgroup2 mount.
    Cgroup2,
}

/// The parent's side. Dropping it ends the worker.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a worker and waits until it is ready.
    ///
    /// # Errors
    ///
    /// It can't be started, or couldn't get its memory or mounts.
    pub fn start(fixture: &Fixture, kind: Kind) -> Result<Self> {
        let kind = match kind {
            Kind::HostMemory(size) => size.to_string(),
            Kind::Cgroup2 => "cgroup2".into(),
        };
        let mut child = Command::new(env::current_exe()?)
            .args([WORD.into(), OsString::from(kind), fixture.dir().into()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("worker without a pipe")?);
        let mut worker = Self { child, requests, answers };
        worker.answer()?;
        Ok(worker)
    }

    /// Runs a row once in the worker.
    ///
    /// # Errors
    ///
    /// The row's own error.
    pub fn run(&mut self, row: &str) -> Result<Duration> {
        self.request(&format!("run {row}"))?;
        Ok(Duration::from_nanos(self.answer()?))
    }

    /// Tries a peer once in the worker.
    ///
    /// # Errors
    ///
    /// See [`peers::Peer::probe`].
    pub fn probe(&mut self, peer: &str) -> Result<()> {
        self.request(&format!("probe {peer}"))?;
        self.answer().map(|_| ())
    }

    fn request(&mut self, line: &str) -> Result<()> {
        writeln!(self.requests.as_mut().ok_or("worker is gone")?, "{line}")?;
        Ok(())
    }

    fn answer(&mut self) -> Result<u64> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        match line.trim_end().split_once(' ') {
            Some(("ok", nanos)) => Ok(nanos.parse()?),
            Some(("error", text)) => Err(text.into()),
            _ => Err("the worker ended".into()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.child.wait();
    }
}

/// The same row, run in the worker.
#[must_use]
pub fn remote(worker: &Rc<RefCell<Worker>>, row: &Row, name: String) -> Row {
    let (worker, target) = (Rc::clone(worker), row.name.clone());
    Row::new(name, row.floor.clone(), move || worker.borrow_mut().run(&target))
        .every(row.stride)
        .tolerating(row.tolerates)
}

/// The worker's side: serves requests from standard input until its end.
///
/// # Errors
///
/// The pipes to the parent break.
pub fn serve(words: &[String]) -> Result<()> {
    let [kind, dir] = words else {
        return Err("worker KIND DIR".into());
    };
    let mut out = io::stdout();
    let prepared = match kind.as_str() {
        "cgroup2" => show_only_cgroup2(),
        size => args::parse_size(size).and_then(touch_memory),
    };
    answer(&mut out, prepared.map(|()| 0))?;
    let fixture = Fixture::borrowed(dir.into());
    let mut rows = spawn::local_rows(&fixture);
    for line in io::stdin().lines() {
        let line = line?;
        let result = match line.split_once(' ') {
            Some(("run", name)) => match rows.iter_mut().find(|row| row.name == name) {
                Some(row) => (row.run)().map(|time| time.as_nanos() as u64),
                None => Err(format!("no row {name}").into()),
            },
            Some(("probe", name)) => {
                let mut all = peers::peers(&fixture).into_iter().chain(peers::runtimes(&fixture));
                match all.find(|peer| peer.name == name) {
                    Some(peer) => peer.probe(&fixture).map(|()| 0),
                    None => Err(format!("no peer {name}").into()),
                }
            }
            _ => Err(format!("unknown request {line:?}").into()),
        };
        answer(&mut out, result)?;
    }
    Ok(())
}

fn answer(out: &mut impl Write, result: Result<u64>) -> io::Result<()> {
    match result {
        Ok(nanos) => writeln!(out, "ok {nanos}")?,
        Err(error) => writeln!(out, "error {}", error.to_string().replace('\n', "; "))?,
    }
    out.flush()
}

/// Maps and writes to every small page, and keeps them until the process ends.
fn touch_memory(size: usize) -> Result<()> {
    let free = available_memory();
    if free.is_some_and(|free| size > free / 10 * 9) {
        let (size, free) = (size >> 20, free.unwrap_or(0) >> 20);
        return Err(format!("{size} MiB asked for, {free} MiB available").into());
    }
    let (read_write, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new anonymous mapping.
    let memory = unsafe { libc::mmap(ptr::null_mut(), size, read_write, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: the mapping just made. Small pages, as a heap that grew over time has.
    unsafe { libc::madvise(memory, size, libc::MADV_NOHUGEPAGE) };
    for offset in (0..size).step_by(4096) {
        // SAFETY: inside of the mapping.
        unsafe { memory.cast::<u8>().add(offset).write_volatile(1) };
    }
    Ok(())
}

/// `MemAvailable` in bytes.
fn available_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Leaves for a mount namespace of its own, where `/sys/fs/cgroup` is cgroup2.
fn show_only_cgroup2() -> Result<()> {
    const GROUPS: &CStr = c"/sys/fs/cgroup";
    let check = |what: &str, result: i32| match result {
        0 => Ok(()),
        _ => Err(format!("{what}: {}", io::Error::last_os_error())),
    };
    let none = ptr::null();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the worker has one thread; strings end in NUL.
    unsafe {
        check("unshare mnt", libc::unshare(libc::CLONE_NEWNS))?;
        check("private", libc::mount(none, c"/".as_ptr(), none, private, none.cast()))?;
        check("umount", libc::umount2(GROUPS.as_ptr(), libc::MNT_DETACH))?;
        let kind = c"cgroup2".as_ptr();
        check("mount cgroup2", libc::mount(kind, GROUPS.as_ptr(), kind, 0, none.cast()))?;
    }
    Ok(())
}
