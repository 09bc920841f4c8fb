//! What a test left behind.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::proc;

/// How long [`Leaks::assert_unchanged`] waits: the kernel takes namespaces, links and empty
/// cgroups down after the call that released them has returned.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kernel objects that this process holds or made, at one moment.
///
/// - open descriptors with what they refer to;
/// - children and their children, zombies too;
/// - namespaces of those other than this thread's;
/// - mounts in this mount namespace, links in this network namespace;
/// - with a tag, cgroups of all hierarchies and processes of the whole machine that carry it.
///
/// Descriptors and children belong to the whole process: another test that runs at the same time
/// shows up here. So give such a test its own file in `tests/`, as the only `#[test]` in it.
/// Mounts and links belong to the whole machine: use [`tagged`](Self::tagged) where others make
/// some too.
///
/// ```
/// let before = testkit::Leaks::tagged("doc-example");
/// drop(std::fs::File::open("/dev/null"));
/// before.assert_unchanged();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaks {
    tag: Option<String>,
    objects: BTreeSet<String>,
}

impl Leaks {
    /// All descriptors, descendants, their namespaces, mounts and links.
    #[must_use]
    pub fn snapshot() -> Self {
        Self::take(None)
    }

    /// As [`snapshot`](Self::snapshot), but of mounts, links, cgroups and processes only those with
    /// `tag` in their line, name, path or command line.
    #[must_use]
    pub fn tagged(tag: &str) -> Self {
        Self::take(Some(tag.to_owned()))
    }

    fn take(tag: Option<String>) -> Self {
        let wanted = |text: &str| tag.as_deref().is_none_or(|tag| text.contains(tag));
        let mut objects = descriptors();
        for pid in proc::descendants("self") {
            objects.insert(describe_process("child", &pid));
            objects.extend(foreign_namespaces(&pid));
        }
        let mounts = proc::mounts().into_iter().map(|mount| mount.line);
        objects.extend(mounts.filter(|line| wanted(line)).map(|line| format!("mount {line}")));
        objects.extend(links().filter(|name| wanted(name)).map(|name| format!("link {name}")));
        if let Some(tag) = &tag {
            objects.extend(cgroups(tag));
            objects.extend(processes(tag));
        }
        Self { tag, objects }
    }

    /// What is there now and was not at the snapshot; empty if nothing leaked.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let now = Self::take(self.tag.clone());
        now.objects.difference(&self.objects).cloned().collect()
    }

    /// What was there at the snapshot and is gone.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let now = Self::take(self.tag.clone());
        self.objects.difference(&now.objects).cloned().collect()
    }

    /// Panics with the differences if anything was left behind, or taken away, after five seconds.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        let start = Instant::now();
        loop {
            let (left, missing) = (self.left_behind(), self.missing());
            if left.is_empty() && missing.is_empty() {
                return;
            }
            if start.elapsed() > PATIENCE {
                let mut report = String::new();
                for object in &left {
                    let _ = writeln!(report, "  left behind: {object}");
                }
                for object in &missing {
                    let _ = writeln!(report, "  taken away:  {object}");
                }
                panic!("kernel objects changed:\n{report}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Open descriptors as `fd N -> target`, without the one that lists them.
fn descriptors() -> BTreeSet<String> {
    let numbers = proc::entries("/proc/self/fd");
    let target = |link: &PathBuf| fs::read_link(link).ok();
    numbers
        .iter()
        // The directory's own descriptor is closed by now, so its link is gone.
        .filter_map(|link| {
            let number = link.file_name()?.to_string_lossy();
            Some(format!("fd {number} -> {}", target(link)?.display()))
        })
        .collect()
}

fn describe_process(what: &str, pid: &str) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
    let (name, rest) = name.unwrap_or(("?", ""));
    let zombie = if rest.trim_start().starts_with('Z') { ", zombie" } else { "" };
    format!("{what} {pid} ({name}{zombie})")
}

fn foreign_namespaces(pid: &str) -> Vec<String> {
    let links = proc::entries(&format!("/proc/{pid}/ns"));
    let foreign = links.iter().filter_map(|link| {
        let own = Path::new("/proc/thread-self/ns").join(link.file_name()?);
        let target = fs::read_link(link).ok()?;
        (Some(&target) != fs::read_link(own).ok().as_ref())
            .then(|| format!("namespace {} of process {pid}", target.display()))
    });
    foreign.collect()
}

/// Names of the links in this thread's network namespace.
fn links() -> impl Iterator<Item = String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let names: Vec<String> =
        table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    names.into_iter()
}

/// Cgroups of every mounted hierarchy with `tag` in their path.
fn cgroups(tag: &str) -> Vec<String> {
    let hierarchies = proc::mounts().into_iter().filter(|mount| mount.fstype.starts_with("cgroup"));
    let mut found = Vec::new();
    let mut todo: Vec<PathBuf> = hierarchies.map(|mount| mount.point).collect();
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                if path.to_string_lossy().contains(tag) {
                    found.push(format!("cgroup {}", path.display()));
                }
                todo.push(path);
            }
        }
    }
    found
}

/// Processes other than this one with `tag` in their command line, orphans of ours among them.
fn processes(tag: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let tagged = proc::entries("/proc").into_iter().filter_map(|dir| {
        let pid = dir.file_name()?.to_str()?.to_owned();
        let line = fs::read(dir.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        (pid != own && line.contains(tag)).then(|| describe_process("process", &pid))
    });
    tagged.collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Both need the process to themselves, so they are one test.
    #[test]
    fn a_descriptor_and_a_child_are_seen_until_they_are_gone() {
        let before = Leaks::tagged("testkit-leaks-test");
        let file = fs::File::open("/proc/self/status").unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let left = before.left_behind().join("\n");
        assert!(left.contains("/status"), "{left}");
        assert!(left.contains(&format!("child {}", child.id())), "{left}");
        assert!(left.contains("pipe:"), "{left}");
        drop(file);
        child.kill().unwrap();
        child.wait().unwrap();
        drop(child);
        let left = before.left_behind().join("\n");
        assert!(!left.contains("status") && !left.contains("(cat"), "{left}");
    }
}
