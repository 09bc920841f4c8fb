//! Gates: what a test needs of the machine.
//!
//! A gate returns `true` where the test can run. Where it cannot, it writes one line
//! `SKIP <test>: needs <what>` to standard error, past the test harness's capture, and returns
//! `false`; where the gate's environment variable is `1`, it panics instead, so that a lane which
//! promises the facility can't pass by skipping.
//!
//! | gate | variable |
//! |---|---|
//! | [`require_root`] | `REQUIRE_ROOT` |
//! | [`require_peer`] | `REQUIRE_PEERS` |
//! | [`require_unprivileged_userns`], [`require_subids`] | `REQUIRE_USERNS` |
//! | [`require_cgroup1`] | `REQUIRE_CGROUP1` |
//! | [`require_cgroup2`] | `REQUIRE_CGROUP2` |
//! | [`require_kernel`] | `REQUIRE_KERNEL` |
//! | [`require_criu`] | `REQUIRE_CRIU` |

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::proc;

/// Whether this is root of the initial user namespace, with `CAP_SYS_ADMIN`.
#[must_use]
pub fn is_root() -> bool {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    let capabilities = proc::status_field("CapEff").expect("CapEff in /proc/thread-self/status");
    let effective = u64::from_str_radix(&capabilities, 16).expect("CapEff is hexadecimal");
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let initial = map.split_whitespace().eq(["0", "0", "4294967295"]);
    rustix::process::geteuid().is_root() && initial && effective & CAP_SYS_ADMIN != 0
}

/// The test needs root of the initial user namespace ([`is_root`]).
#[must_use]
pub fn require_root() -> bool {
    gate(is_root(), "REQUIRE_ROOT", || "root".into())
}

/// The program's path: an executable file of that name in `PATH`, `/usr/sbin` or `/sbin`
/// (an ordinary user's `PATH` often lacks the last two).
#[must_use]
pub fn peer(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| {
            fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
}

/// The test compares with another program, for example `skopeo`; [`peer`] finds it.
#[must_use]
pub fn require_peer(program: &str) -> bool {
    gate(peer(program).is_some(), "REQUIRE_PEERS", || format!("the program {program} in PATH"))
}

/// The test saves processes with criu, which each kernel newer than itself may break.
#[must_use]
pub fn require_criu() -> bool {
    let works = || {
        let check = Command::new(peer("criu")?).arg("check").stdin(Stdio::null()).output();
        check.ok().filter(|output| output.status.success())
    };
    gate(works().is_some(), "REQUIRE_CRIU", || "a criu that works on this kernel".into())
}

/// The test makes a user namespace with this user's own id mapped.
///
/// Tried once per process with util-linux's `unshare`: the sysctls and security modules that
/// forbid it differ from one distribution to the next.
#[must_use]
pub fn require_unprivileged_userns() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    let works = *WORKS
        .get_or_init(|| runs(Command::new("unshare").args(["-U", "--map-root-user", "true"])));
    gate(works, "REQUIRE_USERNS", || {
        "user namespaces for this user (user.max_user_namespaces, unprivileged_userns_clone)".into()
    })
}

/// The test maps a range of ids: root may, any other user needs `newuidmap`, `newgidmap` and
/// ranges in `/etc/subuid` and `/etc/subgid`.
#[must_use]
pub fn require_subids() -> bool {
    let helpers = || peer("newuidmap").is_some() && peer("newgidmap").is_some();
    let ranges = || has_range("/etc/subuid") && has_range("/etc/subgid");
    gate(is_root() || (helpers() && ranges()), "REQUIRE_USERNS", || {
        "newuidmap and newgidmap, and ranges for this user in /etc/subuid and /etc/subgid".into()
    })
}

/// The test needs cgroup v1 controllers, alone or beside v2 (hybrid).
#[must_use]
pub fn require_cgroup1() -> bool {
    let found = proc::mounts().iter().any(|mount| mount.fstype == "cgroup");
    gate(found, "REQUIRE_CGROUP1", || "a mounted cgroup v1 hierarchy".into())
}

/// The test needs a pure cgroup v2 machine: `/sys/fs/cgroup` itself is `cgroup2`.
#[must_use]
pub fn require_cgroup2() -> bool {
    let pure = proc::mounts()
        .iter()
        .any(|mount| mount.fstype == "cgroup2" && mount.point == Path::new("/sys/fs/cgroup"));
    gate(pure, "REQUIRE_CGROUP2", || "cgroup v2 at /sys/fs/cgroup".into())
}

/// Major and minor version of the running kernel.
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The test needs at least this kernel.
#[must_use]
pub fn require_kernel(major: u32, minor: u32) -> bool {
    gate(kernel_version() >= (major, minor), "REQUIRE_KERNEL", || format!("Linux {major}.{minor}"))
}

fn gate(met: bool, variable: &str, need: impl FnOnce() -> String) -> bool {
    if met {
        return true;
    }
    let line = skip(&need(), variable, env::var(variable).is_ok_and(|value| value == "1"));
    // One write, and not `eprint!`, which the harness would capture.
    let _ = std::io::stderr().write_all(line.as_bytes());
    false
}

/// The line that reports the skip; a panic where skipping is forbidden.
fn skip(need: &str, variable: &str, forbidden: bool) -> String {
    assert!(!forbidden, "needs {need}, and {variable}=1 forbids skipping");
    let thread = std::thread::current();
    format!("SKIP {}: needs {need}\n", thread.name().unwrap_or("test"))
}

fn runs(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn has_range(file: &str) -> bool {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&uid.as_str())).then(|| fields[0].to_owned())
    });
    let owners = [Some(uid), name];
    let ranges = fs::read_to_string(file).unwrap_or_default();
    ranges.lines().any(|line| {
        let owner = line.split(':').next().map(str::to_owned);
        owners.contains(&owner)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_names_the_test_and_the_need() {
        assert!(gate(true, "REQUIRE_NOTHING", || unreachable!()));
        let line = skip("the moon", "REQUIRE_MOON", false);
        assert!(line.starts_with("SKIP ") && line.ends_with(": needs the moon\n"), "{line}");
    }

    #[test]
    #[should_panic(expected = "needs the moon, and REQUIRE_MOON=1 forbids skipping")]
    fn a_forbidden_skip_fails_the_test() {
        let _ = skip("the moon", "REQUIRE_MOON", true);
    }

    #[test]
    fn kernel_version_is_read() {
        assert!(kernel_version() >= (4, 0));
        assert!(kernel_version() < (100, 0));
    }

    #[test]
    fn peers_are_found_by_name() {
        assert!(peer("sh").is_some());
        assert_eq!(peer("no-such-program-anywhere"), None);
    }
}
