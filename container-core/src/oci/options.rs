//! The mount options that have a meaning of their own; all others are data for
//! the file system.

use crate::mount::{
    ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, Propagation, RDONLY,
    STRICTATIME,
};

/// What an option means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Meaning {
    /// Attributes of the mount to set, and to clear; of all below too.
    Attribute { set: u64, clear: u64, recursive: bool },
    /// A setting of the file system itself, by its name for `fsconfig`.
    Superblock(&'static str),
    /// A bind mount, with what is mounted below or without.
    Bind { recursive: bool },
    /// How mounts spread.
    Propagation { kind: Propagation, recursive: bool },
    /// An idmapped mount.
    IdMap { recursive: bool },
    /// A tmpfs that starts with what it covers.
    CopyUp,
    /// The mount that is there already gets other options.
    Remount,
    /// It is so anyway, or has had no effect for long.
    Nothing,
}

const fn attribute(set: u64, clear: u64) -> Meaning {
    Meaning::Attribute { set, clear, recursive: false }
}

const fn recursive(set: u64, clear: u64) -> Meaning {
    Meaning::Attribute { set, clear, recursive: true }
}

const fn spreads(kind: Propagation, recursive: bool) -> Meaning {
    Meaning::Propagation { kind, recursive }
}

/// Every known option, sorted ([mount(8)], config.md, section "Linux mount
/// options").
///
/// [mount(8)]: https://man7.org/linux/man-pages/man8/mount.8.html
pub(super) const OPTIONS: &[(&str, Meaning)] = &[
    ("async", Meaning::Superblock("async")),
    ("atime", attribute(0, ATIME)),
    ("bind", Meaning::Bind { recursive: false }),
    ("defaults", Meaning::Nothing),
    ("dev", attribute(0, NODEV)),
    ("diratime", attribute(0, NODIRATIME)),
    ("dirsync", Meaning::Superblock("dirsync")),
    ("exec", attribute(0, NOEXEC)),
    ("idmap", Meaning::IdMap { recursive: false }),
    ("iversion", Meaning::Superblock("iversion")),
    ("lazytime", Meaning::Superblock("lazytime")),
    ("loud", Meaning::Nothing),
    ("mand", Meaning::Superblock("mand")),
    ("noatime", attribute(NOATIME, ATIME)),
    ("nodev", attribute(NODEV, 0)),
    ("nodiratime", attribute(NODIRATIME, 0)),
    ("noexec", attribute(NOEXEC, 0)),
    ("noiversion", Meaning::Nothing),
    ("nolazytime", Meaning::Superblock("nolazytime")),
    ("nomand", Meaning::Superblock("nomand")),
    ("norelatime", attribute(0, ATIME)),
    ("nostrictatime", attribute(0, ATIME)),
    ("nosuid", attribute(NOSUID, 0)),
    ("nosymfollow", attribute(NOSYMFOLLOW, 0)),
    ("private", spreads(Propagation::Private, false)),
    ("ratime", recursive(0, ATIME)),
    ("rbind", Meaning::Bind { recursive: true }),
    ("rdev", recursive(0, NODEV)),
    ("rdiratime", recursive(0, NODIRATIME)),
    ("relatime", attribute(0, ATIME)),
    ("remount", Meaning::Remount),
    ("rexec", recursive(0, NOEXEC)),
    ("ridmap", Meaning::IdMap { recursive: true }),
    ("rnoatime", recursive(NOATIME, ATIME)),
    ("rnodev", recursive(NODEV, 0)),
    ("rnodiratime", recursive(NODIRATIME, 0)),
    ("rnoexec", recursive(NOEXEC, 0)),
    ("rnorelatime", recursive(0, ATIME)),
    ("rnostrictatime", recursive(0, ATIME)),
    ("rnosuid", recursive(NOSUID, 0)),
    ("rnosymfollow", recursive(NOSYMFOLLOW, 0)),
    ("ro", attribute(RDONLY, 0)),
    ("rprivate", spreads(Propagation::Private, true)),
    ("rrelatime", recursive(0, ATIME)),
    ("rro", recursive(RDONLY, 0)),
    ("rrw", recursive(0, RDONLY)),
    ("rshared", spreads(Propagation::Shared, true)),
    ("rslave", spreads(Propagation::Slave, true)),
    ("rstrictatime", recursive(STRICTATIME, ATIME)),
    ("rsuid", recursive(0, NOSUID)),
    ("rsymfollow", recursive(0, NOSYMFOLLOW)),
    ("runbindable", spreads(Propagation::Unbindable, true)),
    ("rw", attribute(0, RDONLY)),
    ("shared", spreads(Propagation::Shared, false)),
    ("silent", Meaning::Nothing),
    ("slave", spreads(Propagation::Slave, false)),
    ("strictatime", attribute(STRICTATIME, ATIME)),
    ("suid", attribute(0, NOSUID)),
    ("symfollow", attribute(0, NOSYMFOLLOW)),
    ("sync", Meaning::Superblock("sync")),
    ("tmpcopyup", Meaning::CopyUp),
    ("unbindable", spreads(Propagation::Unbindable, false)),
];

/// The meaning of an option; none for data of the file system.
pub(super) fn meaning(option: &str) -> Option<Meaning> {
    let index = OPTIONS.binary_search_by_key(&option, |(name, _)| name).ok()?;
    OPTIONS.get(index).map(|(_, meaning)| *meaning)
}

/// Comments for other programs ([mount(8)](https://man7.org/linux/man-pages/man8/mount.8.html)):
/// runtimes pass them over.
pub(super) fn is_comment(option: &str) -> bool {
    option.is_empty() || ["x-", "X-", "comment="].iter().any(|prefix| option.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_found() {
        assert!(OPTIONS.is_sorted_by_key(|(name, _)| *name));
        for (name, expected) in OPTIONS {
            assert_eq!(meaning(name), Some(*expected), "{name}");
        }
        for data in ["size=1m", "mode=755", "gid=5", "newinstance", "rob", ""] {
            assert_eq!(meaning(data), None, "{data}");
        }
        assert!(is_comment("x-systemd.automount") && is_comment("X-a") && is_comment("comment=a"));
        assert!(!is_comment("xattr"));
    }
}
