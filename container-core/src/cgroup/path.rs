//! Names of cgroups: absolute paths below the root of the mounted hierarchies.

use std::fmt;

use crate::error::{Error, Result};

/// A checked path such as `/container-7/worker`; `/` is the root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CgroupPath(String);

const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4095;

impl CgroupPath {
    pub(super) fn root() -> Self {
        Self("/".to_owned())
    }

    /// Refuses whatever is not an absolute path of plain names.
    pub(super) fn parse(path: &str) -> Result<Self> {
        let refuse = |reason: &'static str| Err(Error::invalid("cgroup path", path, reason));
        if path == "/" {
            return Ok(Self::root());
        }
        let Some(relative) = path.strip_prefix('/') else {
            return refuse("is not absolute; it starts at the root of the hierarchy, with a slash");
        };
        if path.len() > PATH_MAX {
            return refuse("is longer than 4095 bytes");
        }
        for name in relative.split('/') {
            if let Some(reason) = fault_in(name) {
                return refuse(reason);
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// The path one name further down.
    pub(super) fn join(&self, name: &str) -> Result<Self> {
        if let Some(reason) = fault_in(name) {
            return Err(Error::invalid("cgroup name", name, reason));
        }
        let parent = if self.is_root() { "" } else { &self.0 };
        Self::parse(&format!("{parent}/{name}"))
    }

    /// The path `below`, which starts with a slash, from here on.
    pub(super) fn append(&self, below: &Self) -> Self {
        match (self.is_root(), below.is_root()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self(format!("{self}{below}")),
        }
    }

    pub(super) fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        match self.0.rsplit_once('/') {
            Some(("", _)) | None => Some(Self::root()),
            Some((parent, _)) => Some(Self(parent.to_owned())),
        }
    }

    pub(super) fn is_root(&self) -> bool {
        self.0 == "/"
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// For the `*at` calls on the root's descriptor: `a/b`, or `.` for the root.
    pub(super) fn relative(&self) -> &str {
        if self.is_root() { "." } else { &self.0[1..] }
    }

    /// `a`, `a/b`, `a/b/c` for `/a/b/c`.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = &str> {
        let relative = if self.is_root() { "" } else { self.relative() };
        let cuts = relative.match_indices('/').map(|(at, _)| at);
        let last = (!relative.is_empty()).then_some(relative.len());
        cuts.chain(last).map(move |end| &relative[..end])
    }

    /// Whether `path` (as in `/proc/PID/cgroup`) is this cgroup or lies below it.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.is_root()
            || path
                .strip_prefix(self.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn fault_in(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("has an empty name in it"),
        "." | ".." => Some("has `.` or `..` in it"),
        _ if name.len() > NAME_MAX => Some("has a name longer than 255 bytes"),
        _ if name.contains('/') => Some("has a slash in it"),
        _ if name.contains('\0') => Some("has a NUL in it"),
        _ if name.contains('\n') => Some("has a newline in it"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_paths_are_refused() {
        let long = format!("/{}", "a".repeat(256));
        for bad in
            ["", "a", "a/b", "//", "/a//b", "/a/", "/..", "/a/../b", "/a/.", "/a\0", "/a\nb", &long]
        {
            assert!(CgroupPath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parts() {
        let path = CgroupPath::parse("/a/b/c").unwrap();
        assert_eq!(path.prefixes().collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
        assert_eq!(path.parent().unwrap().as_str(), "/a/b");
        assert_eq!(CgroupPath::parse("/a").unwrap().parent(), Some(CgroupPath::root()));
        assert_eq!(CgroupPath::root().parent(), None);
        assert_eq!(CgroupPath::root().prefixes().count(), 0);
        assert_eq!(CgroupPath::root().join("x").unwrap().as_str(), "/x");
        assert!(path.join("x/y").is_err());
        assert!(path.covers("/a/b/c/d") && path.covers("/a/b/c"));
        assert!(!path.covers("/a/b/cc") && !path.covers("/a/b"));
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_below_the_root(path in "[/.a\\x00\n]{0,12}") {
            if let Ok(path) = CgroupPath::parse(&path) {
                prop_assert!(path.as_str().starts_with('/'));
                prop_assert!(path.relative().split('/').all(|n| !n.is_empty() && n != ".."));
                if let Some(last) = path.prefixes().last() {
                    prop_assert_eq!(last, path.relative());
                }
            }
        }
    }
}
