//! Overlay's list of layers, when it is too long for one option.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::mount::FileSystemOptions;

/// The longest string that fsconfig(2) takes.
pub(super) const MAX_OPTION: usize = 255;

/// The options with a `lowerdir` that is too long given layer by layer, by
/// `lowerdir+` (Linux 6.7). A list with data-only layers stays as it is.
pub(super) fn split<'a>(
    kind: &OsStr,
    options: &'a FileSystemOptions,
) -> Cow<'a, FileSystemOptions> {
    let long = |(key, value): &&(OsString, Option<OsString>)| {
        key == "lowerdir" && value.as_ref().is_some_and(|value| value.len() > MAX_OPTION)
    };
    if kind != "overlay" || options.iter().find(long).is_none() {
        return Cow::Borrowed(options);
    }
    let mut split = Vec::new();
    for option in options {
        let list = option.1.as_deref().filter(|_| long(&option)).and_then(layers);
        match list {
            Some(layers) => {
                let each = layers.into_iter().map(|layer| ("lowerdir+".into(), Some(layer)));
                split.extend(each);
            }
            None => split.push(option.clone()),
        }
    }
    Cow::Owned(split)
}

/// The layers between colons; a backslash takes the next byte as it is.
fn layers(list: &OsStr) -> Option<Vec<OsString>> {
    let mut layers = vec![Vec::new()];
    let mut bytes = list.as_bytes().iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b':' => layers.push(Vec::new()),
            b'\\' => layers.last_mut()?.push(bytes.next()?),
            other => layers.last_mut()?.push(other),
        }
    }
    let whole = layers.iter().all(|layer| !layer.is_empty());
    whole.then(|| layers.into_iter().map(OsString::from_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lower(list: &str) -> FileSystemOptions {
        vec![("lowerdir".into(), Some(list.into())), ("xino".into(), Some("off".into()))]
    }

    #[test]
    fn only_a_long_list_is_split() {
        let short = lower("/a:/b");
        assert!(matches!(split("overlay".as_ref(), &short), Cow::Borrowed(_)));
        let name = "x".repeat(100);
        let long = lower(&format!("/{name}:/a\\:{name}:/b{name}"));
        assert!(matches!(split("tmpfs".as_ref(), &long), Cow::Borrowed(_)));
        let each = split("overlay".as_ref(), &long);
        let values: Vec<String> = each
            .iter()
            .map(|(key, value)| format!("{}={}", key.display(), value.as_ref().unwrap().display()))
            .collect();
        let expected = [
            format!("lowerdir+=/{name}"),
            format!("lowerdir+=/a:{name}"),
            format!("lowerdir+=/b{name}"),
            "xino=off".to_owned(),
        ];
        assert_eq!(values, expected);
        let data = lower(&format!("/{name}::/{name}:/{name}"));
        assert_eq!(split("overlay".as_ref(), &data).as_ref(), &data);
    }
}
