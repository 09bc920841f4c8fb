//! Bringing a saved container back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::cgroups;
use super::checkpoint::DESCRIPTORS;
use super::create::{claim, write_pid_file};
use super::criu::{self, Call, CriuOptions};
use super::directory::Directory;
use super::identity::Identity;
use super::record::Record;
use super::stored::StoredContainer;
use crate::cgroup::{Cgroup, OwnedCgroup};
use crate::container::ContainerBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::oci::Bundle;
use crate::process::Stdio;

/// The number of the restored process, in the state directory.
const PID_FILE: &str = "restored.pid";

/// How a container is brought back.
#[derive(Debug)]
#[must_use]
pub struct RestoreOptions {
    criu: CriuOptions,
    streams: Option<[Stdio; 3]>,
    pid_file: Option<PathBuf>,
    without_cgroup: bool,
}

impl RestoreOptions {
    /// With these for criu, which have to fit those of the checkpoint.
    pub fn new(criu: CriuOptions) -> Self {
        Self { criu, streams: None, pid_file: None, without_cgroup: false }
    }

    /// What takes the place of standard streams that were pipes to outside; the caller's own
    /// unless given.
    pub fn streams(mut self, streams: [Stdio; 3]) -> Self {
        self.streams = Some(streams);
        self
    }

    /// A file to write the number of the process to.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_file = Some(path.into());
        self
    }

    /// Makes no cgroup.
    pub fn without_cgroup(mut self, on: bool) -> Self {
        self.without_cgroup = on;
        self
    }

    /// The security label of the processes, as `selinux:LABEL` or `apparmor:PROFILE`.
    pub fn lsm_profile(mut self, label: impl Into<String>) -> Self {
        self.criu.pair("--lsm-profile", label.into());
        self
    }

    /// The SELinux context of the mounts.
    pub fn lsm_mount_context(mut self, context: impl Into<String>) -> Self {
        self.criu.pair("--lsm-mount-context", context.into());
        self
    }
}

/// The container runs on; its process is a child of the next subreaper above the caller.
///
/// Hooks are not run: what they would have set up is in the images.
pub(super) fn restore(
    root: &Arc<Directory>,
    id: &str,
    bundle: &Bundle,
    options: &RestoreOptions,
) -> Result<StoredContainer> {
    let mut call = Call::new("restore", &options.criu)?;
    let images = &options.criu.images;
    if !images.join("inventory.img").is_file() {
        let reason = "there are no images in it";
        let object = images.to_string_lossy().into_owned();
        return Err(Error::with(ErrorKind::NotFound, "restore", object, reason));
    }
    let rootfs =
        bundle.rootfs().ok_or_else(|| Error::invalid("check spec", "root", "is missing"))?;
    let builder = ContainerBuilder::from_spec(bundle.spec(), bundle.directory())?;
    let placement = cgroups::placement(bundle.spec(), id)?;
    let mut record = Record::new(id, bundle)?;
    record.started = true;

    let (mut claim, directory, lock) = claim(root, &record, bundle)?;
    let cgroup = match options.without_cgroup {
        true => None,
        false => cgroups::make(&placement, builder.wanted_resources())?,
    };
    record.cgroup = cgroup.as_deref().map(Cgroup::record);
    record.write(&directory)?;
    call.cgroup(cgroup.as_deref().cloned());
    call.streams(Some(options.streams.clone().unwrap_or([
        Stdio::Inherit,
        Stdio::Inherit,
        Stdio::Inherit,
    ])));
    describe(&mut call, bundle, &rootfs, &directory.path.join(PID_FILE))?;
    call.run(Some(&rootfs))?;
    let restored = Restored::read(&directory)?;
    record.process = Some(restored.0);
    record.write(&directory)?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, restored.0.pid)?;
    }
    restored.keep();
    drop(lock);
    claim.done = true;
    let _ = cgroup.map(OwnedCgroup::release);
    let container = StoredContainer {
        root: Arc::clone(root),
        id: id.to_owned(),
        directory,
        process: None,
        terminal: Mutex::new(None),
    };
    Ok(container)
}

fn describe(call: &mut Call, bundle: &Bundle, rootfs: &Path, pid_file: &Path) -> Result<()> {
    let images = call.options().images.clone();
    let network = match criu::joined_network(bundle.spec()) {
        Some(path) => {
            let file = std::fs::File::open(path)
                .map_err(|error| Error::os("open", path.to_string_lossy(), error))?;
            Some(call.pass(file))
        }
        None => None,
    };
    let criu = call.options();
    criu.argument("--restore-detached");
    criu.pair("--pidfile", pid_file);
    criu.pair("--root", rootfs);
    for (place, source) in criu::external_mounts(bundle, Path::new("/")) {
        criu.pair("--external", format!("mnt[{}]:{}", place.display(), source.display()));
    }
    if let Some(number) = network {
        criu.pair("--inherit-fd", criu::network_name(&format!("fd[{number}]")));
    }
    let text = std::fs::read(images.join(DESCRIPTORS)).unwrap_or_default();
    let links: Vec<String> = serde_json::from_slice(&text).unwrap_or_default();
    for (number, link) in links.iter().enumerate().take(3) {
        if link.starts_with("pipe:") {
            criu.pair("--inherit-fd", format!("fd[{number}]:{link}"));
        }
    }
    Ok(())
}

/// A process that is killed unless the container comes to be.
struct Restored(Identity);

impl Restored {
    fn read(directory: &Directory) -> Result<Self> {
        let text = directory.read(PID_FILE)?;
        directory.unlink(PID_FILE)?;
        let pid = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        let pid = pid.ok_or_else(|| {
            let object = directory.path.join(PID_FILE).to_string_lossy().into_owned();
            Error::with(ErrorKind::Program, "criu restore", object, "it tells no process")
        })?;
        Identity::of(pid).map(Self)
    }

    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = self.0.signal(libc::SIGKILL);
    }
}
