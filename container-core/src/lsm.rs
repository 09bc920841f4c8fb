//! Mandatory access control: AppArmor profiles and SELinux labels.
//!
//! A Linux security module can confine a program beyond users and
//! capabilities. The administrator loads profiles (AppArmor) or a policy
//! (SELinux); a container runtime only says under which profile or label the
//! program is to run. It writes that to a file of the process below
//! `/proc/thread-self/attr`, and the kernel applies it at the next `execve`.
//!
//! The file is written by the new process before it joins or makes any mount:
//! through the host's own procfs, checked to be one, so that no container can
//! put a harmless file in its place (CVE-2019-16884). The kernel keeps it to
//! the `execve` of the program.
//!
//! A module that the kernel has not enabled is an error of the plan, before
//! anything is made; [`apparmor`] and [`selinux`] tell.
//!
//! ```
//! use container_core::{ProcessBuilder, lsm};
//!
//! let plan = ProcessBuilder::new("/bin/true").apparmor_profile("container-default").plan();
//! assert_eq!(plan.is_ok(), lsm::apparmor().available);
//! ```

use std::ffi::{CStr, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::probe::Facility;

/// The longest name: a write to the attribute file takes one page.
const MAX_NAME: usize = 4000;

/// Whether AppArmor is enabled, and how to get it.
#[must_use]
pub fn apparmor() -> Facility {
    let parameter = "/sys/module/apparmor/parameters/enabled";
    let name = "AppArmor";
    match fs::read(parameter) {
        Ok(text) if text.first() == Some(&b'Y') => Facility::present(name, "profiles apply"),
        Ok(_) => Facility::absent(
            name,
            format!("compiled in, but {parameter} is not Y"),
            "apparmor in the lsm= list of the kernel's command line",
        ),
        Err(_) => Facility::absent(
            name,
            format!("the kernel lacks it: no {parameter}"),
            "a kernel with CONFIG_SECURITY_APPARMOR",
        ),
    }
}

/// Whether SELinux is enabled, and how to get it.
#[must_use]
pub fn selinux() -> Facility {
    const SELINUX_MAGIC: u32 = 0xf97c_ff8c;
    let (name, directory) = ("SELinux", "/sys/fs/selinux");
    let mounted = nix::sys::statfs::statfs(directory)
        .is_ok_and(|found| found.filesystem_type().0 as u32 == SELINUX_MAGIC);
    let label = fs::read("/proc/thread-self/attr/current").unwrap_or_default();
    if !mounted {
        return Facility::absent(
            name,
            format!("no selinuxfs at {directory}"),
            "a kernel with CONFIG_SECURITY_SELINUX, selinux in its lsm= list, and selinuxfs mounted",
        );
    }
    // Before a policy is loaded every process has the label of the kernel.
    if label.is_empty() || label.starts_with(b"kernel") {
        return Facility::absent(name, "no policy is loaded", "a policy package and a reboot");
    }
    Facility::present(name, "labels apply")
}

/// What a plan writes, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) path: &'static CStr,
    pub(crate) data: Vec<u8>,
}

/// Checks a profile's name, and that AppArmor is there. `unconfined` means
/// nothing where it is not.
pub(crate) fn apparmor_attribute(profile: &OsStr) -> Result<Option<Attribute>> {
    let step = "check AppArmor profile";
    check_name(step, profile)?;
    let facility = apparmor();
    if !facility.available && profile == "unconfined" {
        return Ok(None);
    }
    require(step, profile, &facility)?;
    // Its own directory, since Linux 5.8, is there for modules that are stacked.
    let path = match Path::new("/proc/thread-self/attr/apparmor/exec").exists() {
        true => c"/proc/thread-self/attr/apparmor/exec",
        false => c"/proc/thread-self/attr/exec",
    };
    Ok(Some(Attribute { path, data: apparmor_order(profile) }))
}

fn apparmor_order(profile: &OsStr) -> Vec<u8> {
    [b"exec ", profile.as_bytes()].concat()
}

/// Checks a label, and that SELinux is there.
pub(crate) fn selinux_attribute(label: &OsStr) -> Result<Attribute> {
    let step = "check SELinux label";
    check_name(step, label)?;
    let parts: Vec<&[u8]> = label.as_bytes().splitn(4, |byte| *byte == b':').collect();
    if parts.len() < 3 || parts.iter().any(|part| part.is_empty()) {
        let reason = "not user:role:type or user:role:type:level";
        return Err(Error::invalid(step, label.to_string_lossy(), reason));
    }
    require(step, label, &selinux())?;
    Ok(Attribute { path: c"/proc/thread-self/attr/exec", data: label.as_bytes().to_vec() })
}

fn check_name(step: &'static str, name: &OsStr) -> Result<()> {
    let bytes = name.as_bytes();
    let reason = if bytes.is_empty() {
        "empty"
    } else if bytes.len() > MAX_NAME {
        "longer than 4000 bytes"
    } else if bytes.iter().any(u8::is_ascii_control) {
        "it has a control character in it"
    } else {
        return Ok(());
    };
    Err(Error::invalid(step, name.to_string_lossy(), reason))
}

fn require(step: &'static str, name: &OsStr, facility: &Facility) -> Result<()> {
    if facility.available {
        return Ok(());
    }
    let reason = format!("{} is not enabled: {}", facility.name, facility.detail);
    let error = Error::with(ErrorKind::Unsupported, step, name.to_string_lossy(), reason);
    Err(match &facility.way_out {
        Some(way) => error.hint(format!("it takes {way}")),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused_first() {
        let long = "x".repeat(MAX_NAME + 1);
        for wrong in ["", "a\nb", "a\0", long.as_str()] {
            let error = apparmor_attribute(OsStr::new(wrong)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
            assert_eq!(
                selinux_attribute(OsStr::new(wrong)).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
        }
        for wrong in ["a", "a:b", "a::c", ":b:c", "a:b:"] {
            let error = selinux_attribute(OsStr::new(wrong)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
        }
    }

    #[test]
    fn a_missing_module_is_named() {
        if !apparmor().available {
            let error = apparmor_attribute(OsStr::new("container-default")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("AppArmor is not enabled"), "{error}");
            assert!(error.way_out().is_some());
            assert_eq!(apparmor_attribute(OsStr::new("unconfined")).unwrap(), None);
        }
        if !selinux().available {
            let error = selinux_attribute(OsStr::new("u:r:t:s0:c1,c2")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("SELinux is not enabled"), "{error}");
        }
    }

    #[test]
    fn the_order_is_that_of_the_interface() {
        assert_eq!(apparmor_order(OsStr::new("p//&q")), b"exec p//&q");
    }
}
