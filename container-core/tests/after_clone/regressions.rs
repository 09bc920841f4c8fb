//! Descriptors that must not get into each other's way.

use std::fs::File;
use std::io::Read;

use container_core::{Mount, WindowSize};

use crate::can_isolate;
use crate::common::in_rootfs;

/// The terminal is opened in the container, where low numbers are free: those
/// that passed descriptors are moved to.
#[test]
fn passed_descriptors_and_a_terminal() {
    if !can_isolate() {
        return;
    }
    let root = testkit::rootfs_dirs();
    let dir = testkit::TempDir::new();
    for count in 1..=4 {
        let mut builder = in_rootfs(&root, "/bin/sh")
            .args([
                "-c",
                "tty; for n in 3 4 5 6; do echo $n >&$n; done 2>/dev/null; echo /proc/self/fd/*",
            ])
            .mount(Mount::devpts("/dev/pts"))
            .terminal(WindowSize::default());
        let name = |number: usize| dir.join(format!("{count}-{number}"));
        for number in 0..count {
            builder = builder.pass_fd(File::create(name(number)).unwrap());
        }
        let mut process = builder.spawn().unwrap();
        let mut text = String::new();
        let mut terminal = process.take_terminal().unwrap();
        let mut bytes = Vec::new();
        // Reading the master of an ended session answers EIO.
        let _ = terminal.read_to_end(&mut bytes);
        text.push_str(&String::from_utf8_lossy(&bytes));
        assert!(process.wait().unwrap().success(), "{text}");
        assert!(text.starts_with("/dev/pts/0"), "{text}");
        for number in 0..count {
            let written = std::fs::read_to_string(name(number)).unwrap();
            assert_eq!(written, format!("{}\n", number + 3));
        }
    }
}
