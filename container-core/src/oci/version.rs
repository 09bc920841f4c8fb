//! The version of the specification that a spec is written for.

use super::field::{invalid, unsupported};
use crate::error::Result;

/// The version of the runtime specification that this library follows.
pub const SPEC_VERSION: &str = "1.3.0";

/// Any 1.x: within a major version a spec means the same to every runtime of
/// it, as unknown fields are to be ignored.
pub(super) fn check(version: &str) -> Result<()> {
    let field = "ociVersion";
    if version.is_empty() {
        return Err(invalid(field, "required, but missing"));
    }
    match semver_major(version) {
        Some(1) => Ok(()),
        Some(_) => Err(unsupported(field, format!("{version}: only 1.x is known here"))),
        None => Err(invalid(field, format!("{version:?} is no version like {SPEC_VERSION}"))),
    }
}

/// The major number of `MAJOR.MINOR.PATCH`, with whatever follows the patch
/// behind `-` or `+`.
fn semver_major(version: &str) -> Option<u64> {
    let core = version.split(['-', '+']).next()?;
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let plain = part.len() == 1 || !part.starts_with('0');
        (digits && plain).then(|| part.parse().ok()).flatten()
    };
    let numbers: Vec<u64> = core.split('.').map(number).collect::<Option<_>>()?;
    let rest = version.strip_prefix(core)?;
    (numbers.len() == 3 && rest.len() != 1).then(|| numbers[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn one_point_anything() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0", "1.99.0-rc.1+build"] {
            check(good).unwrap();
        }
        for newer in ["2.0.0", "0.9.0"] {
            assert_eq!(check(newer).unwrap_err().kind(), ErrorKind::Unsupported, "{newer}");
        }
        for wrong in ["", "1", "1.0", "1.0.x", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0.0", "1.-1.0"] {
            let error = check(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
            assert_eq!(error.object(), "ociVersion");
        }
    }
}
