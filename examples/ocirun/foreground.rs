//! Waiting for a process on behalf of a person: their keys, window and signals reach it.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;

use container_core::terminal::{RawMode, Relay, RelayHandle, set_window_size, window_size};
use nix::sys::signal::{SigSet, Signal};

use crate::Failure;

/// Signals that would end this program: blocked from now on, to be passed on.
#[derive(Debug)]
pub(crate) struct Caught(SigSet);

impl Caught {
    /// Called before a container is made, so that none is lost between.
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGTERM,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGALRM,
            Signal::SIGPWR,
            Signal::SIGCONT,
            Signal::SIGWINCH,
        ] {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Self(set))
    }

    /// Passes signals on until this program ends.
    fn pass_on(self, window: Option<RelayHandle>, signal: impl Fn(i32) + Send + 'static) {
        thread::spawn(move || {
            loop {
                match self.0.wait() {
                    Ok(Signal::SIGWINCH) => {
                        let size = window_size(io::stdin());
                        if let (Ok(size), Some(window)) = (size, &window) {
                            let _ = window.resize(size);
                        }
                    }
                    Ok(caught) => signal(caught as i32),
                    Err(_) => return,
                }
            }
        });
    }
}

/// The process's exit code; 128 and the signal's number where one ended it.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// Carries bytes and signals until the process has ended, as `wait` tells.
pub(crate) fn attend<T>(
    caught: Caught,
    terminal: Option<File>,
    signal: impl Fn(i32) + Send + 'static,
    wait: impl FnOnce() -> Result<T, container_core::Error>,
) -> Result<T, Failure> {
    let Some(master) = terminal else {
        caught.pass_on(None, signal);
        return Ok(wait()?);
    };
    let stdin = io::stdin();
    let raw = stdin.is_terminal().then(|| RawMode::enter(&stdin)).transpose()?;
    if let Ok(size) = window_size(&stdin) {
        set_window_size(&master, size)?;
    }
    let mut relay = Relay::new(master, &stdin, io::stdout())?;
    caught.pass_on(Some(relay.handle()), signal);
    relay.run()?;
    let status = wait()?;
    if let Some(raw) = raw {
        raw.restore()?;
    }
    Ok(status)
}
