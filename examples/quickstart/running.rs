//! The running container: its output, a second process, pause, the exchange, its end.

use std::io::{BufRead, BufReader, PipeReader};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use container_core::Container;
use container_core::cgroup::Cgroup;
use container_core::container::Stopped;

use crate::image::{GREETING, MOTD};
use crate::inside::{self, QUIT_CODE, READY};
use crate::limits::Limits;
use crate::story::Told;
use crate::{Result, ensure, interrupt, network};

/// How long anything in the container may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The lines that the container writes, read by a thread of their own.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    /// Reads the pipe to its end.
    pub(crate) fn of(pipe: PipeReader) -> Result<Self> {
        let (sender, receiver) = channel();
        thread::Builder::new().name("output".into()).spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(std::io::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self(receiver))
    }

    /// The lines up to `last`.
    pub(crate) fn until(&self, last: &str) -> Result<Vec<String>> {
        let (start, mut lines) = (Instant::now(), Vec::new());
        loop {
            interrupt::check()?;
            match self.0.recv_timeout(Duration::from_millis(50)) {
                Ok(line) if line == last => return Ok(lines),
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Timeout) if start.elapsed() < PATIENCE => {}
                Err(error) => {
                    return Err(format!(
                        "no line {last:?} of the container ({error}), only {lines:?}"
                    )
                    .into());
                }
            }
        }
    }
}

/// What the script in the image says, if all layers are as they should be.
pub(crate) fn output(told: &mut Told, lines: &Lines, hostname: &str) -> Result<()> {
    let found = lines.until(READY)?;
    let expected = [&format!("pid 1 on {hostname}"), MOTD.trim_end(), GREETING.trim_end()];
    ensure(found == expected, || format!("it wrote {found:?} instead of {expected:?}"))?;
    for line in found.iter().map(String::as_str).chain([READY]) {
        told.say(format!("| {line}"));
    }
    Ok(())
}

/// A second process in the container: a shell that looks around.
pub(crate) fn second_process(told: &mut Told, container: &Container) -> Result<()> {
    let script = "cat /proc/1/comm; ls -d /data/new; ls -l /proc/self/ns/pid";
    let output = container.exec("/bin/sh")?.args(["-c", script]).output()?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(output.status.success(), || {
        format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    let namespace = std::fs::read_link(format!("/proc/{}/ns/pid", container.pid()))?;
    let namespace = namespace.to_string_lossy();
    ensure(
        shown.starts_with("quickstart-serv\n/data/new\n") && shown.contains(&*namespace),
        || format!("the second process sees something else: {shown:?}"),
    )?;
    told.say("/bin/sh sees the server as process 1, and the file tree that it changed");
    Ok(())
}

/// Who asks the server.
pub(crate) enum Client {
    /// This process, through the published port.
    Host(SocketAddr),
    /// Another process inside, over loopback; in this cgroup, if the container has one, so that it
    /// goes on while the container is paused.
    Inside(Option<Cgroup>),
}

impl Client {
    /// The answer to `GET PATH`.
    pub(crate) fn get(
        &self,
        container: &Container,
        path: &str,
        timeout: Duration,
    ) -> Result<String> {
        let cgroup = match self {
            Self::Host(address) => return inside::get(*address, path, timeout),
            Self::Inside(cgroup) => cgroup.clone(),
        };
        let mut client = container.exec("/bin/quickstart-server")?.args([
            "get",
            path,
            &timeout.as_millis().to_string(),
        ]);
        if let Some(cgroup) = cgroup {
            client = client.cgroup(cgroup);
        }
        let output = client.output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().into()),
        }
    }
}

/// Stops the container and lets it go on, as seen by a client.
pub(crate) fn pause(
    told: &mut Told,
    container: &Container,
    limits: &Limits,
    client: &Client,
) -> Result<()> {
    let answers = || {
        let body = client.get(container, "/etc/greeting", PATIENCE)?;
        ensure(body == GREETING, || format!("it answered {body:?}"))
    };
    let silent =
        || network::stays_silent(|timeout| client.get(container, "/etc/greeting", timeout));
    answers()?;
    if limits.cgroup().is_some() {
        container.pause()?;
        silent()?;
        container.resume()?;
        answers()?;
        told.say("answers; paused by its cgroup: silent; resumed: answers again");
    } else {
        // SIGSTOP and SIGCONT, whose numbers are the same on all architectures but MIPS, Alpha
        // and SPARC.
        container.signal(nix::sys::signal::Signal::SIGSTOP as i32)?;
        silent()?;
        container.signal(nix::sys::signal::Signal::SIGCONT as i32)?;
        answers()?;
        told.say(
            "answers; its first process stopped by a signal, for lack of a cgroup: silent; \
             continued: answers again",
        );
    }
    Ok(())
}

/// A file of the container over HTTP, as it is after the container's change.
pub(crate) fn exchange(told: &mut Told, container: &Container, client: &Client) -> Result<()> {
    let through = match client {
        Client::Host(address) => format!("http://{address}, the published port"),
        Client::Inside(_) => format!("loopback port {}, by another process inside", inside::PORT),
    };
    let body = client.get(container, "/etc/motd", PATIENCE)?;
    let expected = format!("{MOTD}changed by the container\n");
    ensure(body == expected, || format!("/etc/motd is {body:?} instead of {expected:?}"))?;
    told.say(format!("GET /etc/motd through {through}"));
    body.lines().for_each(|line| told.say(format!("| {line}")));
    Ok(())
}

/// Asks the server to quit, and waits for that.
pub(crate) fn end(
    told: &mut Told,
    container: Container,
    client: &Client,
) -> Result<Container<Stopped>> {
    let start = Instant::now();
    // A client inside ends with its pid namespace, maybe before it has the answer.
    let answer = client.get(&container, "/quit", PATIENCE);
    while container.try_wait()?.is_none() {
        interrupt::check()?;
        ensure(start.elapsed() < PATIENCE, || format!("the server does not quit: {answer:?}"))?;
        thread::sleep(Duration::from_millis(1));
    }
    let stopped = container.stopped()?;
    let status = stopped.exit_status();
    ensure(status.code() == Some(QUIT_CODE.into()), || format!("it ended with {status}"))?;
    told.say(format!("GET /quit: {status}, as the server does"));
    Ok(stopped)
}
