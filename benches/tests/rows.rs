//! The floors and our rows do the same work: each container is looked at from outside while it
//! runs.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use container_benches::fixture::{self, Fixture};
use container_benches::floor::{self, Floor, InitImage};
use container_benches::{Namespaces, Result, ours};

/// The three ways to the same container.
#[derive(Clone, Copy, Debug)]
enum Way {
    Fork,
    Init,
    Ours,
}

fn run(
    fixture: &Fixture,
    namespaces: Namespaces,
    way: Way,
    argv: &[&str],
) -> Result<(Duration, i32)> {
    let floor = Floor::new(fixture, namespaces, argv)?;
    match way {
        Way::Fork => floor.run(floor::Path::Fork),
        Way::Init => floor.run(floor::Path::Init(&InitImage::new()?)),
        Way::Ours => ours::run(&ours::describe(fixture, namespaces, argv)?.plan()?),
    }
}

/// Starts a container that waits, looks at it, kills it.
fn inspect(namespaces: Namespaces, way: Way, look: impl FnOnce(&Path)) -> Result<()> {
    let fixture = Fixture::new()?;
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let container = scope.spawn(|| {
            sender.send(fs::read_link("/proc/thread-self")?)?;
            run(&fixture, namespaces, way, &[fixture::PROGRAM, "wait"])
        });
        let thread = PathBuf::from("/proc").join(receiver.recv()?);
        let child = payload_of(&thread.join("children"));
        let killer = Killer(&child);
        look(&child);
        drop(killer);
        let (time, code) = container.join().unwrap()?;
        assert!(time > Duration::ZERO);
        assert_eq!(code, 128 + 9);
        assert!(!child.exists(), "reaped");
        Ok(())
    })
}

/// Ends the container, also where a check fails.
struct Killer<'a>(&'a Path);

impl Drop for Killer<'_> {
    fn drop(&mut self) {
        let id = self.0.file_name().unwrap();
        assert!(Command::new("kill").arg("-KILL").arg(id).status().unwrap().success());
    }
}

/// The thread's child, once it runs the payload.
fn payload_of(children: &Path) -> PathBuf {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let child = fs::read_to_string(children).unwrap_or_default();
        let child = PathBuf::from("/proc").join(child.trim());
        let command = fs::read(child.join("cmdline")).unwrap_or_default();
        if command == b"/bin/true\0wait\0" {
            return child;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("the payload didn't start");
}

fn check(namespaces: Namespaces) -> Result<()> {
    [Way::Fork, Way::Init, Way::Ours].into_iter().try_for_each(|way| check_way(namespaces, way))
}

fn check_way(namespaces: Namespaces, way: Way) -> Result<()> {
    inspect(namespaces, way, |child| {
        let read = |name: &str| fs::read_to_string(child.join(name)).unwrap();
        for kind in ["pid", "mnt", "uts", "ipc", "cgroup", "net", "user"] {
            let own = match kind {
                "net" => namespaces != Namespaces::NoNet,
                "user" => namespaces == Namespaces::User,
                _ => true,
            };
            let link = |process: &Path| fs::read_link(process.join("ns").join(kind)).unwrap();
            let same = link(child) == link(Path::new("/proc/self"));
            assert_eq!(same, !own, "{kind}");
        }
        let status = read("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().split_whitespace().last().unwrap_or_default().to_owned()
        };
        assert_eq!(field("NSpid:"), "1");
        assert_eq!(field("SigBlk:"), "0000000000000000");

        let user = namespaces == Namespaces::User;
        let mountinfo = read("mountinfo");
        let points: Vec<_> = mountinfo.lines().filter_map(|l| l.split(' ').nth(4)).collect();
        assert_eq!(points[..3], ["/", "/proc", "/dev"]);
        assert_eq!(points.len(), if user { 9 } else { 3 });
        for (name, number) in [("null", 0x103), ("full", 0x107), ("tty", 0x500)] {
            let node = fs::metadata(child.join("root/dev").join(name)).unwrap();
            assert!(node.file_type().is_char_device());
            assert_eq!((node.rdev(), node.mode() & 0o777), (number, 0o666), "{name}");
        }
        let fds: Vec<_> = fs::read_dir(child.join("fd")).unwrap().map(|fd| fd.unwrap()).collect();
        assert_eq!(fds.len(), 3, "only the standard streams");
        if namespaces != Namespaces::NoNet {
            let addresses = read("net/fib_trie");
            assert!(addresses.contains("127.0.0.1"), "loopback is up");
        }
        if user {
            let root = if testkit::is_root() { "100000" } else { "" };
            let map = read("uid_map");
            let words: Vec<_> = map.split_whitespace().collect();
            assert_eq!(words[0], "0");
            assert!(root.is_empty() || words[1] == root);
            assert_eq!(field("CapEff:"), field("CapBnd:"));
        }
    })
}

#[test]
fn full() -> Result<()> {
    if testkit::require_root() {
        check(Namespaces::Full)?;
    }
    Ok(())
}

#[test]
fn without_net() -> Result<()> {
    if testkit::require_root() {
        check(Namespaces::NoNet)?;
    }
    Ok(())
}

#[test]
fn with_user() -> Result<()> {
    if testkit::is_root() || testkit::require_unprivileged_userns() {
        check(Namespaces::User)?;
    }
    Ok(())
}

#[test]
fn a_missing_program_is_noticed() -> Result<()> {
    if testkit::is_root() || testkit::require_unprivileged_userns() {
        let fixture = Fixture::new()?;
        let absent = |way| run(&fixture, Namespaces::User, way, &["/bin/absent"]);
        assert_eq!(absent(Way::Fork)?.1, 125);
        assert_eq!(absent(Way::Init)?.1, 125);
        assert!(absent(Way::Ours).is_err());
    }
    Ok(())
}
