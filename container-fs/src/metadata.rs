//! What a directory entry is: its type, owner, mode and times, read without following links.
//!
//! ```
//! use container_fs::{FileType, Root};
//!
//! let root = Root::open("/")?;
//! assert_eq!(root.metadata("etc")?.file_type, FileType::Directory);
//! # Ok::<(), container_fs::Error>(())
//! ```

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, RawMode, Statx, StatxFlags};
use rustix::path::Arg;

/// The type of a file, as in the upper bits of `st_mode` (`inode(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileType {
    /// An ordinary file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket bound in the file system.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileType {
    pub(crate) fn from_raw(raw: rustix::fs::FileType) -> Option<Self> {
        use rustix::fs::FileType as Raw;
        Some(match raw {
            Raw::RegularFile => Self::Regular,
            Raw::Directory => Self::Directory,
            Raw::Symlink => Self::Symlink,
            Raw::Fifo => Self::Fifo,
            Raw::Socket => Self::Socket,
            Raw::CharacterDevice => Self::CharDevice,
            Raw::BlockDevice => Self::BlockDevice,
            Raw::Unknown => return None,
        })
    }
}

/// The status of one file, symbolic links not followed; see `statx(2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// The type of the file.
    pub file_type: FileType,
    /// Permission, set-id and sticky bits (`mode & 0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes; of a symbolic link, the length of its target.
    pub size: u64,
    /// Number of hard links.
    pub nlink: u32,
    /// Inode number, unique within [`dev`](Self::dev).
    pub ino: u64,
    /// Device number (major, minor) of the file system that holds the file.
    pub dev: (u32, u32),
    /// Device number (major, minor) of a device file, else (0, 0).
    pub rdev: (u32, u32),
    /// Last change of the content, in whole seconds since 1970; may be negative.
    pub mtime: i64,
    /// The nanoseconds part of the last change.
    pub mtime_nsec: u32,
    /// Which mount the file was reached through; `None` before Linux 5.8.
    pub(crate) mount_id: Option<u64>,
}

impl Metadata {
    /// `true` for a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// Two names of one file?
    pub(crate) fn same_file(&self, other: &Self) -> bool {
        self.ino == other.ino && self.dev == other.dev
    }

    /// Reached through the same mount? Falls back to the device before Linux 5.8.
    pub(crate) fn same_mount(&self, other: &Self) -> bool {
        match (self.mount_id, other.mount_id) {
            (Some(a), Some(b)) => a == b,
            _ => self.dev == other.dev,
        }
    }

    /// Stats `name` in `dir`, or `dir` itself for the empty name. Never follows a link.
    pub(crate) fn at(dir: BorrowedFd<'_>, name: impl Arg) -> rustix::io::Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
        let mask = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        rustix::fs::statx(dir, name, flags, mask).map(|raw| Self::from_statx(&raw))
    }

    /// Stats the file that `fd` refers to.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        Self::at(fd, c"")
    }

    fn from_statx(raw: &Statx) -> Self {
        let mode = RawMode::from(raw.stx_mode);
        let has_mount_id = raw.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Self {
            file_type: FileType::from_raw(rustix::fs::FileType::from_raw_mode(mode))
                .unwrap_or(FileType::Regular),
            mode: mode & 0o7777,
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            size: raw.stx_size,
            nlink: raw.stx_nlink,
            ino: raw.stx_ino,
            dev: (raw.stx_dev_major, raw.stx_dev_minor),
            rdev: (raw.stx_rdev_major, raw.stx_rdev_minor),
            mtime: raw.stx_mtime.tv_sec,
            mtime_nsec: raw.stx_mtime.tv_nsec,
            mount_id: has_mount_id.then_some(raw.stx_mnt_id),
        }
    }
}
