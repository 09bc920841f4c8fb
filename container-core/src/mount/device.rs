//! Device nodes of a container.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The sort of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// Read and written as a stream of bytes (`c`, `u`).
    Character,
    /// Made of blocks, such as a disk (`b`).
    Block,
    /// A named pipe (`p`): no device, but made and named like one.
    Fifo,
}

impl DeviceKind {
    /// The file type bits of its mode.
    pub(crate) const fn mode_bits(self) -> u32 {
        match self {
            Self::Character => libc::S_IFCHR,
            Self::Block => libc::S_IFBLK,
            Self::Fifo => libc::S_IFIFO,
        }
    }

    /// The letter that stands for it, as in `ls -l`.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Character => 'c',
            Self::Block => 'b',
            Self::Fifo => 'p',
        }
    }
}

/// A device node to make in the container ([mknod(2)]).
///
/// In a user namespace `mknod` is forbidden: there the host's node of the same
/// number is bind-mounted, with the mode and owner that it has.
///
/// ```
/// use container_core::mount::{Device, DeviceKind};
///
/// let fuse = Device::character("/dev/fuse", 10, 229).mode(0o660).owner(0, 5);
/// assert_eq!((fuse.kind(), fuse.numbers()), (DeviceKind::Character, (10, 229)));
/// ```
///
/// [mknod(2)]: https://man7.org/linux/man-pages/man2/mknod.2.html
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Device {
    pub(crate) path: PathBuf,
    pub(crate) kind: DeviceKind,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Device {
    /// A node of this kind at `path`, absolute as the container sees it; mode
    /// 0666, owned by root, unless given.
    pub fn new(kind: DeviceKind, path: impl Into<PathBuf>, major: u32, minor: u32) -> Self {
        Self { path: path.into(), kind, major, minor, mode: 0o666, uid: 0, gid: 0 }
    }

    /// A character device.
    pub fn character(path: impl Into<PathBuf>, major: u32, minor: u32) -> Self {
        Self::new(DeviceKind::Character, path, major, minor)
    }

    /// A block device.
    pub fn block(path: impl Into<PathBuf>, major: u32, minor: u32) -> Self {
        Self::new(DeviceKind::Block, path, major, minor)
    }

    /// A named pipe.
    pub fn fifo(path: impl Into<PathBuf>) -> Self {
        Self::new(DeviceKind::Fifo, path, 0, 0)
    }

    /// A copy of the host's node: its kind, numbers, mode and owner, at
    /// `target` in the container.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is nothing;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is no device.
    pub fn of_host(path: impl AsRef<Path>, target: impl Into<PathBuf>) -> Result<Self> {
        let path = path.as_ref();
        let shown = path.to_string_lossy();
        let found = std::fs::metadata(path).map_err(|error| Error::os("stat", &*shown, error))?;
        let kind = match found.file_type() {
            kind if kind.is_char_device() => DeviceKind::Character,
            kind if kind.is_block_device() => DeviceKind::Block,
            _ => return Err(Error::invalid("check device", shown, "not a device")),
        };
        let (major, minor) = (libc::major(found.rdev()), libc::minor(found.rdev()));
        let device = Self::new(kind, target, major, minor);
        Ok(device.mode(found.mode()).owner(found.uid(), found.gid()))
    }

    /// Its permissions; bits beyond 07777 are dropped.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o7777;
        self
    }

    /// Its owner and group, as ids inside.
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// Where it is, as the container sees it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// Its major and minor number.
    #[must_use]
    pub fn numbers(&self) -> (u32, u32) {
        (self.major, self.minor)
    }
}
