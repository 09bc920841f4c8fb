use super::{IdExtent, IdMap};
use crate::error::{Error, ErrorKind, Result};

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
        Self { ranges: content.split(|b| *b == b'\n').filter_map(range).collect() }
    }
}

/// Root inside is `own`, and 1 and following are the subordinate ids.
pub(super) fn map_of_subids(
    file: &'static str,
    user: &str,
    own: u32,
    subids: SubIds,
) -> Result<IdMap> {
    let mut extents = vec![IdExtent { inside: 0, outside: own, count: 1 }];
    let mut inside = 1u32;
    for (outside, count) in subids.ranges {
        let apart = |e: &IdExtent| outside >= e.outside + e.count || e.outside >= outside + count;
        let own_id_is_valid = own != u32::MAX;
        if own_id_is_valid && extents.iter().all(apart) {
            let count = count.min(u32::MAX - inside);
            if count == 0 || extents.len() > IdMap::MAX_EXTENTS {
                break;
            }
            extents.push(IdExtent { inside, outside, count });
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
