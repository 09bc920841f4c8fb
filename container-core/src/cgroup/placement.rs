//! [`Placement`]: where a container's cgroup belongs, by the rules of the OCI specification.

use std::path::Path;

use super::controller::Version;
use super::group::Cgroup;
use super::hierarchy::Hierarchy;
use super::path::CgroupPath;
use super::resources::Resources;
use super::topology::HierarchyMount;
use crate::error::{Error, ErrorKind, Result};

const FIELD: &str = "linux.cgroupsPath";

/// Where a container's cgroup belongs: the OCI `linux.cgroupsPath`.
///
/// ```
/// use std::path::Path;
/// use container_core::cgroup::Placement;
///
/// let given = Placement::from_oci(Some(Path::new("/pod/web")), "web")?;
/// assert_eq!(given, Placement::Absolute("/pod/web".into()));
/// assert_eq!(Placement::from_oci(None, "web")?, Placement::Default("container-web".into()));
/// assert!(Placement::from_oci(Some(Path::new("/pod/../etc")), "web").is_err());
/// # Ok::<(), container_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placement {
    /// Below the root of every hierarchy.
    Absolute(String),
    /// On v1 below the calling process's own cgroup of each hierarchy; on v2 beside it, as a
    /// cgroup with processes of its own can hand nothing down. So do runc and crun.
    Relative(String),
    /// Not given: a name of its own, below the root for root, and for others below the
    /// [delegated](Hierarchy::delegation) cgroup. Without one there is no cgroup, if no limit
    /// needs it.
    Default(String),
}

impl Placement {
    /// Checks the field; `id` names the cgroup where no path is given.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a path with `..` and the like;
    /// [`ErrorKind::Unsupported`] for systemd's form `slice:prefix:name`, which takes a
    /// running systemd.
    pub fn from_oci(cgroups_path: Option<&Path>, id: &str) -> Result<Self> {
        let Some(path) = cgroups_path.filter(|path| !path.as_os_str().is_empty()) else {
            // The longest ids leave no room for more in the name of a directory.
            let name = match id.len() {
                ..=245 => format!("container-{id}"),
                _ => id.to_owned(),
            };
            CgroupPath::root().join(&name)?;
            return Ok(Self::Default(name));
        };
        let Some(text) = path.to_str() else {
            let reason = "is not UTF-8";
            return Err(Error::invalid(FIELD, path.to_string_lossy(), reason));
        };
        if !text.contains('/') && text.split(':').count() == 3 {
            let reason = "is of the form slice:prefix:name, and systemd is not asked here";
            return Err(Error::with(ErrorKind::Unsupported, FIELD, text, reason)
                .hint("give a path, and leave out --systemd-cgroup"));
        }
        let slashed = format!("/{}", text.trim_matches('/'));
        let parsed = CgroupPath::parse(&slashed)
            .map_err(|error| Error::invalid(FIELD, text, reason_of(&error)))?;
        if parsed.is_root() {
            return Err(Error::invalid(FIELD, text, "the root holds the whole machine"));
        }
        Ok(match text.starts_with('/') {
            true => Self::Absolute(slashed),
            false => Self::Relative(slashed[1..].to_owned()),
        })
    }
}

fn reason_of(error: &Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().unwrap_or_default().to_owned()
}

impl Hierarchy {
    /// Makes a container's cgroup where it belongs, in every hierarchy, without limits as yet.
    ///
    /// A cgroup that exists is taken over if it is empty and not frozen. `None`: an ordinary
    /// user without a delegated cgroup asked for no limits and no place, and gets no cgroup.
    ///
    /// # Errors
    ///
    /// As [`create_everywhere`](Self::create_everywhere). [`ErrorKind::PermissionDenied`]
    /// with the way to get a delegated cgroup where limits are asked for without one.
    pub fn place(&self, placement: &Placement, limits: &Resources) -> Result<Option<Cgroup>> {
        let delegation = match self.delegation() {
            Ok(delegation) => delegation,
            Err(_) if limits.is_unlimited() => return Ok(None),
            Err(error) => return Err(error),
        };
        // v1 hierarchies are never an ordinary user's.
        let view = match delegation.prefix.as_str() {
            "/" => self.clone(),
            _ => self.v2_only()?,
        };
        let needed = limits.controllers();
        let made = match placement {
            Placement::Absolute(path) => view.create_everywhere(path, needed),
            Placement::Relative(path) => {
                view.around_own()?.create_everywhere(&format!("/{path}"), needed)
            }
            Placement::Default(name) => view.create_everywhere(&delegation.path_of(name)?, needed),
        };
        match made {
            Err(error)
                if error.kind() == ErrorKind::PermissionDenied
                    && delegation.prefix != "/"
                    && limits.is_unlimited() =>
            {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Opens what [`place`](Self::place) would make or has made.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where there is none.
    pub(crate) fn placed(&self, placement: &Placement) -> Result<Cgroup> {
        match placement {
            Placement::Absolute(path) => self.open(path),
            Placement::Relative(path) => self.around_own()?.open(&format!("/{path}")),
            Placement::Default(name) => self.open(&self.delegation()?.path_of(name)?),
        }
    }

    /// The hierarchies as relative paths see them.
    fn around_own(&self) -> Result<Self> {
        self.rebased(|mount: &HierarchyMount| {
            let Some(own) = mount.own_path().map(CgroupPath::parse).transpose()? else {
                return Ok(None);
            };
            match mount.version() {
                Version::V1 => Ok(Some(own)),
                Version::V2 => Ok(Some(own.parent().unwrap_or(own))),
            }
        })
    }

    fn v2_only(&self) -> Result<Self> {
        self.rebased(|mount| Ok((mount.version() == Version::V2).then(CgroupPath::root)))
    }
}
