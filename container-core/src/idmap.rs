//! Id maps: which user outside stands for which user inside a user namespace.
//!
//! In a *user namespace* ids are translated: a process can be uid 0 inside and
//! uid 1000 outside. The translation is a list of extents (`inside`, `outside`,
//! `count`), once for uids and once for gids, written to `/proc/PID/uid_map` and
//! `gid_map` after the namespace was made ([user_namespaces(7)]). An id without
//! a mapping shows up as the overflow id (65534) and can't be taken on.
//!
//! Who may write which map:
//!
//! - root (`CAP_SETUID`, `CAP_SETGID` outside): any;
//! - an ordinary user: a single id, its own ([`IdMappings::root_only`]), and
//!   the gid map only after `deny` was written to `/proc/PID/setgroups`;
//! - an ordinary user by way of the set-user-id programs `newuidmap` and
//!   `newgidmap`: its own id and the *subordinate* ids that `/etc/subuid` and
//!   `/etc/subgid` lend to it ([`IdMappings::from_subid`]).
//!
//! ```
//! use container_core::idmap::IdMappings;
//!
//! let maps = IdMappings::from_subid("ann", 1000, 1000, b"ann:100000:65536\n", b"ann:100000:65536\n")?;
//! assert_eq!(maps.uids.to_string(), "0 1000 1\n1 100000 65536\n");
//! assert_eq!(maps.uids.to_outside(0), Some(1000));
//! assert_eq!(maps.uids.to_outside(33), Some(100_032));
//! assert_eq!(maps.uids.to_inside(0), None);
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! [user_namespaces(7)]: https://man7.org/linux/man-pages/man7/user_namespaces.7.html

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

mod subid;

pub use subid::SubIds;
use subid::map_of_subids;

/// A run of `count` ids: `inside` maps to `outside`, the next to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdExtent {
    /// The first id inside the user namespace.
    pub inside: u32,
    /// The id in the parent user namespace that it stands for.
    pub outside: u32,
    /// How many ids follow each other, at least one.
    pub count: u32,
}

impl fmt::Display for IdExtent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}

/// A valid id map: one or more extents that don't overlap.
///
/// Its `Display` is the text for `/proc/PID/uid_map`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdMap {
    extents: Vec<IdExtent>,
}

impl IdMap {
    /// The kernel takes this many extents (since Linux 4.15; five before).
    pub const MAX_EXTENTS: usize = 340;

    /// The kernel takes one write of less than a page; the smallest page counts.
    const MAX_TEXT: usize = 4095;

    /// Checks the extents and makes a map of them.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the extent, if there is
    /// none, one has no ids, one runs past the highest id (4294967294), or two
    /// overlap inside or outside; [`LimitReached`](ErrorKind::LimitReached) if
    /// there are more than [`MAX_EXTENTS`](Self::MAX_EXTENTS) or their text is
    /// longer than a page.
    pub fn new(extents: impl IntoIterator<Item = IdExtent>) -> Result<Self> {
        let extents: Vec<_> = extents.into_iter().take(Self::MAX_EXTENTS + 1).collect();
        if extents.is_empty() {
            return Err(Error::invalid(STEP, "", "an id map needs an extent"));
        }
        if extents.len() > Self::MAX_EXTENTS {
            let object = format!("{} and following", extents[Self::MAX_EXTENTS]);
            return Err(limit(object, "the kernel takes 340 extents"));
        }
        for extent in &extents {
            check_extent(extent)?;
        }
        check_disjoint(&extents, "inside", |extent| extent.inside)?;
        check_disjoint(&extents, "outside", |extent| extent.outside)?;
        let map = Self { extents };
        let length = map.to_string().len();
        if length > Self::MAX_TEXT {
            return Err(limit(
                format!("{length} bytes"),
                "the kernel takes less than a page of text",
            ));
        }
        Ok(map)
    }

    /// One id inside that stands for one id outside.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for the id 4294967295, which
    /// means "no id".
    pub fn single(inside: u32, outside: u32) -> Result<Self> {
        Self::new([IdExtent { inside, outside, count: 1 }])
    }

    /// Every id stands for itself.
    #[must_use]
    pub fn identity() -> Self {
        Self { extents: vec![IdExtent { inside: 0, outside: 0, count: u32::MAX }] }
    }

    /// The extents in the order given.
    #[must_use]
    pub fn extents(&self) -> &[IdExtent] {
        &self.extents
    }

    /// The id outside for an id inside; `None` if it isn't mapped.
    #[must_use]
    pub fn to_outside(&self, inside: u32) -> Option<u32> {
        self.extents.iter().find_map(|e| translate(inside, e.inside, e.outside, e.count))
    }

    /// The id inside for an id outside; `None` if it isn't mapped.
    #[must_use]
    pub fn to_inside(&self, outside: u32) -> Option<u32> {
        self.extents.iter().find_map(|e| translate(outside, e.outside, e.inside, e.count))
    }

    /// Whether the map holds nothing but one id, `outside`: such a map may be
    /// written by its owner without privilege or helper program.
    #[must_use]
    pub fn is_only(&self, outside: u32) -> bool {
        matches!(self.extents[..], [e] if e.count == 1 && e.outside == outside)
    }

    /// The arguments for `newuidmap` or `newgidmap`
    /// ([newuidmap(1)](https://man7.org/linux/man-pages/man1/newuidmap.1.html)):
    /// the pid, then three numbers for each extent.
    #[must_use]
    pub fn helper_args(&self, pid: u32) -> Vec<String> {
        let numbers = self.extents.iter().flat_map(|e| [e.inside, e.outside, e.count]);
        std::iter::once(pid).chain(numbers).map(|number| number.to_string()).collect()
    }
}

impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.extents.iter().try_for_each(|extent| writeln!(f, "{extent}"))
    }
}

/// The two maps of a user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdMappings {
    /// The map of user ids.
    pub uids: IdMap,
    /// The map of group ids.
    pub gids: IdMap,
}

impl IdMappings {
    /// Root inside is the caller outside, and nobody else exists: needs no
    /// privilege and no helper program.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for the id 4294967295.
    pub fn root_only(euid: u32, egid: u32) -> Result<Self> {
        Ok(Self { uids: IdMap::single(0, euid)?, gids: IdMap::single(0, egid)? })
    }

    /// Ids 0 to `count` - 1 inside stand for `outside` and following, for uids
    /// and gids alike: a container of root that isn't root outside.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if `count` is zero or the
    /// range runs past the highest id.
    pub fn shifted(outside: u32, count: u32) -> Result<Self> {
        let map = IdMap::new([IdExtent { inside: 0, outside, count }])?;
        Ok(Self { uids: map.clone(), gids: map })
    }

    /// Every id stands for itself; writing it takes root.
    #[must_use]
    pub fn identity() -> Self {
        Self { uids: IdMap::identity(), gids: IdMap::identity() }
    }

    /// The full map of an ordinary user: root inside is the caller, and 1 and
    /// following are its subordinate ids.
    ///
    /// `subuid` and `subgid` are the contents of `/etc/subuid` and
    /// `/etc/subgid`, whose lines count for `user` and for the number `euid`.
    /// A range that overlaps an earlier one or the caller's id is left out.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if a file lends the user nothing;
    /// [`InvalidInput`](ErrorKind::InvalidInput) or
    /// [`LimitReached`](ErrorKind::LimitReached) as [`IdMap::new`].
    pub fn from_subid(
        user: &str,
        euid: u32,
        egid: u32,
        subuid: &[u8],
        subgid: &[u8],
    ) -> Result<Self> {
        Ok(Self {
            uids: map_of_subids("/etc/subuid", user, euid, SubIds::parse(subuid, user, euid))?,
            gids: map_of_subids("/etc/subgid", user, egid, SubIds::parse(subgid, user, euid))?,
        })
    }

    /// Whether the kernel lets the unprivileged owner of these ids write the
    /// maps itself, without `newuidmap`.
    #[must_use]
    pub fn is_only(&self, euid: u32, egid: u32) -> bool {
        self.uids.is_only(euid) && self.gids.is_only(egid)
    }
}

const STEP: &str = "check id map";

fn limit(object: String, reason: &'static str) -> Error {
    Error::with(ErrorKind::LimitReached, STEP, object, reason)
        .hint("merge neighbouring extents or map fewer ranges")
}

fn check_extent(extent: &IdExtent) -> Result<()> {
    let wrong = |reason| Err(Error::invalid(STEP, extent.to_string(), reason));
    if extent.count == 0 {
        return wrong("the extent holds no ids");
    }
    if extent.inside.checked_add(extent.count).is_none() {
        return wrong("the ids inside run past 4294967294");
    }
    if extent.outside.checked_add(extent.count).is_none() {
        return wrong("the ids outside run past 4294967294");
    }
    Ok(())
}

fn check_disjoint(
    extents: &[IdExtent],
    side: &'static str,
    first: impl Fn(&IdExtent) -> u32,
) -> Result<()> {
    let mut sorted: Vec<_> = extents.iter().collect();
    sorted.sort_by_key(|extent| first(extent));
    for pair in sorted.windows(2) {
        if first(pair[1]) - first(pair[0]) < pair[0].count {
            let object = format!("{}, {}", pair[0], pair[1]);
            return Err(Error::invalid(STEP, object, format!("the extents overlap {side}")));
        }
    }
    Ok(())
}

fn translate(id: u32, from: u32, to: u32, count: u32) -> Option<u32> {
    let distance = id.checked_sub(from)?;
    (distance < count).then(|| to + distance)
}

#[cfg(test)]
mod tests;
