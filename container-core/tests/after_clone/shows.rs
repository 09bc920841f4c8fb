//! What shows of the host in a container's processes, seen from outside.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use container_core::{Container, Mount, Process, ProcessBuilder, Stdio};
use testkit::Rootfs;

use crate::can_isolate;
use crate::common::{in_rootfs, isolated, script};

/// Set in the host program that the tests run: which part to play.
const PART: &str = "AFTER_CLONE_PART";
/// Set in the host program: must show nowhere.
const SECRET: &str = "AFTER_CLONE_SECRET";
const LEAKED: usize = 300;

/// Runs this program again as a host whose whole state is its own.
#[track_caller]
fn play(part: &str) {
    let secret = testkit::unique("secret-of-the-host");
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shows::host", "--nocapture"])
        .env(PART, part)
        .env(SECRET, secret)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while host.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = host.kill();
    let output = host.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("played to the end"), "{text}");
}

/// Not a test of its own: the host.
#[test]
fn host() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    match part.as_str() {
        "look" => look(),
        "signals" => signals(),
        _ => panic!("unknown part {part}"),
    }
    println!("played to the end");
}

#[test]
fn no_process_of_a_container_shows_anything_of_the_host() {
    if can_isolate() {
        play("look");
    }
}

#[test]
fn the_payload_has_default_signals_whatever_the_host_ignores_and_blocks() {
    if can_isolate() {
        play("signals");
    }
}

/// Descriptors without close-on-exec, as careless libraries leave them.
fn leak_descriptors() {
    let file = File::open("/etc/passwd").unwrap();
    for _ in 0..LEAKED {
        // SAFETY: a number in, a number out.
        assert!(unsafe { libc::dup(file.as_raw_fd()) } > 2);
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open > LEAKED, "{open}");
}

fn look() {
    let secret = std::env::var(SECRET).unwrap();
    let copies = vec![secret.clone(); 100];
    leak_descriptors();
    assert!(Seen { pid: std::process::id() }.remembers(&secret), "the search finds nothing");
    let root = testkit::rootfs_dirs();
    let sleeping = |builder: ProcessBuilder| {
        let builder = builder.program("/bin/sleep").arg("1000").stdin(Stdio::Null);
        builder.stdout(Stdio::Null).stderr(Stdio::Null).spawn().unwrap()
    };

    let plain = sleeping(ProcessBuilder::new(""));
    Seen { pid: plain.id() }.is_payload(&secret);
    let inside = sleeping(in_rootfs(&root, ""));
    Seen { pid: inside.id() }.is_payload(&secret);
    let listed = script(ProcessBuilder::new(""), "echo /proc/self/fd/*; env");
    assert!(
        listed.starts_with("/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n"),
        "{listed}"
    );
    assert!(!listed.contains(&secret), "{listed}");

    let with_init = sleeping(in_rootfs(&root, "").init(true));
    let init = Seen { pid: with_init.id() };
    init.is_init(&secret);
    assert_eq!(init.descriptors(), [0, 1, 2].into(), "{init:?}");
    Seen { pid: payload_of(&with_init) }.is_payload(&secret);

    let created = created(&root);
    let waiting = Seen { pid: created.pid() };
    waiting.is_init(&secret);
    waiting.is_sealed();
    drop(created);
    assert_eq!(copies.len(), 100);
}

fn created(root: &Rootfs) -> Container<container_core::container::Created> {
    let binds = Rootfs::binds();
    binds
        .iter()
        .fold(Container::builder(root.path()), |container, path| {
            container.mount(Mount::bind(path, path).read_only())
        })
        .command("/bin/sleep")
        .arg("1000")
        .stdin(Stdio::Null)
        .stdout(Stdio::Null)
        .stderr(Stdio::Null)
        .create()
        .unwrap()
}

fn payload_of(init: &Process) -> u32 {
    let path = format!("/proc/{0}/task/{0}/children", init.id());
    fs::read_to_string(path).unwrap().trim().parse().expect("one child")
}

/// A process, looked at from outside.
#[derive(Debug)]
struct Seen {
    pid: u32,
}

impl Seen {
    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid).into()
    }

    fn executable(&self) -> PathBuf {
        fs::read_link(self.path("exe")).unwrap()
    }

    fn maps(&self) -> String {
        fs::read_to_string(self.path("maps")).unwrap()
    }

    fn descriptors(&self) -> BTreeSet<i32> {
        let entries = fs::read_dir(self.path("fd")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().parse().unwrap()).collect()
    }

    /// Whether `needle` is anywhere in its readable memory.
    fn remembers(&self, needle: &str) -> bool {
        let memory = File::open(self.path("mem")).unwrap();
        let maps = self.maps();
        let ranges = maps.lines().filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (from, to) = range.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            rest.starts_with('r').then(|| (number(from), number(to)))
        });
        let mut read = 0;
        let found = ranges.into_iter().any(|(from, to)| {
            let mut bytes = vec![0; (to - from).min(64 << 20) as usize];
            let Ok(length) = memory.read_at(&mut bytes, from) else {
                return false;
            };
            read += length;
            bytes[..length].windows(needle.len()).any(|window| window == needle.as_bytes())
        });
        assert!(found || read > 4096, "only {read} bytes of {} could be read", self.pid);
        found
    }

    /// Nothing of the host, whichever program it runs.
    fn shows_nothing(&self, secret: &str) {
        let own = std::env::current_exe().unwrap();
        assert_ne!(self.executable(), own);
        let maps = self.maps();
        assert!(!maps.contains(own.to_str().unwrap()), "{maps}");
        for name in ["environ", "cmdline", "auxv", "status"] {
            let bytes = fs::read(self.path(name)).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(secret), "{name} of {self:?}");
        }
        assert!(!self.remembers(secret), "{self:?} has the host's secret in its memory");
        for fd in self.descriptors() {
            let target = fs::read_link(self.path(&format!("fd/{fd}"))).unwrap();
            assert_ne!(target, PathBuf::from("/etc/passwd"), "descriptor {fd} of {self:?}");
        }
    }

    fn is_payload(&self, secret: &str) {
        self.shows_nothing(secret);
        assert_eq!(self.descriptors(), [0, 1, 2].into(), "{self:?}");
        assert!(self.executable().ends_with("sleep") || self.executable().ends_with("coreutils"));
        let environment = fs::read(self.path("environ")).unwrap();
        assert!(environment.starts_with(b"PATH="), "{environment:?}");
        assert_eq!(environment.iter().filter(|byte| **byte == 0).count(), 1, "{environment:?}");
    }

    fn is_init(&self, secret: &str) {
        self.shows_nothing(secret);
        assert_eq!(self.executable(), PathBuf::from("/memfd:container-init (deleted)"));
        assert_eq!(fs::read(self.path("environ")).unwrap(), b"");
        for line in self.maps().lines() {
            let object = line.split_whitespace().nth(5).unwrap_or("");
            let own =
                object.is_empty() || object.starts_with('[') || object == "/memfd:container-init";
            assert!(own, "{line}");
        }
    }

    /// Its program can't be changed, by whomever.
    fn is_sealed(&self) {
        let path = self.path("exe");
        match OpenOptions::new().write(true).open(&path) {
            Err(error) => assert!(
                matches!(error.raw_os_error(), Some(libc::ETXTBSY | libc::EACCES | libc::EPERM)),
                "{error}"
            ),
            Ok(mut opened) => {
                let error = opened.write(b"x").expect_err("a sealed file took a byte");
                assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
            }
        }
        let opened = File::open(&path).unwrap();
        // SAFETY: numbers only.
        let seals = unsafe { libc::fcntl(opened.as_raw_fd(), libc::F_GET_SEALS) };
        let all = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
        assert_eq!(seals & all, all, "{seals:#x}");
    }
}

/// In a host that ignores every signal and blocks every signal.
fn signals() {
    for signal in 1..=64 {
        // SAFETY: no handler is set; those that can't be ignored stay.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // SAFETY: an all-zero set is valid, sigfillset fills it in.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut()), 0);
    }
    let before = testkit::HostState::capture();
    let root = testkit::rootfs_dirs();
    for builder in [
        ProcessBuilder::new(""),
        ProcessBuilder::new("").namespaces(isolated()),
        in_rootfs(&root, ""),
        in_rootfs(&root, "").init(true),
    ] {
        // SIGCHLD is ignored, so whether the status is known depends on the kernel.
        let mut process = builder
            .program("/bin/cat")
            .arg("/proc/self/status")
            .stdout(Stdio::Pipe)
            .spawn()
            .unwrap();
        let mut text = String::new();
        process.take_stdout().unwrap().read_to_string(&mut text).unwrap();
        for kind in ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"] {
            assert!(text.contains(&format!("\n{kind}:\t{:016x}\n", 0)), "{text}");
        }
        let end = Instant::now() + Duration::from_secs(10);
        while process.try_wait().is_ok_and(|status| status.is_none()) {
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    before.assert_unchanged();
}
