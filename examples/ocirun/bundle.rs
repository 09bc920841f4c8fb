//! Bundles: the one to run, as the global flags change it, and one to start from.

use std::path::Path;

use container_core::oci::{self, Bundle};
use serde_json::Value;

use crate::args::{CgroupManager, SpecFile};
use crate::{Context, Failure};

/// The bundle in this directory. With `--systemd-cgroup` its cgroup is where systemd would put it.
pub(crate) fn load(context: &Context<'_>, directory: &Path) -> Result<Bundle, Failure> {
    let bundle = Bundle::load(directory)?;
    for ignored in bundle.ignored() {
        context.log.warning(&format!("passed over: {ignored}"));
    }
    if context.manager != CgroupManager::Systemd {
        return Ok(bundle);
    }
    let mut json: Value = serde_json::from_str(&bundle.to_json())?;
    let Some(path) = json.pointer_mut("/linux/cgroupsPath") else { return Ok(bundle) };
    let words = path.as_str().unwrap_or_default();
    let translated = systemd_path(words).ok_or_else(|| {
        Failure::new(format!(
            "linux.cgroupsPath {words:?}: not of systemd's form, slice:prefix:name"
        ))
    })?;
    context.log.debug(&format!("cgroup {translated}, without asking systemd"));
    *path = Value::String(translated);
    Ok(Bundle::parse(bundle.directory(), json.to_string().as_bytes())?)
}

/// `slice:prefix:name` as a path: a slice named `a-b.slice` lies in `a.slice`.
fn systemd_path(words: &str) -> Option<String> {
    let [slice, prefix, name] = words.split(':').collect::<Vec<_>>().try_into().ok()?;
    if name.is_empty() || words.contains('/') {
        return None;
    }
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    let mut path = String::new();
    if slice != "-.slice" {
        let stem = slice.strip_suffix(".slice")?;
        let mut upper = String::new();
        for part in stem.split('-') {
            if part.is_empty() {
                return None;
            }
            upper.push_str(if upper.is_empty() { "" } else { "-" });
            upper.push_str(part);
            path.push_str(&format!("/{upper}.slice"));
        }
    }
    let unit = match (prefix, name.ends_with(".slice")) {
        ("", _) | (_, true) => name.to_owned(),
        (prefix, false) => format!("{prefix}-{name}.scope"),
    };
    Some(format!("{path}/{unit}"))
}

/// `spec`: a config.json to start from; one that is there stays.
pub(crate) fn write(file: &SpecFile) -> Result<(), Failure> {
    let spec = match file.rootless {
        true => oci::default_rootless_spec(),
        false => oci::default_spec(),
    };
    let path = file.bundle.join(Bundle::FILE_NAME);
    if path.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("{} exists; remove it first", path.display())));
    }
    Ok(Bundle::new(&file.bundle, spec)?.save()?)
}

/// `features`: what this program and this kernel can do.
pub(crate) fn features() -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(&oci::features())?);
    Ok(())
}
