//! What `/proc` says: mounts, children, fields of `status`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    pub(crate) fstype: String,
    pub(crate) line: String,
}

/// The mounts of the calling thread's mount namespace that are seen from its root.
pub(crate) fn mounts() -> Vec<Mount> {
    let text = fs::read("/proc/thread-self/mountinfo").expect("read mountinfo");
    text.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let line = String::from_utf8_lossy(line).into_owned();
            let (left, right) = line.split_once(" - ").unwrap_or((&line, ""));
            Mount {
                point: unescape(left.split(' ').nth(4).unwrap_or_default()),
                fstype: right.split(' ').next().unwrap_or_default().to_owned(),
                line,
            }
        })
        .collect()
}

/// Mounts at or below `dir`, the deepest last.
pub(crate) fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let mut points: Vec<PathBuf> = mounts().into_iter().map(|mount| mount.point).collect();
    points.retain(|point| point.starts_with(dir));
    points
}

/// Process group and session of the calling process (proc(5), `stat`); each "0" if its leader is
/// outside of the pid namespace, which typed process ids can't say.
pub(crate) fn group_and_session() -> [String; 2] {
    let stat = fs::read_to_string("/proc/self/stat").expect("read stat");
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_ascii_whitespace().skip(2).map(str::to_owned);
    [(); 2].map(|()| fields.next().expect("process group and session in stat"))
}

/// mountinfo writes space, tab, newline and backslash as three octal digits (proc(5)).
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'\\').then(|| field.get(at + 1..at + 4)).flatten();
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

/// A field of the calling thread's `status` file, trimmed.
pub(crate) fn status_field(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    status.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then(|| value.trim().to_owned())
    })
}

/// Children of every thread of `pid`, and their children, zombies included.
pub(crate) fn descendants(pid: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![pid.to_owned()];
    while let Some(pid) = todo.pop() {
        for task in entries(&format!("/proc/{pid}/task")) {
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            for child in children.split_whitespace() {
                if found.insert(child.to_owned()) {
                    todo.push(child.to_owned());
                }
            }
        }
    }
    found
}

/// The entries of a directory, none if it cannot be read (a process may have ended).
pub(crate) fn entries(dir: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(r"/tail\0"), Path::new(r"/tail\0"));
    }

    #[test]
    fn the_root_mount_is_listed() {
        assert!(mounts().iter().any(|mount| mount.point == Path::new("/")));
    }
}
