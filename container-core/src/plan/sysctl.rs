//! Kernel settings of the process's own namespaces.

use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use super::assemble::Assembly;
use super::op::Op;
use crate::error::{Error, Result};
use crate::namespace::{Namespace, NamespaceKind, Namespaces};
use crate::process::Description;

const STEP: &str = "check sysctl";

/// Settings of System V shared memory, semaphores and messages.
const IPC: [&str; 8] =
    ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// Checks every setting; nothing that counts for the host gets through.
pub(crate) fn check(description: &Description) -> Result<()> {
    description
        .sysctls
        .iter()
        .try_for_each(|(key, value)| check_one(&description.namespaces, key, value))
}

fn check_one(namespaces: &Namespaces, key: &str, value: &OsString) -> Result<()> {
    let path = path(key)?;
    let kind = match namespace(&path) {
        Some(kind) => kind,
        None if path == "kernel/hostname" => {
            let reason = "the host name is a setting of its own";
            return Err(Error::invalid(STEP, key, reason).hint("use ProcessBuilder::hostname"));
        }
        None => {
            let reason = "not confined by any namespace: the host's would be changed";
            return Err(Error::invalid(STEP, key, reason));
        }
    };
    check_value(key, value)?;
    let own = match namespaces.get(kind) {
        Namespace::New => true,
        Namespace::Join(namespace) => !is_callers(kind, namespace.as_fd()),
        Namespace::Inherit => false,
    };
    if own {
        return Ok(());
    }
    let reason = format!("needs a {kind} namespace of its own: the host's would be changed");
    Err(Error::invalid(STEP, key, reason)
        .hint(format!("add Namespaces::with(NamespaceKind::{kind:?})")))
}

fn check_value(key: &str, value: &OsString) -> Result<()> {
    /// The kernel takes less than a page at once.
    const MOST: usize = 4095;
    let bytes = value.as_bytes();
    if bytes.is_empty() || bytes.len() > MOST || bytes.contains(&0) {
        let reason = format!("a value has 1 to {MOST} bytes, none of them NUL");
        return Err(Error::invalid(STEP, key, reason));
    }
    Ok(())
}

/// The path below `/proc/sys`. As sysctl(8) has it, whichever of dot and
/// slash comes first separates, and the other is part of a name
/// (`net/ipv4/conf/eth0.1/forwarding`).
fn path(key: &str) -> Result<String> {
    let path: String = match key.find(['.', '/']) {
        Some(at) if key.as_bytes().get(at) == Some(&b'.') => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => key.to_owned(),
    };
    let good = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if path.len() > 255 || !path.contains('/') || !path.split('/').all(good) {
        let reason = "names separated by dots or slashes make a setting's key";
        return Err(Error::invalid(STEP, key, reason));
    }
    Ok(path)
}

/// The namespace that confines the setting.
fn namespace(path: &str) -> Option<NamespaceKind> {
    match path.split_once('/')? {
        ("net", _) => Some(NamespaceKind::Net),
        ("fs", rest) if rest.starts_with("mqueue/") => Some(NamespaceKind::Ipc),
        ("kernel", name) if IPC.contains(&name) => Some(NamespaceKind::Ipc),
        ("kernel", "domainname") => Some(NamespaceKind::Uts),
        _ => None,
    }
}

/// Whether a namespace to join is the one that the caller is in.
fn is_callers(kind: NamespaceKind, namespace: std::os::fd::BorrowedFd<'_>) -> bool {
    let own = nix::sys::stat::stat(format!("/proc/self/ns/{}", kind.name()).as_str());
    let given = nix::sys::stat::fstat(namespace);
    match (own, given) {
        (Ok(own), Ok(given)) => (own.st_dev, own.st_ino) == (given.st_dev, given.st_ino),
        // What can't be told apart is the host's.
        _ => true,
    }
}

/// Adds the writes; the namespaces are there and the host's procfs is in reach.
pub(super) fn add(assembly: &mut Assembly, description: &Description) -> Result<()> {
    for (key, value) in &description.sysctls {
        let path = CString::new(path(key)?)
            .map_err(|_| Error::invalid(STEP, key.as_str(), "it has a NUL in it"))?;
        let value = value.as_bytes().to_vec();
        let why = "a setting of its own namespace, through a procfs that is surely one";
        assembly.push(Op::Sysctl { path, value }, why);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn dots_and_slashes_separate() {
        for (key, expected) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("kernel.sem", "kernel/sem"),
        ] {
            assert_eq!(path(key).unwrap(), expected);
        }
        for wrong in ["", "kernel", ".", "net.", "net..a", "../etc/x", "net/../../etc", "net.a\0"] {
            assert_eq!(path(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong:?}");
        }
    }

    #[test]
    fn only_what_a_namespace_confines() {
        let all = Namespaces::isolated();
        let value = OsString::from("1");
        for good in
            ["net.core.somaxconn", "fs.mqueue.msg_max", "kernel.shmmax", "kernel.domainname"]
        {
            assert!(check_one(&all, good, &value).is_ok(), "{good}");
            let error = check_one(&Namespaces::none(), good, &value).unwrap_err();
            let named = ["net", "ipc", "uts"].iter().any(|kind| error.to_string().contains(kind));
            assert!(named, "{error}");
        }
        let bad = ["kernel.hostname", "kernel.core_pattern", "vm.swappiness", "fs.mqueuex.a"];
        for bad in bad.into_iter().chain(["kernel.sem.x", "user.max_user_namespaces"]) {
            let error = check_one(&all, bad, &value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        }
        let host = std::fs::File::open("/proc/self/ns/net").unwrap();
        let joined = Namespaces::none().join(NamespaceKind::Net, host);
        assert!(check_one(&joined, "net.core.somaxconn", &value).is_err());
        assert!(check_one(&all, "kernel.sem", &OsString::new()).is_err());
    }
}
