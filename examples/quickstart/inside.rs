//! What this program does inside the container, where it is `/bin/quickstart-server`.
//!
//! A machine without any other program has no HTTP server either, so the quickstart packs itself
//! into its image.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write, stdout};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// The port of the server in the container.
pub(crate) const PORT: u16 = 8080;
/// What the server says when it can be asked.
pub(crate) const READY: &str = "serving on port 8080";
/// The exit code of a server that was told to quit: not one that anything else gives.
pub(crate) const QUIT_CODE: u8 = 42;
/// How long a peer may take for a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The verbs that mean "I am inside".
pub(crate) const VERBS: [&str; 5] = ["serve", "get", "threads", "burn", "take"];

/// Runs a verb.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve"] => serve(),
        ["get", path, milliseconds] => {
            let address = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT));
            let body = get(address, path, Duration::from_millis(milliseconds.parse()?))?;
            stdout().write_all(body.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        ["threads", most] => {
            writeln!(stdout(), "{}", threads(most.parse()?))?;
            Ok(ExitCode::SUCCESS)
        }
        ["burn", milliseconds] => burn(milliseconds.parse()?),
        ["take", mebibytes] => Ok(take(mebibytes.parse()?)),
        _ => Err(format!("not a verb with its arguments: {}", words.join(" ")).into()),
    }
}

/// Answers `GET /PATH` with the file of that path, and `GET /quit` by ending.
fn serve() -> Result<ExitCode> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    writeln!(stdout(), "{READY}")?;
    loop {
        // A client that goes away in the middle is its own problem.
        if let Ok((stream, _)) = listener.accept()
            && answer(stream).is_ok_and(|quit| quit)
        {
            return Ok(ExitCode::from(QUIT_CODE));
        }
    }
}

fn answer(mut stream: TcpStream) -> Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?).take(8 << 10);
    while reader.read_line(&mut request)? > 2 {}
    let path = request.split_whitespace().nth(1).unwrap_or("/");
    let quit = path == "/quit";
    let (status, body) = match fs::read_to_string(path) {
        _ if quit => ("200 OK", "bye\n".to_owned()),
        Ok(text) => ("200 OK", text),
        Err(error) if error.kind() == ErrorKind::NotFound => ("404 Not Found", error.to_string()),
        Err(error) => ("403 Forbidden", error.to_string()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(quit)
}

/// The body of the answer to `GET PATH`; an error for any status but 200, and after `timeout`.
pub(crate) fn get(address: SocketAddr, path: &str, timeout: Duration) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no end of header")?;
    let status = head.lines().next().unwrap_or_default();
    match status {
        "HTTP/1.1 200 OK" => Ok(body.to_owned()),
        _ => Err(format!("GET {path}: {status}").into()),
    }
}

/// How many threads can be started beside the first, up to `most`.
fn threads(most: usize) -> usize {
    let mut started = Vec::new();
    for _ in 0..most {
        match thread::Builder::new().stack_size(64 << 10).spawn(thread::park) {
            Ok(handle) => started.push(handle),
            Err(_) => break,
        }
    }
    started.iter().for_each(|handle| handle.thread().unpark());
    started.len()
}

/// Keeps a processor busy for so much time of its own, and tells how long that took.
fn burn(milliseconds: u64) -> Result<ExitCode> {
    let start = Instant::now();
    let used = || -> Result<Duration> {
        // User and system time in ticks of 10 ms: fields 14 and 15 of proc_pid_stat(5).
        let stat = fs::read_to_string("/proc/self/stat")?;
        let fields = stat.rsplit_once(") ").ok_or("no name in /proc/self/stat")?.1;
        let ticks = fields.split(' ').skip(11).take(2).map_while(|field| field.parse::<u64>().ok());
        Ok(Duration::from_millis(10 * ticks.sum::<u64>()))
    };
    let before = used()?;
    while used()? - before < Duration::from_millis(milliseconds) {}
    writeln!(stdout(), "{}", start.elapsed().as_millis())?;
    Ok(ExitCode::SUCCESS)
}

/// Fills so much memory.
fn take(mebibytes: usize) -> ExitCode {
    let blocks: Vec<Vec<u8>> = (0..mebibytes).map(|n| vec![n as u8 | 1; 1 << 20]).collect();
    std::hint::black_box(&blocks);
    ExitCode::SUCCESS
}
