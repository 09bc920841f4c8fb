//! The keys that leave a container running.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The longest sequence.
const MAX_KEYS: usize = 16;

/// The keys that, typed one after the other, end a [`Relay`](super::Relay)
/// and leave the container alone; by default ctrl-p, ctrl-q.
///
/// Written as docker's `--detach-keys` has it: keys with commas between them,
/// each a character or `ctrl-` and one of `a` to `z`, `@`, `[`, `\`, `]`, `^`,
/// `_`.
///
/// ```
/// use container_core::terminal::DetachKeys;
///
/// let keys: DetachKeys = "ctrl-a,d".parse()?;
/// assert_eq!(keys.as_bytes(), b"\x01d");
/// assert_eq!(DetachKeys::default().to_string(), "ctrl-p,ctrl-q");
/// assert!("ctrl-1".parse::<DetachKeys>().is_err());
/// # Ok::<(), container_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    bytes: Vec<u8>,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self { bytes: vec![0x10, 0x11] }
    }
}

impl DetachKeys {
    /// No keys detach; every byte goes through.
    #[must_use]
    pub fn none() -> Self {
        Self { bytes: Vec::new() }
    }

    /// The bytes that the keys send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl FromStr for DetachKeys {
    type Err = Error;

    /// Empty text is [`none`](Self::none).
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |key: &str, reason: &'static str| {
            Error::invalid("check detach keys", key, reason)
                .hint("for example ctrl-p,ctrl-q: a character, or ctrl- and a-z or one of @[\\]^_")
        };
        if text.is_empty() {
            return Ok(Self::none());
        }
        let keys = text.split(',').map(|key| match key.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            [b'c', b't', b'r', b'l', b'-', letter @ b'a'..=b'z'] => Ok(letter - b'a' + 1),
            [b'c', b't', b'r', b'l', b'-', sign @ (b'@' | b'['..=b'_')] => Ok(sign - b'@'),
            _ => Err(wrong(key, "not a key")),
        });
        let bytes = keys.collect::<Result<Vec<u8>>>()?;
        if bytes.len() > MAX_KEYS {
            return Err(wrong(text, "more than 16 keys"));
        }
        Ok(Self { bytes })
    }
}

/// As it is written, ready to be parsed again.
impl fmt::Display for DetachKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.bytes.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match byte {
                1..=26 => write!(f, "ctrl-{}", char::from(byte - 1 + b'a'))?,
                0 | 27..=31 => write!(f, "ctrl-{}", char::from(byte + b'@'))?,
                _ => write!(f, "{}", char::from(*byte))?,
            }
        }
        Ok(())
    }
}

/// Looks for the detach keys in what is typed, however it is cut into reads.
/// Bytes that may be the beginning of the sequence are held back until the
/// next one tells.
///
/// ```
/// use container_core::terminal::{DetachKeys, Detector};
///
/// let mut detector = Detector::new(DetachKeys::default());
/// let mut through = Vec::new();
/// assert!(!detector.feed(b"ls\n\x10", &mut through));
/// assert_eq!(through, b"ls\n");
/// assert!(detector.feed(b"\x11never seen", &mut through));
/// assert_eq!(through, b"ls\n");
/// ```
#[derive(Debug, Clone)]
pub struct Detector {
    keys: Vec<u8>,
    matched: usize,
}

impl Detector {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys: keys.bytes, matched: 0 }
    }

    /// Takes what was typed and adds what goes through to `through`; true when
    /// the sequence is complete. What follows it is dropped.
    pub fn feed(&mut self, typed: &[u8], through: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            through.extend_from_slice(typed);
            return false;
        }
        for byte in typed {
            // Held back are the first `matched` keys: let go of as many as
            // leave a beginning of the sequence (the longest such).
            while self.matched > 0 && self.keys.get(self.matched) != Some(byte) {
                let shorter = self.shorter();
                through.extend(self.keys.iter().take(self.matched - shorter));
                self.matched = shorter;
            }
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
            } else {
                through.push(*byte);
            }
            if self.matched == self.keys.len() {
                self.matched = 0;
                return true;
            }
        }
        false
    }

    /// Lets go of what is held back: no more will be typed.
    pub fn finish(&mut self, through: &mut Vec<u8>) {
        through.extend(self.keys.iter().take(self.matched));
        self.matched = 0;
    }

    /// The longest proper end of what is held back that begins the sequence.
    fn shorter(&self) -> usize {
        let held = &self.keys[..self.matched];
        (0..self.matched).rev().find(|length| held.ends_with(&self.keys[..*length])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        let bytes = |text: &str| text.parse::<DetachKeys>().map(|keys| keys.bytes).ok();
        assert_eq!(bytes("ctrl-p,ctrl-q"), Some(vec![16, 17]));
        assert_eq!(
            bytes("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_"),
            Some(vec![0, 27, 28, 29, 30, 31])
        );
        assert_eq!(bytes("a,ctrl-a,Z"), Some(vec![97, 1, 90]));
        assert_eq!(bytes(""), Some(vec![]));
        for wrong in
            [",", "a,", "ctrl-", "ctrl-A", "ctrl-1", "ctrl-`", "ab", "ctrl-pp", "é", "Ctrl-p"]
        {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
        assert_eq!(bytes(&["x"; 17].join(",")), None);
    }

    #[test]
    fn a_repeated_beginning_is_found() {
        let mut detector = Detector::new("a,a,b".parse().unwrap());
        let mut through = Vec::new();
        assert!(detector.feed(b"aaab", &mut through));
        assert_eq!(through, b"a");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(keys in proptest::collection::vec(0u8..127, 1..=16)) {
            prop_assume!(!keys.contains(&b','));
            let keys = DetachKeys { bytes: keys };
            prop_assert_eq!(keys.to_string().parse::<DetachKeys>().unwrap(), keys);
        }

        /// Against a search in the whole input, however it is cut.
        #[test]
        fn the_first_match_detaches_and_the_rest_goes_through(
            keys in proptest::collection::vec(b'a'..=b'c', 1..5),
            typed in proptest::collection::vec(b'a'..=b'd', 0..60),
            cut in 1usize..7,
        ) {
            let mut detector = Detector::new(DetachKeys { bytes: keys.clone() });
            let mut through = Vec::new();
            let found = typed.chunks(cut).any(|chunk| detector.feed(chunk, &mut through));
            let expected = typed.windows(keys.len()).position(|window| window == keys);
            prop_assert_eq!(found, expected.is_some());
            if !found {
                detector.finish(&mut through);
            }
            prop_assert_eq!(&through, &typed[..expected.unwrap_or(typed.len())]);
        }
    }
}
