//! Window sizes, seen by programs inside.

use container_core::terminal::{set_window_size, window_size};
use container_core::{Container, ErrorKind, Mount, ProcessBuilder, WindowSize};
use testkit::Rootfs;

use super::common::in_rootfs;
use super::{can_isolate, expect, pair, type_in};

#[test]
fn both_ends_tell_the_same_size() {
    let (master, slave) = pair();
    assert_eq!(window_size(&slave).unwrap(), WindowSize { rows: 0, columns: 0 });
    let size = WindowSize { rows: 7, columns: 65535 };
    set_window_size(&master, size).unwrap();
    assert_eq!(window_size(&slave).unwrap(), size);
    set_window_size(&slave, WindowSize::default()).unwrap();
    assert_eq!(window_size(&master).unwrap(), WindowSize { rows: 24, columns: 80 });
    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(window_size(&null).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(set_window_size(&null, size).unwrap_err().kind(), ErrorKind::InvalidInput);
}

// A signal ends dash's `read` with an error.
const LOOP: &str = "trap 'stty size' WINCH; stty size; \
                    for try in 1 2 3 4 5 6 7 8 9; do read line && echo got $line; done";

#[test]
fn a_resize_reaches_the_program_as_a_signal() {
    if !can_isolate() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let mut process = in_rootfs(&rootfs, "/bin/sh")
        .args(["-c", LOOP])
        .mount(Mount::devpts("/dev/pts"))
        .terminal(WindowSize { rows: 11, columns: 22 })
        .spawn()
        .unwrap();
    process.resize(WindowSize { rows: 33, columns: 44 }).unwrap();
    let master = process.take_terminal().unwrap();
    let seen = expect(&master, "33 44\r\n");
    assert!(!seen.contains("55 66"));
    let error = process.resize(WindowSize::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
    set_window_size(&master, WindowSize { rows: 55, columns: 66 }).unwrap();
    // The shell runs its trap when the read returns.
    type_in(&master, "x\n");
    expect(&master, "55 66\r\n");
}

#[test]
fn a_container_is_resized_through_its_handle() {
    if !can_isolate() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let builder =
        Rootfs::binds().iter().fold(Container::builder(rootfs.path()), |builder, path| {
            builder.mount(Mount::bind(path, path).read_only())
        });
    let builder = builder.command("/bin/sh").args(["-c", "read go; stty size"]);
    let mut container = builder.terminal(WindowSize::default()).start().unwrap();
    container.resize(WindowSize { rows: 5, columns: 6 }).unwrap();
    let master = container.take_terminal().unwrap();
    type_in(&master, "\n");
    expect(&master, "5 6\r\n");
    let process = ProcessBuilder::new("/bin/true").spawn().unwrap();
    assert_eq!(process.resize(WindowSize::default()).unwrap_err().kind(), ErrorKind::WrongState);
}
