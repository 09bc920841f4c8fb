//! Ctrl-C and `SIGTERM`: the step at hand is given up, and everything is taken back.
//!
//! The signals are blocked, and a thread of their own waits for them; so nothing runs in a signal
//! handler. Whatever waits for long asks [`check`] in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::Result;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts watching. To be called before there is a second thread, as each has its own mask.
pub(crate) fn watch() -> Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block()?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        while signals.wait().is_ok() {
            ASKED.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(())
}

/// Whether somebody asked to stop.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// An error if somebody asked to stop.
pub(crate) fn check() -> Result<()> {
    if asked() { Err("interrupted".into()) } else { Ok(()) }
}
