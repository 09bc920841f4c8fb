//! What this machine can do, and how to get what it can't.
//!
//! Containers are made of kernel features that came one by one over fifteen
//! years, may be compiled out, switched off by a sysctl, or refused to ordinary
//! users. [`probe`] looks at each and says in words what it found. It reads
//! files and makes system calls that the kernel refuses for their arguments; it
//! creates nothing and changes nothing.
//!
//! ```
//! let probe = container_core::probe::probe();
//! println!("{probe}");
//! for facility in probe.missing() {
//!     assert!(facility.way_out.is_some());
//! }
//! if let Some(user) = probe.get("user namespace") {
//!     println!("rootless containers: {}", if user.available { "yes" } else { "no" });
//! }
//! ```

mod cgroups;
mod kernel;
mod namespaces;
mod privilege;
mod raw;
mod security;
mod status;
mod tools;

pub(crate) use kernel::version as kernel_version;
pub(crate) use tools::find as find_program;

use std::fmt;

use status::Status;

/// One thing that a machine can or cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facility {
    /// Its name, such as `openat2` or `user namespace`.
    pub name: String,
    /// Whether this process can use it.
    pub available: bool,
    /// What was found: a version, a value, the reason of a refusal.
    pub detail: String,
    /// How to get it, if it isn't available.
    pub way_out: Option<String>,
}

impl Facility {
    pub(crate) fn present(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), available: true, detail: detail.into(), way_out: None }
    }

    pub(crate) fn absent(
        name: impl Into<String>,
        detail: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        let way_out = Some(way_out.into());
        Self { name: name.into(), available: false, detail: detail.into(), way_out }
    }
}

/// The answer of [`probe`]; its `Display` is a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// All that was looked at, in a fixed order.
    pub facilities: Vec<Facility>,
}

impl Probe {
    /// The facility of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Facility> {
        self.facilities.iter().find(|facility| facility.name == name)
    }

    /// What isn't available.
    pub fn missing(&self) -> impl Iterator<Item = &Facility> {
        self.facilities.iter().filter(|facility| !facility.available)
    }
}

/// One line per facility: yes or no, the name, what was found; below a missing
/// one the way to get it.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.facilities.iter().map(|f| f.name.chars().count()).max().unwrap_or(0);
        for Facility { name, available, detail, way_out } in &self.facilities {
            let answer = if *available { "yes" } else { "no" };
            writeln!(f, "{answer:<4} {name:<width$}  {detail}")?;
            if let Some(way_out) = way_out {
                writeln!(f, "{:4} {:width$}  -> {way_out}", "", "")?;
            }
        }
        Ok(())
    }
}

/// Looks at the kernel, its settings and the tools around it.
///
/// Works as root and as an ordinary user, in a container too; what can't be
/// found out counts as missing. The answer is that of the calling moment and of
/// the calling process's privileges.
#[must_use]
pub fn probe() -> Probe {
    let status = Status::of_self();
    let mut facilities = kernel::facilities();
    facilities.extend(namespaces::facilities(&status));
    facilities.extend(privilege::facilities(&status));
    facilities.extend(security::facilities());
    facilities.extend(cgroups::facilities());
    facilities.extend(tools::facilities(&status));
    Probe { facilities }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_facility_has_a_way_out_and_names_are_unique() {
        let probe = probe();
        let mut names: Vec<_> = probe.facilities.iter().map(|f| &f.name).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for facility in &probe.facilities {
            assert_eq!(facility.available, facility.way_out.is_none(), "{facility:?}");
            assert!(!facility.detail.is_empty(), "{facility:?}");
        }
        for name in ["kernel", "user namespace", "openat2", "seccomp", "capabilities", "cgroups"] {
            assert!(probe.get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_table_is_aligned() {
        let facilities = vec![
            Facility::present("openat2", "Linux 5.6"),
            Facility::absent("newuidmap", "not found", "apt-get install uidmap"),
        ];
        let expected = "yes  openat2    Linux 5.6\n\
            no   newuidmap  not found\n\
            \u{20}               -> apt-get install uidmap\n";
        assert_eq!(Probe { facilities }.to_string(), expected);
    }

    #[test]
    fn nothing_of_the_process_changes() {
        let descriptors = || {
            let mut open: Vec<_> = std::fs::read_dir("/proc/self/fd").unwrap().flatten().collect();
            open.sort_by_key(std::fs::DirEntry::file_name);
            open.len()
        };
        let state = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let kept = ["Uid", "Gid", "Groups", "Umask", "Cap", "Sig", "NoNewPrivs", "Seccomp"];
            let lines = status.lines().filter(|line| kept.iter().any(|key| line.starts_with(key)));
            let namespace = |name: &str| std::fs::read_link(format!("/proc/thread-self/ns/{name}"));
            let namespaces =
                ["user", "mnt", "pid_for_children", "net"].map(|n| namespace(n).unwrap());
            (lines.map(str::to_owned).collect::<Vec<_>>(), namespaces)
        };
        let before = state();
        let _ = probe();
        assert_eq!(state(), before);
        // Other tests open files at the same time; a leak would add up.
        let open = descriptors();
        (0..50).for_each(|_| drop(probe()));
        assert!(descriptors() < open + 50);
    }
}
