//! `root` and `mounts`.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount as Described, Spec};

use super::field::{STEP, clean, invalid, no_nul, unsupported};
use super::namespaces::id_mappings;
use super::options::{Meaning, is_comment, meaning};
use crate::error::{Error, Result};
use crate::idmap::IdMappings;
use crate::mount::{Attribute, Attributes, Mount, Propagation, Rootfs};

/// The root of the container.
pub(super) fn rootfs(spec: &Spec, bundle: &Path) -> Result<Rootfs> {
    let Some(root) = spec.root() else {
        return Err(invalid("root", "required, but missing"));
    };
    let field = "root.path";
    if root.path().as_os_str().is_empty() {
        return Err(invalid(field, "required, but missing"));
    }
    no_nul(field, root.path())?;
    let path = bundle.join(root.path());
    let found = std::fs::metadata(&path)
        .map_err(|error| Error::os(STEP, path.to_string_lossy(), error).in_field(field))?;
    if !found.is_dir() {
        return Err(invalid(field, format!("{}: not a directory", path.display())));
    }
    let rootfs = Rootfs::directory(path);
    let rootfs = if root.readonly() == Some(true) { rootfs.read_only() } else { rootfs };
    propagated(spec, rootfs)
}

fn propagated(spec: &Spec, rootfs: Rootfs) -> Result<Rootfs> {
    let word = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref());
    match (word.unwrap_or_default(), word.and_then(meaning)) {
        ("", _) => Ok(rootfs),
        (_, Some(Meaning::Propagation { kind, recursive: false })) => Ok(rootfs.propagation(kind)),
        (_, Some(Meaning::Propagation { kind, recursive: true })) => {
            Ok(rootfs.recursive_propagation(kind))
        }
        (word, _) => Err(invalid("linux.rootfsPropagation", format!("{word:?}: no such word"))
            .hint("shared, slave, private and unbindable are, and each with r before it")),
    }
}

/// The mounts in their order.
pub(super) fn mounts(spec: &Spec, bundle: &Path) -> Result<Vec<Mount>> {
    let list = spec.mounts().iter().flatten().enumerate();
    list.map(|(index, described)| mount(described, &format!("mounts[{index}]"), bundle)).collect()
}

/// The options of a mount, sorted by what they are for.
#[derive(Debug, Default)]
struct Options<'a> {
    bind: Option<bool>,
    set: u64,
    clear: u64,
    recursive_set: u64,
    recursive_clear: u64,
    propagation: Option<(Propagation, bool)>,
    id_map: Option<bool>,
    copy_up: bool,
    superblock: Vec<&'static str>,
    /// Of the file system, each with its index.
    data: Vec<(usize, &'a str)>,
}

impl<'a> Options<'a> {
    fn of(described: &'a Described, field: &str) -> Result<Self> {
        let mut options = Self::default();
        for (index, option) in described.options().iter().flatten().enumerate() {
            no_nul(format_args!("{field}.options[{index}]"), option)?;
            match meaning(option) {
                Some(meaning) => options.add(meaning, format!("{field}.options[{index}]"))?,
                None if is_comment(option) => {}
                None => options.data.push((index, option)),
            }
        }
        Ok(options)
    }

    fn add(&mut self, meaning: Meaning, field: String) -> Result<()> {
        match meaning {
            Meaning::Attribute { set, clear, recursive: false } => {
                (self.set, self.clear) = then(self.set, self.clear, set, clear);
            }
            Meaning::Attribute { set, clear, recursive: true } => {
                (self.recursive_set, self.recursive_clear) =
                    then(self.recursive_set, self.recursive_clear, set, clear);
            }
            Meaning::Superblock(key) => self.superblock.push(key),
            Meaning::Bind { recursive } => {
                self.bind = Some(recursive || self.bind == Some(true));
            }
            Meaning::Propagation { kind, recursive } => self.propagation = Some((kind, recursive)),
            Meaning::IdMap { recursive } => self.id_map = Some(recursive),
            Meaning::CopyUp => self.copy_up = true,
            Meaning::Remount => return Err(unsupported(field, "nothing is mounted there yet")),
            Meaning::Nothing => {}
        }
        Ok(())
    }
}

/// What is to be set and cleared, with a later word on top.
fn then(set: u64, clear: u64, later_set: u64, later_clear: u64) -> (u64, u64) {
    let touched = later_set | later_clear;
    ((set & !touched) | later_set, (clear & !later_set) | later_clear)
}

fn mount(described: &Described, field: &str, bundle: &Path) -> Result<Mount> {
    let target = target(described, field)?;
    let options = Options::of(described, field)?;
    let mappings = id_mappings(
        described.uid_mappings().as_deref(),
        described.gid_mappings().as_deref(),
        field,
    )?;
    let typ = described.typ().as_deref().unwrap_or_default();
    no_nul(format_args!("{field}.type"), typ)?;
    if options.bind.is_some() || typ == "bind" {
        let mount = bind(described, &options, target, field, bundle)?;
        return Ok(with_id_map(mount, &options, mappings));
    }
    if mappings.is_some() || options.id_map.is_some() {
        let reason = "only a bind mount can be id-mapped";
        return Err(unsupported(format!("{field}.options"), reason));
    }
    let mount = file_system(typ, &options, target, field)?;
    match described.source() {
        // A name like the type's is what the kernel shows anyway.
        Some(source) if !source.as_os_str().is_empty() && typ != "cgroup" => {
            Ok(mount.option("source", source.as_os_str()))
        }
        _ => Ok(mount),
    }
}

fn target(described: &Described, field: &str) -> Result<PathBuf> {
    let field = format!("{field}.destination");
    let path = described.destination();
    no_nul(&field, path)?;
    if path.as_os_str().is_empty() {
        return Err(invalid(field, "required, but missing"));
    }
    // A relative one is deprecated by the specification, and means this.
    let target = clean(path);
    if target == Path::new("/") {
        return Err(invalid(field, "the root itself is given by root.path"));
    }
    Ok(target)
}

fn bind(
    described: &Described,
    options: &Options<'_>,
    target: PathBuf,
    field: &str,
    bundle: &Path,
) -> Result<Mount> {
    let source = match described.source() {
        Some(source) if !source.as_os_str().is_empty() => source,
        _ => return Err(invalid(format!("{field}.source"), "a bind mount needs one")),
    };
    no_nul(format_args!("{field}.source"), source)?;
    if let Some((index, option)) = options.data.first() {
        let reason = format!("{option:?}: a bind mount has no such option");
        return Err(invalid(format!("{field}.options[{index}]"), reason));
    }
    let source = bundle.join(source);
    std::fs::metadata(&source).map_err(|error| {
        Error::os(STEP, source.to_string_lossy(), error).in_field(format_args!("{field}.source"))
    })?;
    let mount = Mount::bind(source, target);
    let mount = if options.bind == Some(true) { mount } else { mount.without_submounts() };
    if options.copy_up {
        return Err(invalid(format!("{field}.options"), "only a tmpfs can start as a copy"));
    }
    Ok(with_attributes(mount, options))
}

fn file_system(typ: &str, options: &Options<'_>, target: PathBuf, field: &str) -> Result<Mount> {
    let mut mount = match typ {
        "" => {
            return Err(invalid(format!("{field}.type"), "required where no option says bind"));
        }
        "proc" => Mount::proc(target),
        "sysfs" => Mount::sysfs(target),
        "mqueue" => Mount::mqueue(target),
        "tmpfs" if target == Path::new("/dev") => Mount::dev(target),
        "tmpfs" => Mount::tmpfs(target),
        "devpts" => Mount::devpts(target),
        "cgroup" => Mount::cgroup(target),
        "cgroup2" => Mount::cgroup2(target),
        other => Mount::file_system(other, target),
    };
    (mount.tree, mount.top) = Default::default();
    if typ == "cgroup" {
        mount = mount.set(Attribute::ReadOnly);
    }
    clear_options(&mut mount);
    mount.tty_group = false;
    let has_mode = options.data.iter().any(|(_, option)| option.starts_with("mode="));
    mount.mode_of_target = typ == "tmpfs" && !has_mode;
    if options.copy_up && typ != "tmpfs" {
        return Err(invalid(format!("{field}.options"), "only a tmpfs can start as a copy"));
    }
    mount.copy_up = options.copy_up;
    for key in &options.superblock {
        mount = mount.option(*key, None::<&str>);
    }
    for (_, option) in &options.data {
        mount = match option.split_once('=') {
            Some((key, value)) => mount.option(key, value),
            None => mount.option(*option, None::<&str>),
        };
    }
    Ok(with_attributes(mount, options))
}

fn clear_options(mount: &mut Mount) {
    if let Some(options) = mount.source.options_mut() {
        options.clear();
    }
}

fn with_attributes(mut mount: Mount, options: &Options<'_>) -> Mount {
    let top = Attributes { set: options.set, clear: options.clear };
    mount.top = mount.top.then(top);
    mount.tree = Attributes { set: options.recursive_set, clear: options.recursive_clear };
    match options.propagation {
        Some((kind, true)) => mount.propagation(kind),
        Some((kind, false)) => mount.top_propagation(kind),
        None => mount,
    }
}

fn with_id_map(mount: Mount, options: &Options<'_>, mappings: Option<IdMappings>) -> Mount {
    let mount = match (mappings, options.id_map) {
        (Some(mappings), _) => mount.id_map(mappings),
        (None, Some(_)) => mount.container_id_map(),
        (None, None) => mount,
    };
    if options.id_map == Some(true) { mount.recursive_id_map() } else { mount }
}
