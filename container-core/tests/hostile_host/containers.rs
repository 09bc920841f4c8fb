//! The containers that the host makes: all that can be asked for, and all the
//! ways in which one can end.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use container_core::cgroup::{Cgroup, Controller, Hierarchy, OwnedCgroup};
use container_core::{
    ErrorKind, Mount, NamespaceKind, Namespaces, Process, ProcessBuilder, Result, Stdio,
};
use testkit::Rootfs;

use crate::common::{in_rootfs, isolated};

/// Kinds of containers; each is made equally often.
pub(super) const KINDS: usize = 10;

/// What containers are made of, and how often one had to be tried again.
pub(super) struct Maker {
    rootfs: Rootfs,
    namespaces: Namespaces,
    /// In the command line of all that runs, and in names.
    pub(super) tag: String,
    pub(super) retries: AtomicUsize,
}

impl Maker {
    pub(super) fn new(user_namespace: bool) -> Self {
        let mut namespaces = isolated();
        if user_namespace {
            namespaces = namespaces.with(NamespaceKind::User);
        }
        Self {
            rootfs: testkit::rootfs_dirs(),
            namespaces,
            tag: testkit::unique("hostile"),
            retries: AtomicUsize::new(0),
        }
    }

    /// A cgroup for some of the containers, where this user may make one.
    pub(super) fn cgroup(&self, name: &str) -> Option<OwnedCgroup> {
        testkit::is_root().then(|| {
            let path = format!("/{}-{name}", self.tag);
            Hierarchy::discover().unwrap().create(&path, Controller::Pids).unwrap().owned()
        })
    }

    /// Isolated, with nothing mounted.
    fn bare(&self, script: &str) -> ProcessBuilder {
        self.shell(ProcessBuilder::new(""), script)
    }

    fn rooted(&self, script: &str) -> ProcessBuilder {
        self.shell(in_rootfs(&self.rootfs, ""), script)
    }

    fn shell(&self, builder: ProcessBuilder, script: &str) -> ProcessBuilder {
        builder
            .namespaces(self.namespaces.clone())
            .program("/bin/sh")
            .args(["-c", script, &self.tag])
            .stdin(Stdio::Null)
    }

    fn spawn(&self, builder: &ProcessBuilder) -> Result<Process> {
        loop {
            match builder.spawn() {
                // A limit of the machine on processes or namespaces, not of this host.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOSPC)) => {
                    let before = self.retries.fetch_add(1, Ordering::Relaxed);
                    assert!(before < 1000, "again and again: {error}");
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => return other,
            }
        }
    }

    /// Makes container `number` and sees it end as it should.
    pub(super) fn make(&self, number: usize, cgroup: Option<&Cgroup>) {
        let time = || self.namespaces.clone().with(NamespaceKind::Time);
        match number % KINDS {
            0 => self.ends(&self.bare("exit 0"), 0),
            1 => self.prints(),
            2 => self.ends(&self.rooted("(exit 3) & wait; exit 7").init(true), 7),
            3 => self.fails(
                &self.rooted("").program("/no/such").namespaces(time()),
                ErrorKind::NotFound,
                "execve",
            ),
            4 => drop(self.spawn(&self.bare("exec sleep 1000")).unwrap()),
            5 => self.ends(&self.rooted("exit 5").namespaces(time()), 5),
            6 => self.is_killed(),
            7 => match cgroup {
                Some(cgroup) => self.ends(&self.rooted("exit 4").cgroup(cgroup.clone()), 4),
                None => self.ends(&self.rooted("exit 4"), 4),
            },
            8 => {
                let mount = Mount::tmpfs("/tmp").option("size", "nonsense");
                self.fails(&self.rooted("").mount(mount), ErrorKind::Os, "fsconfig");
            }
            _ => self.echoes(),
        }
    }

    #[track_caller]
    fn ends(&self, builder: &ProcessBuilder, code: i32) {
        let status = self.spawn(builder).unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(code), "{status:?}");
    }

    /// What it prints arrives whole, and it has no descriptor but its streams
    /// (and the one with which the shell reads the directory).
    fn prints(&self) {
        let builder = self.rooted("echo $0 $$; echo /proc/self/fd/*").stdout(Stdio::Pipe);
        let output = self.spawn(&builder).unwrap().wait_with_output().unwrap();
        let fds: Vec<String> = (0..=3).map(|fd| format!("/proc/self/fd/{fd}")).collect();
        let expected = format!("{} 1\n{}\n", self.tag, fds.join(" "));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[track_caller]
    fn fails(&self, builder: &ProcessBuilder, kind: ErrorKind, words: &str) {
        let error = self.spawn(builder).expect_err("it must fail");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.kind(), kind, "{error}");
    }

    fn is_killed(&self) {
        let process = self.spawn(&self.rooted("exec sleep 1000")).unwrap();
        process.kill().unwrap();
        assert_eq!(process.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    /// More than a pipe holds goes in and comes out.
    fn echoes(&self) {
        let builder = self.rooted("exec cat").stdin(Stdio::Pipe).stdout(Stdio::Pipe);
        let mut process = self.spawn(&builder).unwrap();
        let (mut stdin, mut stdout) =
            (process.take_stdin().unwrap(), process.take_stdout().unwrap());
        let mut bytes = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(&[b'x'; 100_000]).unwrap());
            stdout.read_to_end(&mut bytes).unwrap();
        });
        assert_eq!(bytes.len(), 100_000);
        assert!(process.wait().unwrap().success());
    }
}
