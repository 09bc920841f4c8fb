//! Clients: several at once, their input, the terminal, coming and going.

use std::time::Duration;

use container_core::supervisor::{self, Attachment, Event};
use container_core::{Stdio, WindowSize};

use super::{Place, can_isolate, expect, is_running, names, to_the_end, until, within};

#[test]
fn output_goes_to_the_log_and_the_status_to_its_file() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("echo out; echo err >&2; exit 7").start().unwrap();
    let supervisor_end = container.wait().unwrap();
    assert_eq!(supervisor_end.code(), Some(7));
    let log = place.log();
    assert!(log == "out\nerr\n" || log == "err\nout\n", "{log:?}");
    let exit = supervisor::exit_status(place.state()).unwrap().unwrap();
    assert_eq!((exit.status.code(), exit.log_lost), (Some(7), 0));
    assert_eq!(exit.process, container.pid());
    assert!(exit.finished.elapsed().unwrap() < Duration::from_secs(60));
    assert_eq!(names(&place.state()), ["exit", "log"]);
    let text = std::fs::read_to_string(place.state().join("exit")).unwrap();
    assert!(text.contains("\nstatus=1792\ncode=7\nfinished=20"), "{text}");
    container.delete().unwrap();
}

#[test]
fn a_signal_is_told_as_one() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("sleep 100").init(true).start().unwrap();
    let attachment = place.attach();
    container.kill().unwrap();
    assert_eq!(container.wait().unwrap().to_string(), "signal: 9 (SIGKILL)");
    let (_, _, end) = to_the_end(&attachment);
    let Event::Ended(status) = end else { panic!("{end:?}") };
    assert_eq!(status.to_string(), "signal: 9 (SIGKILL)");
    let text = std::fs::read_to_string(place.state().join("exit")).unwrap();
    assert!(text.contains("\nsignal=9\n"), "{text}");
}

#[test]
fn two_clients_see_the_same_and_both_can_type() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let script =
        "echo early; while read line; do echo \"<$line>\"; echo \"!$line\" >&2; done; echo end";
    let container = place.builder(script).start().unwrap();
    until("early", || place.log().contains("early"));
    let (one, other) = (place.attach(), place.attach());
    let tail = Attachment::connect_with_tail(place.state()).unwrap();
    assert_eq!(expect(&tail, "early\n"), "early\n");
    assert_eq!(one.process(), container.pid());
    assert!(is_running(one.supervisor()) && !one.has_terminal() && one.has_input());
    one.write(b"a\n").unwrap();
    let seen = |attachment: &Attachment, text: &str| {
        let mut streams = [String::new(), String::new()];
        while streams.iter().any(|stream| !stream.contains(text)) {
            match within(attachment, 10).expect("output") {
                Event::Output { stream, bytes } => {
                    streams[stream as usize].push_str(std::str::from_utf8(&bytes).unwrap());
                }
                event => panic!("{event:?}"),
            }
        }
        streams
    };
    for client in [&one, &other, &tail] {
        assert_eq!(seen(client, "a"), ["<a>\n", "!a\n"]);
    }
    other.write(b"b\n").unwrap();
    for client in [&one, &other] {
        assert_eq!(seen(client, "b"), ["<b>\n", "!b\n"]);
    }
    one.detach();
    other.write(b"c\n").unwrap();
    assert_eq!(seen(&other, "c"), ["<c>\n", "!c\n"]);
    other.close_input().unwrap();
    let (stdout, _, end) = to_the_end(&other);
    assert_eq!(stdout, b"end\n");
    assert!(matches!(end, Event::Ended(status) if status.success()));
    assert_eq!(other.next().unwrap(), Event::Gone);
    assert!(container.wait().unwrap().success());
}

#[test]
fn a_terminal_is_resized_and_typed_on_through_the_socket() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let script = "stty size; while read line; do stty size; echo \"<$line>\"; done";
    let mut container =
        place.builder(script).terminal(WindowSize { rows: 11, columns: 22 }).start().unwrap();
    assert!(container.take_terminal().is_none(), "the supervisor has it");
    let attachment = Attachment::connect_with_tail(place.state()).unwrap();
    assert!(attachment.has_terminal() && attachment.has_input());
    expect(&attachment, "11 22\r\n");
    container.resize(WindowSize { rows: 30, columns: 40 }).unwrap();
    attachment.write(b"w\r").unwrap();
    expect(&attachment, "30 40\r\n<w>\r\n");
    attachment.resize(WindowSize { rows: 33, columns: 44 }).unwrap();
    attachment.write(b"x\r").unwrap();
    let seen = expect(&attachment, "<x>\r\n");
    assert!(seen.contains("33 44\r\n"), "{seen:?}");
    attachment.detach();
    assert_eq!(container.try_wait().unwrap(), None);
    let attachment = place.attach();
    attachment.write(b"y\r").unwrap();
    expect(&attachment, "<y>\r\n");
    // As ctrl-d.
    attachment.close_input().unwrap();
    let (_, _, end) = to_the_end(&attachment);
    assert!(matches!(end, Event::Ended(status) if status.success()), "{end:?}");
    container.delete().unwrap();
    assert!(place.log().contains("<x>\r\n"));
}

#[test]
fn a_terminal_that_everybody_closed_can_be_opened_again() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let script =
        "tty=$(tty); exec </dev/null >/dev/null 2>&1; sleep 0.3; echo again > $tty; sleep 0.2";
    let container = place.builder(script).terminal(WindowSize::default()).start().unwrap();
    assert!(container.wait().unwrap().success());
    assert_eq!(place.log(), "again\r\n");
}

#[test]
fn signals_reach_the_program_and_no_other() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let script =
        "trap 'echo hup' HUP; trap 'echo term; exit 3' TERM; echo on; while :; do sleep 0.02; done";
    let container = place.builder(script).start().unwrap();
    let attachment = Attachment::connect_with_tail(place.state()).unwrap();
    expect(&attachment, "on\n");
    attachment.signal(1).unwrap();
    expect(&attachment, "hup\n");
    assert!(attachment.signal(0).is_err() && attachment.signal(65).is_err());
    // To the supervisor: passed on.
    let supervisor = nix::unistd::Pid::from_raw(attachment.supervisor() as i32);
    nix::sys::signal::kill(supervisor, nix::sys::signal::SIGTERM).unwrap();
    expect(&attachment, "term\n");
    assert_eq!(container.wait().unwrap().code(), Some(3));
}

#[test]
fn streams_that_are_given_are_not_the_supervisors() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let file = std::fs::File::create(place.dir.join("own")).unwrap();
    let script = "cat; echo own; echo supervised >&2";
    let builder = place.builder(script).stdin(Stdio::Null).stdout(file.into());
    let container = builder.start().unwrap();
    assert!(container.wait().unwrap().success());
    assert_eq!(place.log(), "supervised\n");
    assert_eq!(std::fs::read_to_string(place.dir.join("own")).unwrap(), "own\n");
}

#[test]
fn a_program_opens_its_own_streams_again() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let script = "echo one > /dev/stdout; echo two > /proc/self/fd/2";
    let mut builder = place.builder(script);
    if testkit::is_root() {
        builder = builder.user("1000:1000".parse::<container_core::UserSpec>().unwrap());
    }
    let container = builder.start().unwrap();
    assert!(container.wait().unwrap().success());
    let log = place.log();
    assert!(log.contains("one\n") && log.contains("two\n"), "{log:?}");
}

#[test]
fn much_output_arrives_whole() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("read go; seq 1 200000").start().unwrap();
    let attachment = place.attach();
    attachment.write(b"\n").unwrap();
    let (stdout, _, end) = to_the_end(&attachment);
    assert!(matches!(end, Event::Ended(_)), "{end:?}");
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(stdout == expected.as_bytes(), "{} of {} bytes", stdout.len(), expected.len());
    assert!(container.wait().unwrap().success());
    assert!(place.log() == expected, "the log differs");
}

#[test]
fn much_input_arrives_whole() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("sleep 0.2; cksum").start().unwrap();
    let attachment = place.attach();
    let input: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    attachment.write(&input).unwrap();
    attachment.close_input().unwrap();
    let (stdout, _, _) = to_the_end(&attachment);
    let stdout = String::from_utf8(stdout).unwrap();
    assert!(stdout.ends_with(" 3000000\n"), "{stdout:?}");
    assert!(container.wait().unwrap().success());
    let mut expected = std::process::Command::new("cksum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut expected.stdin.take().unwrap(), &input).unwrap();
    assert_eq!(stdout.as_bytes(), expected.wait_with_output().unwrap().stdout);
}
