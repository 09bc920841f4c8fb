//! The relay, between a terminal of the test's own and a container's.

use std::fs::File;
use std::io::Read;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use container_core::terminal::{DetachKeys, RawMode, Relay, RelayEnd, RelayHandle};
use container_core::{ErrorKind, Mount, Process, WindowSize};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::common::in_rootfs;
use super::{can_isolate, expect, pair, pipe, type_in};

/// A relay that runs on a thread of its own; gives the master back.
struct Running {
    thread: JoinHandle<(RelayEnd, File)>,
    handle: RelayHandle,
}

impl Running {
    fn new(mut relay: Relay) -> Self {
        let handle = relay.handle();
        let thread = std::thread::spawn(move || {
            let end = relay.run().unwrap();
            (end, relay.into_master().unwrap().unwrap())
        });
        Self { thread, handle }
    }

    #[track_caller]
    fn end(self) -> (RelayEnd, File) {
        let limit = Instant::now() + Duration::from_secs(10);
        while !self.thread.is_finished() {
            assert!(Instant::now() < limit, "the relay does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.thread.join().unwrap()
    }
}

/// A person at a terminal (its master and slave), and a relay from its slave.
fn seated(master: File) -> (File, Running, RawMode) {
    let (person, slave) = pair();
    let raw = RawMode::enter(&slave).unwrap();
    (person, Running::new(Relay::new(master, &slave, &slave).unwrap()), raw)
}

fn shell(script: &str) -> (testkit::Rootfs, Process, File) {
    let rootfs = testkit::rootfs_dirs();
    let mut process = in_rootfs(&rootfs, "/bin/sh")
        .args(["-c", script])
        .mount(Mount::devpts("/dev/pts"))
        .terminal(WindowSize::default())
        .spawn()
        .unwrap();
    let master = process.take_terminal().unwrap();
    (rootfs, process, master)
}

#[test]
fn keys_and_output_go_through_until_the_program_ends() {
    if !can_isolate() {
        return;
    }
    let (_rootfs, process, master) = shell("read name; echo hello $name");
    let (person, relay, _raw) = seated(master);
    type_in(&person, "you\r");
    expect(&person, "hello you\r\n");
    assert_eq!(relay.end().0, RelayEnd::HungUp);
    assert!(process.wait().unwrap().success());
}

#[test]
fn interrupt_is_a_key_of_the_inner_terminal() {
    if !can_isolate() {
        return;
    }
    let (_rootfs, process, master) =
        shell("trap 'echo trapped; exit 3' INT; echo on; while :; do sleep 0.02; done");
    let (person, relay, _raw) = seated(master);
    expect(&person, "on");
    type_in(&person, "\x03");
    expect(&person, "trapped");
    assert_eq!(relay.end().0, RelayEnd::HungUp);
    assert_eq!(process.wait().unwrap().code(), Some(3));
}

#[test]
fn detach_keys_leave_it_running_and_a_new_relay_attaches() {
    if !can_isolate() {
        return;
    }
    let (_rootfs, process, master) = shell("while read line; do echo \"<$line>\"; done");
    let (person, relay, _raw) = seated(master);
    // Half of the sequence is a key like any other.
    type_in(&person, "one\x10 two\r");
    expect(&person, "two>");
    type_in(&person, "\x10");
    std::thread::sleep(Duration::from_millis(20));
    type_in(&person, "\x11");
    let (end, master) = relay.end();
    assert_eq!(end, RelayEnd::Detached);
    assert_eq!(process.try_wait().unwrap(), None);
    let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL).unwrap());
    assert!(!flags.contains(OFlag::O_NONBLOCK));
    let (person, relay, _raw) = seated(master);
    type_in(&person, "again\r");
    expect(&person, "<again>");
    relay.handle.stop();
    assert_eq!(relay.end().0, RelayEnd::Stopped);
    drop(process);
}

#[test]
fn other_keys_and_none() {
    let (master, slave) = pair();
    let _inner = RawMode::enter(&slave).unwrap();
    let (input, typed) = pipe();
    let (_shown, output) = pipe();
    let relay = Relay::new(master, &input, &output).unwrap();
    let relay = Running::new(relay.detach_keys("ctrl-a,d".parse().unwrap()));
    type_in(&typed, "\x10\x11\x01x\x01d");
    let (end, master) = relay.end();
    assert_eq!(end, RelayEnd::Detached);
    expect(&slave, "\x10\x11\x01x");
    let relay = Relay::new(master, &input, &output).unwrap().detach_keys(DetachKeys::none());
    let relay = Running::new(relay);
    type_in(&typed, "\x10\x11.");
    expect(&slave, "\x10\x11.");
    drop(slave);
    drop(_inner);
    assert_eq!(relay.end().0, RelayEnd::HungUp);
}

#[test]
fn the_end_of_the_input_is_told_and_the_output_goes_on() {
    if !can_isolate() {
        return;
    }
    // Of a whole line, and of one without its end.
    for typed in ["whole\n", "half"] {
        let (_rootfs, process, master) = shell("cat > /dev/null; sleep 0.1; echo after");
        let (input, to) = pipe();
        let (mut shown, output) = pipe();
        let relay = Running::new(Relay::new(master, &input, &output).unwrap());
        type_in(&to, typed);
        drop((to, input));
        assert_eq!(relay.end().0, RelayEnd::HungUp);
        assert!(process.wait().unwrap().success());
        drop(output);
        let mut text = String::new();
        shown.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("after\r\n"), "{text:?}");
    }
}

#[test]
fn a_process_in_the_background_does_not_hold_it_up_and_nothing_is_lost() {
    if !can_isolate() {
        return;
    }
    // No pid namespace ends with the shell: somebody keeps the terminal open.
    let script = "trap '' HUP; sleep 100 & echo $!; seq 1 20000; echo last";
    let (master, slave) = pair();
    let mut shell = std::process::Command::new("/bin/sh")
        .args(["-c", script])
        .stdin(slave.try_clone().unwrap())
        .stdout(slave.try_clone().unwrap())
        .stderr(slave)
        .spawn()
        .unwrap();
    let pidfd = open_pidfd(shell.id());
    let (input, _to) = pipe();
    let (mut shown, output) = pipe();
    let relay = Relay::new(master, &input, &output).unwrap().until(&pidfd).unwrap();
    drop(output);
    let relay = Running::new(relay);
    let mut text = String::new();
    // Slowly, so that the output is full again and again.
    let mut buffer = [0; 3000];
    loop {
        let read = shown.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert_eq!(relay.end().0, RelayEnd::Ended);
    shell.wait().unwrap();
    assert!(text.ends_with("\r\n19999\r\n20000\r\nlast\r\n"), "{:?}", &text[text.len() - 40..]);
    let background: i32 = text.lines().next().unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(background), nix::sys::signal::SIGKILL)
        .unwrap();
}

fn open_pidfd(pid: u32) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    #[allow(unsafe_code)]
    // SAFETY: pidfd_open takes numbers and gives a new descriptor.
    unsafe {
        let fd = nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, 0);
        assert!(fd >= 0);
        std::os::fd::OwnedFd::from_raw_fd(fd as i32)
    }
}

#[test]
fn input_that_nobody_reads_blocks_neither_output_nor_detaching() {
    let (master, slave) = pair();
    let _inner = RawMode::enter(&slave).unwrap();
    let (input, typed) = pipe();
    let (shown, output) = pipe();
    let relay = Running::new(Relay::new(master, &input, &output).unwrap());
    // More than the terminal takes.
    type_in(&typed, vec![b'x'; 40_000]);
    std::thread::sleep(Duration::from_millis(50));
    type_in(&slave, "output");
    expect(&shown, "output");
    relay.handle.stop();
    assert_eq!(relay.end().0, RelayEnd::Stopped);
}

#[test]
fn a_closed_output_ends_it() {
    let (master, slave) = pair();
    let (input, _typed) = pipe();
    let (shown, output) = pipe();
    drop(shown);
    let relay = Running::new(Relay::new(master, &input, &output).unwrap());
    type_in(&slave, "x");
    assert_eq!(relay.end().0, RelayEnd::OutputClosed);
}

#[test]
fn the_handle_resizes_while_it_runs_and_keeps_nothing_open() {
    let (master, slave) = pair();
    let (input, _typed) = pipe();
    let (_shown, output) = pipe();
    let relay = Running::new(Relay::new(master, &input, &output).unwrap());
    let handle = relay.handle.clone();
    handle.resize(WindowSize { rows: 3, columns: 9 }).unwrap();
    let size = container_core::terminal::window_size(&slave).unwrap();
    assert_eq!(size, WindowSize { rows: 3, columns: 9 });
    handle.stop();
    let (_, master) = relay.end();
    drop(master);
    handle.resize(WindowSize::default()).unwrap();
    let error = (&slave).read(&mut [0]).map_err(|error| error.raw_os_error());
    assert!(matches!(error, Ok(0) | Err(Some(5))), "hung up: {error:?}");
}

#[test]
fn only_a_master_can_be_relayed() {
    let (_master, slave) = pair();
    let null = File::open("/dev/null").unwrap();
    let copy = || null.try_clone().unwrap();
    for wrong in [copy(), slave] {
        let error = Relay::new(wrong, copy(), copy()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}
