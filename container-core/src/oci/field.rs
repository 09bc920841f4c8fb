//! Errors that name a field of the spec by its JSON path.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// The step that every refusal of a spec names.
pub(super) const STEP: &str = "check spec";

/// The field has a value that can't be.
pub(super) fn invalid(field: impl Display, reason: impl Into<Cow<'static, str>>) -> Error {
    Error::invalid(STEP, field.to_string(), reason)
}

/// The field asks for what is not offered here.
pub(super) fn unsupported(field: impl Display, reason: impl Into<Cow<'static, str>>) -> Error {
    Error::with(ErrorKind::Unsupported, STEP, field.to_string(), reason)
}

/// Refuses what can't be a C string.
pub(super) fn no_nul(field: impl Display, text: impl AsRef<OsStr>) -> Result<()> {
    match text.as_ref().as_bytes().contains(&0) {
        true => Err(invalid(field, "it has a NUL in it")),
        false => Ok(()),
    }
}

/// An absolute path inside the container without `.`, `..` and doubled
/// slashes, all taken by the letter: `..` of the root is the root.
pub(super) fn inside(field: impl Display, path: &Path) -> Result<PathBuf> {
    no_nul(&field, path)?;
    if path.as_os_str().is_empty() {
        return Err(invalid(field, "an empty path"));
    }
    if !path.is_absolute() {
        return Err(invalid(field, format!("a relative path: {}", path.display()))
            .hint("give an absolute path"));
    }
    Ok(clean(path))
}

/// The path as seen from `/`, by the letter.
pub(super) fn clean(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::from("/"), |mut cleaned, component| {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
        cleaned
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_inside_are_absolute_and_clean() {
        assert_eq!(inside("x", Path::new("/a/../../b/./c//")).unwrap(), Path::new("/b/c"));
        for wrong in ["", "a/b", "/a\0b"] {
            let error = inside("root.path", Path::new(wrong)).unwrap_err();
            assert_eq!((error.kind(), error.object()), (ErrorKind::InvalidInput, "root.path"));
        }
    }
}
