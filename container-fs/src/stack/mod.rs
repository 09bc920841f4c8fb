//! Stacks: read-only layers and one writable directory shown as a single tree.
//!
//! An overlay shows, for each name, the entry of the topmost layer that has it. Nothing is ever
//! written to the layers: a write first copies the file to the writable directory (*upper*) on
//! top, a deletion leaves a [whiteout](crate::whiteout) there. So any number of containers share
//! the layers of their image, and what a container did is what its upper directory holds.
//!
//! **Layers are given from bottom to top**, in the order in which an image lists them: the base
//! first. (The kernel's own option `lowerdir` wants the reverse.)
//!
//! [`Stack::mount`] hands out a *detached* mount: a descriptor of the mounted tree that no path
//! leads to. Give it to a container, or [attach](Mounted::attach) it somewhere; when the last
//! descriptor goes, so does the mount.
//!
//! ```no_run
//! use container_fs::Stack;
//!
//! // base < libraries < application < what the container writes
//! let stack = Stack::new(["/layers/base", "/layers/libraries", "/layers/application"])
//!     .writable("/containers/1/upper", "/containers/1/work");
//! let attached = stack.mount()?.attach("/containers/1/merged")?;
//! std::fs::write("/containers/1/merged/hello", "goes to the upper directory")?;
//! attached.detach()?; // or let it drop
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it is mounted
//!
//! | kernel | way | longest stack |
//! |---|---|---|
//! | 6.13 | `fsconfig` `lowerdir+`, each layer by descriptor | 500 layers |
//! | 6.7 | `fsconfig` `lowerdir+`, each layer by path | 500 layers |
//! | before | `mount(2)` with one string of at most 4,095 bytes, in a mount namespace of a thread of its own; paths too long for it are replaced by descriptor numbers | 500 layers |
//!
//! The string is measured before the call, as `mount(2)` silently cuts a longer one off, and
//! with it layers. Which way is open is found out by trying, once.
//!
//! # Options
//!
//! Chosen so that an upper directory alone tells what changed: `metacopy=off` (a changed mode
//! copies the file's content too), `redirect_dir=nofollow` (a renamed directory is copied, and
//! no attribute in a layer can point elsewhere), `index=off` (the upper directory may be mounted
//! again on other layers); `userxattr` where the `trusted.*` attributes are out of reach.

mod check;
mod data;
mod mounted;
mod mounting;
mod namespace;

use std::ffi::{CString, OsString};
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::whiteout::XattrNamespace;
pub use mounted::{Attached, Mounted};
pub(crate) use mounting::{Interface, interface};

/// The most read-only layers that the kernel stacks (`OVL_MAX_STACK`).
pub const MAX_LAYERS: usize = 500;

/// A description of an overlay: layers from bottom to top, and where writes go.
///
/// Nothing is touched before [`mount`](Self::mount).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Stack {
    layers: Vec<PathBuf>,
    writable: Option<Writable>,
    volatile: bool,
    xattrs: Option<XattrNamespace>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Writable {
    upper: PathBuf,
    work: PathBuf,
}

/// One option for `fsconfig(2)`: [`FSCONFIG_SET_STRING`] with a value, `FSCONFIG_SET_FLAG`
/// without.
///
/// [`FSCONFIG_SET_STRING`]: https://man7.org/linux/man-pages/man2/fsconfig.2.html
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MountOption {
    /// The name of the option, as `lowerdir+`.
    pub key: &'static str,
    /// The value; `None` for a flag.
    pub value: Option<OsString>,
}

impl Stack {
    /// A read-only stack of `layers`, **bottom to top**.
    pub fn new<P: Into<PathBuf>>(layers: impl IntoIterator<Item = P>) -> Self {
        Self {
            layers: layers.into_iter().map(Into::into).collect(),
            writable: None,
            volatile: false,
            xattrs: None,
        }
    }

    /// Puts one more read-only layer on top of those given so far (but below the writable one).
    pub fn layer(mut self, path: impl Into<PathBuf>) -> Self {
        self.layers.push(path.into());
        self
    }

    /// Makes the stack writable: changes go to `upper`; `work` is an empty directory on the same
    /// mount that the kernel uses in between. Both must exist, and neither may be in use by
    /// another mount. Without this, the stack is read-only.
    pub fn writable(mut self, upper: impl Into<PathBuf>, work: impl Into<PathBuf>) -> Self {
        self.writable = Some(Writable { upper: upper.into(), work: work.into() });
        self
    }

    /// Omits every sync to disk (default: `false`). Faster; but after a crash of the *machine*
    /// the upper directory must be thrown away, and the kernel refuses to mount it again until
    /// `work/incompat/volatile` is removed. Linux 5.10. Without effect on a read-only stack.
    pub fn volatile(mut self, volatile: bool) -> Self {
        self.volatile = volatile;
        self
    }

    /// Keeps the marks in these extended attributes (default: [`XattrNamespace::detect`] at the
    /// time of the mount). To be set when the process that mounts has other privileges than the
    /// one that calls [`options`](Self::options).
    pub fn xattr_namespace(mut self, xattrs: XattrNamespace) -> Self {
        self.xattrs = Some(xattrs);
        self
    }

    /// The read-only layers, bottom to top.
    #[must_use]
    pub fn layers(&self) -> &[PathBuf] {
        &self.layers
    }

    /// The directory that receives the changes.
    #[must_use]
    pub fn upper(&self) -> Option<&Path> {
        self.writable.as_ref().map(|writable| writable.upper.as_path())
    }

    pub(crate) fn xattrs(&self) -> XattrNamespace {
        self.xattrs.unwrap_or_else(XattrNamespace::detect)
    }

    /// Mounts the stack, detached. Needs `CAP_SYS_ADMIN` over the caller's mount namespace.
    ///
    /// # Errors
    ///
    /// Before anything is touched: [`NoLayers`](crate::ErrorKind::NoLayers),
    /// [`TooManyLayers`](crate::ErrorKind::TooManyLayers),
    /// [`NotFound`](crate::ErrorKind::NotFound) and
    /// [`NotADirectory`](crate::ErrorKind::NotADirectory) for a directory of the stack,
    /// [`OverlappingLayers`](crate::ErrorKind::OverlappingLayers),
    /// [`CrossDevice`](crate::ErrorKind::CrossDevice) for upper and work on different mounts,
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly) for an upper that can't be written,
    /// [`TooLong`](crate::ErrorKind::TooLong) for what an old kernel can't be told.
    /// Then [`PermissionDenied`](crate::ErrorKind::PermissionDenied) without the privilege,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without overlayfs in the kernel (before
    /// anything is touched: for an upper directory that lies on an overlay itself), and whatever `fsconfig(2)` and `mount(2)` answer.
    pub fn mount(&self) -> Result<Mounted> {
        let places = check::check(self)?;
        let fd = mounting::mount(&places, &self.settings(), interface()?)?;
        Ok(Mounted::new(fd))
    }

    /// The options for a process that mounts by itself, inside a user namespace that the caller
    /// is not in: to be given to `fsconfig(2)` in this order, on the descriptor of
    /// `fsopen("overlay")`. Makes the same checks as [`mount`](Self::mount), and mounts nothing.
    ///
    /// Before Linux 6.7 all layers stand in one option `lowerdir`.
    ///
    /// # Errors
    ///
    /// As [`mount`](Self::mount). Moreover [`TooLong`](crate::ErrorKind::TooLong), as
    /// `fsconfig(2)` takes values of up to 255 bytes (see [`mount_data`](Self::mount_data) for
    /// the way round on an old kernel); and [`NoLayers`](crate::ErrorKind::NoLayers) for a
    /// read-only stack of a single layer, of which overlayfs makes no mount.
    pub fn options(&self) -> Result<Vec<MountOption>> {
        data::options(&check::check(self)?, &self.settings(), mounting::takes_single_layers())
    }

    /// The same options as one string, the last argument of `mount(2)` with the type `overlay`.
    /// Understood by every kernel.
    ///
    /// # Errors
    ///
    /// As [`options`](Self::options); [`TooLong`](crate::ErrorKind::TooLong) from 4,096 bytes on,
    /// where `mount(2)` would silently cut it off.
    pub fn mount_data(&self) -> Result<CString> {
        let places = check::check(self)?;
        data::check_mountable(&places)?;
        data::mount_data(&places.names(), &self.settings())
    }

    fn settings(&self) -> data::Settings {
        data::Settings { xattrs: self.xattrs(), volatile: self.volatile && self.writable.is_some() }
    }
}

#[cfg(test)]
mod tests;
