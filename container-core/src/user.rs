//! Who a process runs as: ids, supplementary groups and file mode mask.
//!
//! The kernel knows numbers only; names live in the `passwd` and `group` files
//! of the container's root file system. [`UserSpec`] is what people write
//! (`1000`, `nginx`, `1000:1000`, `nginx:www-data`), [`User`] is what the kernel
//! gets, and [`UserSpec::resolve`] leads from one to the other over the
//! *contents* of the two files, so that the caller decides how they are opened
//! (safely below the root file system).
//!
//! Parsing is strict, for a wrong user is often root (CVE-2024-40635,
//! CVE-2026-30892): digits are always an id, never a name; an id above
//! 2147483647 is refused, as are signs, blanks, leading zeros and empty parts.
//!
//! ```
//! use container_core::user::UserSpec;
//!
//! let passwd = b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n";
//! let group = b"root:x:0:\nusers:x:100:\naudio:x:29:ann\n";
//!
//! let ann = "ann".parse::<UserSpec>()?.resolve(passwd, group)?;
//! assert_eq!((ann.uid(), ann.gid()), (1000, 100));
//! assert_eq!(ann.additional_gids(), [100, 29]);
//! assert_eq!(ann.home().unwrap().to_str(), Some("/home/ann"));
//! assert!("ann:".parse::<UserSpec>().is_err());
//! # Ok::<(), container_core::Error>(())
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

mod accounts;
mod given;

use accounts::{accounts, group_named, groups_of};

/// The ids that a process takes on, as seen inside its user namespace.
///
/// The default is root without supplementary groups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
#[must_use]
pub struct User {
    uid: u32,
    gid: u32,
    additional_gids: Vec<u32>,
    umask: Option<u32>,
    home: Option<PathBuf>,
}

impl User {
    /// The highest id: the next one, `(uid_t) -1`, means "as it is" to the
    /// kernel.
    pub const MAX_ID: u32 = u32::MAX - 1;

    /// The kernel's bound on supplementary groups (`NGROUPS_MAX`).
    pub const MAX_GROUPS: usize = 65_536;

    /// Uid 0 and gid 0 without supplementary groups.
    pub fn root() -> Self {
        Self::default()
    }

    /// A user and group by number, without supplementary groups.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an id above
    /// [`MAX_ID`](Self::MAX_ID).
    pub fn new(uid: u32, gid: u32) -> Result<Self> {
        check_id("uid", uid)?;
        check_id("gid", gid)?;
        Ok(Self { uid, gid, ..Self::default() })
    }

    /// The supplementary groups, in place of those set before.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an id above
    /// [`MAX_ID`](Self::MAX_ID), [`LimitReached`](ErrorKind::LimitReached) for
    /// more than [`MAX_GROUPS`](Self::MAX_GROUPS).
    pub fn with_additional_gids(mut self, gids: impl Into<Vec<u32>>) -> Result<Self> {
        let gids = gids.into();
        gids.iter().try_for_each(|gid| check_id("additional gid", *gid))?;
        if gids.len() > Self::MAX_GROUPS {
            return Err(Error::with(
                ErrorKind::LimitReached,
                "check additional gids",
                format!("{} groups", gids.len()),
                "the kernel takes 65536 supplementary groups",
            ));
        }
        self.additional_gids = gids;
        Ok(self)
    }

    /// The file mode mask ([umask(2)](https://man7.org/linux/man-pages/man2/umask.2.html)).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for bits beyond `0o777`.
    pub fn with_umask(mut self, umask: u32) -> Result<Self> {
        if umask > 0o777 {
            return Err(Error::invalid(
                "check umask",
                format!("{umask:#o}"),
                "only the bits of 0o777 are allowed",
            ));
        }
        self.umask = Some(umask);
        Ok(self)
    }

    /// The user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The primary group id.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The supplementary groups; those of the caller are never kept.
    #[must_use]
    pub fn additional_gids(&self) -> &[u32] {
        &self.additional_gids
    }

    /// The file mode mask; `None` leaves the default of 0o022.
    #[must_use]
    pub fn umask(&self) -> Option<u32> {
        self.umask
    }

    /// The home directory that the passwd file names.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }
}

/// A user or group as written: by number or by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Principal {
    /// By number.
    Id(u32),
    /// By name, to be looked up.
    Name(String),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A user as people write it: `USER` or `USER:GROUP`, each a number or a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserSpec {
    user: Principal,
    group: Option<Principal>,
    additional_gids: Option<Vec<u32>>,
    umask: Option<u32>,
    finds_home: bool,
}

impl UserSpec {
    /// The highest id that is read from text: those above become negative
    /// where a program or file format keeps ids in 32 signed bits.
    pub const MAX_ID: u32 = i32::MAX as u32;

    /// The longest name, in bytes (`LOGIN_NAME_MAX`).
    pub const MAX_NAME: usize = 256;

    /// The largest passwd or group file that is read, in bytes.
    pub const MAX_FILE: usize = 16 << 20;

    /// `0:0`.
    #[must_use]
    pub const fn root() -> Self {
        Self {
            user: Principal::Id(0),
            group: Some(Principal::Id(0)),
            additional_gids: None,
            umask: None,
            finds_home: false,
        }
    }

    /// A user and group by number, any that the kernel knows.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for 4294967295, which is
    /// `(uid_t) -1`.
    pub fn by_ids(uid: u32, gid: u32) -> Result<Self> {
        let user = User::new(uid, gid)?;
        let (user, group) = (Principal::Id(user.uid), Some(Principal::Id(user.gid)));
        Ok(Self { user, group, ..Self::root() })
    }

    /// The part before the colon.
    #[must_use]
    pub fn user(&self) -> &Principal {
        &self.user
    }

    /// The part behind the colon.
    #[must_use]
    pub fn group(&self) -> Option<&Principal> {
        self.group.as_ref()
    }

    /// Whether the answer depends on the files; false for `UID:GID`, for which
    /// they only add the home directory.
    #[must_use]
    pub fn needs_files(&self) -> bool {
        !matches!((&self.user, &self.group), (Principal::Id(_), Some(Principal::Id(_))))
    }

    /// Looks the names up in the contents of a passwd and a group file.
    ///
    /// - A uid needs no entry; without one its group is 0 and it has no home.
    /// - Without a group of its own the spec takes that of the passwd entry, and
    ///   the supplementary groups are those whose members list the user's name.
    /// - With a group of its own there are no supplementary groups.
    /// - The primary group is the first of the supplementary ones, so that a
    ///   file that denies its group stays denied (CVE-2022-36109).
    ///
    /// Malformed lines are passed over. Of two entries the first counts.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for a name without an entry;
    /// [`LimitReached`](ErrorKind::LimitReached) for a file above
    /// [`MAX_FILE`](Self::MAX_FILE) or a user in too many groups.
    pub fn resolve(&self, passwd: &[u8], group: &[u8]) -> Result<User> {
        check_size("passwd", passwd)?;
        check_size("group", group)?;
        let entry = match &self.user {
            Principal::Id(uid) => accounts(passwd).find(|account| account.uid == *uid),
            Principal::Name(name) => Some(
                accounts(passwd)
                    .find(|account| account.name == name.as_bytes())
                    .ok_or_else(|| absent("look up user", name, "passwd"))?,
            ),
        };
        let uid = match (&self.user, &entry) {
            (Principal::Id(uid), _) => *uid,
            (_, Some(account)) => account.uid,
            (Principal::Name(name), None) => return Err(absent("look up user", name, "passwd")),
        };
        let own_gid = entry.as_ref().map_or(0, |account| account.gid);
        let (gid, additional) = match &self.group {
            Some(Principal::Id(gid)) => (*gid, Vec::new()),
            Some(Principal::Name(name)) => {
                let found = group_named(group, name.as_bytes());
                (found.ok_or_else(|| absent("look up group", name, "group"))?, Vec::new())
            }
            None => {
                let member = entry.as_ref().map(|account| account.name);
                (own_gid, member.map_or_else(Vec::new, |name| groups_of(group, name)))
            }
        };
        let root = || self.finds_home.then(|| PathBuf::from("/"));
        let home = entry.and_then(|account| account.home()).or_else(root);
        let gids = match &self.additional_gids {
            Some(gids) => gids.clone(),
            None => {
                let others = additional.into_iter().filter(|other| *other != gid);
                std::iter::once(gid).chain(others).collect()
            }
        };
        let user = User::new(uid, gid)?.with_additional_gids(gids)?;
        Ok(User { home, umask: self.umask, ..user })
    }
}

impl fmt::Display for UserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{}:{group}", self.user),
            None => write!(f, "{}", self.user),
        }
    }
}

impl FromStr for UserSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let part = |part: &str| principal(part).map_err(|reason| refuse(text, reason));
        let (user, group) = (part(user)?, group.map(part).transpose()?);
        Ok(Self { user, group, additional_gids: None, umask: None, finds_home: false })
    }
}

fn refuse(text: &str, reason: &'static str) -> Error {
    Error::invalid("parse user", text, reason)
        .hint("write UID, NAME, UID:GID or NAME:GROUP, such as 1000:1000")
}

fn principal(text: &str) -> Result<Principal, &'static str> {
    if text.is_empty() {
        return Err("a part is empty");
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse() {
            _ if text.len() > 1 && text.starts_with('0') => Err("an id has a leading zero"),
            Ok(id) if id <= UserSpec::MAX_ID => Ok(Principal::Id(id)),
            _ => Err("an id is above 2147483647"),
        };
    }
    if text.len() > UserSpec::MAX_NAME {
        return Err("a name is longer than 256 bytes");
    }
    if text.starts_with(['-', '+']) {
        return Err("a part starts with a sign");
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ',' | '/');
    match text.contains(bad) {
        true => Err("a name has a blank, a control character or one of ':', ',', '/'"),
        false => Ok(Principal::Name(text.to_owned())),
    }
}

fn check_id(what: &'static str, id: u32) -> Result<()> {
    match id <= User::MAX_ID {
        true => Ok(()),
        false => Err(Error::invalid(
            format!("check {what}"),
            id.to_string(),
            "the id is above 4294967294: the next one means none",
        )),
    }
}

fn check_size(file: &'static str, content: &[u8]) -> Result<()> {
    match content.len() <= UserSpec::MAX_FILE {
        true => Ok(()),
        false => Err(Error::with(
            ErrorKind::LimitReached,
            format!("read {file} file"),
            format!("{} bytes", content.len()),
            "the file is larger than 16 MiB",
        )),
    }
}

fn absent(step: &'static str, name: &str, file: &str) -> Error {
    Error::with(ErrorKind::NotFound, step, name, format!("the {file} file has no such entry"))
        .hint("give the number instead, or add the entry to the image")
}

#[cfg(test)]
mod tests;
