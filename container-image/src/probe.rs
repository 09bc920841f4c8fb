//! What this machine can do for the crate, and the way to what it can't.
//!
//! ```
//! let probe = container_image::probe();
//! println!("{probe}");
//! for facility in &probe.facilities {
//!     assert!(facility.available || facility.way_out.is_some());
//! }
//! ```

use std::fmt;

use container_fs::XattrNamespace;
use container_fs::whiteout::create_whiteout;

use crate::layer::Owners;

/// One thing that the machine, its kernel or this process may lack.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facility {
    /// A short fixed name, as `whiteouts`.
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

/// Finds out what this machine can do. A whiteout is tried in the temporary directory and
/// removed again; nothing else is changed.
#[must_use]
pub fn probe() -> Probe {
    let facilities = vec![openat2(), whiteouts(), trusted_xattrs(), owners(), sha_instructions()];
    Probe { facilities }
}

fn facility(
    name: &'static str,
    available: bool,
    detail: impl Into<String>,
    way_out: &str,
) -> Facility {
    let way_out = (!available).then(|| way_out.to_owned());
    Facility { name, available, detail: detail.into(), way_out }
}

/// `container-fs` resolves the paths of layers; its answer is passed on.
fn openat2() -> Facility {
    match container_fs::probe().get("openat2") {
        Some(found) => Facility {
            name: "openat2",
            available: found.available,
            detail: found.detail.clone(),
            way_out: found.way_out.clone(),
        },
        None => facility("openat2", false, "not probed", "run on Linux 5.6 or newer"),
    }
}

fn whiteouts() -> Facility {
    let way_out = "run as root, or on Linux 5.8 or newer, with TMPDIR on a local file system";
    match try_whiteout() {
        Ok(()) => facility("whiteouts", true, "tried: character device 0:0", way_out),
        Err(error) => facility("whiteouts", false, error, way_out),
    }
}

fn try_whiteout() -> Result<(), String> {
    let directory = std::env::temp_dir();
    let name = format!(".whiteout-probe-{}-{:?}", std::process::id(), std::thread::current().id());
    let root = container_fs::Root::open(&directory).map_err(|e| e.to_string())?;
    create_whiteout(&root, &name).map_err(|e| e.to_string())?;
    root.remove_file(&name).map_err(|e| e.to_string())
}

fn trusted_xattrs() -> Facility {
    let available = XattrNamespace::detect() == XattrNamespace::Trusted;
    let detail = if available {
        "layers are unpacked with trusted.overlay.*"
    } else {
        "layers are unpacked with user.overlay.* (mount option userxattr)"
    };
    let way_out = "run with CAP_SYS_ADMIN in the machine's first user namespace";
    facility("trusted xattrs", available, detail, way_out)
}

fn owners() -> Facility {
    let available = Owners::detect() == Owners::Keep;
    let detail =
        if available { "files keep the owners of the layer" } else { "files belong to this user" };
    facility("owners", available, detail, "run as root")
}

fn sha_instructions() -> Facility {
    let (available, detail) = sha_of_processor();
    facility("sha instructions", available, detail, "none needed; hashing is some 4 times slower")
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn sha_of_processor() -> (bool, &'static str) {
    match std::arch::is_x86_feature_detected!("sha") {
        true => (true, "SHA-NI"),
        false => (false, "no SHA-NI: hashed in software"),
    }
}

#[cfg(target_arch = "aarch64")]
fn sha_of_processor() -> (bool, &'static str) {
    match std::arch::is_aarch64_feature_detected!("sha2") {
        true => (true, "the SHA2 extension"),
        false => (false, "no SHA2 extension: hashed in software"),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn sha_of_processor() -> (bool, &'static str) {
    (false, "hashed in software on this architecture")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_missing_has_a_way_out() {
        let probe = probe();
        for facility in &probe.facilities {
            assert_ne!(facility.available, facility.way_out.is_some(), "{facility}");
        }
        assert_eq!(probe.to_string().lines().count(), 5);
        assert!(probe.get("whiteouts").is_some() && probe.get("nothing").is_none());
    }
}
