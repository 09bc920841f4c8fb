//! The quickstart as a child process, and the proof that it left nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use testkit::{Leaks, TempDir};

/// [`Leaks`] looks at the whole process, so the tests run one after the other.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The example that cargo built beside this test.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "no {}: cargo test builds it, --test alone does not", path.display());
    path
}

/// A directory for temporary files, the program in a place that everybody may read, and a user.
pub(crate) struct Run {
    pub(crate) temp: TempDir,
    ids: Option<(u32, u32)>,
    before: Leaks,
}

impl Run {
    /// As the user who runs the tests.
    pub(crate) fn new() -> Self {
        // A tree of its own, with a name that shows in every mount that would be left.
        let temp = TempDir::new();
        fs::copy(example("quickstart"), temp.join("quickstart")).unwrap();
        fs::set_permissions(temp.join("quickstart"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(temp.join("tmp")).unwrap();
        let before = Leaks::tagged(temp.path().to_str().unwrap());
        Self { temp, ids: None, before }
    }

    /// As this user; only root can say so.
    pub(crate) fn as_user(ids: (u32, u32)) -> Self {
        let run = Self::new();
        chown(run.temp.join("tmp"), Some(ids.0), Some(ids.1)).unwrap();
        Self { ids: Some(ids), ..run }
    }

    pub(crate) fn command(&self) -> Command {
        let program = self.temp.join("quickstart");
        let mut command = match self.ids {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new(testkit::peer("setpriv").expect("setpriv"));
                let ids = [format!("--reuid={uid}"), format!("--regid={gid}")];
                command.args(ids).arg("--clear-groups").arg(program);
                command
            }
        };
        command.env("TMPDIR", self.temp.join("tmp")).current_dir("/").stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn output(&self, arguments: &[&str]) -> (u32, Output) {
        let mut command = self.command();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = child.id();
        (pid, child.wait_with_output().unwrap())
    }

    /// Runs it, and asserts that all went well and nothing is left; its story.
    #[track_caller]
    pub(crate) fn story(&self, arguments: &[&str]) -> String {
        let (pid, output) = self.output(arguments);
        let story = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{story}\n{stderr}", output.status);
        assert_eq!(stderr, "");
        assert!(!story.contains("STILL THERE") && !story.contains("FAILED"), "{story}");
        self.assert_nothing_left(pid);
        story
    }

    #[track_caller]
    pub(crate) fn assert_nothing_left(&self, pid: u32) {
        self.before.assert_unchanged();
        let left: Vec<_> = fs::read_dir(self.temp.join("tmp")).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        let name = format!("quickstart-{pid}");
        assert_eq!(cgroups_named(&name), Vec::<PathBuf>::new());
        assert!(!Path::new(&format!("/sys/class/net/qs{pid}")).exists());
        for parent in ["/tmp", "/var/tmp", "/dev/shm"] {
            assert!(!Path::new(parent).join(&name).exists(), "{parent}/{name}");
        }
    }
}

pub(crate) fn cgroups_named(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(name) {
                    found.push(entry.path());
                }
                todo.push(entry.path());
            }
        }
    }
    found
}

pub(crate) fn can_run() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

#[track_caller]
pub(crate) fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A started quickstart, and its story up to the container's last line; killed when dropped.
pub(crate) struct Started {
    pub(crate) child: Child,
    pub(crate) story: String,
    pub(crate) lines: BufReader<ChildStdout>,
}

impl Started {
    pub(crate) fn new(run: &Run) -> Self {
        let mut child =
            run.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut started = Self { child, story: String::new(), lines };
        while !started.story.contains("serving on port") {
            assert_ne!(
                started.lines.read_line(&mut started.story).unwrap(),
                0,
                "{}",
                started.story
            );
        }
        started
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
