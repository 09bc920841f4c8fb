//! What this machine can do for the crate, and the way to what it can't.
//!
//! ```
//! let probe = container_fs::probe();
//! println!("{probe}");
//! if let Some(overlay) = probe.get("overlay") {
//!     assert!(overlay.available || overlay.way_out.is_some());
//! }
//! ```

use std::fmt;

use crate::error::ErrorKind;
use crate::safe_path::resolve::{self, Resolver};
use crate::stack::{Interface, MAX_LAYERS, interface};
use crate::sys;

/// One thing that a kernel, or its configuration, may lack.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facility {
    /// A short fixed name, as `overlay`.
    pub name: &'static str,
    /// Can it be used, by this process, now?
    pub available: bool,
    /// How that was found out, or what is used in its place.
    pub detail: String,
    /// What to do to get it. Set wherever it is missing.
    pub way_out: Option<String>,
}

impl fmt::Display for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.available { "yes" } else { "no" };
        write!(f, "{:<22} {state:<3}  {}", self.name, self.detail)?;
        match &self.way_out {
            Some(way_out) => write!(f, "; {way_out}"),
            None => Ok(()),
        }
    }
}

/// The answers of [`probe`], one line each when displayed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// All facilities, in a fixed order.
    pub facilities: Vec<Facility>,
}

impl Probe {
    /// The facility of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Facility> {
        self.facilities.iter().find(|facility| facility.name == name)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facilities.iter().try_for_each(|facility| writeln!(f, "{facility}"))
    }
}

/// Finds out what this machine can do. Changes nothing; takes some hundred microseconds.
#[must_use]
pub fn probe() -> Probe {
    let interface = interface();
    let facilities = vec![
        overlay(),
        mounting(&interface),
        single_layers(&interface),
        Facility {
            name: "max layers",
            available: true,
            detail: format!("{MAX_LAYERS} read-only layers in a stack, the kernel's limit"),
            way_out: None,
        },
        unprivileged_overlay(),
        since("volatile overlay", (5, 10), ""),
        openat2(),
        since("idmapped mounts", (5, 12), ", as layers of an overlay since 5.19"),
        proc(),
    ];
    Probe { facilities }
}

fn facility(
    name: &'static str,
    available: bool,
    detail: impl Into<String>,
    way_out: impl Into<String>,
) -> Facility {
    let way_out = if available { None } else { Some(way_out.into()) };
    Facility { name, available, detail: detail.into(), way_out }
}

fn overlay() -> Facility {
    let types = sys::read_setting("/proc/filesystems").unwrap_or_default();
    let listed = types.lines().any(|line| line.split_whitespace().last() == Some("overlay"));
    let detail = if listed { "in /proc/filesystems" } else { "not in /proc/filesystems" };
    facility("overlay", listed, detail, "load the module: modprobe overlay (CONFIG_OVERLAY_FS)")
}

fn mounting(interface: &crate::Result<Interface>) -> Facility {
    let name = "mount by this process";
    match interface {
        Ok(_) => facility(name, true, "fsopen(2) answers", ""),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => facility(
            name,
            false,
            "no CAP_SYS_ADMIN over this mount namespace",
            "run as root, or mount in a user namespace with Stack::options",
        ),
        Err(error) => {
            facility(name, false, error.to_string(), "run on Linux 5.2 or newer, with overlayfs")
        }
    }
}

fn single_layers(interface: &crate::Result<Interface>) -> Facility {
    let (major, minor) = sys::kernel_version();
    let (available, detail) = match interface {
        Ok(Interface::Descriptors) => (true, "tried: each layer by descriptor".to_owned()),
        Ok(Interface::Paths) => (true, "tried: each layer by path".to_owned()),
        Ok(Interface::Data) => {
            (false, "tried: one string of 4,095 bytes to mount(2) in its place".to_owned())
        }
        Err(_) => ((major, minor) >= (6, 7), format!("by the version, Linux {major}.{minor}")),
    };
    facility("lowerdir+", available, detail, "run on Linux 6.7 or newer")
}

fn unprivileged_overlay() -> Facility {
    let name = "unprivileged overlay";
    let (major, minor) = sys::kernel_version();
    if (major, minor) < (5, 11) {
        let detail = format!("Linux {major}.{minor} has no userxattr");
        return facility(name, false, detail, "run on Linux 5.11 or newer");
    }
    let switches = [
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ];
    for (path, forbids, way_out) in switches {
        if sys::read_setting(path).as_deref() == Some(forbids) {
            return facility(name, false, format!("{path} is {forbids}"), way_out);
        }
    }
    let detail = format!("Linux {major}.{minor} with user namespaces (userxattr)");
    facility(name, true, detail, "")
}

fn openat2() -> Facility {
    let available = resolve::best() == Resolver::OpenAt2;
    let detail = if available {
        "tried: paths resolved inside a root by the kernel"
    } else {
        "paths walked by hand, symbolic links in them refused"
    };
    facility("openat2", available, detail, "run on Linux 5.6 or newer, and allow it in seccomp")
}

fn since(name: &'static str, needed: (u32, u32), more: &str) -> Facility {
    let (major, minor) = sys::kernel_version();
    let detail = format!("by the version, Linux {major}.{minor}{more}");
    let way_out = format!("run on Linux {}.{} or newer", needed.0, needed.1);
    facility(name, (major, minor) >= needed, detail, way_out)
}

fn proc() -> Facility {
    let available = rustix::fs::stat(c"/proc/thread-self/fd").is_ok();
    let detail = if available { "mounted" } else { "not mounted" };
    facility("/proc", available, detail, "mount -t proc proc /proc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_missing_has_a_way_out() {
        let probe = probe();
        assert!(probe.facilities.len() >= 8);
        for facility in &probe.facilities {
            assert_ne!(facility.available, facility.way_out.is_some(), "{facility}");
        }
        assert_eq!(probe.to_string().lines().count(), probe.facilities.len());
        assert!(probe.get("/proc").unwrap().available);
    }
}
