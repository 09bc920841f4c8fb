//! The relay of the terminal module, with a supervisor at the other end.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use container_core::WindowSize;
use container_core::supervisor::Attachment;
use container_core::terminal::{RawMode, Relay, RelayEnd, RelayHandle};

use super::{Place, can_isolate, until};

struct Running {
    thread: std::thread::JoinHandle<RelayEnd>,
    handle: RelayHandle,
}

impl Running {
    fn new(place: &Place, input: impl AsFd, output: impl AsFd, errors: impl AsFd) -> Self {
        let attachment = Attachment::connect_with_tail(place.state()).unwrap();
        let mut relay = Relay::attached(attachment, input, output, errors).unwrap();
        let handle = relay.handle();
        let thread = std::thread::spawn(move || {
            let end = relay.run().unwrap();
            assert_eq!(relay.lost(), 0);
            assert!(relay.into_master().unwrap().is_none());
            end
        });
        Self { thread, handle }
    }

    #[track_caller]
    fn end(self) -> RelayEnd {
        let limit = Instant::now() + Duration::from_secs(20);
        while !self.thread.is_finished() {
            assert!(Instant::now() < limit, "the relay does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.thread.join().unwrap()
    }
}

fn pipe() -> (File, File) {
    let (read, write) = nix::unistd::pipe().unwrap();
    (read.into(), write.into())
}

/// Like a command in a pipeline: input to its end, both outputs, the status.
#[test]
fn pipes_go_through_to_the_end() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("cat; echo done >&2; exit 3").start().unwrap();
    let ((input, mut typed), (mut shown, output), (mut told, errors)) = (pipe(), pipe(), pipe());
    let relay = Running::new(&place, &input, &output, &errors);
    drop((input, output, errors));
    let text: String = (0..100_000).map(|number| format!("{number}\n")).collect();
    let expected = text.clone();
    let writer = std::thread::spawn(move || typed.write_all(text.as_bytes()).unwrap());
    let reader = std::thread::spawn(move || {
        let mut seen = String::new();
        shown.read_to_string(&mut seen).unwrap();
        seen
    });
    writer.join().unwrap();
    let end = relay.end();
    assert!(matches!(end, RelayEnd::Exited(status) if status.code() == Some(3)), "{end:?}");
    assert!(reader.join().unwrap() == expected);
    let mut seen = String::new();
    told.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "done\n");
    assert_eq!(container.wait().unwrap().code(), Some(3));
}

#[test]
fn detach_keys_leave_it_running() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let script = "while read line; do stty size; echo \"<$line>\"; done";
    let container = place.builder(script).terminal(WindowSize::default()).start().unwrap();
    for round in ["one", "two"] {
        let pair = nix::pty::openpty(None, None).unwrap();
        let (mut person, slave) = (File::from(pair.master), File::from(pair.slave));
        let raw = RawMode::enter(&slave).unwrap();
        let relay = Running::new(&place, &slave, &slave, &slave);
        relay.handle.resize(WindowSize { rows: 7, columns: 9 }).unwrap();
        person.write_all(format!("{round}\r").as_bytes()).unwrap();
        let mut seen = String::new();
        let mut buffer = [0; 1000];
        while !seen.contains(&format!("7 9\r\n<{round}>")) {
            let read = person.read(&mut buffer).unwrap();
            seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        person.write_all(b"\x10\x11").unwrap();
        assert_eq!(relay.end(), RelayEnd::Detached);
        raw.restore().unwrap();
        assert_eq!(container.try_wait().unwrap(), None);
    }
    let (input, typed) = pipe();
    let (_shown, output) = pipe();
    let relay = Running::new(&place, &input, &output, &output);
    drop(typed);
    let end = relay.end();
    assert!(matches!(end, RelayEnd::Exited(_)), "{end:?}");
    until("it ends", || container.try_wait().unwrap().is_some());
}
