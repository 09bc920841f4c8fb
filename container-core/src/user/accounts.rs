//! The lines of passwd(5) and group(5); malformed ones are passed over.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::UserSpec;

/// A line of passwd(5).
pub(super) struct Account<'a> {
    pub(super) name: &'a [u8],
    pub(super) uid: u32,
    pub(super) gid: u32,
    home: &'a [u8],
}

impl Account<'_> {
    /// The home directory, if it is an absolute path.
    pub(super) fn home(&self) -> Option<PathBuf> {
        let home = Path::new(OsStr::from_bytes(self.home));
        (home.is_absolute() && !self.home.contains(&0)).then(|| home.to_owned())
    }
}

/// The well-formed lines of a passwd file.
pub(super) fn accounts(passwd: &[u8]) -> impl Iterator<Item = Account<'_>> {
    passwd.split(|b| *b == b'\n').filter_map(|line| {
        let [name, _, uid, gid, _, home, _] = fields(line)?;
        Some(Account { name, uid: id(uid)?, gid: id(gid)?, home })
    })
}

/// The name, number and members of each line of group(5).
fn group_entries(group: &[u8]) -> impl Iterator<Item = (&[u8], u32, &[u8])> {
    group.split(|b| *b == b'\n').filter_map(|line| {
        let [name, _, gid, members] = fields(line)?;
        Some((name, id(gid)?, members))
    })
}

/// The number of the first group of this name.
pub(super) fn group_named(group: &[u8], name: &[u8]) -> Option<u32> {
    group_entries(group).find(|(entry, ..)| *entry == name).map(|(_, gid, _)| gid)
}

/// The numbers of all groups that list the user as a member, each once.
pub(super) fn groups_of(group: &[u8], user: &[u8]) -> Vec<u32> {
    let mut seen = HashSet::new();
    group_entries(group)
        .filter(|(.., members)| members.split(|b| *b == b',').any(|member| member == user))
        .filter_map(|(_, gid, _)| seen.insert(gid).then_some(gid))
        .collect()
}

/// Exactly `N` fields between colons, the first of which is not empty.
fn fields<const N: usize>(line: &[u8]) -> Option<[&[u8]; N]> {
    let mut parts = line.split(|b| *b == b':');
    let mut fields = [&line[..0]; N];
    for field in &mut fields {
        *field = parts.next()?;
    }
    (parts.next().is_none() && !fields[0].is_empty()).then_some(fields)
}

fn id(field: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok().filter(|id| *id <= UserSpec::MAX_ID)).flatten()
}
