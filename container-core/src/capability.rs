//! Capabilities: root's power, cut into pieces.
//!
//! The kernel splits what root may do into some forty *capabilities*. A
//! process holds five sets of them ([capabilities(7)]):
//!
//! - **effective**: what it may do at this moment;
//! - **permitted**: what it may raise into effective;
//! - **bounding**: the ceiling of what an `execve` can ever give back;
//! - **inheritable** and **ambient**: what survives an `execve` by a user that
//!   isn't root. An ambient capability must be permitted and inheritable too.
//!
//! [`Capability`] names one, [`CapabilitySet`] is a set of them in 64 bits, and
//! [`Capabilities`] holds the five sets of a process.
//!
//! ```
//! use container_core::capability::{Capabilities, Capability};
//!
//! let mut capabilities = Capabilities::container_default();
//! assert!(capabilities.bounding.contains(Capability::Chown));
//! assert!(!capabilities.bounding.contains(Capability::SysAdmin));
//!
//! capabilities.drop(Capability::NetRaw);
//! assert!(!capabilities.effective.contains(Capability::NetRaw));
//! capabilities.check()?;
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! [capabilities(7)]: https://man7.org/linux/man-pages/man7/capabilities.7.html

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

mod set;

pub use set::CapabilitySet;

macro_rules! capabilities {
    ($($variant:ident = $number:literal, $name:literal, $doc:literal;)*) => {
        /// One capability of [capabilities(7)](https://man7.org/linux/man-pages/man7/capabilities.7.html).
        ///
        /// Parses from its name, with or without `CAP_`, in any case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Capability {
            $(#[doc = concat!("`", $name, "`: ", $doc, ".")] $variant = $number,)*
        }

        impl Capability {
            /// Every capability that this crate knows, by ascending number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, such as `CAP_CHOWN`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

capabilities! {
    Chown = 0, "CAP_CHOWN", "change the owner and group of any file";
    DacOverride = 1, "CAP_DAC_OVERRIDE", "bypass the permission bits of files";
    DacReadSearch = 2, "CAP_DAC_READ_SEARCH", "read any file, search any directory, open by handle";
    Fowner = 3, "CAP_FOWNER", "act as the owner of any file";
    Fsetid = 4, "CAP_FSETID", "keep set-id bits when a file changes";
    Kill = 5, "CAP_KILL", "signal any process";
    Setgid = 6, "CAP_SETGID", "change group ids and write gid maps";
    Setuid = 7, "CAP_SETUID", "change user ids and write uid maps";
    Setpcap = 8, "CAP_SETPCAP", "drop from the bounding set, add to the inheritable set";
    LinuxImmutable = 9, "CAP_LINUX_IMMUTABLE", "change the immutable and append-only flags";
    NetBindService = 10, "CAP_NET_BIND_SERVICE", "bind to ports below 1024";
    NetBroadcast = 11, "CAP_NET_BROADCAST", "broadcast and listen to multicast (unused)";
    NetAdmin = 12, "CAP_NET_ADMIN", "configure interfaces, routes and firewalls";
    NetRaw = 13, "CAP_NET_RAW", "open raw and packet sockets";
    IpcLock = 14, "CAP_IPC_LOCK", "lock memory beyond the limit";
    IpcOwner = 15, "CAP_IPC_OWNER", "bypass the permissions of System V IPC objects";
    SysModule = 16, "CAP_SYS_MODULE", "load and unload kernel modules";
    SysRawio = 17, "CAP_SYS_RAWIO", "reach ports, memory and devices directly";
    SysChroot = 18, "CAP_SYS_CHROOT", "use chroot";
    SysPtrace = 19, "CAP_SYS_PTRACE", "trace and inspect any process";
    SysPacct = 20, "CAP_SYS_PACCT", "switch process accounting";
    SysAdmin = 21, "CAP_SYS_ADMIN", "mount, set the host name, enter namespaces and much else";
    SysBoot = 22, "CAP_SYS_BOOT", "reboot and load another kernel";
    SysNice = 23, "CAP_SYS_NICE", "raise priorities, set affinities of others";
    SysResource = 24, "CAP_SYS_RESOURCE", "raise hard limits, use reserved space";
    SysTime = 25, "CAP_SYS_TIME", "set the clock";
    SysTtyConfig = 26, "CAP_SYS_TTY_CONFIG", "configure terminals, hang them up";
    Mknod = 27, "CAP_MKNOD", "make device files";
    Lease = 28, "CAP_LEASE", "take leases on any file";
    AuditWrite = 29, "CAP_AUDIT_WRITE", "write to the audit log";
    AuditControl = 30, "CAP_AUDIT_CONTROL", "configure auditing";
    Setfcap = 31, "CAP_SETFCAP", "set capabilities of files, map uid 0 into a user namespace";
    MacOverride = 32, "CAP_MAC_OVERRIDE", "override mandatory access control (Smack)";
    MacAdmin = 33, "CAP_MAC_ADMIN", "configure mandatory access control (Smack)";
    Syslog = 34, "CAP_SYSLOG", "read the kernel's log and addresses";
    WakeAlarm = 35, "CAP_WAKE_ALARM", "set timers that wake the machine";
    BlockSuspend = 36, "CAP_BLOCK_SUSPEND", "keep the machine from sleeping";
    AuditRead = 37, "CAP_AUDIT_READ", "read the audit log by netlink";
    Perfmon = 38, "CAP_PERFMON", "observe performance of the whole machine";
    Bpf = 39, "CAP_BPF", "load BPF programs and maps";
    CheckpointRestore = 40, "CAP_CHECKPOINT_RESTORE", "choose pids, read map files for checkpoint and restore";
}

impl Capability {
    /// The kernel's number of the capability (`linux/capability.h`).
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The capability with that number, if this crate knows it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Capability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let known = Self::ALL.iter().find(|capability| capability.name()["CAP_".len()..] == *bare);
        known.copied().ok_or_else(|| {
            Error::invalid("parse capability", text, "no capability has this name")
                .hint("give a name of capabilities(7), such as CAP_NET_ADMIN")
        })
    }
}

/// The five capability sets of a process.
///
/// The default is [`Capabilities::container_default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// The ceiling of what an `execve` can give.
    pub bounding: CapabilitySet,
    /// What the process may do.
    pub effective: CapabilitySet,
    /// What the process may raise into its effective set.
    pub permitted: CapabilitySet,
    /// What may be kept across an `execve`, together with the file's own set.
    pub inheritable: CapabilitySet,
    /// What is kept across an `execve` by a user that isn't root.
    pub ambient: CapabilitySet,
}

impl Capabilities {
    const CONTAINER: CapabilitySet = CapabilitySet::of(&[
        Capability::Chown,
        Capability::DacOverride,
        Capability::Fowner,
        Capability::Fsetid,
        Capability::Kill,
        Capability::Setgid,
        Capability::Setuid,
        Capability::Setpcap,
        Capability::NetBindService,
        Capability::NetRaw,
        Capability::SysChroot,
        Capability::Mknod,
        Capability::AuditWrite,
        Capability::Setfcap,
    ]);

    /// The fourteen capabilities that containers get by convention, in the
    /// bounding, effective and permitted sets.
    ///
    /// Inheritable and ambient are empty: else a program that changes to an
    /// ordinary user keeps capabilities which files with an inheritable set
    /// give back to it (CVE-2022-24769, CVE-2022-29162).
    #[must_use]
    pub const fn container_default() -> Self {
        Self::root(Self::CONTAINER)
    }

    /// No capability in any set.
    #[must_use]
    pub const fn none() -> Self {
        Self::root(CapabilitySet::EMPTY)
    }

    /// Every known capability in the bounding, effective and permitted sets;
    /// inheritable and ambient are empty.
    #[must_use]
    pub const fn all() -> Self {
        Self::root(CapabilitySet::ALL)
    }

    /// The given set as bounding, effective and permitted; inheritable and
    /// ambient are empty. This is what a process of root wants.
    #[must_use]
    pub const fn root(set: CapabilitySet) -> Self {
        Self {
            bounding: set,
            effective: set,
            permitted: set,
            inheritable: CapabilitySet::EMPTY,
            ambient: CapabilitySet::EMPTY,
        }
    }

    /// Adds a capability to the bounding, effective and permitted sets.
    pub const fn add(&mut self, capability: Capability) {
        self.bounding.insert(capability);
        self.effective.insert(capability);
        self.permitted.insert(capability);
    }

    /// Removes a capability from all five sets.
    pub const fn drop(&mut self, capability: Capability) {
        self.bounding.remove(capability);
        self.effective.remove(capability);
        self.permitted.remove(capability);
        self.inheritable.remove(capability);
        self.ambient.remove(capability);
    }

    /// Only what is in `available` as well, in each of the five sets: where a
    /// container is to get what it asks for as far as that goes, as with
    /// [`CapabilitySet::of_caller`].
    #[must_use]
    pub const fn restricted_to(self, available: CapabilitySet) -> Self {
        Self {
            bounding: self.bounding.intersection(available),
            effective: self.effective.intersection(available),
            permitted: self.permitted.intersection(available),
            inheritable: self.inheritable.intersection(available),
            ambient: self.ambient.intersection(available),
        }
    }

    /// Checks the rules that the kernel has for the sets among each other.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the capabilities
    /// that are effective but not permitted, or ambient but not permitted and
    /// inheritable.
    pub fn check(&self) -> Result<()> {
        let step = "check capabilities";
        let over = self.effective.difference(self.permitted);
        if !over.is_empty() {
            return Err(Error::invalid(step, over.to_string(), "effective but not permitted"));
        }
        let over = self.ambient.difference(self.permitted.intersection(self.inheritable));
        if !over.is_empty() {
            let reason = "ambient but not both permitted and inheritable";
            return Err(Error::invalid(step, over.to_string(), reason));
        }
        Ok(())
    }

    /// The capabilities in any of the sets that a kernel doesn't know, whose
    /// highest one is `last_cap` (`/proc/sys/kernel/cap_last_cap`).
    #[must_use]
    pub const fn unknown_to(&self, last_cap: u8) -> CapabilitySet {
        self.bounding
            .union(self.effective)
            .union(self.permitted)
            .union(self.inheritable)
            .union(self.ambient)
            .unknown_to(last_cap)
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::container_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_dense_and_names_parse_back() {
        assert_eq!(Capability::ALL.len(), 41);
        for (i, capability) in Capability::ALL.iter().enumerate() {
            assert_eq!(usize::from(capability.number()), i);
            assert_eq!(Capability::from_number(i as u8), Some(*capability));
            assert_eq!(capability.name().parse::<Capability>().unwrap(), *capability);
            assert_eq!(
                capability.name()[4..].to_lowercase().parse::<Capability>().unwrap(),
                *capability
            );
        }
        assert_eq!(Capability::from_number(41), None);
    }

    #[test]
    fn unknown_names_are_refused() {
        for text in ["", "CAP_", "CAP_CAP_CHOWN", "chown ", "CAP_SYS_ADMIN\0", "ALL"] {
            let error = text.parse::<Capability>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}");
            assert_eq!(error.object(), text);
        }
        assert!("chown,,kill".parse::<CapabilitySet>().is_err());
    }

    #[test]
    fn default_is_the_fourteen_without_inheritable() {
        let capabilities = Capabilities::container_default();
        // CapEff of a default container.
        assert_eq!(capabilities.effective.bits(), 0xa804_25fb);
        assert_eq!(capabilities.bounding.len(), 14);
        assert!(capabilities.inheritable.is_empty() && capabilities.ambient.is_empty());
        capabilities.check().unwrap();
        Capabilities::none().check().unwrap();
        Capabilities::all().check().unwrap();
    }

    #[test]
    fn sets_that_the_kernel_refuses_are_refused() {
        let mut capabilities = Capabilities::none();
        capabilities.effective.insert(Capability::Kill);
        let error = capabilities.check().unwrap_err();
        assert_eq!(error.object(), "CAP_KILL");

        let mut capabilities = Capabilities::container_default();
        capabilities.ambient.insert(Capability::Kill);
        assert!(capabilities.check().unwrap_err().to_string().contains("ambient"));
        capabilities.inheritable.insert(Capability::Kill);
        capabilities.check().unwrap();
    }

    #[test]
    fn a_kernel_may_know_fewer() {
        let all = Capabilities::all();
        assert!(all.unknown_to(40).is_empty());
        assert!(all.unknown_to(63).is_empty());
        assert_eq!(all.unknown_to(39).to_string(), "CAP_CHECKPOINT_RESTORE");
        assert_eq!(all.unknown_to(37).len(), 3);
    }

    proptest! {
        #[test]
        fn set_text_round_trips(bits in any::<u64>()) {
            let set = CapabilitySet::from_bits_truncate(bits);
            prop_assert_eq!(set.to_string().parse::<CapabilitySet>().unwrap(), set);
            prop_assert_eq!(set.iter().collect::<CapabilitySet>(), set);
            prop_assert_eq!(set.iter().count(), set.len());
        }

        #[test]
        fn parse_never_panics(text in ".*") {
            let _ = text.parse::<CapabilitySet>();
        }
    }
}
