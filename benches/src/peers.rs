//! The tools that people use today, each asked for the same namespaces on the same rootfs with the
//! same payload, with as little beside it as its options allow.

// libc's own posix_spawn and waitpid: a peer's time must hold nothing of ours.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::env;
use std::ffi::{CString, OsStr, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::ptr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::fixture::{self, Fixture};
use crate::row::{Namespaces, Row};

/// After this time a peer counts as hung and is killed.
const LIMIT: Duration = Duration::from_secs(3);

/// youki is known to wait for ever when the container ends before it blocks `SIGCHLD`.
const TOLERATED: usize = 10;

/// One peer's command line.
#[derive(Debug)]
pub struct Peer {
    /// The row's name.
    pub name: &'static str,
    /// The row that the ratios refer to.
    pub floor: String,
    /// The set of namespaces whose floor it is measured against.
    pub against: Namespaces,
    /// See [`Row::stride`].
    pub stride: usize,
    /// An OCI runtime, which takes a new container id each time and owns a state directory.
    pub runtime: bool,
    program: &'static str,
    arguments: Vec<OsString>,
}

/// All peers, whether or not they are on `PATH`.
#[must_use]
pub fn peers(fixture: &Fixture) -> Vec<Peer> {
    let tool = |name, against, stride, program, arguments| Peer {
        name,
        floor: Namespaces::floor(against),
        against,
        stride,
        runtime: false,
        program,
        arguments,
    };
    let mut peers = vec![
        tool("peer/unshare", Namespaces::Full, 2, "unshare", unshare(fixture, &[])),
        tool(
            "peer/unshare-user",
            Namespaces::User,
            2,
            "unshare",
            unshare(fixture, &["--user", "--map-root-user"]),
        ),
        tool("peer/bwrap", Namespaces::Full, 2, "bwrap", bwrap(fixture, &[])),
        tool("peer/bwrap-user", Namespaces::User, 2, "bwrap", bwrap(fixture, &["--unshare-user"])),
    ];
    let runtimes: [(_, _, &[&str]); 4] = [
        ("peer/crun", "crun", &[]),
        ("peer/crun-nocgroup", "crun", &["--cgroup-manager=disabled"]),
        ("peer/runc", "runc", &[]),
        ("peer/youki", "youki", &[]),
    ];
    peers.extend(runtimes.map(|(name, program, options)| Peer {
        name,
        floor: Namespaces::Full.floor(),
        against: Namespaces::Full,
        stride: 10,
        runtime: true,
        program,
        arguments: runtime(fixture, program, options, &fixture.bundle()),
    }));
    peers
}

/// The OCI runtimes, each asked to `run` the bundle that `spec` writes; the ratios refer to crun.
#[must_use]
pub fn runtimes(fixture: &Fixture) -> Vec<Peer> {
    const NO_CGROUP: &[&str] = &["--cgroup-manager=disabled"];
    let runtimes: [(_, _, _, &[&str]); 6] = [
        ("run/crun", "run/crun", "crun", &[]),
        ("run/ocirun", "run/crun", "ocirun", &[]),
        ("run/runc", "run/crun", "runc", &[]),
        ("run/youki", "run/crun", "youki", &[]),
        ("run/crun-nocgroup", "run/crun-nocgroup", "crun", NO_CGROUP),
        ("run/ocirun-nocgroup", "run/crun-nocgroup", "ocirun", NO_CGROUP),
    ];
    let peer = |(name, floor, program, options): (_, &str, _, _)| Peer {
        name,
        floor: floor.into(),
        against: Namespaces::Full,
        stride: 1,
        runtime: true,
        program,
        arguments: runtime(fixture, program, options, &fixture.usual_bundle()),
    };
    runtimes.map(peer).into()
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.map(OsString::from).into()
}

fn unshare(fixture: &Fixture, user: &[&str]) -> Vec<OsString> {
    let mut list = words(["--fork", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"]);
    list.extend(user.iter().map(OsString::from));
    list.extend(["--mount-proc".into(), "--root".into(), fixture.rootfs().into()]);
    list.extend(words([fixture::PROGRAM]));
    list
}

fn bwrap(fixture: &Fixture, user: &[&str]) -> Vec<OsString> {
    let mut list: Vec<OsString> = user.iter().map(OsString::from).collect();
    list.extend(words(["--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-ipc"]));
    list.extend(words(["--unshare-cgroup", "--as-pid-1", "--hostname", fixture::HOSTNAME]));
    list.extend(["--bind".into(), fixture.rootfs().into(), "/".into()]);
    list.extend(words(["--proc", "/proc", "--dev", "/dev", fixture::PROGRAM]));
    list
}

/// Without the container's id, which comes last.
fn runtime(fixture: &Fixture, program: &str, options: &[&str], bundle: &Path) -> Vec<OsString> {
    let mut list = vec!["--root".into(), fixture.state(program).into()];
    list.extend(options.iter().map(OsString::from));
    list.extend(["run".into(), "--bundle".into(), bundle.into()]);
    list
}

impl Peer {
    /// Where the program is: beside this one, where cargo puts examples, or on `PATH`.
    #[must_use]
    pub fn find(&self) -> Option<PathBuf> {
        let path = env::var_os("PATH")?;
        let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
        dirs.extend(["/usr/sbin".into(), "/sbin".into()]);
        let own = env::current_exe().ok()?;
        dirs.insert(0, own.parent()?.join("examples"));
        dirs.into_iter().map(|dir| dir.join(self.program)).find(|file| is_program(file))
    }

    /// Tries the peer once; the error says what it printed.
    ///
    /// # Errors
    ///
    /// The program isn't on `PATH`, fails, or hangs.
    pub fn probe(&self, fixture: &Fixture) -> Result<()> {
        let program = self.find().ok_or("not on PATH")?;
        let log = fixture.dir().join("peer.log");
        let out = std::fs::File::create(&log)?;
        let child = Command::new(program)
            .args(&self.arguments)
            .args(self.runtime.then_some("versus-probe"))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        match wait_with_limit(child.id() as libc::pid_t, LIMIT) {
            Ok(0) => Ok(()),
            Ok(code) => {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                Err(format!("exit code {code}: {}", in_short(&text)).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The peer as a row.
    ///
    /// # Errors
    ///
    /// The program isn't on `PATH`.
    pub fn row(&self) -> Result<Row> {
        let program = self.find().ok_or("not on PATH")?;
        let runtime = self.runtime;
        let mut argv = vec![c_string(self.program)?];
        for word in &self.arguments {
            argv.push(CString::new(word.clone().into_vec())?);
        }
        let program = CString::new(program.as_os_str().as_bytes())?;
        let state = self.arguments.get(1).cloned().unwrap_or_default();
        let count = Cell::new(0u64);
        let name = self.name;
        let run = move || {
            let mut argv = argv.clone();
            count.set(count.get() + 1);
            let id = format!("versus-{}-{}", std::process::id(), count.get());
            if runtime {
                argv.push(c_string(&id)?);
            }
            let start = Instant::now();
            let pid = posix_spawn(&program, &argv)?;
            let ended = wait_with_limit(pid, LIMIT);
            let time = start.elapsed();
            if runtime && !matches!(ended, Ok(0)) {
                delete(Path::new(OsStr::from_bytes(program.as_bytes())), &state, OsStr::new(&id));
            }
            match ended? {
                0 => Ok(time),
                code => Err(format!("{name}: exit code {code}").into()),
            }
        };
        let tolerates = if runtime { TOLERATED } else { 0 };
        let row = Row::new(self.name, self.floor.clone(), run);
        Ok(row.every(self.stride).tolerating(tolerates))
    }
}

/// What a program printed, on one line: the first 300 characters.
fn in_short(text: &str) -> String {
    let line = text.trim().replace('\n', "; ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Removes a container that a failed run may have left.
fn delete(program: &Path, state: &OsStr, id: &OsStr) {
    let mut command = Command::new(program);
    command.arg("--root").arg(state).args(["delete", "--force"]).arg(id);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Ok(child) = command.spawn() {
        let _ = wait_with_limit(child.id() as libc::pid_t, LIMIT);
    }
}

/// Removes what a runtime that was killed or failed has left: containers and the fixture's cgroup.
pub fn clean_up(fixture: &Fixture) {
    let left = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let all = peers(fixture).into_iter().chain(runtimes(fixture));
    for peer in all.filter(|peer| peer.runtime) {
        let Some(program) = peer.find() else { continue };
        let state = fixture.state(peer.program);
        for container in left(&state) {
            delete(&program, state.as_os_str(), container.file_name().unwrap_or_default());
        }
    }
    let hierarchies = Path::new("/sys/fs/cgroup");
    let _ = std::fs::remove_dir(hierarchies.join(fixture.cgroup()));
    for hierarchy in left(hierarchies) {
        let _ = std::fs::remove_dir(hierarchy.join(fixture.cgroup()));
    }
}

/// The payload on the host by `posix_spawn`: no isolation at all.
///
/// # Errors
///
/// The fixture's path holds a NUL.
pub fn plain(fixture: &Fixture) -> Result<Row> {
    let program = CString::new(fixture.program().as_os_str().as_bytes())?;
    let argv = vec![c_string("true")?];
    Ok(Row::new("peer/posix_spawn", Namespaces::Full.floor(), move || {
        let start = Instant::now();
        let pid = posix_spawn(&program, &argv)?;
        match wait(pid)? {
            0 => Ok(start.elapsed()),
            code => Err(format!("peer/posix_spawn: exit code {code}").into()),
        }
    }))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn c_string(text: &str) -> Result<CString> {
    Ok(CString::new(text)?)
}

/// `posix_spawn(3)` with this process's environment and standard streams.
fn posix_spawn(program: &CString, argv: &[CString]) -> io::Result<libc::pid_t> {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    let mut pointers: Vec<*mut c_char> = argv.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    pointers.push(ptr::null_mut());
    let mut pid = 0;
    // SAFETY: the program and the NULL-terminated argv live across the call, nothing here changes
    // the environment, and posix_spawn doesn't write through argv.
    let error = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            ptr::null(),
            ptr::null(),
            pointers.as_ptr(),
            environ,
        )
    };
    if error == 0 { Ok(pid) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Reaps a child: its exit code, 128 and the signal's number where one ended it.
fn wait(pid: libc::pid_t) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: `status` is writable.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    })
}

/// As [`wait`], but kills the child after `limit`.
fn wait_with_limit(pid: libc::pid_t, limit: Duration) -> io::Result<i32> {
    // SAFETY: the child isn't reaped yet; the result is checked before it is owned.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let mut poll = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd.
    let ready = unsafe { libc::poll(&raw mut poll, 1, limit.as_millis() as i32) };
    if ready == 1 {
        return wait(pid);
    }
    // SAFETY: the child isn't reaped yet, so the id is still its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    wait(pid)?;
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("hung for {limit:?}, killed")))
}
