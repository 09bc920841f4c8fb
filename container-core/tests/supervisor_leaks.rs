//! A supervised container leaves the host as it was: no descriptor, process,
//! namespace or mount, and no state of the host's changed.
#![allow(clippy::unwrap_used, clippy::panic)]

use container_core::supervisor::{self, Attachment, Event, Log, Supervision};
use container_core::{Container, Mount, Stdio, WindowSize};
use testkit::{HostState, Leaks, Rootfs, TempDir};

/// The only test in this file: descriptors and children are the process's.
#[test]
fn nothing_is_left_and_nothing_is_changed() {
    if !testkit::is_root() && !testkit::require_unprivileged_userns() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let dir = TempDir::new();
    let supervised = |name: &str, script: &str| {
        let supervision = Supervision::new(dir.join(name)).log(Log::cri("log"));
        Rootfs::binds()
            .iter()
            .fold(Container::builder(rootfs.path()), |builder, path| {
                builder.mount(Mount::bind(path, path).read_only())
            })
            .command("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::Pipe)
            .supervised(supervision)
    };
    let all = |round: &str| {
        let name = |part: &str| format!("{part}-{round}");
        // To its end, with a client.
        let plain = name("plain");
        let container = supervised(&plain, "read x; echo $x").start().unwrap();
        let attachment = Attachment::connect(dir.join(&plain)).unwrap();
        attachment.write(b"x\n").unwrap();
        while !matches!(attachment.next().unwrap(), Event::Ended(_)) {}
        assert!(container.wait().unwrap().success());
        container.delete().unwrap();
        // With a terminal; dropped while it runs.
        let terminal = supervised(&name("terminal"), "sleep 100").terminal(WindowSize::default());
        drop(terminal.start().unwrap());
        // Never started, failing at each end.
        drop(supervised(&name("created"), "").create().unwrap());
        assert!(supervised(&name("program"), "").command("/no/such").start().is_err());
        assert!(supervised(&plain, "").start().is_err());
        assert_eq!(supervisor::wait(dir.join(&plain)).unwrap().status.code(), Some(0));
    };
    // Once before: what the library keeps for good.
    all("first");
    let (leaks, host) = (Leaks::snapshot(), HostState::capture());
    all("second");
    leaks.assert_unchanged();
    host.assert_unchanged();
}
