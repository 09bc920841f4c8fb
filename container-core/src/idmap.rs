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
        Self::new([IdExtent {
            inside,
            outside,
            count: 1,
        }])
    }

    /// Every id stands for itself.
    #[must_use]
    pub fn identity() -> Self {
        Self {
            extents: vec![IdExtent {
                inside: 0,
                outside: 0,
                count: u32::MAX,
            }],
        }
    }

    /// The extents in the order given.
    #[must_use]
    pub fn extents(&self) -> &[IdExtent] {
        &self.extents
    }

    /// The id outside for an id inside; `None` if it isn't mapped.
    #[must_use]
    pub fn to_outside(&self, inside: u32) -> Option<u32> {
        self.extents
            .iter()
            .find_map(|e| translate(inside, e.inside, e.outside, e.count))
    }

    /// The id inside for an id outside; `None` if it isn't mapped.
    #[must_use]
    pub fn to_inside(&self, outside: u32) -> Option<u32> {
        self.extents
            .iter()
            .find_map(|e| translate(outside, e.outside, e.inside, e.count))
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
        let numbers = self
            .extents
            .iter()
            .flat_map(|e| [e.inside, e.outside, e.count]);
        std::iter::once(pid)
            .chain(numbers)
            .map(|number| number.to_string())
            .collect()
    }
}

impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.extents
            .iter()
            .try_for_each(|extent| writeln!(f, "{extent}"))
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
        Ok(Self {
            uids: IdMap::single(0, euid)?,
            gids: IdMap::single(0, egid)?,
        })
    }

    /// Ids 0 to `count` - 1 inside stand for `outside` and following, for uids
    /// and gids alike: a container of root that isn't root outside.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if `count` is zero or the
    /// range runs past the highest id.
    pub fn shifted(outside: u32, count: u32) -> Result<Self> {
        let map = IdMap::new([IdExtent {
            inside: 0,
            outside,
            count,
        }])?;
        Ok(Self {
            uids: map.clone(),
            gids: map,
        })
    }

    /// Every id stands for itself; writing it takes root.
    #[must_use]
    pub fn identity() -> Self {
        Self {
            uids: IdMap::identity(),
            gids: IdMap::identity(),
        }
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

/// The ranges that a file such as `/etc/subuid` lends to one user
/// ([subuid(5)](https://man7.org/linux/man-pages/man5/subuid.5.html)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubIds {
    /// First id and count of each range, in the order of the file.
    pub ranges: Vec<(u32, u32)>,
}

impl SubIds {
    /// Reads the lines `OWNER:FIRST:COUNT` whose owner is `user` or the number
    /// `uid`. Comments, malformed lines and empty ranges are passed over.
    #[must_use]
    pub fn parse(content: &[u8], user: &str, uid: u32) -> Self {
        let uid = uid.to_string();
        let range = |line: &[u8]| {
            let mut fields = std::str::from_utf8(line).ok()?.trim_end().split(':');
            let owner = fields.next()?;
            let (first, count) = (decimal(fields.next()?)?, decimal(fields.next()?)?);
            let ours = !owner.is_empty() && (owner == user || owner == uid);
            let valid = count > 0 && first.checked_add(count).is_some();
            (ours && valid && fields.next().is_none()).then_some((first, count))
        };
        Self {
            ranges: content.split(|b| *b == b'\n').filter_map(range).collect(),
        }
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
            return Err(Error::invalid(
                STEP,
                object,
                format!("the extents overlap {side}"),
            ));
        }
    }
    Ok(())
}

fn translate(id: u32, from: u32, to: u32, count: u32) -> Option<u32> {
    let distance = id.checked_sub(from)?;
    (distance < count).then(|| to + distance)
}

fn map_of_subids(file: &'static str, user: &str, own: u32, subids: SubIds) -> Result<IdMap> {
    let mut extents = vec![IdExtent {
        inside: 0,
        outside: own,
        count: 1,
    }];
    let mut inside = 1u32;
    for (outside, count) in subids.ranges {
        let apart = |e: &IdExtent| outside >= e.outside + e.count || e.outside >= outside + count;
        let own_id_is_valid = own != u32::MAX;
        if own_id_is_valid && extents.iter().all(apart) {
            let count = count.min(u32::MAX - inside);
            if count == 0 || extents.len() > IdMap::MAX_EXTENTS {
                break;
            }
            extents.push(IdExtent {
                inside,
                outside,
                count,
            });
            inside += count;
        }
    }
    if extents.len() == 1 && own != u32::MAX {
        return Err(Error::with(
            ErrorKind::NotFound,
            format!("read {file}"),
            user,
            "the file lends no subordinate ids to this user",
        )
        .hint(format!(
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        )));
    }
    IdMap::new(extents)
}

fn decimal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(inside: u32, outside: u32, count: u32) -> IdExtent {
        IdExtent {
            inside,
            outside,
            count,
        }
    }

    #[track_caller]
    fn refused(extents: &[IdExtent], words: &str) {
        let error = IdMap::new(extents.iter().copied()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }

    #[test]
    fn bad_maps_are_refused_by_name() {
        refused(&[], "needs an extent");
        refused(&[extent(0, 0, 0)], "holds no ids");
        refused(&[extent(u32::MAX, 0, 1)], "inside run past");
        refused(&[extent(0, 2, u32::MAX - 1)], "outside run past");
        refused(&[extent(0, 10, 5), extent(4, 100, 1)], "overlap inside");
        refused(&[extent(0, 10, 5), extent(9, 14, 1)], "overlap outside");
        refused(&[extent(0, 0, u32::MAX), extent(0, 0, 1)], "overlap inside");
        let many: Vec<_> = (0..341).map(|i| extent(i, i, 1)).collect();
        refused(&many, "340 extents");
        IdMap::new(many[..340].iter().copied()).unwrap();
    }

    #[test]
    fn a_text_longer_than_a_page_is_refused() {
        let long: Vec<_> = (0..340)
            .map(|i| extent(1_000_000_000 + i, 2_000_000_000 + i, 1))
            .collect();
        let error = IdMap::new(long).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached);
    }

    #[test]
    fn root_only_is_one_extent() {
        let maps = IdMappings::root_only(1000, 100).unwrap();
        assert_eq!(maps.uids.to_string(), "0 1000 1\n");
        assert_eq!(maps.gids.to_string(), "0 100 1\n");
        assert!(maps.is_only(1000, 100));
        assert!(!maps.is_only(1000, 1000));
        assert!(IdMappings::root_only(u32::MAX, 0).is_err());
    }

    #[test]
    fn identity_is_what_the_first_namespace_shows() {
        let map = IdMap::identity();
        assert_eq!(map.to_string(), "0 0 4294967295\n");
        assert_eq!(IdMap::new(map.extents().iter().copied()).unwrap(), map);
        assert_eq!(map.to_outside(u32::MAX - 1), Some(u32::MAX - 1));
        assert_eq!(map.to_outside(u32::MAX), None);
    }

    #[test]
    fn subids_by_name_and_number_without_overlap() {
        let subuid = b"# comment\nbob:1:1\nann:100000:10\n1000:200000:20\nann:100005:1\nann:990:20\n\
            ann:1\nann:-1:5\nann:5:0\nann:4294967290:10\nann: 7:1\nann:7:1:\n:300000:5\nann:300000:5\r";
        let maps = IdMappings::from_subid("ann", 1000, 100, subuid, b"ann:7:3").unwrap();
        assert_eq!(
            maps.uids.to_string(),
            "0 1000 1\n1 100000 10\n11 200000 20\n31 300000 5\n"
        );
        assert_eq!(maps.gids.to_string(), "0 100 1\n1 7 3\n");
        assert_eq!(
            maps.uids.helper_args(42),
            [
                "42", "0", "1000", "1", "1", "100000", "10", "11", "200000", "20", "31", "300000",
                "5"
            ]
        );
    }

    #[test]
    fn no_subids_says_how_to_get_them() {
        let error = IdMappings::from_subid("ann", 1000, 1000, b"ann:1:1", b"bob:1:1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.step(), "read /etc/subgid");
        assert!(error.way_out().unwrap().contains("usermod"));
    }

    fn extents() -> impl Strategy<Value = Vec<IdExtent>> {
        let id = prop_oneof![0u32..300, any::<u32>()];
        let one = (id.clone(), id, prop_oneof![0u32..50, any::<u32>()]);
        proptest::collection::vec(one.prop_map(|(i, o, c)| extent(i, o, c)), 0..6)
    }

    proptest! {
        #[test]
        fn accepted_exactly_when_sound(extents in extents()) {
            let end = |first: u32, count: u32| u64::from(first) + u64::from(count);
            let fits = |e: &IdExtent| e.count > 0
                && end(e.inside, e.count) <= u64::from(u32::MAX)
                && end(e.outside, e.count) <= u64::from(u32::MAX);
            let apart = |a: (u32, u32), b: (u32, u32)| {
                end(a.0, a.1) <= u64::from(b.0) || end(b.0, b.1) <= u64::from(a.0)
            };
            let sound = !extents.is_empty() && extents.iter().all(fits)
                && extents.iter().enumerate().all(|(i, a)| extents[i + 1..].iter().all(|b| {
                    apart((a.inside, a.count), (b.inside, b.count))
                        && apart((a.outside, a.count), (b.outside, b.count))
                }));
            prop_assert_eq!(IdMap::new(extents).is_ok(), sound);
        }

        #[test]
        fn translation_goes_there_and_back(extents in extents(), id in any::<u32>()) {
            if let Ok(map) = IdMap::new(extents) {
                for probe in map.extents().iter().flat_map(|e| [e.inside, e.inside + e.count - 1, id]) {
                    if let Some(outside) = map.to_outside(probe) {
                        prop_assert_eq!(map.to_inside(outside), Some(probe));
                    }
                }
            }
        }

        #[test]
        fn any_subid_file_gives_a_valid_map_or_an_error(
            lines in proptest::collection::vec("(a|b|7):[0-9]{0,11}:[0-9]{0,11}", 0..30),
            own in any::<u32>(),
        ) {
            let text = lines.join("\n");
            if let Ok(maps) = IdMappings::from_subid("a", own, 7, text.as_bytes(), b"a:100:1") {
                prop_assert_eq!(maps.uids.to_outside(0), Some(own));
                IdMap::new(maps.uids.extents().iter().copied()).unwrap();
            }
        }
    }
}
