//! How a supervised container ended, as its supervisor wrote it down.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use super::wire;
use crate::error::{Error, ErrorKind, Result};
use crate::terminal::socket_path;

/// The file `exit` of a supervision's directory.
///
/// Its lines are `name=value`: `version=1`, `process`, `status` (as
/// [wait(2)](https://man7.org/linux/man-pages/man2/wait.2.html) encodes it),
/// `code` or `signal`, `finished` (RFC 3339, UTC, nanoseconds), `log_lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// How the program ended.
    pub status: ExitStatus,
    /// When.
    pub finished: SystemTime,
    /// The id that its first process had.
    pub process: u32,
    /// Bytes of log that could not be written.
    pub log_lost: u64,
}

/// The status, if the container has ended; `None` while it runs or waits to
/// be started.
///
/// # Errors
///
/// [`NotFound`](ErrorKind::NotFound) if no supervisor has ever been there,
/// [`WrongState`](ErrorKind::WrongState) if it is gone without a word (it was
/// killed, or the container never started), or if the file is not one of its
/// making.
pub fn exit_status(directory: impl AsRef<Path>) -> Result<Option<Exit>> {
    let directory = directory.as_ref();
    if let Some(exit) = read(directory)? {
        return Ok(Some(exit));
    }
    match socket_path::connect_packets(&socket(directory)) {
        Ok(_) => Ok(None),
        // It may have ended just now.
        Err(error) => read(directory)?.map(Some).ok_or_else(|| gone(directory, &error)),
    }
}

/// Waits for the end of a supervised container; from any process of its user.
///
/// # Errors
///
/// Those of [`exit_status`].
pub fn wait(directory: impl AsRef<Path>) -> Result<Exit> {
    wait_by(directory.as_ref(), None)?.ok_or_else(|| {
        let object = directory.as_ref().to_string_lossy();
        Error::with(ErrorKind::TimedOut, "wait", object, "the container runs on")
    })
}

/// Likewise, but not longer; `None` if the time passed first.
///
/// # Errors
///
/// Those of [`exit_status`].
pub fn wait_timeout(directory: impl AsRef<Path>, timeout: Duration) -> Result<Option<Exit>> {
    // Beyond what the clock can tell is for ever.
    wait_by(directory.as_ref(), Instant::now().checked_add(timeout))
}

fn wait_by(directory: &Path, end: Option<Instant>) -> Result<Option<Exit>> {
    if let Some(exit) = read(directory)? {
        return Ok(Some(exit));
    }
    let connected = socket_path::connect_packets(&socket(directory));
    let lost = match connected {
        Ok(connection) => {
            if !wait_for_end(&connection, directory, end)? {
                return Ok(None);
            }
            Error::with(ErrorKind::WrongState, "wait", "", "")
        }
        Err(error) => error,
    };
    read(directory)?.map(Some).ok_or_else(|| gone(directory, &lost))
}

/// True when the supervisor has said that it is over, or is gone.
fn wait_for_end(connection: &OwnedFd, directory: &Path, end: Option<Instant>) -> Result<bool> {
    let mut message = [0; wire::MAX_MESSAGE];
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            let rounded = left.as_nanos().div_ceil(1_000_000);
            PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
        });
        let failed = |step, error: io::Error| Error::os(step, directory.to_string_lossy(), error);
        match poll(&mut [PollFd::new(connection.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(failed("poll", error.into())),
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) => {}
            Ok(_) => match nix::unistd::read(connection, &mut message) {
                Ok(0) => return Ok(true),
                Ok(_) if message[0] == wire::to_client::EXIT => return Ok(true),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                // Closed with this message unread.
                Err(nix::errno::Errno::ECONNRESET) => return Ok(true),
                Err(error) => return Err(failed("recv", error.into())),
            },
        }
    }
}

pub(super) fn socket(directory: &Path) -> std::path::PathBuf {
    directory.join("attach.sock")
}

fn gone(directory: &Path, error: &Error) -> Error {
    let object = directory.to_string_lossy().into_owned();
    if error.kind() == ErrorKind::NotFound && !directory.join("exit.new").exists() {
        let reason = "no supervisor has kept a container there";
        return Error::with(ErrorKind::NotFound, "read exit status", object, reason);
    }
    if error.raw_os_error() == Some(libc::EACCES) {
        return Error::os("connect", object, io::Error::from_raw_os_error(libc::EACCES));
    }
    let reason = "the supervisor is gone and has left no exit status";
    Error::with(ErrorKind::WrongState, "read exit status", object, reason)
        .hint("it was killed, or the container was never started")
}

fn read(directory: &Path) -> Result<Option<Exit>> {
    let path = directory.join("exit");
    let failed = |error: io::Error| Error::os("open", path.to_string_lossy(), error);
    match File::options().read(true).open(&path) {
        Ok(file) => parse(file, &path.to_string_lossy()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The status in an open directory; `None` if there is none.
pub(crate) fn status_in(directory: &OwnedFd) -> Result<Option<ExitStatus>> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    match openat(directory, wire::EXIT_FILE, flags, Mode::empty()) {
        Ok(file) => parse(file.into(), "exit").map(|exit| Some(exit.status)),
        Err(nix::errno::Errno::ENOENT) => Ok(None),
        Err(error) => Err(Error::os("openat", "exit", error)),
    }
}

fn parse(file: File, name: &str) -> Result<Exit> {
    let mut text = String::new();
    let length = file
        .take(wire::EXIT_FILE_SIZE as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| Error::os("read", name, error))?;
    let exit = (length <= wire::EXIT_FILE_SIZE).then(|| from_text(&text)).flatten();
    exit.ok_or_else(|| {
        Error::with(
            ErrorKind::WrongState,
            "read exit status",
            name,
            "damaged, or not a supervisor's",
        )
    })
}

fn from_text(text: &str) -> Option<Exit> {
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if value("version")? != "1" || !text.ends_with('\n') {
        return None;
    }
    Some(Exit {
        status: ExitStatus::from_raw(value("status")?.parse().ok()?),
        finished: time(value("finished")?)?,
        process: value("process")?.parse().ok()?,
        log_lost: value("log_lost")?.parse().ok()?,
    })
}

/// A moment as the supervisor writes it: `2016-10-06T00:17:09.669794202Z`.
fn time(text: &str) -> Option<SystemTime> {
    const PATTERN: &[u8] = b"0000-00-00T00:00:00.000000000Z";
    let bytes = text.as_bytes();
    let fits = bytes.len() == PATTERN.len()
        && bytes.iter().zip(PATTERN).all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            _ => byte == pattern,
        });
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    if !fits {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let of_day = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let seconds = days_since_1970(year, month, day)? * 86_400 + of_day;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, number(20, 29)? as u32))
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that start in March, so that a leap day is a year's last.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400;
    (days + (month * 153 + 2) / 5 + day - 1).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_supervisor_writes_is_read() {
        let text = "version=1\nprocess=42\nstatus=768\ncode=3\n\
                    finished=2016-10-06T00:17:09.669794202Z\nlog_lost=7\n";
        let exit = from_text(text).unwrap();
        assert_eq!((exit.status.code(), exit.process, exit.log_lost), (Some(3), 42, 7));
        let finished = exit.finished.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(finished, Duration::new(1_475_713_029, 669_794_202));
        for end in 0..text.len() {
            assert_eq!(from_text(&text[..end]), None, "cut at {end}");
        }
        assert_eq!(from_text(&text.replace("version=1", "version=2")), None);
    }

    #[test]
    fn days_are_counted_across_leap_years() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((1972, 2, 29), 789),
            ((1972, 3, 1), 790),
            ((2000, 2, 29), 11_016),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), Some(days), "{date:?}");
        }
        assert_eq!(days_since_1970(1969, 12, 31), None);
        assert_eq!(days_since_1970(2000, 13, 1), None);
    }
}
