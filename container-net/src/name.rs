//! Names of links and networks, checked before they reach the kernel or a path.
//!
//! The kernel takes almost any 15 bytes as an interface name. A name from a user also becomes a
//! file name, a `/proc/sys` path and text in listings, so only a safe alphabet passes: ASCII
//! letters, digits, `_`, `-` and `.`, starting with a letter or digit, 1 to 15 bytes.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The kernel's `IFNAMSIZ` without the terminating NUL.
const MAX: usize = 15;

/// A checked interface or network name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn new(what: &'static str, name: &str) -> Result<Self> {
        let refuse =
            |hint: &'static str| Err(Error::refused(ErrorKind::InvalidInput, what, name, hint));
        if name.is_empty() || name.len() > MAX {
            return refuse("a name has 1 to 15 bytes (IFNAMSIZ)");
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if !name.bytes().all(plain) {
            return refuse("only ASCII letters, digits, '_', '-' and '.' are allowed");
        }
        if !name.as_bytes()[0].is_ascii_alphanumeric() {
            return refuse("a name starts with a letter or a digit");
        }
        // These are directories of /proc/sys/net/*/conf that mean every interface.
        if matches!(name, "all" | "default") {
            return refuse("'all' and 'default' stand for every interface in /proc/sys/net");
        }
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_names_are_refused() {
        for bad in
            ["", ".", "..", "a/b", "a\nb", "a b", "a\0", "-x", "ü", "sixteen-bytes-xx", "all", "%d"]
        {
            let error = Name::new("network name", bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
        for good in ["a", "web0", "br-1.2_x", "fifteen-bytes-x"] {
            assert_eq!(Name::new("network name", good).unwrap().as_str(), good);
        }
    }

    proptest! {
        #[test]
        fn an_accepted_name_is_one_path_component(name in ".{0,20}") {
            if let Ok(name) = Name::new("network name", &name) {
                let path = std::path::Path::new(name.as_str());
                prop_assert_eq!(path.components().count(), 1);
                prop_assert!(path.file_name().is_some());
                prop_assert!(name.as_str().len() <= 15);
            }
        }
    }
}
