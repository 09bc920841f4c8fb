//! Terminals of containers and of processes executed in them.

use std::io::Read;

use container_core::{Container, Mount, ProcessBuilder, Stdio, UserSpec, WindowSize};

use crate::common::in_rootfs;

/// Rows and columns, owner and group.
const LOOK: &str = "stty size; stat -c '%u %g' $(tty)";

fn terminal_text(mut process: container_core::Process) -> String {
    let mut terminal = process.take_terminal().expect("a terminal");
    let mut text = String::new();
    let _ = terminal.read_to_string(&mut text);
    assert!(process.wait().unwrap().success(), "{text}");
    text.replace('\r', "")
}

#[test]
fn the_terminal_has_its_size_and_owner() {
    if !testkit::is_root() && !testkit::require_unprivileged_userns() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let users: &[u32] = if testkit::is_root() { &[0, 1000] } else { &[0] };
    for uid in users.iter().copied() {
        let builder = in_rootfs(&rootfs, "/bin/sh")
            .mount(Mount::devpts("/dev/pts"))
            .args(["-c", LOOK])
            .user(UserSpec::by_ids(uid, uid).unwrap())
            .terminal(WindowSize { rows: 33, columns: 111 });
        let text = terminal_text(builder.spawn().unwrap());
        assert!(text.starts_with(&format!("33 111\n{uid} ")), "{text}");
        if testkit::is_root() {
            assert!(text.contains(&format!("\n{uid} 5\n")), "the group is tty: {text}");
        }
    }
}

#[test]
fn a_process_executed_inside_gets_one_of_its_own() {
    if !testkit::is_root() && !testkit::require_unprivileged_userns() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let mut builder = Container::builder(rootfs.path());
    for path in testkit::Rootfs::binds() {
        builder = builder.mount(Mount::bind(&path, &path).read_only());
    }
    let container = builder.command("sleep").arg("100").stdout(Stdio::Null).start().unwrap();
    let look = |change: fn(ProcessBuilder) -> ProcessBuilder| {
        let process = container.exec("/bin/sh").unwrap().args(["-c", LOOK]);
        terminal_text(change(process).spawn().unwrap())
    };
    let text = look(|process| process.terminal(WindowSize { rows: 5, columns: 9 }));
    assert!(text.starts_with("5 9\n0 "), "{text}");
    let text = look(|process| process.terminal(WindowSize::default()));
    assert!(text.starts_with("24 80\n"), "{text}");
    let controlling = container
        .exec("/bin/sh")
        .unwrap()
        .args(["-c", "echo ok >/dev/tty"])
        .terminal(WindowSize::default());
    assert_eq!(terminal_text(controlling.spawn().unwrap()), "ok\n");
    container.kill().unwrap();
}
