//! Names of images: `name` or `name:tag`.
//!
//! A digest says exactly which image; a [`Reference`] is what people call it, and
//! it can be pointed at another image tomorrow. In an image layout the reference
//! stands beside the descriptor as the annotation `org.opencontainers.image.ref.name`.
//!
//! ```
//! use container_image::Reference;
//!
//! let name: Reference = "team/web-server:1.2".parse().unwrap();
//! assert_eq!((name.name(), name.tag()), ("team/web-server", Some("1.2")));
//!
//! assert_eq!("quickstart".parse::<Reference>().unwrap().tag(), None);
//! assert!("../escape".parse::<Reference>().is_err());
//! ```

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// The longest name that is taken, in bytes, as in the distribution specification.
const MAX_NAME: usize = 255;
/// The longest tag that is taken, in bytes.
const MAX_TAG: usize = 128;

/// An image's name with an optional tag.
///
/// The name is made of components separated by `/`; each has lowercase letters and digits,
/// with single `.`, `_`, `__` or runs of `-` between them ([distribution specification]).
/// The tag starts with a letter, digit or `_` and goes on with those, `.` and `-`. Host names
/// with a port and digests (`@sha256:…`) are not part of this issue's grammar and are refused.
///
/// [distribution specification]: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    text: Box<str>,
    name_len: usize,
}

impl Reference {
    /// The part in front of the `:`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[..self.name_len]
    }

    /// The part behind the `:`, if there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.text.get(self.name_len + 1..)
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::InvalidReference`] with the rule that was broken.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |reason| {
            Err(Error::new(ErrorKind::InvalidReference, "parse image name", text, reason)
                .hint("the form is name or name:tag, such as team/app:1.0"))
        };
        let (name, tag) = match text.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (text, None),
        };
        if name.is_empty() {
            return refuse("the name is empty");
        }
        if name.len() > MAX_NAME {
            return refuse("the name is longer than 255 bytes");
        }
        if !name.split('/').all(is_component) {
            return refuse(
                "a part of the name is not lowercase letters and digits joined by . _ __ or -",
            );
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return refuse("the tag is not 1 to 128 letters, digits, '_', '.' or '-'");
        }
        Ok(Self { text: text.into(), name_len: name.len() })
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separator = |s: &str| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-');
    let mut rest = part;
    loop {
        let after = rest.trim_start_matches(plain);
        if after.len() == rest.len() {
            return false;
        }
        if after.is_empty() {
            return true;
        }
        let end = after.find(plain).unwrap_or(after.len());
        if !separator(&after[..end]) {
            return false;
        }
        rest = &after[end..];
    }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_names() {
        for good in ["a", "a:b", "a/b/c:1.0-rc_1", "a.b", "a__b", "a---b", "0", "a:_x", "a:A"] {
            assert_eq!(good.parse::<Reference>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn bad_names() {
        let long = "a".repeat(256);
        let long_tag = format!("a:{}", "t".repeat(129));
        for bad in [
            "",
            ":",
            ":tag",
            "a:",
            "A",
            "a..b",
            "a___b",
            "a.-b",
            ".a",
            "a.",
            "-a",
            "a-",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            "a:b:c",
            "a:.x",
            "a:-x",
            "a b",
            "a\n",
            "a\0",
            "é",
            "a@sha256:b",
            &long,
            &long_tag,
        ] {
            let error = bad.parse::<Reference>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidReference, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_to_itself_or_not_at_all(text in "[a-z0-9._/:A-Z@ -]{0,40}") {
            if let Ok(name) = text.parse::<Reference>() {
                prop_assert_eq!(name.to_string(), text);
                prop_assert!(!name.as_str().contains(".."));
            }
        }
    }
}
