//! `ocirun` as a child process, with a state directory and a bundle of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::TempDir;

/// The example that cargo built beside this test.
pub(crate) fn ocirun() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples/ocirun");
    assert!(path.exists(), "no {}: cargo test builds it, --test alone does not", path.display());
    path
}

/// Directories of one test; its containers are removed on drop.
pub(crate) struct Runs {
    pub(crate) temp: TempDir,
    rootfs: testkit::Rootfs,
}

impl Runs {
    pub(crate) fn new() -> Self {
        let temp = TempDir::new();
        let programs = ["/bin/sh", "/bin/sleep", "/bin/cat", "/bin/kill", "/bin/true"];
        Self { temp, rootfs: testkit::rootfs_copy(&programs) }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.temp.join("state")
    }

    /// A runtime's command line, up to its command.
    pub(crate) fn runtime(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--root").arg(self.root()).stdin(Stdio::null());
        command
    }

    pub(crate) fn ocirun(&self, words: &[&str]) -> Output {
        self.runtime(&ocirun()).args(words).output().unwrap()
    }

    /// It succeeds; its standard output.
    #[track_caller]
    pub(crate) fn good(&self, words: &[&str]) -> String {
        let output = self.ocirun(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {} {stderr}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// It succeeds, and leaves a process that must not keep our pipes.
    #[track_caller]
    pub(crate) fn leaves_one(&self, words: &[&str]) {
        let mut command = self.runtime(&ocirun());
        let status = command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.unwrap().success(), "{words:?}");
    }

    /// It fails with this exit code; its standard error stream.
    #[track_caller]
    pub(crate) fn bad(&self, code: i32, words: &[&str]) -> String {
        let output = self.ocirun(words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        stderr
    }

    /// A bundle whose process has these arguments, changed by `change`; its path.
    pub(crate) fn bundle(&self, args: &[&str], change: impl FnOnce(&mut Value)) -> String {
        let directory = self.temp.join(testkit::unique("bundle"));
        fs::create_dir(&directory).unwrap();
        let path = directory.to_str().unwrap().to_owned();
        let mut words = vec!["spec", "--bundle", &path];
        if !testkit::is_root() {
            words.push("--rootless");
        }
        self.good(&words);
        let file = directory.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        config["root"]["path"] = json!(self.rootfs.path());
        config["process"]["args"] = json!(args);
        config["process"]["terminal"] = json!(false);
        if testkit::is_root() {
            config["linux"]["cgroupsPath"] = json!(format!("/{}", testkit::unique("ocirun")));
        }
        change(&mut config);
        fs::write(file, config.to_string()).unwrap();
        path
    }

    /// What `state` says.
    pub(crate) fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.good(&["state", id])).unwrap()
    }

    /// Waits until the container has this status.
    #[track_caller]
    pub(crate) fn until(&self, id: &str, status: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.state(id)["status"] != status {
            assert!(Instant::now() < end, "{}, not {status}", self.state(id));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            self.ocirun(&["delete", "--force", name.to_str().unwrap_or_default()]);
        }
    }
}

pub(crate) fn can_run() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}
