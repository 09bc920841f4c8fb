//! The state of the host process that a library must leave alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use crate::proc;

/// How long a joined thread may stay visible in `/proc`.
const PATIENCE: Duration = Duration::from_secs(2);

/// Fields of `status` that a library has no business to change (proc(5)).
const STATUS: [&str; 19] = [
    "Name",
    "Umask",
    "TracerPid",
    "Uid",
    "Gid",
    "Groups",
    "Threads",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Cpus_allowed",
    "Mems_allowed",
];

/// Working directory, root, umask, ids, capabilities, rlimits, environment, signal mask of the
/// calling thread and dispositions of the process, dumpable flag, child subreaper, oom score,
/// cgroups, number of threads, and the namespaces of every thread.
///
/// ```
/// let before = testkit::HostState::capture();
/// // … use the library …
/// before.assert_unchanged();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostState {
    values: BTreeMap<String, String>,
}

impl HostState {
    /// The state now, as seen by the calling thread.
    #[must_use]
    pub fn capture() -> Self {
        let mut values = BTreeMap::new();
        let mut put = |key: &str, value: String| values.insert(key.to_owned(), value);
        for field in STATUS {
            put(field, proc::status_field(field).unwrap_or_default());
        }
        for link in ["cwd", "root", "exe"] {
            let target = fs::read_link(format!("/proc/self/{link}"));
            put(link, target.map(|path| path.display().to_string()).unwrap_or_default());
        }
        for file in ["oom_score_adj", "cgroup", "personality"] {
            let text = fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
            put(file, text.trim_end().to_owned());
        }
        for (name, value) in std::env::vars_os() {
            put(&format!("environment {}", name.display()), value.display().to_string());
        }
        let limits = fs::read_to_string("/proc/self/limits").expect("read limits");
        for line in limits.lines().skip(1) {
            let (name, rest) = line.split_at(line.len().min(26));
            put(&format!("rlimit {}", name.trim()), words(rest));
        }
        put("dumpable", format!("{:?}", rustix::process::dumpable_behavior()));
        put("child subreaper", format!("{:?}", rustix::process::child_subreaper()));
        let [group, session] = proc::group_and_session();
        put("process group", group);
        put("session", session);
        for (kind, targets) in thread_namespaces() {
            put(&format!("namespace {kind} of all threads"), targets);
        }
        Self { values }
    }

    /// What differs in `now`, one line each; empty if nothing does.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.values.keys().chain(now.values.keys()).collect();
        let value = |of: &Self, key| of.values.get(key).map_or("(unset)".into(), String::clone);
        keys.into_iter()
            .filter(|&key| self.values.get(key) != now.values.get(key))
            .map(|key| format!("{key}: {} -> {}", value(self, key), value(now, key)))
            .collect()
    }

    /// Panics with the differences if the state is not the captured one, after two seconds' grace
    /// for threads that are ending.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        let start = Instant::now();
        loop {
            let differences = self.differences(&Self::capture());
            if differences.is_empty() {
                return;
            }
            if start.elapsed() > PATIENCE {
                let mut report = String::new();
                for line in &differences {
                    let _ = writeln!(report, "  {line}");
                }
                panic!("the host process changed:\n{report}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// For each kind of namespace, the distinct ones that the threads of this process are in.
fn thread_namespaces() -> BTreeMap<String, String> {
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for task in proc::entries("/proc/self/task") {
        for link in proc::entries(&task.join("ns").to_string_lossy()) {
            let kind = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Ok(target) = fs::read_link(&link) {
                kinds.entry(kind).or_default().insert(target.display().to_string());
            }
        }
    }
    let join = |targets: BTreeSet<String>| targets.into_iter().collect::<Vec<_>>().join(" ");
    kinds.into_iter().map(|(kind, targets)| (kind, join(targets))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_named_with_both_values() {
        let before = HostState::capture();
        assert!(before.values.len() > 40, "{before:?}");
        let mut after = before.clone();
        after.values.insert("Umask".into(), "0777".into());
        after.values.remove("cwd");
        let differences = before.differences(&after);
        assert_eq!(differences.len(), 2, "{differences:?}");
        assert!(differences[0].starts_with("Umask: 0") && differences[0].ends_with("-> 0777"));
        assert!(differences[1].ends_with("-> (unset)"));
    }
}
