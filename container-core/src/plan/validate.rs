//! Refusing a description that can't be, before anything is touched.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::{mounts, sysctl};
use crate::error::{Error, ErrorKind, Result};
use crate::namespace::{Namespace, NamespaceKind};
use crate::net_device::NetDevice;
use crate::process::Description;

/// The kernel's bound on a host or domain name (`__NEW_UTS_LEN`).
const MAX_HOSTNAME: usize = 64;

pub(super) fn check(description: &Description) -> Result<()> {
    check_program(description)?;
    check_namespaces(description)?;
    mounts::check(description)?;
    sysctl::check(description)?;
    if let Some(supervision) = &description.supervision {
        supervision.check()?;
    }
    check_net_devices(description)?;
    check_limits(description)
}

fn check_program(description: &Description) -> Result<()> {
    if description.program.is_empty() {
        return Err(Error::invalid("check program", "", "the program is empty"));
    }
    for (name, value) in &description.environment {
        let wrong = name.is_empty() || name.as_bytes().contains(&b'=');
        if wrong {
            let shown = name.to_string_lossy();
            return Err(Error::invalid("check environment", shown, "not a variable's name"));
        }
        c_string("check environment", name)?;
        c_string("check environment", value)?;
    }
    if let Some(directory) = &description.directory {
        absolute("check working directory", directory)?;
    }
    Ok(())
}

fn check_namespaces(description: &Description) -> Result<()> {
    let namespaces = &description.namespaces;
    namespaces.check()?;
    let own = |kind| namespaces.is_new(kind) || matches!(namespaces.get(kind), Namespace::Join(_));
    let needs = |kind: NamespaceKind, what: &'static str, object: String| {
        let reason = format!("needs a {kind} namespace of its own: the host's would be changed");
        Error::invalid(what, object, reason)
            .hint(format!("add Namespaces::with(NamespaceKind::{kind:?})"))
    };
    for (step, name) in
        [("check hostname", &description.hostname), ("check domainname", &description.domainname)]
    {
        let Some(name) = name else { continue };
        check_hostname(step, name)?;
        if !own(NamespaceKind::Uts) {
            return Err(needs(NamespaceKind::Uts, step, name.to_string_lossy().into()));
        }
    }
    let changes_mounts = description.rootfs.is_some()
        || !description.mounts.is_empty()
        || !description.masked.is_empty()
        || !description.read_only.is_empty()
        || !description.devices.is_empty()
        || description.default_devices;
    if changes_mounts && !namespaces.is_new(NamespaceKind::Mount) {
        return Err(needs(NamespaceKind::Mount, "check mounts", String::new()));
    }
    if description.mappings.is_some() && !namespaces.is_new(NamespaceKind::User) {
        return Err(needs(NamespaceKind::User, "check id mappings", String::new()));
    }
    Ok(())
}

fn check_hostname(step: &'static str, name: &OsStr) -> Result<()> {
    c_string(step, name)?;
    if name.is_empty() || name.len() > MAX_HOSTNAME {
        let reason = format!("{} bytes; the kernel takes 1 to {MAX_HOSTNAME}", name.len());
        return Err(Error::invalid(step, name.to_string_lossy(), reason));
    }
    Ok(())
}

fn check_net_devices(description: &Description) -> Result<()> {
    let step = "check net device";
    let devices = &description.net_devices;
    devices.iter().try_for_each(NetDevice::check)?;
    for (index, device) in devices.iter().enumerate() {
        let earlier = devices.iter().take(index);
        let same = |other: &NetDevice| {
            other.name() == device.name() || other.name_inside() == device.name_inside()
        };
        if earlier.clone().any(same) {
            return Err(Error::invalid(step, device.name(), "a second device of this name"));
        }
    }
    let Some(device) = devices.first() else {
        return Ok(());
    };
    let namespaces = &description.namespaces;
    if matches!(namespaces.get(NamespaceKind::Net), Namespace::Inherit) {
        let reason = "needs a net namespace of its own";
        return Err(Error::invalid(step, device.name(), reason));
    }
    if namespaces.is_new(NamespaceKind::Net)
        && matches!(namespaces.get(NamespaceKind::User), Namespace::Join(_))
    {
        let reason = "in a user namespace that is joined, the new net namespace comes too late";
        return Err(Error::with(ErrorKind::Unsupported, step, device.name(), reason));
    }
    Ok(())
}

fn check_limits(description: &Description) -> Result<()> {
    super::attributes::check(description)?;
    if let Some(signal) = description.parent_death_signal
        && !(1..=64).contains(&signal)
    {
        let object = signal.to_string();
        return Err(Error::invalid("check parent death signal", object, "out of 1 to 64"));
    }
    Ok(())
}

/// A string as the kernel takes it.
pub(super) fn c_string(step: &'static str, text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes())
        .map_err(|_| Error::invalid(step, text.to_string_lossy(), "it has a NUL in it"))
}

pub(super) fn absolute(step: &'static str, path: &Path) -> Result<CString> {
    if !path.is_absolute() {
        let reason = if path.as_os_str().is_empty() { "an empty path" } else { "a relative path" };
        return Err(
            Error::invalid(step, path.to_string_lossy(), reason).hint("give an absolute path")
        );
    }
    c_string(step, path.as_os_str())
}

/// An absolute path as one relative to the root, without `.` and doubled
/// slashes; `..` is refused.
pub(super) fn inside(step: &'static str, path: &Path) -> Result<CString> {
    absolute(step, path)?;
    let mut relative = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                if !relative.is_empty() {
                    relative.push(b'/');
                }
                relative.extend(name.as_bytes());
            }
            Component::ParentDir => {
                return Err(Error::invalid(step, path.to_string_lossy(), "it has .. in it"));
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if relative.is_empty() {
        relative.push(b'.');
    }
    c_string(step, OsStr::from_bytes(&relative))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn inside_normalizes_and_refuses() {
        let ok = |path: &str| inside("x", Path::new(path)).unwrap().into_string().unwrap();
        assert_eq!(ok("/"), ".");
        assert_eq!(ok("//a/./b//"), "a/b");
        for wrong in ["", "a", "/a/../b", "/a\0b"] {
            let error = inside("x", Path::new(wrong)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
        }
    }
}
