//! Pressure stall information: how long tasks waited for a resource. [PSI].
//!
//! [PSI]: https://docs.kernel.org/accounting/psi.html

use super::Reader;
use crate::error::Result;

/// Waiting for each kind of resource; `None` where the kernel does not count it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct PressureStats {
    /// For processors.
    pub cpu: Option<Pressure>,
    /// For memory: reclaiming, swapping in, faulting files in again.
    pub memory: Option<Pressure>,
    /// For block devices.
    pub io: Option<Pressure>,
}

/// Waiting for one resource.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Pressure {
    /// Some task waited.
    pub some: PressureShare,
    /// All tasks waited at once. Processors: zero, or not told, before Linux 5.13.
    pub full: PressureShare,
}

/// How much of the time was spent waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct PressureShare {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last five minutes.
    pub avg300: f64,
    /// Microseconds since the cgroup was made.
    pub total_us: u64,
}

impl Reader<'_> {
    pub(super) fn pressure(&self) -> Result<PressureStats> {
        let read = |file| -> Result<Option<Pressure>> { Ok(self.text(file)?.map(|t| parse(&t))) };
        Ok(PressureStats {
            cpu: read("cpu.pressure")?,
            memory: read("memory.pressure")?,
            io: read("io.pressure")?,
        })
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`.
fn parse(text: &str) -> Pressure {
    let share = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind)).unwrap_or_default();
        let of = |key: &str| {
            let mut pairs = line.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.find(|(k, _)| *k == key).map_or("0", |(_, value)| value)
        };
        PressureShare {
            avg10: of("avg10").parse().unwrap_or(0.0),
            avg60: of("avg60").parse().unwrap_or(0.0),
            avg300: of("avg300").parse().unwrap_or(0.0),
            total_us: of("total").parse().unwrap_or(0),
        }
    };
    Pressure { some: share("some "), full: share("full ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines() {
        let text = "some avg10=1.50 avg60=0.25 avg300=0.00 total=12345\n\
                    full avg10=0.10 avg60=0.00 avg300=0.00 total=7\n";
        let pressure = parse(text);
        assert_eq!((pressure.some.avg10, pressure.some.total_us), (1.5, 12345));
        assert_eq!((pressure.full.avg10, pressure.full.total_us), (0.1, 7));
        assert_eq!(parse(""), Pressure::default());
    }
}
