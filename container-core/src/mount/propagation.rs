//! How mounts spread between mount namespaces.

/// How mounts and unmounts spread between peers ([mount_namespaces(7)]).
///
/// [mount_namespaces(7)]: https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Propagation {
    /// Neither way: the default.
    Private,
    /// From the host into the container.
    Slave,
    /// Both ways.
    Shared,
    /// Neither way, and not to be bind-mounted again.
    Unbindable,
}

impl Propagation {
    pub(crate) const fn flag(self) -> u64 {
        match self {
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
            Self::Shared => libc::MS_SHARED,
            Self::Unbindable => libc::MS_UNBINDABLE,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Slave => "slave",
            Self::Shared => "shared",
            Self::Unbindable => "unbindable",
        }
    }

    /// The name of a propagation flag.
    pub(crate) fn flag_name(flag: u64) -> &'static str {
        [Self::Private, Self::Slave, Self::Shared, Self::Unbindable]
            .into_iter()
            .find(|propagation| propagation.flag() == flag)
            .map_or("", Self::name)
    }
}
