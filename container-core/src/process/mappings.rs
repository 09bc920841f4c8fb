//! Writing the id maps of a new user namespace ([user_namespaces(7)]).
//!
//! Only a process outside may give ids inside their meaning: root any, an
//! ordinary user its own single id, and through the set-user-id helpers
//! `newuidmap` and `newgidmap` its subordinate ids as well.
//!
//! [user_namespaces(7)]: https://man7.org/linux/man-pages/man7/user_namespaces.7.html

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::unistd::{getegid, geteuid};

use crate::error::{Error, ErrorKind, Result};
use crate::idmap::{IdExtent, IdMap, IdMappings};

/// Whether the maps hold the caller's own ids and nothing else.
pub(crate) fn is_single(mappings: &IdMappings) -> bool {
    mappings.is_only(geteuid().as_raw(), getegid().as_raw())
}

/// The most that the caller may map: as root every id as it is; else the
/// subordinate ids, if the helpers and the files are there; else root alone.
pub(crate) fn best_mappings() -> Result<IdMappings> {
    let (euid, egid) = (geteuid(), getegid());
    if euid.is_root() {
        return Ok(IdMappings {
            uids: own_map("/proc/self/uid_map")?,
            gids: own_map("/proc/self/gid_map")?,
        });
    }
    let (euid, egid) = (euid.as_raw(), egid.as_raw());
    let helpers = find_helper("newuidmap").is_some() && find_helper("newgidmap").is_some();
    if helpers && let Some(mappings) = subordinate(euid, egid) {
        return Ok(mappings);
    }
    IdMappings::root_only(euid, egid)
}

fn subordinate(euid: u32, egid: u32) -> Option<IdMappings> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(euid)).then_some(name)
    })?;
    let (subuid, subgid) = (fs::read("/etc/subuid").ok()?, fs::read("/etc/subgid").ok()?);
    IdMappings::from_subid(name, euid, egid, &subuid, &subgid).ok()
}

/// Every id that exists for the caller, as itself.
fn own_map(path: &str) -> Result<IdMap> {
    let text = fs::read_to_string(path).map_err(|error| Error::os("read", path, error))?;
    let extents = text.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let inside = numbers.next()?.ok()?;
        let count = numbers.nth(1)?.ok()?;
        Some(IdExtent { inside, outside: inside, count })
    });
    IdMap::new(extents)
}

fn find_helper(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Writes both maps for process `pid`.
pub(super) fn write(pid: u32, mappings: &IdMappings) -> Result<()> {
    if geteuid().is_root() {
        write_file(pid, "uid_map", &mappings.uids.to_string())?;
        return write_file(pid, "gid_map", &mappings.gids.to_string());
    }
    if is_single(mappings) {
        // Else a group that denies access could be dropped (CVE-2014-8989).
        write_file(pid, "setgroups", "deny")?;
        write_file(pid, "uid_map", &mappings.uids.to_string())?;
        return write_file(pid, "gid_map", &mappings.gids.to_string());
    }
    run_helper("newuidmap", pid, &mappings.uids)?;
    run_helper("newgidmap", pid, &mappings.gids)
}

fn write_file(pid: u32, name: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{name}");
    fs::write(&path, text).map_err(|error| {
        Error::os("write", format!("{name} {}", text.trim_end().replace('\n', ", ")), error)
            .hint("the caller may map only ids that it holds itself, or all as root")
    })
}

fn run_helper(name: &'static str, pid: u32, map: &IdMap) -> Result<()> {
    let arguments = map.helper_args(pid);
    let shown = arguments.join(" ");
    let Some(helper) = find_helper(name) else {
        return Err(Error::with(ErrorKind::NotFound, name, shown, "not on PATH")
            .hint("install it (Debian: uidmap), or use IdMappings::root_only"));
    };
    let output = Command::new(helper).args(&arguments).stdin(Stdio::null()).output();
    let reason = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        // A caller that ignores SIGCHLD has its children's status forgotten:
        // the map itself tells.
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) && is_written(name, pid) => {
            return Ok(());
        }
        Err(error) => return Err(Error::os(name, shown, error)),
    };
    Err(Error::with(ErrorKind::PermissionDenied, name, shown, reason)
        .hint("lend the user ids in /etc/subuid and /etc/subgid, or use IdMappings::root_only"))
}

/// Whether the map that the helper writes is there; it can be written once.
fn is_written(helper: &str, pid: u32) -> bool {
    let map = helper.trim_start_matches("new").replace("map", "_map");
    fs::read_to_string(format!("/proc/{pid}/{map}")).is_ok_and(|text| !text.is_empty())
}
