//! Resource limits of a process.
//!
//! A *resource limit* caps what one process (or one user) may use: open files,
//! stack, processor time. Each has a **soft** value, which the kernel enforces,
//! and a **hard** value, up to which the process may raise the soft one. Only
//! `CAP_SYS_RESOURCE` raises a hard value. Limits pass on to children. See
//! [setrlimit(2)]; for limits of a whole container use a cgroup.
//!
//! ```
//! use container_core::rlimit::{Resource, Rlimit};
//!
//! let files = Rlimit::new(Resource::Nofile, 1024, 4096)?;
//! assert_eq!(files.to_string(), "RLIMIT_NOFILE=1024:4096");
//! assert_eq!("nofile=1024:4096".parse::<Rlimit>()?, files);
//! assert_eq!("core=unlimited".parse::<Rlimit>()?.hard(), Rlimit::UNLIMITED);
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! [setrlimit(2)]: https://man7.org/linux/man-pages/man2/setrlimit.2.html

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

macro_rules! resources {
    ($($variant:ident = $name:ident, $doc:literal;)*) => {
        /// A limited resource of [setrlimit(2)](https://man7.org/linux/man-pages/man2/setrlimit.2.html).
        ///
        /// Parses from its name, with or without `RLIMIT_`, in any case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Resource {
            $(#[doc = concat!("`", stringify!($name), "`: ", $doc, ".")] $variant,)*
        }

        impl Resource {
            /// Every resource.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, such as `RLIMIT_NOFILE`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// The kernel's number of the resource on this architecture.
            #[must_use]
            #[allow(clippy::unnecessary_cast, reason = "the constants' type depends on the libc")]
            pub const fn number(self) -> u32 {
                match self { $(Self::$variant => libc::$name as u32,)* }
            }
        }
    };
}

resources! {
    Cpu = RLIMIT_CPU, "processor time in seconds; SIGXCPU at the soft, SIGKILL at the hard value";
    Fsize = RLIMIT_FSIZE, "size of a written file in bytes";
    Data = RLIMIT_DATA, "data segment and private writable memory in bytes";
    Stack = RLIMIT_STACK, "stack of the first thread in bytes, also caps arguments and environment";
    Core = RLIMIT_CORE, "size of a core dump in bytes";
    Rss = RLIMIT_RSS, "resident memory in bytes; no effect on today's kernels";
    Nproc = RLIMIT_NPROC, "threads of the real user id, in its user namespace";
    Nofile = RLIMIT_NOFILE, "one more than the highest file descriptor";
    Memlock = RLIMIT_MEMLOCK, "locked memory in bytes";
    As = RLIMIT_AS, "address space in bytes";
    Locks = RLIMIT_LOCKS, "file locks; no effect on today's kernels";
    Sigpending = RLIMIT_SIGPENDING, "queued signals of the real user id";
    Msgqueue = RLIMIT_MSGQUEUE, "POSIX message queues of the real user id, in bytes";
    Nice = RLIMIT_NICE, "ceiling of the nice value, as 20 minus nice";
    Rtprio = RLIMIT_RTPRIO, "ceiling of the real-time priority";
    Rttime = RLIMIT_RTTIME, "real-time processor time without a blocking call, in microseconds";
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Resource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
        let known = Self::ALL.iter().find(|r| r.name()["RLIMIT_".len()..] == *bare);
        known.copied().ok_or_else(|| {
            Error::invalid("parse resource limit", text, "no resource has this name")
                .hint("give a name of setrlimit(2), such as RLIMIT_NOFILE")
        })
    }
}

/// One resource limit: the soft value never exceeds the hard one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rlimit {
    resource: Resource,
    soft: u64,
    hard: u64,
}

impl Rlimit {
    /// No limit (`RLIM64_INFINITY`).
    pub const UNLIMITED: u64 = u64::MAX;

    /// A limit with its soft and hard value, in the resource's unit.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the soft value is
    /// above the hard one.
    pub fn new(resource: Resource, soft: u64, hard: u64) -> Result<Self> {
        if soft > hard {
            let object = format!("{resource}={}:{}", Value(soft), Value(hard));
            return Err(Error::invalid(
                "check resource limit",
                object,
                "the soft value is above the hard one",
            ));
        }
        Ok(Self { resource, soft, hard })
    }

    /// A limit whose soft and hard values are the same.
    #[must_use]
    pub const fn fixed(resource: Resource, value: u64) -> Self {
        Self { resource, soft: value, hard: value }
    }

    /// What is limited.
    #[must_use]
    pub const fn resource(self) -> Resource {
        self.resource
    }

    /// The value that the kernel enforces.
    #[must_use]
    pub const fn soft(self) -> u64 {
        self.soft
    }

    /// The value up to which the process may raise the soft one.
    #[must_use]
    pub const fn hard(self) -> u64 {
        self.hard
    }
}

impl fmt::Display for Rlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.resource, Value(self.soft), Value(self.hard))
    }
}

impl FromStr for Rlimit {
    type Err = Error;

    /// `NAME=VALUE` or `NAME=SOFT:HARD`; a value is a decimal number or `unlimited`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |reason| Error::invalid("parse resource limit", text, reason);
        let (name, values) = text
            .split_once('=')
            .ok_or_else(|| wrong("there is no '='").hint("write it as nofile=1024:4096"))?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let value = |text: &str| match text {
            "unlimited" => Ok(Self::UNLIMITED),
            _ if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map_err(|_| wrong("a value is too large"))
            }
            _ => Err(wrong("a value is neither a decimal number nor 'unlimited'")),
        };
        Self::new(name.parse()?, value(soft)?, value(hard)?)
    }
}

struct Value(u64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rlimit::UNLIMITED => f.write_str("unlimited"),
            value => write!(f, "{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    #[test]
    fn names_parse_back_and_numbers_are_those_of_linux() {
        assert_eq!(Resource::ALL.len(), 16);
        for resource in Resource::ALL {
            assert_eq!(resource.name().parse::<Resource>().unwrap(), *resource);
        }
        let mut numbers: Vec<_> = Resource::ALL.iter().map(|r| r.number()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn soft_above_hard_is_refused() {
        let error = Rlimit::new(Resource::Nofile, Rlimit::UNLIMITED, 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.object(), "RLIMIT_NOFILE=unlimited:10");
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in [
            "",
            "nofile",
            "nofile=",
            "nofile=1:",
            "nofile=:1",
            "nofile=-1",
            "nofile=+1",
            "nofile= 1",
            "nofile=1:2:3",
            "nofile=0x10",
            "files=1",
            "nofile=18446744073709551616",
            "nofile=2:1",
        ] {
            assert!(text.parse::<Rlimit>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(i in 0..16usize, a in any::<u64>(), b in any::<u64>()) {
            let limit = Rlimit::new(Resource::ALL[i], a.min(b), a.max(b)).unwrap();
            prop_assert_eq!(limit.to_string().parse::<Rlimit>().unwrap(), limit);
        }
    }
}
