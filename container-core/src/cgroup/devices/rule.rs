//! [`DeviceRule`]: one line of the rules.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Which nodes a [`DeviceRule`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// Block and character devices (`a`).
    All,
    /// Block devices (`b`).
    Block,
    /// Character devices (`c`).
    Character,
}

/// What may be done with a device: any of `r` (open to read), `w` (open to write) and
/// `m` (make a node).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DeviceAccess(u8);

impl DeviceAccess {
    /// `m`: make a node.
    pub const MKNOD: Self = Self(1);
    /// `r`: open to read.
    pub const READ: Self = Self(2);
    /// `w`: open to write.
    pub const WRITE: Self = Self(4);
    /// `rwm`.
    pub const ALL: Self = Self(7);

    /// As the kernel has them: `BPF_DEVCG_ACC_*`.
    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl FromStr for DeviceAccess {
    type Err = Error;

    /// Reads letters such as `rw`; one that is given twice counts once.
    fn from_str(text: &str) -> Result<Self> {
        text.chars().try_fold(Self::default(), |all, letter| match letter {
            'r' => Ok(all.or(Self::READ)),
            'w' => Ok(all.or(Self::WRITE)),
            'm' => Ok(all.or(Self::MKNOD)),
            _ => Err(Error::invalid("device access", text, "is not made of r, w and m")),
        })
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MKNOD, "m")];
        letters
            .iter()
            .filter(|(access, _)| !self.and(*access).is_empty())
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

/// Allows or denies access to devices. Of several rules that match, the last one decides; what
/// no rule matches is denied.
///
/// ```
/// use container_core::cgroup::{DeviceAccess, DeviceClass, DeviceRule, Resources};
///
/// let fuse = DeviceRule::allow(DeviceClass::Character, 10, 229, "rw".parse()?);
/// assert_eq!(fuse.to_string(), "allow c 10:229 rw");
/// let rules = [DeviceRule::deny_all(), fuse];
/// let limits = Resources::new().devices(rules.into_iter().chain(DeviceRule::runtime_defaults()));
/// # assert!(limits.device_rules().is_some_and(|rules| rules.len() > 2));
/// # let _ = DeviceAccess::ALL;
/// # Ok::<(), container_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceRule {
    /// Allowed, or denied.
    pub allow: bool,
    /// Block or character devices, or both.
    pub class: DeviceClass,
    /// The driver's number; `None` for every one.
    pub major: Option<u32>,
    /// The device's number within the driver; `None` for every one.
    pub minor: Option<u32>,
    /// What is allowed or denied; the rest is left to other rules.
    pub access: DeviceAccess,
}

impl DeviceRule {
    /// Denies everything.
    #[must_use]
    pub const fn deny_all() -> Self {
        Self::of_all(false)
    }

    /// Allows everything, as a privileged container is.
    #[must_use]
    pub const fn allow_all() -> Self {
        Self::of_all(true)
    }

    const fn of_all(allow: bool) -> Self {
        let class = DeviceClass::All;
        Self { allow, class, major: None, minor: None, access: DeviceAccess::ALL }
    }

    /// Allows access to a device; `None` for all numbers.
    #[must_use]
    pub fn allow(
        class: DeviceClass,
        major: impl Into<Option<u32>>,
        minor: impl Into<Option<u32>>,
        access: DeviceAccess,
    ) -> Self {
        Self { allow: true, class, major: major.into(), minor: minor.into(), access }
    }

    /// Denies access to a device; `None` for all numbers.
    #[must_use]
    pub fn deny(
        class: DeviceClass,
        major: impl Into<Option<u32>>,
        minor: impl Into<Option<u32>>,
        access: DeviceAccess,
    ) -> Self {
        Self { allow: false, ..Self::allow(class, major, minor, access) }
    }

    /// What OCI runtimes allow after all rules of a spec: making any node, and using null,
    /// zero, full, random, urandom, tty, ptmx, the pseudo-terminals and tun. A container's
    /// `/dev/console` is a pseudo-terminal; the number of the host's console is not among them.
    #[must_use]
    pub fn runtime_defaults() -> Vec<Self> {
        let use_of = |(major, minor): (u32, Option<u32>)| {
            Self::allow(DeviceClass::Character, major, minor, DeviceAccess::ALL)
        };
        let any = |class| Self::allow(class, None, None, DeviceAccess::MKNOD);
        [any(DeviceClass::Character), any(DeviceClass::Block)]
            .into_iter()
            .chain(RUNTIME_DEVICES.into_iter().map(use_of))
            .collect()
    }

    /// Whether the caller can set rules at all: it takes root of the initial user namespace.
    #[must_use]
    pub fn can_be_set() -> bool {
        let map = super::dir::read_proc("/proc/self/uid_map").unwrap_or_default();
        nix::unistd::geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
    }

    /// Whether it is about every access to every device.
    pub(super) fn is_universal(&self) -> bool {
        let numbers = self.major.is_none() && self.minor.is_none();
        self.class == DeviceClass::All && numbers && self.access == DeviceAccess::ALL
    }
}

const RUNTIME_DEVICES: [(u32, Option<u32>); 9] = [
    (1, Some(3)),    // null
    (1, Some(5)),    // zero
    (1, Some(7)),    // full
    (1, Some(8)),    // random
    (1, Some(9)),    // urandom
    (5, Some(0)),    // tty
    (5, Some(2)),    // ptmx
    (136, None),     // pts/*
    (10, Some(200)), // net/tun
];

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.allow { "allow" } else { "deny" };
        let class = match self.class {
            DeviceClass::All => 'a',
            DeviceClass::Block => 'b',
            DeviceClass::Character => 'c',
        };
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        write!(f, "{verb} {class} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}
