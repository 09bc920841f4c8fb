//! From a checked stack to the words that the kernel understands. Pure.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::MountOption;
use super::check::{Names, Places};
use crate::error::{Error, ErrorKind, Result};
use crate::whiteout::XattrNamespace;

/// The longest value of `fsconfig(2)`, in bytes.
pub(super) const VALUE_MAX: usize = 255;

/// The longest string that `mount(2)` reads whole: a page, less the NUL at its end.
pub(super) const DATA_MAX: usize = 4_095;

/// What does not name a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) xattrs: XattrNamespace,
    pub(super) volatile: bool,
}

impl Settings {
    pub(super) fn options(self) -> Vec<MountOption> {
        let set = |key, value: &str| MountOption { key, value: Some(value.into()) };
        let flag = |key| MountOption { key, value: None };
        let mut options =
            vec![set("index", "off"), set("metacopy", "off"), set("redirect_dir", "nofollow")];
        if self.xattrs == XattrNamespace::User {
            options.push(flag("userxattr"));
        }
        if self.volatile {
            options.push(flag("volatile"));
        }
        options
    }
}

/// Puts a backslash before each of `special`, which overlayfs takes away again.
fn escape(name: &OsStr, special: &[u8]) -> OsString {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name.as_bytes() {
        if special.contains(byte) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    OsString::from_vec(escaped)
}

/// Overlayfs removes backslashes from upper and work, but not from `lowerdir+`.
pub(super) fn escape_writable(name: &OsStr) -> OsString {
    escape(name, b"\\")
}

fn join(names: &[OsString], special: &[u8]) -> OsString {
    let escaped: Vec<OsString> = names.iter().map(|name| escape(name, special)).collect();
    escaped.join(OsStr::new(":"))
}

pub(super) fn check_mountable(places: &Places) -> Result<()> {
    if places.is_single() {
        let layer = &places.lower[0].path;
        let reason = "overlayfs makes no read-only mount of a single layer";
        let error = Error::refused(ErrorKind::NoLayers, "stack layers", layer, reason);
        return Err(error.with_hint("add a layer or a writable directory, or bind-mount it"));
    }
    Ok(())
}

/// The options for `fsconfig(2)`; `single` tells whether the kernel knows `lowerdir+`.
pub(super) fn options(
    places: &Places,
    settings: &Settings,
    single: bool,
) -> Result<Vec<MountOption>> {
    check_mountable(places)?;
    let names = places.names();
    let mut options = Vec::new();
    if single {
        for name in names.lower {
            options.push(MountOption { key: "lowerdir+", value: Some(name) });
        }
    } else {
        // The kernels before 6.5 put the options together again, and refuse a comma in one.
        let all = names.lower.iter().chain(names.writable.iter().flat_map(|(a, b)| [a, b]));
        if let Some(comma) = all.into_iter().find(|name| name.as_bytes().contains(&b',')) {
            let reason = "before Linux 6.7, fsconfig(2) takes no comma in a path of a stack";
            let error = Error::refused(ErrorKind::Unsupported, "fsconfig lowerdir", comma, reason);
            return Err(error.with_hint("use mount(2) with Stack::mount_data"));
        }
        let value = join(&names.lower, b"\\:");
        options.push(MountOption { key: "lowerdir", value: Some(value) });
    }
    if let Some((upper, work)) = names.writable {
        for (key, name) in [("upperdir", upper), ("workdir", work)] {
            options.push(MountOption { key, value: Some(escape_writable(&name)) });
        }
    }
    options.extend(settings.options());
    let long =
        |option: &&MountOption| option.value.as_ref().is_some_and(|value| value.len() > VALUE_MAX);
    if let Some(MountOption { value: Some(value), .. }) = options.iter().find(long) {
        let reason = format!("{} bytes; fsconfig(2) takes up to {VALUE_MAX}", value.len());
        let error = Error::refused(ErrorKind::TooLong, "fsconfig", value, reason);
        return Err(error.with_hint("use shorter paths, or mount(2) with Stack::mount_data"));
    }
    Ok(options)
}

/// The string for `mount(2)`.
pub(super) fn mount_data(names: &Names, settings: &Settings) -> Result<CString> {
    let special = b"\\,:";
    let mut parts = vec![(OsString::from("lowerdir"), Some(join(&names.lower, special)))];
    if let Some((upper, work)) = &names.writable {
        parts.push(("upperdir".into(), Some(escape(upper, special))));
        parts.push(("workdir".into(), Some(escape(work, special))));
    }
    let rest = settings.options().into_iter();
    parts.extend(rest.map(|option| (OsString::from(option.key), option.value)));
    let words: Vec<OsString> = parts
        .into_iter()
        .map(|(mut key, value)| {
            if let Some(value) = value {
                key.push("=");
                key.push(value);
            }
            key
        })
        .collect();
    let data = words.join(OsStr::new(","));
    if data.len() > DATA_MAX {
        let object = format!("{} layers", names.lower.len());
        let reason = format!("{} bytes of options; mount(2) takes {DATA_MAX}", data.len());
        let error = Error::refused(ErrorKind::TooLong, "mount overlay", object, reason);
        return Err(error.with_hint("use shorter paths, fewer layers, or Linux 6.7 or newer"));
    }
    CString::new(data.into_vec()).map_err(|_| {
        let reason = "a path has a NUL byte in it";
        Error::refused(ErrorKind::InvalidPath, "mount overlay", "", reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: Settings = Settings { xattrs: XattrNamespace::Trusted, volatile: false };

    fn names(lower: &[&str], writable: Option<(&str, &str)>) -> Names {
        Names {
            lower: lower.iter().map(OsString::from).collect(),
            writable: writable.map(|(upper, work)| (upper.into(), work.into())),
        }
    }

    #[test]
    fn the_whole_string() {
        let settings = Settings { xattrs: XattrNamespace::User, volatile: true };
        let data = mount_data(&names(&["/b", "/a"], Some(("/u", "/w"))), &settings).unwrap();
        assert_eq!(
            data.to_str().unwrap(),
            "lowerdir=/b:/a,upperdir=/u,workdir=/w,index=off,metacopy=off,redirect_dir=nofollow,\
             userxattr,volatile"
        );
    }

    #[test]
    fn never_longer_than_the_kernel_reads() {
        let fixed = mount_data(&names(&[""], None), &SETTINGS).unwrap().as_bytes().len();
        let fits = "x".repeat(DATA_MAX - fixed);
        assert_eq!(mount_data(&names(&[&fits], None), &SETTINGS).unwrap().count_bytes(), DATA_MAX);
        let error = mount_data(&names(&[&format!("{fits}x")], None), &SETTINGS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLong);
    }

    /// What overlayfs does with the string: split at bare commas, then at bare colons, then take
    /// the backslashes away.
    fn parse(data: &[u8]) -> Vec<Vec<u8>> {
        let split = |text: &[u8], at: u8| {
            let (mut parts, mut bytes) = (vec![Vec::new()], text.iter());
            while let Some(&byte) = bytes.next() {
                let part = parts.last_mut().unwrap();
                match byte {
                    b'\\' => {
                        part.extend([Some(b'\\'), bytes.next().copied()].into_iter().flatten())
                    }
                    _ if byte == at => parts.push(Vec::new()),
                    _ => part.push(byte),
                }
            }
            parts
        };
        let unescape = |text: &[u8]| {
            let (mut plain, mut bytes) = (Vec::new(), text.iter());
            while let Some(&byte) = bytes.next() {
                plain.push(if byte == b'\\' { *bytes.next().unwrap() } else { byte });
            }
            plain
        };
        let lowerdir = &split(data, b',')[0];
        let layers = split(lowerdir.strip_prefix(b"lowerdir=").unwrap(), b':');
        layers.iter().map(|layer| unescape(layer)).collect()
    }

    proptest! {
        #[test]
        fn any_path_survives_the_string(layers in prop::collection::vec("[a:,\\\\\n=]{1,12}", 1..6)) {
            let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
            let data = mount_data(&names(&layers, None), &SETTINGS).unwrap();
            let parsed = parse(data.as_bytes());
            let expected: Vec<Vec<u8>> =
                layers.iter().map(|layer| layer.as_bytes().to_vec()).collect();
            prop_assert_eq!(parsed, expected);
        }
    }
}
