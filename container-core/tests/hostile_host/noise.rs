//! What a busy program does all the time, and what breaks a careless fork.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::io::{PipeWriter, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

/// Held again and again by every thread.
static REGISTRY: Mutex<Option<HashMap<u64, String>>> = Mutex::new(None);
static HOST: AtomicI32 = AtomicI32::new(0);
static SIGNALS: AtomicU64 = AtomicU64::new(0);
/// Handler runs in another process than the host: memory is shared until exec.
static STRAY: AtomicU64 = AtomicU64::new(0);

/// A thread's share of the noise.
pub(super) struct Noise {
    seed: u64,
    kept: Vec<Vec<u8>>,
    log: PipeWriter,
}

impl Noise {
    pub(super) fn new(seed: u64, log: PipeWriter) -> Self {
        Self { seed: seed * 2 + 1, kept: Vec::new(), log }
    }

    fn random(&mut self, below: u64) -> u64 {
        // xorshift64
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    /// Allocates, logs, holds a lock, prints, reads the environment.
    pub(super) fn step(&mut self) {
        for _ in 0..8 {
            let size = 1 << self.random(17);
            self.kept.push(vec![size as u8; size]);
        }
        if self.kept.len() > 64 {
            let place = self.random(32) as usize;
            self.kept.drain(place..place + 32);
        }
        let number = self.random(1000);
        writeln!(self.log, "log {number} of {:?}", std::thread::current().id()).unwrap();
        {
            let mut registry = REGISTRY.lock().unwrap();
            registry.get_or_insert_default().insert(number, format!("entry {number}"));
            if number.is_multiple_of(8) {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        {
            let mut out = std::io::stdout().lock();
            write!(out, "printed {number}: ").unwrap();
            writeln!(out, "{}", std::env::vars_os().count()).unwrap();
        }
    }

    /// Until the others are done.
    pub(super) fn go_on(mut self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            self.step();
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Calls `body` with the registry and standard output locked by this thread.
pub(super) fn with_locks_held<T>(body: impl FnOnce() -> T) -> T {
    let _out = std::io::stdout().lock();
    let _registry = REGISTRY.lock().unwrap();
    body()
}

extern "C" fn on_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: async-signal-safe.
    if unsafe { libc::getpid() } != HOST.load(Ordering::Relaxed) {
        STRAY.fetch_add(1, Ordering::Relaxed);
    }
}

/// A handler that interrupts system calls, for a signal that programs which
/// know nothing of it ignore.
pub(super) fn handle_signals() {
    HOST.store(std::process::id() as i32, Ordering::Relaxed);
    // SAFETY: the handler is async-signal-safe; the rest of the struct is zero.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGWINCH, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Sends the whole process group, and so also a child between clone and exec,
/// a signal every now and then.
pub(super) fn send_signals(over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        // SAFETY: numbers only; the group is this host's own.
        unsafe { libc::kill(0, libc::SIGWINCH) };
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// How often the handler ran; none of it in another process.
pub(super) fn signals_handled() -> u64 {
    assert_eq!(STRAY.load(Ordering::Relaxed), 0, "a handler of the host ran in a child");
    SIGNALS.load(Ordering::Relaxed)
}
