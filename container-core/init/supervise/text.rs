//! Numbers and times as text, in buffers of fixed size.

use crate::kernel::sys;
use crate::raw::nr;

/// A moment of the wall clock.
#[derive(Clone, Copy)]
pub struct Moment {
    pub seconds: u64,
    pub nanoseconds: u64,
}

fn clock(id: usize) -> Moment {
    let mut time = [0u64; 2];
    let _ = sys!(nr::CLOCK_GETTIME, id, time.as_mut_ptr());
    Moment { seconds: time[0], nanoseconds: time[1] }
}

impl Moment {
    pub fn now() -> Self {
        const CLOCK_REALTIME: usize = 0;
        clock(CLOCK_REALTIME)
    }

    /// `2016-10-06T00:17:09.669794202Z` (RFC 3339).
    pub fn write(self, to: &mut Line<'_>) {
        let (days, second) = (self.seconds / 86_400, self.seconds % 86_400);
        let (year, month, day) = civil(days);
        for (number, digits, after) in [
            (year, 4, b'-'),
            (month, 2, b'-'),
            (day, 2, b'T'),
            (second / 3600, 2, b':'),
            (second / 60 % 60, 2, b':'),
            (second % 60, 2, b'.'),
            (self.nanoseconds, 9, b'Z'),
        ] {
            to.padded(number, digits);
            to.bytes(&[after]);
        }
    }
}

/// Milliseconds of a clock that is never set.
pub fn milliseconds() -> u64 {
    const CLOCK_MONOTONIC: usize = 1;
    let now = clock(CLOCK_MONOTONIC);
    now.seconds * 1000 + now.nanoseconds / 1_000_000
}

/// Year, month and day of a day since 1970, by the 400-year cycle of the
/// Gregorian calendar, in years that start in March.
fn civil(days: u64) -> (u64, u64, u64) {
    const CYCLE: u64 = 146_097;
    const BEFORE_1970: u64 = 719_468;
    let days = days + BEFORE_1970;
    let (cycle, day) = (days / CYCLE, days % CYCLE);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = cycle * 400 + year + u64::from(month <= 2);
    (year, month, of_year - (153 * march + 2) / 5 + 1)
}

/// Text that grows in a buffer; what does not fit is left out.
pub struct Line<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Line<'a> {
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or(&[])
    }

    pub fn room(&self) -> usize {
        self.buffer.len() - self.length.min(self.buffer.len())
    }

    pub fn clear(&mut self) {
        self.length = 0;
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        let room = self.buffer.get_mut(self.length..).unwrap_or(&mut []);
        let fits = bytes.len().min(room.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.length += fits;
    }

    /// A decimal number of so many digits, with zeros in front.
    pub fn padded(&mut self, number: u64, digits: u32) {
        let mut unit = 10u64.saturating_pow(digits.saturating_sub(1));
        while unit > 0 {
            self.bytes(&[b'0' + (number / unit % 10) as u8]);
            unit /= 10;
        }
    }

    pub fn number(&mut self, number: u64) {
        let mut digits = 1;
        while digits < 20 && number >= 10u64.saturating_pow(digits) {
            digits += 1;
        }
        self.padded(number, digits);
    }
}
