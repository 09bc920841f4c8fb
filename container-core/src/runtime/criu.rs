//! The program that saves processes and brings them back: [criu].
//!
//! [criu]: https://criu.org/

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::cgroup::Cgroup;
use crate::error::{Error, ErrorKind, Result};
use crate::oci::Bundle;
use crate::probe;
use crate::process::{ProcessBuilder, Stdio};

/// How much of its log is looked at for errors, from the end.
const MAX_LOG: usize = 64 << 10;
const SHOWN_LINES: usize = 4;
/// What a joined network namespace is called in the images.
const NET_NAMESPACE: &str = "joinedNetNS";

/// What criu is told at a checkpoint and at a restore; the names are those of its options, see
/// criu(8).
#[derive(Debug, Clone)]
#[must_use]
pub struct CriuOptions {
    pub(super) images: PathBuf,
    work: Option<PathBuf>,
    switches: Vec<&'static str>,
    cgroups: ManageCgroups,
    empty_network: bool,
    arguments: Vec<OsString>,
}

/// What criu does about the cgroups inside the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ManageCgroups {
    /// Nothing: all restored processes are in the container's cgroup.
    #[default]
    Ignore,
    /// Cgroups that are missing are made again, with their settings.
    Soft,
    /// All settings are restored, also those of cgroups that are there.
    Full,
    /// Likewise, and no cgroup may be there.
    Strict,
}

impl ManageCgroups {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Soft => "soft",
            Self::Full => "full",
            Self::Strict => "strict",
        }
    }
}

impl CriuOptions {
    /// With the images in this directory, which is made, mode 0700, for a checkpoint.
    pub fn new(images: impl Into<PathBuf>) -> Self {
        Self {
            images: images.into(),
            work: None,
            switches: Vec::new(),
            cgroups: ManageCgroups::default(),
            empty_network: false,
            arguments: Vec::new(),
        }
    }

    /// Where its log goes; that of the images unless given.
    pub fn work_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.work = Some(path.into());
        self
    }

    fn switch(mut self, name: &'static str, on: bool) -> Self {
        self.switches.retain(|other| *other != name);
        if on {
            self.switches.push(name);
        }
        self
    }

    /// Takes established TCP connections along.
    pub fn tcp_established(self, on: bool) -> Self {
        self.switch("--tcp-established", on)
    }

    /// Allows unix sockets whose other end is outside.
    pub fn external_unix_sockets(self, on: bool) -> Self {
        self.switch("--ext-unix-sk", on)
    }

    /// Allows processes of a session, and with a terminal, of outside.
    pub fn shell_job(self, on: bool) -> Self {
        self.switch("--shell-job", on)
    }

    /// Takes file locks along.
    pub fn file_locks(self, on: bool) -> Self {
        self.switch("--file-locks", on)
    }

    /// Drops pages from older images that newer ones have.
    pub fn auto_dedup(self, on: bool) -> Self {
        self.switch("--auto-dedup", on)
    }

    /// What it does about cgroups inside; nothing unless given.
    pub fn manage_cgroups(mut self, mode: ManageCgroups) -> Self {
        self.cgroups = mode;
        self
    }

    /// Leaves the network out: it is an empty one at the restore.
    pub fn empty_network(mut self, on: bool) -> Self {
        self.empty_network = on;
        self
    }

    pub(super) fn argument(&mut self, argument: impl Into<OsString>) {
        self.arguments.push(argument.into());
    }

    pub(super) fn pair(&mut self, name: &str, value: impl Into<OsString>) {
        self.argument(name);
        self.argument(value);
    }

    /// Where the log is.
    fn work(&self) -> &Path {
        self.work.as_deref().unwrap_or(&self.images)
    }

    fn check(&self) -> Result<()> {
        let mut paths = std::iter::once(&self.images).chain(&self.work);
        match paths.find(|path| !path.is_absolute()) {
            Some(path) => {
                let reason = "must be absolute";
                Err(Error::invalid("check criu directory", path.to_string_lossy(), reason))
            }
            None => Ok(()),
        }
    }
}

/// One call of it.
#[derive(Debug)]
pub(super) struct Call {
    verb: &'static str,
    program: PathBuf,
    options: CriuOptions,
    streams: Option<[Stdio; 3]>,
    cgroup: Option<Cgroup>,
    passed: Vec<OwnedFd>,
}

impl Call {
    pub(super) fn new(verb: &'static str, options: &CriuOptions) -> Result<Self> {
        options.check()?;
        let program = probe::find_program("criu").ok_or_else(|| {
            let reason = "the program is not in PATH";
            Error::with(ErrorKind::Unsupported, verb, "criu", reason).hint("apt-get install criu")
        })?;
        let (streams, cgroup, passed) = (None, None, Vec::new());
        Ok(Self { verb, program, options: options.clone(), streams, cgroup, passed })
    }

    pub(super) fn options(&mut self) -> &mut CriuOptions {
        &mut self.options
    }

    pub(super) fn streams(&mut self, streams: Option<[Stdio; 3]>) {
        self.streams = streams;
    }

    pub(super) fn cgroup(&mut self, cgroup: Option<Cgroup>) {
        self.cgroup = cgroup;
    }

    /// The number that it has in the program.
    pub(super) fn pass(&mut self, descriptor: impl Into<OwnedFd>) -> usize {
        self.passed.push(descriptor.into());
        self.passed.len() + 2
    }

    fn log(&self) -> PathBuf {
        self.options.work().join(format!("{}.log", self.verb))
    }

    /// Runs it to its end. With `root`, in a mount namespace of its own in which that is a mount
    /// point, as criu wants the root of what it restores.
    pub(super) fn run(self, root: Option<&Path>) -> Result<()> {
        let log = self.log();
        let _ = std::fs::remove_file(&log);
        let (verb, builder) = (self.verb, self.describe());
        let status = match root {
            None => builder.status()?,
            Some(root) => apart(root, || builder.status())?,
        };
        if status.success() {
            return Ok(());
        }
        let step = format!("criu {verb}");
        let reason = format!("{status}: {}", last_errors(&log));
        Err(Error::with(ErrorKind::Program, step, log.to_string_lossy(), reason))
    }

    fn describe(self) -> ProcessBuilder {
        let CriuOptions { images, work, switches, cgroups, empty_network, arguments } =
            self.options;
        let work = work.unwrap_or_else(|| images.clone());
        let mut builder = ProcessBuilder::new(&self.program)
            .arg(self.verb)
            .args([OsString::from("--images-dir"), images.into()])
            .args([OsString::from("--work-dir"), work.into()])
            .args(["--log-file", &format!("{}.log", self.verb), "-v4"])
            .arg(format!("--manage-cgroups={}", cgroups.as_str()))
            .args(switches);
        if empty_network {
            builder = builder.args(["--empty-ns", "net"]);
        }
        builder = builder.args(arguments);
        let [stdin, stdout, stderr] =
            self.streams.unwrap_or([Stdio::Null, Stdio::Null, Stdio::Null]);
        builder = builder.stdin(stdin).stdout(stdout).stderr(stderr);
        if let Some(cgroup) = self.cgroup {
            builder = builder.cgroup(cgroup);
        }
        self.passed.into_iter().fold(builder, ProcessBuilder::pass_fd)
    }
}

/// On a thread of its own, with mounts of its own.
fn apart<T: Send>(root: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let failed = |step: &'static str| {
        move |error| Error::os(step, root.to_string_lossy(), std::io::Error::from(error))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_NEWNS).map_err(failed("unshare CLONE_NEWNS"))?;
            let none = None::<&str>;
            let all = MsFlags::MS_REC | MsFlags::MS_SLAVE;
            mount(none, "/", none, all, none).map_err(failed("mount MS_SLAVE"))?;
            let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount(Some(root), root, none, bind, none).map_err(failed("mount MS_BIND"))?;
            work()
        });
        let thread = thread.map_err(|error| Error::os("clone", "thread", error))?;
        let ended = || Error::with(ErrorKind::Init, "clone", "thread", "it ended early");
        thread.join().unwrap_or_else(|_| Err(ended()))
    })
}

/// The last lines of the log that tell an error, on one line.
fn last_errors(log: &Path) -> String {
    let Ok(bytes) = std::fs::read(log) else {
        return "it wrote no log".into();
    };
    let end = bytes.get(bytes.len().saturating_sub(MAX_LOG)..).unwrap_or_default();
    let text = String::from_utf8_lossy(end);
    let errors: Vec<&str> =
        text.lines().filter(|line| line.contains("Error")).map(str::trim).collect();
    match errors.get(errors.len().saturating_sub(SHOWN_LINES)..) {
        Some(last) if !last.is_empty() => last.join(" | "),
        _ => text.lines().last().unwrap_or("its log is empty").to_owned(),
    }
}

/// What of the container's mounts comes from outside: its place inside and its source.
pub(super) fn external_mounts(bundle: &Bundle, root: &Path) -> Vec<(PathBuf, PathBuf)> {
    let spec = bundle.spec();
    let mut all = Vec::new();
    for mount in spec.mounts().iter().flatten() {
        let options = mount.options().iter().flatten();
        let is_bind = mount.typ().as_deref() == Some("bind")
            || options.into_iter().any(|option| option == "bind" || option == "rbind");
        if let (true, Some(source)) = (is_bind, mount.source()) {
            all.push((mount.destination().clone(), bundle.directory().join(source)));
        }
    }
    let linux = spec.linux().as_ref();
    for path in linux.and_then(|linux| linux.masked_paths().as_ref()).into_iter().flatten() {
        let inside = root.join(path.trim_start_matches('/'));
        if inside.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            all.push((path.into(), "/dev/null".into()));
        }
    }
    all
}

/// A network namespace that the container joined by its path.
pub(super) fn joined_network(spec: &Spec) -> Option<&Path> {
    let namespaces = spec.linux().as_ref()?.namespaces().as_ref()?;
    let joined = namespaces.iter().find(|it| it.typ() == LinuxNamespaceType::Network)?;
    joined.path().as_deref()
}

/// How it is called in the images.
pub(super) fn network_name(before: &str) -> String {
    format!("{before}:{NET_NAMESPACE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_errors_of_a_log_are_told() {
        let directory = testkit::TempDir::new();
        let log = directory.join("dump.log");
        assert_eq!(last_errors(&log), "it wrote no log");
        let lines: String = (0..9).map(|at| format!("Error ({at})\nfine\n")).collect();
        std::fs::write(&log, lines).unwrap();
        assert_eq!(last_errors(&log), "Error (5) | Error (6) | Error (7) | Error (8)");
        std::fs::write(&log, "one\ntwo\n").unwrap();
        assert_eq!(last_errors(&log), "two");
    }

    #[test]
    fn relative_directories_are_refused() {
        for options in [CriuOptions::new("x"), CriuOptions::new("/x").work_directory("y")] {
            assert_eq!(options.check().unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
