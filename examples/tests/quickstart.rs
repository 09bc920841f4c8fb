//! The quickstart as its users run it: as root, as ordinary users, interrupted, killed; and what
//! other programs think of the image that it makes.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use testkit::{Leaks, TempDir};

const NOBODY: (u32, u32) = (65534, 65534);

/// [`Leaks`] looks at the whole process, so the tests run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The example that cargo built beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "no {}: cargo test builds it, --test alone does not", path.display());
    path
}

/// A directory for temporary files, the program in a place that everybody may read, and a user.
struct Run {
    temp: TempDir,
    ids: Option<(u32, u32)>,
    before: Leaks,
}

impl Run {
    /// As the user who runs the tests.
    fn new() -> Self {
        // A tree of its own, with a name that shows in every mount that would be left.
        let temp = TempDir::new_in(ordinary_directory());
        fs::copy(example("quickstart"), temp.join("quickstart")).unwrap();
        fs::set_permissions(temp.join("quickstart"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(temp.join("tmp")).unwrap();
        let before = Leaks::tagged(temp.path().to_str().unwrap());
        Self { temp, ids: None, before }
    }

    /// As this user; only root can say so.
    fn as_user(ids: (u32, u32)) -> Self {
        let run = Self::new();
        chown(run.temp.join("tmp"), Some(ids.0), Some(ids.1)).unwrap();
        Self { ids: Some(ids), ..run }
    }

    fn command(&self) -> Command {
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
    fn output(&self, arguments: &[&str]) -> (u32, Output) {
        let mut command = self.command();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = child.id();
        (pid, child.wait_with_output().unwrap())
    }

    /// Runs it, and asserts that all went well and nothing is left; its story.
    #[track_caller]
    fn story(&self, arguments: &[&str]) -> String {
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
    fn assert_nothing_left(&self, pid: u32) {
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

/// Where the tests' temporary directories can hold an overlay.
fn ordinary_directory() -> PathBuf {
    std::env::temp_dir()
}

fn cgroups_named(name: &str) -> Vec<PathBuf> {
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

fn can_run() -> bool {
    testkit::is_root() || testkit::require_unprivileged_userns()
}

const STEPS: [&str; 17] = [
    "programs",
    "change",
    "image",
    "unpack",
    "overlay",
    "network",
    "cgroup",
    "container",
    "output",
    "exec",
    "statistics",
    "pause",
    "exchange",
    "exit",
    "changes",
    "commit",
    "run again",
];

#[track_caller]
fn assert_whole(story: &str) {
    let mut rest = story;
    for step in STEPS.into_iter().chain(["clean-up", "made and removed:", "all as it should be"]) {
        let at = rest.find(step).unwrap_or_else(|| panic!("no {step} in\n{story}"));
        rest = &rest[at..];
    }
    assert!(story.contains("| pid 1 on quickstart-"), "{story}");
    assert!(story.contains("exit status: 42"), "{story}");
    assert!(story.contains("D /data/draft   A /data/new   A /data/new/report   M /etc/motd"));
}

#[test]
fn root_gets_the_whole_container() {
    if !testkit::require_root() {
        return;
    }
    let _alone = alone();
    let story = Run::new().story(&["--explain"]);
    assert_whole(&story);
    // What only root has.
    assert!(story.contains("bridge qs") && story.contains("published as 127.0.0.1:"), "{story}");
    assert!(story.contains("limits hold") && story.contains("was killed"), "{story}");
    assert!(story.contains("paused by its cgroup: silent"), "{story}");
    // The plan, with reasons.
    for line in ["the plan:", "clone3 CLONE_VM|CLONE_VFORK", "pivot_root", "execve /bin/sh"] {
        assert!(story.contains(line), "no {line:?} in\n{story}");
    }
}

#[test]
fn an_ordinary_user_gets_a_container_and_plain_words_on_the_rest() {
    let root = testkit::is_root();
    if !root && !testkit::require_unprivileged_userns() {
        return;
    }
    let _alone = alone();
    let run = if root { Run::as_user(NOBODY) } else { Run::new() };
    let story = run.story(&[]);
    assert_whole(&story);
    let words = story.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["loopback link up", "published ports were left out, because", "as an ordinary user"]
    {
        assert!(words.contains(part), "no {part:?} in\n{story}");
    }
    assert!(words.contains("GET /etc/motd through loopback port 8080"), "{story}");
}

#[test]
fn an_ordinary_user_with_subordinate_ids() {
    if !testkit::require_root() {
        return;
    }
    let _alone = alone();
    let Some(ids) = user_with_subordinate_ids() else {
        assert!(std::env::var_os("REQUIRE_USERNS").is_none_or(|value| value != "1"));
        eprintln!("SKIP: no user has ranges in /etc/subuid and /etc/subgid");
        return;
    };
    let run = Run::as_user(ids);
    assert_whole(&run.story(&[]));
    let mapped = run.output(&["--explain"]).1;
    let text = String::from_utf8_lossy(&mapped.stdout).into_owned();
    assert!(text.contains(&format!("write uid_map, gid_map 0 {} 1, 1 ", ids.0)), "{text}");
}

fn user_with_subordinate_ids() -> Option<(u32, u32)> {
    testkit::peer("newuidmap")?;
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let lent = |file| fs::read_to_string(file).unwrap_or_default();
    let (uids, gids) = (lent("/etc/subuid"), lent("/etc/subgid"));
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let entry = format!("{}:", fields.first()?);
        let has = |text: &str| text.lines().any(|line| line.starts_with(&entry));
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        (uid != 0 && has(&uids) && has(&gids)).then_some((uid, gid))
    })
}

#[test]
fn the_kept_layout_is_what_the_story_says_and_others_accept_it() {
    if !can_run() {
        return;
    }
    let _alone = alone();
    let run = Run::new();
    let kept = run.temp.join("kept");
    let story = run.story(&["--keep", kept.to_str().unwrap()]);
    let index = json(&kept.join("index.json"));
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 2);
    for manifest in manifests {
        let manifest = json(&blob(&kept, &manifest["digest"]));
        let config = json(&blob(&kept, &manifest["config"]["digest"]));
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), diff_ids.len());
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let path = blob(&kept, &layer["digest"]);
            assert_eq!(layer["digest"], sha256(&fs::read(&path).unwrap()));
            if testkit::require_peer("gzip") {
                let mut gzip = Command::new("gzip");
                let tar = gzip.arg("-dc").stdin(fs::File::open(&path).unwrap()).output().unwrap();
                assert_eq!(*diff_id, sha256(&tar.stdout));
            }
        }
        // The recursion of the image specification, once more.
        let mut chain = String::new();
        for diff_id in diff_ids.iter().map(|id| id.as_str().unwrap()) {
            chain = match chain.as_str() {
                "" => diff_id.to_owned(),
                below => sha256(format!("{below} {diff_id}").as_bytes()),
            };
            let short = format!("ChainID {}", &chain[..7 + 12]);
            assert!(story.contains(&short) || diff_ids.len() == 3, "no {short} in\n{story}");
        }
        assert!(story.contains(&format!("ChainID {}", &chain[..7 + 12])), "{chain}\n{story}");
    }
    accepted_by_others(&run, &kept, manifests);
}

fn accepted_by_others(run: &Run, kept: &Path, manifests: &[Value]) {
    for (name, manifest) in ["quickstart", "quickstart-changed"].into_iter().zip(manifests) {
        if testkit::require_peer("skopeo") {
            let image = format!("oci:{}:{name}", kept.display());
            let shown = stdout(Command::new("skopeo").args(["inspect", &image]));
            let shown: Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(shown["Digest"], manifest["digest"]);
        }
        if testkit::require_peer("umoci") {
            let bundle = run.temp.join(format!("bundle-{name}"));
            let mut unpack = Command::new("umoci");
            unpack.args(["unpack", "--image"]).arg(format!("{}:{name}", kept.display()));
            if !testkit::is_root() {
                unpack.arg("--rootless");
            }
            stdout(unpack.arg(&bundle));
            let rootfs = bundle.join("rootfs");
            let motd = fs::read_to_string(rootfs.join("etc/motd")).unwrap();
            let changed = name == "quickstart-changed";
            assert_eq!(motd.ends_with("changed by the container\n"), changed, "{motd}");
            assert_eq!(rootfs.join("data/new/report").exists(), changed);
            assert_eq!(rootfs.join("data/draft").exists(), !changed);
            assert!(!rootfs.join("etc/obsolete").exists());
            assert!(rootfs.join("bin/quickstart-server").exists());
        }
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"))
}

fn sha256(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

#[track_caller]
fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A started quickstart, and its story up to the container's last line; killed when dropped.
struct Started {
    child: Child,
    story: String,
    lines: BufReader<ChildStdout>,
}

impl Started {
    fn new(run: &Run) -> Self {
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

/// The number behind `process `, of the container's first process.
fn container_of(story: &str) -> u32 {
    let numbers = story.split("process ").filter_map(|rest| rest.split(',').next()?.parse().ok());
    numbers.last().unwrap_or_else(|| panic!("no process in\n{story}"))
}

#[test]
fn interrupted_it_takes_everything_back() {
    if !can_run() {
        return;
    }
    let _alone = alone();
    let run = Run::new();
    for signal in ["-INT", "-TERM"] {
        let mut started = Started::new(&run);
        let pid = started.child.id();
        stdout(Command::new("kill").args([signal, &pid.to_string()]));
        let (mut rest, mut stderr) = (String::new(), String::new());
        started.lines.read_to_string(&mut rest).unwrap();
        started.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = started.child.wait().unwrap();
        drop(started);
        assert_eq!(status.code(), Some(130), "{rest}{stderr}");
        assert!(stderr.contains("interrupted"), "{stderr}");
        assert!(rest.contains("made and removed:") && !rest.contains("STILL"), "{rest}");
        run.assert_nothing_left(pid);
    }
}

#[test]
fn killed_it_takes_the_container_along() {
    let root = testkit::is_root();
    if !root && !testkit::require_unprivileged_userns() {
        return;
    }
    let _alone = alone();
    // As an ordinary user: root's bridge would stay until the next network is made.
    let run = if root { Run::as_user(NOBODY) } else { Run::new() };
    let mut started = Started::new(&run);
    let container = format!("/proc/{}/cmdline", container_of(&started.story));
    let inside = || fs::read(&container).is_ok_and(|line| line.starts_with(b"/bin/quickstart"));
    assert!(inside(), "{}", started.story);
    started.child.kill().unwrap();
    assert_eq!(started.child.wait().unwrap().signal(), Some(9));
    let start = Instant::now();
    while inside() {
        assert!(start.elapsed() < Duration::from_secs(10), "the container lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn bad_arguments_are_refused_before_anything_is_made() {
    let _alone = alone();
    let run = Run::new();
    let full = run.temp.path().to_str().unwrap();
    for (arguments, word) in [
        (&["--no-such"][..], "--no-such"),
        (&["--keep"], "needs a directory"),
        (&["--keep", full], "not a new or empty directory"),
    ] {
        let (pid, output) = run.output(arguments);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("quickstart: ") && stderr.contains(word), "{stderr}");
        assert_eq!(output.stdout, b"");
        run.assert_nothing_left(pid);
    }
    let (_, output) = run.output(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("--explain"));
}

#[test]
fn run_passes_output_and_exit_status_on() {
    if !can_run() {
        return;
    }
    let _alone = alone();
    let rootfs = testkit::rootfs_copy(&["/bin/sh"]);
    let run = |script: &str| {
        let command = ["/bin/sh", "-c", script];
        Command::new(example("run")).arg(rootfs.path()).args(command).output().unwrap()
    };
    let output = run("echo $$; exit 7");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(7), &b"1\n"[..]), "{output:?}");
    let usage = Command::new(example("run")).output().unwrap();
    assert_eq!(usage.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&usage.stderr).contains("usage: run ROOTFS COMMAND"));
}

#[test]
fn probe_tells_of_all_four_crates() {
    let _alone = alone();
    let table = stdout(&mut Command::new(example("probe")));
    let rows = stdout(Command::new(example("probe")).arg("--json"));
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    for krate in ["container-core", "container-fs", "container-image", "container-net"] {
        assert!(table.lines().any(|line| line == krate), "{table}");
        assert!(rows.iter().filter(|row| row["crate"] == krate).count() >= 5);
    }
    for row in rows {
        assert_ne!(row["available"].as_bool().unwrap(), row["wayOut"].is_string(), "{row}");
        assert!(table.contains(row["facility"].as_str().unwrap()));
    }
}
