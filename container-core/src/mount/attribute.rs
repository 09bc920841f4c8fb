//! Attributes of a mount (`mount_setattr(2)`): set, cleared, left alone.

pub(crate) const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
pub(crate) const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
pub(crate) const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
pub(crate) const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
pub(crate) const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
pub(crate) const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
pub(crate) const NODIRATIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
/// All values of the access time setting; relatime is none of its bits.
pub(crate) const ATIME: u64 = libc::MOUNT_ATTR__ATIME;
pub(crate) const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;

/// A property of a mount, apart from the file system that it shows
/// ([mount_setattr(2)]).
///
/// [mount_setattr(2)]: https://man7.org/linux/man-pages/man2/mount_setattr.2.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attribute {
    /// Nothing can be written (`ro`; cleared: `rw`).
    ReadOnly,
    /// Set-user-id, set-group-id and file capabilities count for nothing.
    NoSuid,
    /// Device files can't be opened.
    NoDev,
    /// Programs can't be executed.
    NoExec,
    /// Symlinks are not followed (Linux 5.14).
    NoSymFollow,
    /// Reading a directory doesn't update its access time.
    NoDirAtime,
    /// Reading doesn't update access times. Cleared: [`RelAtime`](Self::RelAtime).
    NoAtime,
    /// Access times are updated where they are older than the last change or
    /// than a day: the kernel's default, so clearing it changes nothing.
    RelAtime,
    /// Each access updates the time. Cleared: [`RelAtime`](Self::RelAtime).
    StrictAtime,
}

impl Attribute {
    /// The bits to set, and the whole setting that they are a value of.
    const fn bits(self) -> (u64, u64) {
        match self {
            Self::ReadOnly => (RDONLY, RDONLY),
            Self::NoSuid => (NOSUID, NOSUID),
            Self::NoDev => (NODEV, NODEV),
            Self::NoExec => (NOEXEC, NOEXEC),
            Self::NoSymFollow => (NOSYMFOLLOW, NOSYMFOLLOW),
            Self::NoDirAtime => (NODIRATIME, NODIRATIME),
            Self::NoAtime => (NOATIME, ATIME),
            Self::RelAtime => (0, ATIME),
            Self::StrictAtime => (STRICTATIME, ATIME),
        }
    }
}

/// What to set and what to clear; the rest stays as the source has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Attributes {
    pub(crate) const fn set(self, attribute: Attribute) -> Self {
        let (bits, setting) = attribute.bits();
        // The access time is one setting of several values: the old one goes.
        let clear = if setting == ATIME { self.clear | ATIME } else { self.clear & !setting };
        Self { set: self.set & !setting | bits, clear }
    }

    pub(crate) const fn clear(self, attribute: Attribute) -> Self {
        let (_, setting) = attribute.bits();
        if matches!(attribute, Attribute::RelAtime) {
            return self;
        }
        Self { set: self.set & !setting, clear: self.clear | setting }
    }

    /// These, then `later` on top.
    pub(crate) const fn then(self, later: Self) -> Self {
        let touched = later.set | later.clear;
        Self { set: self.set & !touched | later.set, clear: self.clear & !later.set | later.clear }
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.set == 0 && self.clear == 0
    }
}

const NAMES: [(u64, &str); 8] = [
    (RDONLY, "ro"),
    (NOSUID, "nosuid"),
    (NODEV, "nodev"),
    (NOEXEC, "noexec"),
    (NOATIME, "noatime"),
    (STRICTATIME, "strictatime"),
    (NODIRATIME, "nodiratime"),
    (NOSYMFOLLOW, "nosymfollow"),
];

/// The names of attributes that are set, and of those cleared with a minus.
pub(crate) fn attribute_names(set: u64, clear: u64) -> String {
    // Any value of the access time is named by what is set instead.
    let clear = if clear & ATIME == ATIME { clear & !ATIME } else { clear };
    let set = NAMES.iter().filter(|(bit, _)| set & bit != 0).map(|(_, name)| (*name).to_owned());
    let clear =
        NAMES.iter().filter(|(bit, _)| clear & bit != 0).map(|(_, name)| format!("-{name}"));
    set.chain(clear).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let both = Attributes::default().set(Attribute::ReadOnly).clear(Attribute::ReadOnly);
        assert_eq!((both.set, both.clear), (0, RDONLY));
        let both = both.set(Attribute::ReadOnly);
        assert_eq!((both.set, both.clear), (RDONLY, 0));
    }

    #[test]
    fn access_time_is_one_setting() {
        let times = Attributes::default().set(Attribute::NoAtime).set(Attribute::StrictAtime);
        assert_eq!((times.set, times.clear), (STRICTATIME, ATIME));
        let times = times.clear(Attribute::StrictAtime);
        assert_eq!((times.set, times.clear), (0, ATIME));
        assert_eq!(times.clear(Attribute::RelAtime), times);
        assert_eq!(attribute_names(NOATIME | NODEV, ATIME | RDONLY), "nodev,noatime,-ro");
    }

    #[test]
    fn later_attributes_win() {
        let tree = Attributes::default().set(Attribute::ReadOnly).set(Attribute::NoAtime);
        let top = Attributes::default().clear(Attribute::ReadOnly).set(Attribute::StrictAtime);
        let both = tree.then(top);
        assert_eq!((both.set, both.clear), (STRICTATIME, RDONLY | ATIME));
    }
}
