//! Saving a running container to files.

use std::fs::DirBuilder;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::criu::{self, Call, CriuOptions};
use super::state::Status;
use super::stored::StoredContainer;
use crate::error::{Error, ErrorKind, Result};

/// The file beside the images that tells what the standard streams were.
pub(super) const DESCRIPTORS: &str = "descriptors.json";
/// How long the end may take after all has been saved.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How a container is saved.
#[derive(Debug, Clone)]
#[must_use]
pub struct CheckpointOptions {
    criu: CriuOptions,
    leaves_running: bool,
    pre_dump: bool,
    parent: Option<PathBuf>,
    page_server: Option<(String, u16)>,
}

impl CheckpointOptions {
    /// With these for criu; the container ends.
    pub fn new(criu: CriuOptions) -> Self {
        Self { criu, leaves_running: false, pre_dump: false, parent: None, page_server: None }
    }

    /// Lets it run on.
    pub fn leave_running(mut self, on: bool) -> Self {
        self.leaves_running = on;
        self
    }

    /// Saves only memory, and lets it run on: a later checkpoint with these images as its
    /// [parent](Self::parent) is faster.
    pub fn pre_dump(mut self, on: bool) -> Self {
        self.pre_dump = on;
        self
    }

    /// The images of an earlier pre-dump, relative to the images' directory, as criu has it.
    pub fn parent(mut self, path: impl Into<PathBuf>) -> Self {
        self.parent = Some(path.into());
        self
    }

    /// Sends the memory to a page server (`criu page-server`).
    pub fn page_server(mut self, address: impl Into<String>, port: u16) -> Self {
        self.page_server = Some((address.into(), port));
        self
    }
}

impl StoredContainer {
    /// Saves its processes to files by the program criu, from which
    /// [`Runtime::restore`](super::Runtime::restore) brings them back. It has ended then, unless
    /// it is told to run on; its state stays, to be deleted.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) without criu in `PATH`;
    /// [`WrongState`](ErrorKind::WrongState) unless it is running;
    /// [`Program`](ErrorKind::Program) with the last errors of criu's log.
    pub fn checkpoint(&self, options: &CheckpointOptions) -> Result<()> {
        let verb = if options.pre_dump { "pre-dump" } else { "dump" };
        let mut call = Call::new(verb, &options.criu)?;
        let _lock = self.directory.lock()?;
        let record = self.record()?;
        let status = self.status_of(&record);
        let (Status::Running, Some(process)) = (status, record.process) else {
            return Err(self.wrong("checkpoint", status, "running"));
        };
        let Some(pidfd) = process.open()? else {
            return Err(self.wrong("checkpoint", Status::Stopped, "running"));
        };
        let images = &options.criu.images;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(images)
            .map_err(|error| Error::os("mkdir", images.to_string_lossy(), error))?;
        save_descriptors(images, process.pid)?;
        self.describe(&mut call, options, process.pid)?;
        call.run(None)?;
        if options.leaves_running || options.pre_dump {
            return Ok(());
        }
        let ended = process.companions()?.wait_for_end(pidfd.as_fd(), Some(END_PATIENCE))?;
        match ended {
            true => Ok(()),
            false => {
                let reason = "it has not ended within 10 seconds";
                Err(Error::with(ErrorKind::TimedOut, "checkpoint", self.id.clone(), reason))
            }
        }
    }

    fn describe(&self, call: &mut Call, options: &CheckpointOptions, pid: u32) -> Result<()> {
        let bundle = self.bundle()?;
        let criu = call.options();
        criu.pair("--tree", pid.to_string());
        if let Some(parent) = &options.parent {
            criu.pair("--prev-images-dir", parent);
        }
        if options.parent.is_some() || options.pre_dump {
            criu.argument("--track-mem");
        }
        if let Some((address, port)) = &options.page_server {
            criu.argument("--page-server");
            criu.pair("--address", address);
            criu.pair("--port", port.to_string());
        }
        if options.pre_dump {
            return Ok(());
        }
        if options.leaves_running {
            criu.argument("--leave-running");
        }
        if let Some(root) = bundle.rootfs() {
            criu.pair("--root", root);
        }
        let inside = PathBuf::from(format!("/proc/{pid}/root"));
        for (place, _) in criu::external_mounts(&bundle, &inside) {
            criu.pair("--external", format!("mnt[{0}]:{0}", place.display()));
        }
        if criu::joined_network(bundle.spec()).is_some() {
            let path = format!("/proc/{pid}/ns/net");
            let found = nix::sys::stat::stat(path.as_str())
                .map_err(|error| Error::os("stat", path, error))?;
            criu.pair("--external", criu::network_name(&format!("net[{}]", found.st_ino)));
        }
        Ok(())
    }
}

/// Pipes to outside are told apart by these at the restore.
fn save_descriptors(images: &Path, pid: u32) -> Result<()> {
    let link = |number| {
        let link = std::fs::read_link(format!("/proc/{pid}/fd/{number}"));
        link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let links: Vec<String> = (0..3).map(link).collect();
    let path = images.join(DESCRIPTORS);
    std::fs::write(&path, serde_json::json!(links).to_string())
        .map_err(|error| Error::os("write", path.to_string_lossy(), error))
}
