//! Names of containers.

use crate::error::{Error, Result};

/// The longest name, in bytes: it is also that of a directory.
pub const MAX_ID: usize = 255;

/// Letters, digits, `_`, `+`, `-` and `.`, as every runtime takes them; never a directory's own
/// names, `.` and `..`, nor a hidden one.
pub(super) fn check(id: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    let reason = match id {
        "" => "an empty name",
        _ if id.len() > MAX_ID => "longer than 255 bytes",
        _ if !id.bytes().all(good) => "only letters, digits, '_', '+', '-' and '.' make an id",
        _ if id.starts_with('.') => "it begins with a dot",
        _ => return Ok(()),
    };
    Err(Error::invalid("check container id", id.chars().take(300).collect::<String>(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for id in ["a", "web_1", "A+b-c.d", "0", &"x".repeat(255)] {
            assert!(check(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "../x", "a/b", "a b", "a\n", "ä", ".x", &"x".repeat(256)] {
            assert!(check(id).is_err(), "{id}");
        }
    }
}
