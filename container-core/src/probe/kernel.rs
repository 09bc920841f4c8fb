use nix::errno::Errno;
use nix::sys::utsname::uname;

use super::Facility;
use super::raw::RefusedCall;

/// A version of Linux, major and minor.
pub(crate) type Version = (u32, u32);

/// A system call, the version that brought it, and what it is for.
const CALLS: [(&str, RefusedCall, Version, &str); 7] = [
    ("clone3", RefusedCall::Clone3, (5, 3), "children with a pidfd, born in their cgroup"),
    ("pidfd", RefusedCall::PidfdOpen, (5, 3), "processes that are never mistaken for others"),
    ("pidfd signals", RefusedCall::PidfdSendSignal, (5, 1), "signals to just that process"),
    ("new mount API", RefusedCall::Fsopen, (5, 2), "mounts by descriptor"),
    ("openat2", RefusedCall::Openat2, (5, 6), "paths that don't leave the root file system"),
    ("close_range", RefusedCall::CloseRange, (5, 9), "no descriptor leaks into the container"),
    ("mount_setattr", RefusedCall::MountSetattr, (5, 12), "recursive flags, idmapped mounts"),
];

pub(super) fn facilities() -> Vec<Facility> {
    let version = version();
    let mut facilities = vec![release(version)];
    facilities.extend(CALLS.iter().map(|(name, call, since, purpose)| {
        facility_of_call(name, call.answer(), version, *since, purpose)
    }));
    facilities.push(memfd(std::fs::read_to_string("/proc/sys/vm/memfd_noexec").ok().as_deref()));
    facilities
}

/// The version of the running kernel; 0.0 if it isn't known.
pub(crate) fn version() -> Version {
    uname().map_or((0, 0), |names| parse_version(&names.release().to_string_lossy()))
}

fn parse_version(release: &str) -> Version {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn release(version: Version) -> Facility {
    let name = "kernel";
    match uname() {
        Ok(names) if version != (0, 0) => {
            let release = names.release().to_string_lossy();
            Facility::present(
                name,
                format!("Linux {release} {}", names.machine().to_string_lossy()),
            )
        }
        _ => Facility::absent(name, "the version is unknown", "run on Linux"),
    }
}

fn facility_of_call(
    name: &str,
    answer: Errno,
    running: Version,
    since: Version,
    purpose: &str,
) -> Facility {
    let (major, minor) = since;
    // These calls ask for privilege before they look at their arguments.
    let may_lack_privilege = matches!(name, "new mount API" | "mount_setattr");
    match answer {
        Errno::ENOSYS if running >= since => Facility::absent(
            name,
            "the kernel has it, but a seccomp filter around this process hides it",
            "allow the call in the profile of the surrounding container",
        ),
        Errno::ENOSYS => Facility::absent(
            name,
            format!("the kernel lacks it: {purpose}"),
            format!("Linux {major}.{minor}"),
        ),
        Errno::EPERM if !may_lack_privilege => Facility::absent(
            name,
            "a seccomp filter around this process refuses it",
            "allow the call in the profile of the surrounding container",
        ),
        Errno::EPERM => Facility::present(name, format!("{purpose}; inside a user namespace only")),
        _ => Facility::present(name, purpose),
    }
}

/// `vm.memfd_noexec`: whether a program can be run from a sealed memfd.
fn memfd(noexec: Option<&str>) -> Facility {
    let name = "memfd exec";
    match noexec.map(str::trim) {
        None => Facility::present(name, "always allowed by this kernel"),
        Some(value @ ("0" | "1")) => Facility::present(name, format!("vm.memfd_noexec={value}")),
        Some(value) => Facility::absent(
            name,
            format!("vm.memfd_noexec={value} forbids it; the init runs from a private file"),
            "sysctl vm.memfd_noexec=1",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(parse_version("6.18.44-x"), (6, 18));
        assert_eq!(parse_version("6.1-rc3"), (6, 1));
        assert_eq!(parse_version(""), (0, 0));
        assert!(version() > (3, 0));
    }

    #[test]
    fn an_old_kernel_and_a_filter_are_told_apart() {
        let of = |answer, running| facility_of_call("openat2", answer, running, (5, 6), "x");
        assert_eq!(of(Errno::ENOSYS, (5, 4)).way_out.unwrap(), "Linux 5.6");
        assert!(of(Errno::ENOSYS, (6, 1)).detail.contains("seccomp"));
        assert!(of(Errno::EPERM, (6, 1)).detail.contains("seccomp"));
        assert!(of(Errno::EINVAL, (6, 1)).available);
    }

    #[test]
    fn mount_calls_may_be_refused_for_privilege() {
        let fs = facility_of_call("new mount API", Errno::EPERM, (6, 1), (5, 2), "x");
        assert!(fs.available && fs.detail.contains("user namespace"));
    }

    #[test]
    fn memfd_values() {
        assert!(memfd(None).available);
        assert!(memfd(Some("1\n")).available);
        assert_eq!(memfd(Some("2\n")).way_out.unwrap(), "sysctl vm.memfd_noexec=1");
    }
}
