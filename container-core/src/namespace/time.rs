use std::fmt;

use crate::error::{Error, Result};

/// How far the clocks of a time namespace are from those of the first one
/// ([time_namespaces(7)](https://man7.org/linux/man-pages/man7/time_namespaces.7.html)).
///
/// The wall clock isn't part of a time namespace.
///
/// ```
/// use container_core::namespace::{TimeOffset, TimeOffsets};
///
/// let offsets = TimeOffsets { boottime: TimeOffset::new(86_400, 0)?, ..Default::default() };
/// assert_eq!(offsets.to_string(), "monotonic 0 0\nboottime 86400 0\n");
/// # Ok::<(), container_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TimeOffsets {
    /// Added to `CLOCK_MONOTONIC` and its coarse and raw relatives.
    pub monotonic: TimeOffset,
    /// Added to `CLOCK_BOOTTIME`, and with it the uptime.
    pub boottime: TimeOffset,
}

impl TimeOffsets {
    /// Whether both clocks go as outside.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// The text for `/proc/PID/timens_offsets`.
impl fmt::Display for TimeOffsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { monotonic, boottime } = self;
        writeln!(f, "monotonic {} {}", monotonic.seconds, monotonic.nanos)?;
        writeln!(f, "boottime {} {}", boottime.seconds, boottime.nanos)
    }
}

/// The offset of one clock: `seconds`, which may be negative, plus `nanos`.
///
/// The kernel refuses one that would lead the clock below zero (`ERANGE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TimeOffset {
    seconds: i64,
    nanos: u32,
}

impl TimeOffset {
    /// The kernel's bound on either side: about 146 years.
    pub const MAX_SECONDS: i64 = i64::MAX / 1_000_000_000 / 2;

    /// An offset of `seconds` + `nanos`; minus a half second is (-1, 500 million).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if `nanos` is a second
    /// or more, or `seconds` lies beyond ±[`MAX_SECONDS`](Self::MAX_SECONDS).
    pub fn new(seconds: i64, nanos: u32) -> Result<Self> {
        let wrong = |reason| {
            Err(Error::invalid("check clock offset", format!("{seconds} s {nanos} ns"), reason))
        };
        if nanos >= 1_000_000_000 {
            return wrong("the nanoseconds make a second or more");
        }
        if seconds.unsigned_abs() > Self::MAX_SECONDS.unsigned_abs() {
            return wrong("the kernel takes at most 4611686018 seconds");
        }
        Ok(Self { seconds, nanos })
    }

    /// The whole seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// The nanoseconds to add, less than a second.
    #[must_use]
    pub const fn nanos(self) -> u32 {
        self.nanos
    }
}
