//! Intel RDT: shares of the cache and of the memory bandwidth.
//!
//! Processors that can do it let the kernel sort processes into *classes of
//! service*, each with its part of the last-level cache and of the memory
//! bandwidth, and count what groups of processes use ([resctrl]; AMD and Arm
//! have the like under the same interface). A class is a directory of the
//! `resctrl` file system, its limits are lines of its file `schemata`.
//!
//! ```
//! use container_core::intel_rdt::IntelRdt;
//!
//! let half = IntelRdt::new().schema("MB:0=50").monitoring(true);
//! half.check()?;
//! assert!(IntelRdt::new().class("../other").check().is_err());
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! [resctrl]: https://docs.kernel.org/filesystems/resctrl.html

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

const STEP: &str = "check Intel RDT";

/// A class of service for a container, see the [module](self). Without a
/// [class](Self::class) it gets one of its own, that goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
#[must_use]
pub struct IntelRdt {
    class: Option<String>,
    schemata: Vec<String>,
    monitoring: bool,
}

impl IntelRdt {
    /// A class of the container's own, without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// The class of this name, shared with others. It is made if it is missing
    /// and there is a [schema](Self::schema), and stays. One that is there has
    /// to have what the schemata say.
    pub fn class(mut self, name: impl Into<String>) -> Self {
        self.class = Some(name.into());
        self
    }

    /// Adds a line of `schemata`, such as `L3:0=ff;1=ff` or `MB:0=50`.
    pub fn schema(mut self, line: impl Into<String>) -> Self {
        self.schemata.push(line.into());
        self
    }

    /// Counts what the container uses, in a monitoring group of its own.
    pub fn monitoring(mut self, on: bool) -> Self {
        self.monitoring = on;
        self
    }

    /// The name of the class, if it is not of the container's own.
    #[must_use]
    pub fn get_class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// The lines of `schemata`.
    #[must_use]
    pub fn get_schemata(&self) -> &[String] {
        &self.schemata
    }

    /// Whether there is a monitoring group.
    #[must_use]
    pub fn has_monitoring(&self) -> bool {
        self.monitoring
    }

    /// Checks the name of the class and the form of the lines.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming what is wrong.
    pub fn check(&self) -> Result<()> {
        if let Some(class) = &self.class {
            check_name(class)?;
        }
        for line in &self.schemata {
            let form = line.split_once(':').is_some_and(|(_, rest)| rest.contains('='));
            if !form || line.contains(['\n', '\0']) {
                return Err(Error::invalid(STEP, line.clone(), "not a line like MB:0=50"));
            }
        }
        Ok(())
    }

    /// Where the kernel offers it.
    pub(crate) fn root() -> Result<PathBuf> {
        let missing = |reason: &'static str| {
            Error::with(ErrorKind::Unsupported, STEP, "resctrl", reason).hint(
                "Linux 4.10 with CONFIG_X86_CPU_RESCTRL, a processor with RDT, and: \
                 mount -t resctrl resctrl /sys/fs/resctrl",
            )
        };
        let mounts = fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| Error::os("read", "/proc/self/mountinfo", error))?;
        let found = mounts.lines().find_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let of_kind = file_system.split(' ').next() == Some("resctrl");
            of_kind.then(|| mount.split(' ').nth(4)).flatten().map(PathBuf::from)
        });
        found.ok_or_else(|| missing("no such file system is mounted"))
    }

    fn directory(&self, root: &Path, container: &str) -> PathBuf {
        root.join(self.class.as_deref().unwrap_or(container))
    }

    /// Puts a process of a container into its class.
    pub(crate) fn enter(&self, root: &Path, container: &str, pid: u32) -> Result<Entered> {
        check_name(container)?;
        let directory = self.directory(root, container);
        let mut entered = Entered(Vec::new());
        let there = directory.is_dir();
        if !there && self.class.is_some() && self.schemata.is_empty() {
            let reason = "no such class, and no schema to make it with";
            let object = directory.to_string_lossy();
            return Err(Error::with(ErrorKind::NotFound, STEP, object, reason));
        }
        if there {
            self.check_same(&directory)?;
        } else {
            make(&directory, &mut entered)?;
            for line in &self.schemata {
                write(&directory.join("schemata"), &format!("{line}\n"))?;
            }
        }
        write(&directory.join("tasks"), &pid.to_string())?;
        if self.monitoring {
            let group = directory.join("mon_groups").join(container);
            make(&group, &mut entered)?;
            write(&group.join("tasks"), &pid.to_string())?;
        }
        Ok(entered)
    }

    /// A class that others use too is not changed.
    fn check_same(&self, directory: &Path) -> Result<()> {
        let path = directory.join("schemata");
        let text = fs::read_to_string(&path)
            .map_err(|error| Error::os("read", path.to_string_lossy(), error))?;
        let current: BTreeMap<_, _> = text.lines().filter_map(parsed).collect();
        let same = |line: &&String| {
            parsed(line).is_some_and(|(resource, domains)| {
                current.get(resource).is_some_and(|current| {
                    domains.iter().all(|(domain, value)| current.get(domain) == Some(value))
                })
            })
        };
        match self.schemata.iter().find(|line| !same(line)) {
            None => Ok(()),
            Some(line) => {
                let reason = format!("the class {} is there and differs", directory.display());
                Err(Error::with(ErrorKind::AlreadyExists, STEP, line.clone(), reason))
            }
        }
    }

    /// Removes what was made for a container that is gone. What is not there
    /// counts as removed.
    ///
    /// # Errors
    ///
    /// Those of removing the directories.
    pub fn remove(&self, container: &str) -> Result<()> {
        check_name(container)?;
        let Ok(root) = Self::root() else {
            return Ok(());
        };
        let directory = self.directory(&root, container);
        let monitored = if self.monitoring {
            remove(&directory.join("mon_groups").join(container))
        } else {
            Ok(())
        };
        let own = if self.class.is_none() { remove(&directory) } else { Ok(()) };
        monitored.and(own)
    }
}

/// Directories that were made; dropping it removes them again.
#[derive(Debug)]
pub(crate) struct Entered(Vec<PathBuf>);

impl Entered {
    pub(crate) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        for directory in self.0.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// One directory below a class of the kernel's.
fn check_name(name: &str) -> Result<()> {
    let own = ["", ".", "..", "info", "mon_groups", "mon_data"].contains(&name);
    match own || name.len() > 255 || name.contains(['/', '\n', '\0']) {
        true => Err(Error::invalid(STEP, name, "not the name of a class")),
        false => Ok(()),
    }
}

/// `L3:0=ff;1=0f` as resource, and value by domain without leading zeroes.
fn parsed(line: &str) -> Option<(&str, BTreeMap<&str, &str>)> {
    let (resource, domains) = line.trim().split_once(':')?;
    let domains = domains.split(';').filter_map(|domain| {
        let (domain, value) = domain.split_once('=')?;
        Some((domain.trim(), value.trim().trim_start_matches('0')))
    });
    Some((resource.trim(), domains.collect()))
}

fn make(directory: &Path, entered: &mut Entered) -> Result<()> {
    match fs::create_dir(directory) {
        Ok(()) => {
            entered.0.push(directory.to_owned());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::os("mkdir", directory.to_string_lossy(), error)
            .hint("the processor has few classes: another has to go first")),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .map_err(|error| Error::os("write", format!("{} {}", path.display(), text.trim()), error))
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::os("rmdir", directory.to_string_lossy(), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lines() {
        for wrong in ["", ".", "..", "a/b", "info", "mon_groups", "a\n"] {
            assert!(IntelRdt::new().class(wrong).check().is_err(), "{wrong:?}");
        }
        for wrong in ["", "MB", "MB:", "MB:0", "MB:0=1\nL3:0=1"] {
            assert!(IntelRdt::new().schema(wrong).check().is_err(), "{wrong:?}");
        }
        IntelRdt::new().class("a").schema("L3:0=ff;1=ff").check().unwrap();
    }

    /// Files in place of the kernel's: they take what is written.
    #[test]
    fn a_class_is_made_entered_and_given_up() {
        let root = testkit::TempDir::new();
        let rdt = IntelRdt::new().schema("MB:0=50");
        let entered = rdt.enter(root.path(), "c1", 77).unwrap();
        assert_eq!(fs::read_to_string(root.join("c1/schemata")).unwrap(), "MB:0=50\n");
        assert_eq!(fs::read_to_string(root.join("c1/tasks")).unwrap(), "77");
        // The kernel's own files do not hinder the removal, these do.
        fs::remove_file(root.join("c1/schemata")).unwrap();
        fs::remove_file(root.join("c1/tasks")).unwrap();
        drop(entered);
        assert!(!root.join("c1").exists());
    }

    #[test]
    fn a_class_of_others_is_not_changed() {
        let root = testkit::TempDir::new();
        let shared = IntelRdt::new().class("shared");
        let error = shared.enter(root.path(), "c1", 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        fs::create_dir_all(root.join("shared/mon_groups")).unwrap();
        fs::write(root.join("shared/schemata"), "    L3:0=00f;1=00f\n    MB:0= 50;1=100\n")
            .unwrap();
        let same = shared.clone().schema("L3:0=f").schema("MB:1=100;0=50").monitoring(true);
        same.enter(root.path(), "c1", 1).unwrap().keep();
        assert!(root.join("shared/mon_groups/c1/tasks").exists());
        let other = shared.schema("MB:0=40");
        let error = other.enter(root.path(), "c1", 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
}
