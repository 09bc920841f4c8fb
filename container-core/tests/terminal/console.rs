//! Console sockets: ours with ours, and with runc as the sender.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use container_core::ErrorKind;
use container_core::terminal::{ConsoleListener, ConsoleSocket};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::{expect, pair, type_in};

#[test]
fn a_master_goes_through_with_its_name() {
    let dir = testkit::TempDir::new();
    // Longer than an address can be.
    let deep = dir.join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    for path in [dir.join("console.sock"), deep.join("console.sock")] {
        let listener = ConsoleSocket::listen(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o600, 0, "{mode:o}");
        let (master, slave) = pair();
        let socket = ConsoleSocket::connect(&path).unwrap();
        socket.send(&master, "/dev/pts/7").unwrap();
        drop(master);
        let (name, received) = listener.receive_named().unwrap();
        assert_eq!(name, "/dev/pts/7");
        type_in(&slave, "through");
        expect(&received, "through");
        drop(listener);
        assert!(!path.exists());
    }
}

#[test]
fn what_is_no_terminal_is_refused_and_closed() {
    let dir = testkit::TempDir::new();
    let listener = ConsoleListener::bind(dir.join("s")).unwrap();
    let (master, slave) = pair();
    let null = File::open("/dev/null").unwrap();
    let send = |rights: &[i32]| {
        let stream = UnixStream::connect(listener.path()).unwrap();
        let message = [ControlMessage::ScmRights(rights)];
        let message = if rights.is_empty() { &[][..] } else { &message[..] };
        let part = [std::io::IoSlice::new(b"name")];
        sendmsg::<()>(stream.as_raw_fd(), &part, message, MsgFlags::empty(), None).unwrap();
        listener.receive().map(drop).unwrap_err()
    };
    let two = [master.as_raw_fd(), master.as_raw_fd()];
    for rights in
        [&[][..], &[null.as_raw_fd()], &[slave.as_raw_fd()], &two, &[two, two, two].concat()]
    {
        let error = send(rights);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    // One who says nothing at all.
    drop(UnixStream::connect(listener.path()).unwrap());
    assert_eq!(listener.receive().unwrap_err().kind(), ErrorKind::InvalidInput);
    let error = listener.receive_timeout(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    // One who stays silent holds nobody up.
    let _silent = UnixStream::connect(listener.path()).unwrap();
    let error = listener.receive_timeout(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[test]
fn wrong_names_and_paths_are_refused() {
    let dir = testkit::TempDir::new();
    let path = dir.join("s");
    assert_eq!(ConsoleSocket::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(ConsoleSocket::connect("").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(ConsoleSocket::connect("\0x").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(ConsoleListener::bind("a\0b").unwrap_err().kind(), ErrorKind::InvalidInput);
    let listener = ConsoleListener::bind(&path).unwrap();
    let error = ConsoleListener::bind(&path).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc_eaddrinuse()), "{error}");
    assert!(path.exists(), "the failed one removed the other's");
    let socket = ConsoleSocket::connect(listener.path()).unwrap();
    let (master, _slave) = pair();
    for name in [String::new(), "n".repeat(4097)] {
        let error = socket.send(&master, name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    socket.send(&master, "n".repeat(4096)).unwrap();
    assert_eq!(listener.receive_named().unwrap().0.len(), 4096);
}

fn libc_eaddrinuse() -> i32 {
    nix::errno::Errno::EADDRINUSE as i32
}

/// Its terminal comes to us, as it would to containerd's shim.
#[test]
fn runc_gives_its_terminal_to_our_listener() {
    if !testkit::require_root() || !testkit::require_peer("runc") {
        return;
    }
    let runc = testkit::peer("runc").unwrap();
    let dir = testkit::TempDir::new();
    let rootfs = testkit::rootfs_copy(&["/bin/sh", "stty"]);
    let run = |arguments: &[&str]| {
        let output = Command::new(&runc)
            .arg("--root")
            .arg(dir.join("state"))
            .args(arguments)
            .current_dir(dir.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run(&["spec"]);
    let config = std::fs::read_to_string(dir.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["root"]["path"] = rootfs.path().to_str().unwrap().into();
    config["process"]["args"] =
        serde_json::json!(["/bin/sh", "-c", "stty size; read x; echo got $x"]);
    config["process"]["consoleSize"] = serde_json::json!({"height": 12, "width": 34});
    let id = testkit::unique("console");
    config["linux"]["cgroupsPath"] = format!("/{id}").into();
    let mut file = File::create(dir.join("config.json")).unwrap();
    file.write_all(config.to_string().as_bytes()).unwrap();
    let listener = ConsoleListener::bind(dir.join("console.sock")).unwrap();
    run(&["run", "--detach", "--console-socket", "console.sock", &id]);
    let (name, master) = listener.receive_timeout(Duration::from_secs(10)).unwrap();
    assert!(!name.is_empty());
    expect(&master, "12 34\r\n");
    type_in(&master, "hello\n");
    expect(&master, "got hello\r\n");
    run(&["delete", "--force", &id]);
}
