//! Full disks, slow clients, large logs, many containers.

use std::time::{Duration, Instant};

use container_core::supervisor::{self, Attachment, Event, Log, Supervision};

use super::{Place, can_isolate, expect, is_running, names, script, to_the_end, until, within};

#[test]
fn a_client_that_does_not_read_holds_nobody_up_and_is_told_what_it_missed() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("read go; seq 1 300000; read end").start().unwrap();
    let (slow, quick) = (place.attach(), place.attach());
    quick.write(b"\n").unwrap();
    let begun = Instant::now();
    let seen = expect(&quick, "\n300000\n");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let expected: usize = (1..=300_000).map(|number| number.to_string().len() + 1).sum();
    assert_eq!(seen.len(), expected, "a client that reads loses nothing");
    let (mut got, mut lost, mut last) = (0, 0, Vec::new());
    while got + lost < expected {
        match within(&slow, 5).expect("the rest") {
            Event::Output { bytes, .. } => {
                got += bytes.len();
                last = bytes;
            }
            Event::Lost(count) => lost += count as usize,
            event => panic!("{event:?}"),
        }
    }
    assert!(lost > 0 && got > 0, "{got} bytes came, {lost} were lost");
    assert!(last.ends_with(b"\n300000\n"), "and it has caught up");
    assert_eq!(got + lost, expected);
    quick.write(b"\n").unwrap();
    assert!(container.wait().unwrap().success());
    assert!(matches!(to_the_end(&slow).2, Event::Ended(_)));
    assert_eq!(place.log().len(), expected);
}

#[test]
fn a_client_that_never_reads_does_not_hold_up_the_end() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("read go; seq 1 300000").start().unwrap();
    let client = place.attach();
    client.write(b"\n").unwrap();
    let begun = Instant::now();
    assert!(container.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(supervisor::exit_status(place.state()).unwrap().is_some());
}

#[test]
fn clients_come_and_go_in_crowds() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("while read line; do echo \"$line\"; done").start().unwrap();
    let keeper = place.attach().supervisor();
    let descriptors = || std::fs::read_dir(format!("/proc/{keeper}/fd")).map_or(0, Iterator::count);
    let before = descriptors();
    for _ in 0..20 {
        let crowd: Vec<_> = (0..31).map(|_| place.attach()).collect();
        crowd[7].write(b"hello\n").unwrap();
        for client in &crowd {
            expect(client, "hello\n");
        }
    }
    // More than have room: the last ones wait until others go.
    let state = place.state();
    let crowd: Vec<_> = (0..32).map(|_| place.attach()).collect();
    let late = std::thread::spawn(move || Attachment::connect(state).unwrap());
    std::thread::sleep(Duration::from_millis(50));
    assert!(!late.is_finished());
    drop(crowd);
    let late = late.join().unwrap();
    late.write(b"late\n").unwrap();
    expect(&late, "late\n");
    drop(late);
    until("descriptors are closed", || descriptors() <= before);
    drop(container);
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    if !can_isolate() {
        return;
    }
    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
    };
    use std::os::fd::AsRawFd;
    let place = Place::new();
    let container = place.builder("read x").start().unwrap();
    let address = UnixAddr::new(&place.state().join("attach.sock")).unwrap();
    let large = [17u8; 8194];
    let messages: [&[u8]; 10] = [
        &[0],
        &[255, 1, 2],
        &[16],
        &[16, 1, 1],
        &[18, 1],
        &[18, 1, 2, 3, 4, 5],
        &[19, 0],
        &[20, 0],
        &[21],
        &large,
    ];
    for message in messages {
        let flags = SockFlag::SOCK_CLOEXEC;
        let client = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
        connect(client.as_raw_fd(), &address).unwrap();
        let mut buffer = [0; 64];
        let welcome = recv(client.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
        assert_eq!((welcome, buffer[0], buffer[1]), (11, 1, 1));
        send(client.as_raw_fd(), message, MsgFlags::empty()).unwrap();
        let end = recv(client.as_raw_fd(), &mut buffer, MsgFlags::empty());
        assert!(matches!(end, Ok(0) | Err(nix::errno::Errno::ECONNRESET)), "{message:?}: {end:?}");
    }
    assert_eq!(container.try_wait().unwrap(), None);
    place.attach().write(b"\n").unwrap();
    assert!(container.wait().unwrap().success());
}

#[test]
fn the_log_has_time_stream_and_tag() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let builder = script(
        &place.rootfs,
        "echo one; sleep 0.1; echo two >&2; sleep 0.1; printf part; sleep 0.1; echo; printf '\\n\\nend'",
    );
    let supervision = Supervision::new(place.state()).log(Log::cri("log"));
    let container = builder.supervised(supervision).start().unwrap();
    assert!(container.wait().unwrap().success());
    let log = place.log();
    let lines: Vec<_> = log.lines().collect();
    let rest: Vec<_> = lines.iter().map(|line| &line[30..]).collect();
    let expected = [
        " stdout F one",
        " stderr F two",
        " stdout P part",
        " stdout F ",
        " stdout F ",
        " stdout F ",
        " stdout P end",
    ];
    assert_eq!(rest, expected);
    let now = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M"]).output().unwrap();
    let now = String::from_utf8(now.stdout).unwrap();
    for line in &lines {
        assert!(
            line.starts_with(&now.trim()[..13]) || line[14..16] > *"58" || now[14..16] < *"02",
            "{line}: {now}"
        );
        let pattern = line[..30].replace(|c: char| c.is_ascii_digit(), "0");
        assert_eq!(pattern, "0000-00-00T00:00:00.000000000Z");
    }
    assert!(lines.is_sorted_by_key(|line| &line[..30]));
}

#[test]
fn the_log_is_rotated_by_size_and_keeps_whole_entries() {
    if !can_isolate() {
        return;
    }
    for files in [1, 3] {
        let place = Place::new();
        let supervision =
            Supervision::new(place.state()).log(Log::cri("log").rotate(20_000, files));
        let builder = script(&place.rootfs, "seq 1 5000").supervised(supervision);
        let container = builder.start().unwrap();
        assert!(container.wait().unwrap().success());
        let mut expected = vec!["exit".to_owned(), "log".to_owned()];
        expected.extend((1..files).map(|number| format!("log.{number}")));
        assert_eq!(names(&place.state()), expected);
        let read = |name: &String| std::fs::read_to_string(place.state().join(name)).unwrap();
        let logs: Vec<_> = expected[1..].iter().rev().map(read).collect();
        assert!(logs.iter().all(|log| log.len() <= 20_000 && log.ends_with('\n')));
        let all = logs.concat();
        let mut full = all.lines().map(|line| {
            assert!(line.len() < 60 && &line[30..38] == " stdout ", "{line:?}");
            &line[40..]
        });
        assert_eq!(full.next_back(), Some("5000"));
    }
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew_when_asked_to() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let container = place.builder("while read line; do echo \"$line\"; done").start().unwrap();
    let attachment = place.attach();
    attachment.write(b"one\n").unwrap();
    expect(&attachment, "one\n");
    std::fs::rename(place.state().join("log"), place.state().join("old")).unwrap();
    attachment.reopen_log().unwrap();
    attachment.write(b"two\n").unwrap();
    expect(&attachment, "two\n");
    assert_eq!(place.log(), "two\n");
    assert_eq!(std::fs::read_to_string(place.state().join("old")).unwrap(), "one\n");
    drop(container);
}

/// The log on a file system of its own, which is full.
#[test]
fn a_full_disk_loses_lines_but_neither_container_nor_status() {
    if !testkit::require_root() {
        return;
    }
    // Mounts are for a thread of their own to see.
    std::thread::spawn(|| {
        use nix::mount::{MntFlags, MsFlags, mount, umount2};
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let place = Place::new();
        let small = place.dir.join("small");
        std::fs::create_dir(&small).unwrap();
        mount(none, &small, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
        let state = small.join("state");
        let supervision = Supervision::new(&state).log(Log::cri("log"));
        let builder = script(&place.rootfs, "seq 1 50000; read go; echo after; exit 3");
        let builder = builder.stdin(container_core::Stdio::Pipe).supervised(supervision);
        let container = builder.start().unwrap();
        let attachment = Attachment::connect(&state).unwrap();
        // Full, and the container has written on.
        let fill = small.join("fill");
        until("full", || std::fs::write(&fill, [0; 1 << 16]).is_err());
        std::thread::sleep(Duration::from_millis(300));
        assert!(is_running(attachment.process()));
        std::fs::remove_file(&fill).unwrap();
        let size = std::fs::metadata(state.join("log")).unwrap().len();
        attachment.write(b"\n").unwrap();
        until("after", || {
            let log = std::fs::read_to_string(state.join("log")).unwrap();
            size < 65536 && log.ends_with("stdout F after\n")
                || container.try_wait().unwrap().is_some()
        });
        assert_eq!(container.wait().unwrap().code(), Some(3));
        let exit = supervisor::exit_status(&state).unwrap().unwrap();
        assert_eq!(exit.status.code(), Some(3));
        assert!(exit.log_lost > 0, "{exit:?}");
        let log = std::fs::read_to_string(state.join("log")).unwrap();
        assert!(log.lines().all(|line| &line[30..38] == " stdout "), "only whole entries");
        drop((container, attachment));
        // Another test may just be between fork and exec, with our descriptors.
        umount2(&small, MntFlags::MNT_DETACH).unwrap();
    })
    .join()
    .unwrap();
}

#[test]
fn a_hundred_at_once() {
    if !can_isolate() {
        return;
    }
    let places: Vec<_> = (0..100).map(|_| Place::new()).collect();
    let containers: Vec<_> = places
        .iter()
        .enumerate()
        .map(|(index, place)| {
            let script = format!("read line; echo \"$line {index}\"; exit {index}");
            place.builder(&script).start().unwrap()
        })
        .collect();
    let clients: Vec<_> = places.iter().map(Place::attach).collect();
    for client in &clients {
        client.write(b"number\n").unwrap();
    }
    for (index, (place, container)) in places.iter().zip(containers).enumerate() {
        assert_eq!(container.wait().unwrap().code(), Some(index as i32));
        assert_eq!(place.log(), format!("number {index}\n"));
        assert_eq!(names(&place.state()), ["exit", "log"]);
    }
    for client in &clients {
        assert!(!is_running(client.process()) && !is_running(client.supervisor()));
    }
}
