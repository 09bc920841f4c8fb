//! Reading `/etc/passwd` and `/etc/group` of a container's root from outside.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use crate::error::{Error, ErrorKind, Result};
use crate::mount::Source;
use crate::process::Description;

/// The most that is read of one file.
const MAX_FILE: u64 = 16 << 20;

/// A root directory to read in.
pub(super) struct RootFiles(Arc<OwnedFd>);

/// Opens the root that the process will have.
pub(super) fn open(description: &Description) -> Result<RootFiles> {
    let entered = description.enter.as_ref().and_then(|enter| enter.root.clone());
    if let Some(root) = entered {
        return Ok(RootFiles(root));
    }
    let path = match description.rootfs.as_ref().map(|rootfs| &rootfs.source) {
        None => "/".as_ref(),
        Some(Source::Bind { path, .. }) => path.as_path(),
        Some(Source::Detached(mount)) => return Ok(RootFiles(Arc::clone(mount))),
        Some(Source::FileSystem { .. } | Source::Dev { .. } | Source::Cgroup { .. }) => {
            let reason = "names can't be looked up in a root that does not exist yet";
            return Err(Error::with(ErrorKind::Unsupported, "resolve user", "", reason)
                .hint("give the user by number, such as 1000:1000"));
        }
    };
    let root = File::open(path)
        .map_err(|error| Error::os("open rootfs", path.to_string_lossy(), error))?;
    Ok(RootFiles(Arc::new(root.into())))
}

impl RootFiles {
    /// A file's content; nothing if it does not exist. Resolved inside the
    /// root; only a regular file is read.
    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags).resolve(resolve);
        // The kernel asks to try again when something was renamed or mounted
        // meanwhile.
        let mut tries = std::iter::repeat_with(|| openat2(self.0.as_fd(), path, how)).take(1024);
        let opened = tries.find(|opened| opened.as_ref().err() != Some(&nix::errno::Errno::EAGAIN));
        let mut file = match opened.unwrap_or(Err(nix::errno::Errno::EAGAIN)) {
            Ok(file) => File::from(file),
            Err(nix::errno::Errno::ENOENT) => return Ok(Vec::new()),
            Err(error) => return Err(Error::os("openat2", format!("/{path}"), error)),
        };
        let failed = |error| Error::os("read", format!("/{path}"), error);
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Error::invalid("read", format!("/{path}"), "not a regular file"));
        }
        let mut content = Vec::new();
        file.by_ref().take(MAX_FILE).read_to_end(&mut content).map_err(failed)?;
        Ok(content)
    }
}
