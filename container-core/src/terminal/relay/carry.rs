//! The loop itself.

use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::far::Got;
use super::pending::{Pending, is_later};
use super::{CHUNK, Relay, RelayEnd};
use crate::error::{Error, Result};
use crate::supervisor::Stream;

/// What happens to a relay, by descriptor.
#[derive(Debug, Clone, Copy)]
enum Source {
    Stop,
    Until,
    Input,
    Output,
    Errors,
    Far,
}

impl Relay {
    pub(super) fn carry(&mut self) -> Result<RelayEnd> {
        let mut ending = false;
        loop {
            if ending && self.is_told() {
                match self.read_far()? {
                    Some(end) => return Ok(end),
                    None if self.is_told() => return Ok(RelayEnd::Ended),
                    None => {}
                }
            }
            for (source, events) in self.wait(ending)? {
                match source {
                    Source::Stop => {
                        let _ = self.stop.read();
                        return Ok(RelayEnd::Stopped);
                    }
                    Source::Until => ending = true,
                    Source::Output | Source::Errors if !self.write_output()? => {
                        return Ok(RelayEnd::OutputClosed);
                    }
                    Source::Input if self.read_input()? => return Ok(RelayEnd::Detached),
                    Source::Output | Source::Errors | Source::Input => {}
                    Source::Far => {
                        self.write_far(events.contains(PollFlags::POLLHUP))?;
                        if let Some(end) = self.read_far_if_told()? {
                            return Ok(if ending { RelayEnd::Ended } else { end });
                        }
                    }
                }
            }
        }
    }

    /// All output that was read is written.
    fn is_told(&self) -> bool {
        self.to_output.is_empty() && self.to_errors.is_empty()
    }

    /// Sleeps until something can be done. A descriptor of which nothing is
    /// wanted is left out, or its hang-up would wake for ever.
    fn wait(&self, ending: bool) -> Result<Vec<(Source, PollFlags)>> {
        let no_input = self.to_far.is_empty();
        let mut wanted = vec![(Source::Stop, PollFd::new(self.stop.as_fd(), PollFlags::POLLIN))];
        let mut want = |source, fd, events: PollFlags| {
            if !events.is_empty() {
                wanted.push((source, PollFd::new(fd, events)));
            }
        };
        let if_so = |on: bool, events| if on { events } else { PollFlags::empty() };
        let far = if_so(self.is_told(), PollFlags::POLLIN) | if_so(!no_input, PollFlags::POLLOUT);
        want(Source::Far, self.far.as_fd(), far);
        let writes = |pending: &Pending| if_so(!pending.is_empty(), PollFlags::POLLOUT);
        want(Source::Output, self.output.as_fd(), writes(&self.to_output));
        want(Source::Errors, self.errors.as_fd(), writes(&self.to_errors));
        if let Some(input) = &self.input {
            want(Source::Input, input.as_fd(), if_so(no_input && !ending, PollFlags::POLLIN));
        }
        if let Some(until) = &self.until {
            want(Source::Until, until.as_fd(), if_so(!ending, PollFlags::POLLIN));
        }
        let (sources, mut fds): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(error) => return Err(Error::os("poll", "terminal", error)),
        }
        let happened = |fd: &PollFd<'_>| fd.revents().unwrap_or(PollFlags::POLLERR);
        let all = sources.into_iter().zip(fds.iter().map(happened));
        Ok(all.filter(|(_, events)| !events.is_empty()).collect())
    }

    fn read_far_if_told(&mut self) -> Result<Option<RelayEnd>> {
        if self.is_told() { self.read_far() } else { Ok(None) }
    }

    /// Reads output once; says so if it is the end.
    fn read_far(&mut self) -> Result<Option<RelayEnd>> {
        match self.far.read()? {
            Got::Output(Stream::Stdout, bytes) => self.to_output.add(&bytes),
            Got::Output(Stream::Stderr, bytes) => self.to_errors.add(&bytes),
            Got::Lost(count) => self.lost += count,
            Got::Later => {}
            Got::End(status) => {
                return Ok(Some(status.map_or(RelayEnd::HungUp, RelayEnd::Exited)));
            }
        }
        Ok(None)
    }

    /// Writes what was typed; nobody is there to read it after a hang-up.
    fn write_far(&mut self, hung_up: bool) -> Result<()> {
        let written = self.to_far.send_to(&self.far);
        if hung_up || written.as_ref().is_err_and(is_gone_far) {
            self.to_far = Pending::default();
        } else {
            written.map_err(|error| Error::os("write", "terminal", error))?;
        }
        if self.closes_input && self.to_far.is_empty() {
            self.closes_input = false;
            self.far.close_input();
        }
        Ok(())
    }

    /// False if nobody reads it.
    fn write_output(&mut self) -> Result<bool> {
        for (pending, to) in
            [(&mut self.to_output, &self.output), (&mut self.to_errors, &self.errors)]
        {
            if pending.is_empty() {
                continue;
            }
            match pending.write_to(to) {
                Err(error) if is_gone(&error) => return Ok(false),
                written => written.map_err(|error| Error::os("write", "output", error))?,
            }
        }
        Ok(true)
    }

    /// True if the detach keys are complete.
    fn read_input(&mut self) -> Result<bool> {
        let Some(mut input) = self.input.as_ref() else {
            return Ok(false);
        };
        let mut buffer = [0; CHUNK];
        let mut through = Vec::new();
        let detached = match input.read(&mut buffer) {
            Err(error) if is_later(&error) => return Ok(false),
            Ok(read) if read > 0 => self.detector.feed(&buffer[..read], &mut through),
            Err(error) if error.raw_os_error() != Some(libc::EIO) => {
                return Err(Error::os("read", "input", error));
            }
            Ok(_) | Err(_) => {
                self.input = None;
                self.detector.finish(&mut through);
                self.end_input(&mut through);
                false
            }
        };
        self.last_typed = through.last().copied().unwrap_or(self.last_typed);
        self.to_far.add(&through);
        // What was typed before the keys should not wait for a next run; nor
        // should an end of the input that is not made of bytes.
        if detached || self.closes_input {
            self.write_far(false)?;
        }
        Ok(detached)
    }

    fn end_input(&mut self, through: &mut Vec<u8>) {
        if !self.sends_eof {
            return;
        }
        let last = through.last().copied().unwrap_or(self.last_typed);
        match self.far.end_of_input(!matches!(last, b'\n' | b'\r')) {
            Some(bytes) => through.extend(bytes),
            None => self.closes_input = true,
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EIO))
}

/// Of a supervisor that has ended, the last output is still to be read.
fn is_gone_far(error: &io::Error) -> bool {
    is_gone(error) || error.get_ref().is_some_and(|inner| inner.is::<Error>())
}
