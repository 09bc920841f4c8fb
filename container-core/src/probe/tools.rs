use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use super::Facility;
use super::raw::has_file_capabilities;
use super::status::Status;
use crate::idmap::SubIds;

pub(super) fn facilities(status: &Status) -> Vec<Facility> {
    let mut facilities = Vec::new();
    for name in ["newuidmap", "newgidmap"] {
        facilities.push(map_helper(name, find(name).map(Helper::of), status.no_new_privs));
    }
    facilities.push(subordinate_ids(status.euid));
    facilities.push(match find("criu") {
        Some(path) => Facility::present("criu", path.display().to_string()),
        None => Facility::absent("criu", "not found in PATH", "apt-get install criu"),
    });
    facilities
}

struct Helper {
    path: PathBuf,
    privileged: bool,
}

impl Helper {
    fn of(path: PathBuf) -> Self {
        const SET_USER_ID: u32 = 0o4000;
        let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
        let privileged = mode & SET_USER_ID != 0 || has_file_capabilities(&path);
        Self { path, privileged }
    }
}

fn map_helper(name: &'static str, helper: Option<Helper>, no_new_privs: bool) -> Facility {
    let Some(Helper { path, privileged }) = helper else {
        return Facility::absent(name, "not found in PATH", "apt-get install uidmap");
    };
    let path = path.display();
    if !privileged {
        let way_out = format!("chmod u+s {path}");
        return Facility::absent(name, format!("{path} is without privilege"), way_out);
    }
    if no_new_privs {
        let detail = "no_new_privs is set on this process, so it gets no privilege";
        return Facility::absent(name, detail, "start the program without no_new_privs");
    }
    Facility::present(name, path.to_string())
}

fn subordinate_ids(euid: u32) -> Facility {
    let name = "subordinate ids";
    let user = User::from_uid(Uid::from_raw(euid)).ok().flatten();
    let user = user.map_or_else(|| euid.to_string(), |user| user.name);
    let count = |file: &str| {
        let content = std::fs::read(file).unwrap_or_default();
        let ranges = SubIds::parse(&content, &user, euid).ranges;
        ranges.iter().map(|(_, count)| u64::from(*count)).sum::<u64>()
    };
    let (uids, gids) = (count("/etc/subuid"), count("/etc/subgid"));
    if uids > 0 && gids > 0 {
        return Facility::present(name, format!("{uids} uids and {gids} gids for {user}"));
    }
    if euid == 0 {
        return Facility::present(name, "root needs none");
    }
    Facility::absent(
        name,
        format!("{uids} uids and {gids} gids for {user}; only one id can be mapped"),
        format!("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"),
    )
}

pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH");
    let path = path.as_deref().unwrap_or(OsStr::new("/usr/bin:/bin"));
    // System programs are often not in an ordinary user's PATH.
    let dirs = env::split_paths(path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|path| executable(path))
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(privileged: bool) -> Option<Helper> {
        Some(Helper { path: PathBuf::from("/usr/bin/newuidmap"), privileged })
    }

    #[test]
    fn a_helper_has_to_be_there_with_privilege() {
        assert!(map_helper("newuidmap", helper(true), false).available);
        let cases = [
            (map_helper("newuidmap", None, false), "install"),
            (map_helper("newuidmap", helper(false), false), "chmod u+s"),
            (map_helper("newuidmap", helper(true), true), "no_new_privs"),
        ];
        for (facility, words) in cases {
            assert!(facility.way_out.unwrap().contains(words));
        }
    }

    #[test]
    fn a_program_is_found_and_a_directory_is_not() {
        assert!(find("sh").is_some());
        assert!(find("..").is_none());
        assert!(find("no such program").is_none());
    }

    #[test]
    fn a_user_without_ranges_is_told_the_way() {
        let facility = subordinate_ids(4_000_000);
        assert!(facility.way_out.unwrap().contains("usermod --add-subuids"));
        assert!(subordinate_ids(0).available);
    }
}
