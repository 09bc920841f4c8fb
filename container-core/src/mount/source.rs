//! Where the files of a mount come from.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::idmap::IdMappings;

/// Options of a file system: keys with values, and flags.
pub(crate) type FileSystemOptions = Vec<(OsString, Option<OsString>)>;

/// What is mounted.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Bind {
        path: PathBuf,
        recursive: bool,
    },
    FileSystem {
        kind: OsString,
        options: FileSystemOptions,
    },
    Detached(Arc<OwnedFd>),
    Dev {
        options: FileSystemOptions,
    },
    /// The container's own part of the cgroup trees, as the host has them.
    Cgroup {
        options: FileSystemOptions,
    },
}

impl Source {
    /// The file system's options, where there is one.
    pub(crate) fn options_mut(&mut self) -> Option<&mut FileSystemOptions> {
        match self {
            Self::FileSystem { options, .. } | Self::Dev { options } | Self::Cgroup { options } => {
                Some(options)
            }
            Self::Bind { .. } | Self::Detached(_) => None,
        }
    }

    /// The file system's type, where it is a new one.
    pub(crate) fn kind(&self) -> Option<&OsStr> {
        match self {
            Self::FileSystem { kind, .. } => Some(kind),
            Self::Dev { .. } => Some(OsStr::new("tmpfs")),
            _ => None,
        }
    }

    /// Whether more than one mount may come of it.
    pub(crate) fn is_tree(&self) -> bool {
        matches!(self, Self::Bind { recursive: true, .. } | Self::Detached(_))
    }
}

/// The ids that the files of a mount show with.
#[derive(Debug, Clone)]
pub(crate) struct MountIdMap {
    /// Those of the container's user namespace unless given.
    pub(crate) mappings: Option<IdMappings>,
    pub(crate) recursive: bool,
}

/// The value of a file system option: a string, or none for a flag.
#[derive(Debug, Clone, Copy)]
pub struct OptionValue<'a>(pub(crate) Option<&'a OsStr>);

impl<'a, T: AsRef<OsStr> + ?Sized> From<&'a T> for OptionValue<'a> {
    fn from(value: &'a T) -> Self {
        Self(Some(value.as_ref()))
    }
}

impl<'a, T: AsRef<OsStr> + ?Sized> From<Option<&'a T>> for OptionValue<'a> {
    fn from(value: Option<&'a T>) -> Self {
        Self(value.map(AsRef::as_ref))
    }
}
