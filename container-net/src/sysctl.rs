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

/// Switches IPv6 off on a link of an IPv4 network, before it is up.
///
/// No router advertisement may ever be taken there (CVE-2020-13401), and neither the host's nor
/// a container's services are offered at link-local addresses (CVE-2024-32473).
pub(crate) fn without_ipv6(link: &str) -> Result<()> {
    for (key, value) in [("accept_ra", "0"), ("disable_ipv6", "1")] {
        match write(&format!("ipv6/conf/{link}/{key}"), value) {
            // A kernel without IPv6 has nothing to switch off.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
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
