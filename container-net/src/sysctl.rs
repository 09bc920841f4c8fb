//! Kernel settings under `/proc/sys/net`, those of the calling thread's network namespace.
//!
//! Paths are made from checked names only, and the file must really lie on procfs, so that a
//! mount over `/proc/sys` cannot send the write elsewhere.

use std::io::{Read, Write};

use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, fstatfs, open};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};

pub(crate) const IP_FORWARD: &str = "ipv4/ip_forward";

/// Reads a setting such as `ipv4/ip_forward`, without its newline.
pub(crate) fn read(key: &str) -> Result<String> {
    let mut text = String::new();
    file(key, OFlags::RDONLY)?
        .read_to_string(&mut text)
        .map_err(|cause| Error::os("read sysctl", key, cause))?;
    Ok(text.trim_end().to_owned())
}

/// Writes a setting.
pub(crate) fn write(key: &str, value: &str) -> Result<()> {
    file(key, OFlags::WRONLY)?
        .write_all(value.as_bytes())
        .map_err(|cause| Error::os("write sysctl", format!("{key}={value}"), cause))
}

/// Writes a setting; one that does not exist is no error.
pub(crate) fn write_if_there(key: &str, value: &str) -> Result<()> {
    match write(key, value) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Switches IPv6 off on a link of an IPv4 network, before it is up.
///
/// No router advertisement may ever be taken there (CVE-2020-13401), and neither the host's nor
/// a container's services are offered at link-local addresses (CVE-2024-32473).
pub(crate) fn without_ipv6(link: &str) -> Result<()> {
    for (key, value) in [("accept_ra", "0"), ("disable_ipv6", "1")] {
        // A kernel without IPv6 has nothing to switch off.
        write_if_there(&format!("ipv6/conf/{link}/{key}"), value)?;
    }
    Ok(())
}

/// The settings that the kernel overwrites when `ip_forward` goes to 1 and back to 0, as far as
/// they are not what it would write: `forwarding` of single links, and `accept_redirects`.
pub(crate) fn beside_forwarding() -> Result<Vec<(String, String)>> {
    const LINKS: &str = "/proc/sys/net/ipv4/conf";
    let fail = |cause| Error::os("read directory", LINKS, cause);
    let mut keys = vec![("ipv4/conf/all/accept_redirects".to_owned(), "0")];
    for entry in std::fs::read_dir(LINKS).map_err(fail)? {
        let link = entry.map_err(fail)?.file_name();
        if let Some(link) = link.to_str().filter(|link| *link != "all") {
            keys.push((format!("ipv4/conf/{link}/forwarding"), "1"));
        }
    }
    let mut found = Vec::new();
    for (key, unusual) in keys {
        match read(&key) {
            Ok(value) if value == unusual => found.push((key, value)),
            // A link that has gone meanwhile.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(found)
}

fn file(key: &str, flags: OFlags) -> Result<std::fs::File> {
    let path = format!("/proc/sys/net/{key}");
    let fd = open(&path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()).map_err(
        |cause| {
            let error = Error::os("open sysctl", &path, cause);
            match cause {
                Errno::ROFS => error
                    .with_kind(ErrorKind::PermissionDenied)
                    .with_hint("/proc/sys is mounted read-only here"),
                Errno::ACCESS | Errno::PERM => error.with_hint("CAP_NET_ADMIN is needed"),
                _ => error,
            }
        },
    )?;
    let fs = fstatfs(&fd).map_err(|cause| Error::os("fstatfs", &path, cause))?;
    if fs.f_type != PROC_SUPER_MAGIC {
        return Err(Error::refused(
            ErrorKind::PermissionDenied,
            "open sysctl",
            path,
            "something is mounted over /proc/sys",
        ));
    }
    Ok(fd.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_procfs() {
        assert!(matches!(read(IP_FORWARD).unwrap().as_str(), "0" | "1"));
        assert_eq!(read("ipv4/no_such_setting").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
