//! The supervisor's life: from the clone to the last word about its end.

use super::Config;
use super::clients::{Clients, Request, receive};
use super::exit::{self, End};
use super::input::Input;
use super::log::Log;
use super::ring::Ring;
use super::text::{Moment, milliseconds};
use crate::attach::{
    CHUNK, FAREWELL, LAST_OUTPUT, MAX_CLIENTS, MAX_MESSAGE, VERSION, to_client, welcome,
};
use crate::control::Control;
use crate::kernel::{self, EAGAIN, EINTR, SIGCHLD, sys};
use crate::raw::nr;
use crate::terminal::TIOCSWINSZ;
use crate::wire::record;

pub const SIGKILL: usize = 9;
/// Passed on to the container: hang-up, interrupt, quit, the two for users,
/// termination.
const FORWARDED: [usize; 6] = [1, 2, 3, 10, 12, 15];

const POLLIN: i16 = 1;
const POLLOUT: i16 = 4;
/// Messages of one client at a time.
const MAX_REQUESTS: usize = 16;
/// How long a terminal that everybody has closed is left alone, in
/// milliseconds: it may be opened again.
const TERMINAL_REST: u64 = 50;

/// `struct pollfd`; those with a negative descriptor are passed over.
#[repr(C)]
#[derive(Clone, Copy)]
struct Watch {
    fd: i32,
    events: i16,
    happened: i16,
}

/// Places of the watches; the clients' come behind.
mod place {
    pub const SIGNALS: usize = 0;
    pub const NOTICES: usize = 1;
    pub const LISTENER: usize = 2;
    pub const INPUT: usize = 3;
    pub const OUTPUT: usize = 4;
    pub const ERROR: usize = 5;
    pub const CLIENTS: usize = 6;
}

struct Supervisor<'a> {
    config: &'a Config,
    /// The container's first process, and how it ended.
    child: usize,
    end: Option<End>,
    /// Between the clone and the exec: what the child says about itself.
    notices: Option<Control>,
    /// It ended before it was what it should become.
    failed: bool,
    signals: i32,
    terminal: i32,
    rests_until: u64,
    outputs: [i32; 2],
    input: Input,
    log: Log,
    ring: Ring,
    clients: Clients,
    /// What was read since the end.
    drained: usize,
}

/// Supervises until everything is told; never returns.
/// `failed` is true of a container that nobody will start.
pub fn run(config: &Config, child: usize, notices: Control, failed: bool) -> ! {
    let [input, output, error] = config.streams;
    for fd in config.streams {
        kernel::set_nonblocking(fd);
    }
    kernel::set_nonblocking(config.listener);
    // SAFETY: this is the one place and it is reached once.
    let (input, log, ring) = unsafe { (Input::new(input), Log::new(config.log), Ring::new()) };
    let mut supervisor = Supervisor {
        config,
        child,
        end: None,
        notices: Some(notices),
        failed,
        signals: signals(),
        terminal: -1,
        rests_until: 0,
        outputs: [output, error],
        input,
        log,
        ring,
        clients: Clients::NONE,
        drained: 0,
    };
    // Ended already: its signal came before the descriptor for signals.
    supervisor.reap();
    while !supervisor.is_done() {
        supervisor.turn();
    }
    supervisor.finish()
}

/// A descriptor for the signals that are taken; all are blocked.
fn signals() -> i32 {
    const SFD_CLOEXEC_NONBLOCK: usize = 0o200_4000;
    let mut mask = 1u64 << (SIGCHLD - 1);
    for signal in FORWARDED {
        mask |= 1 << (signal - 1);
    }
    let (mask, size) = (&raw const mask, size_of::<u64>());
    sys!(nr::SIGNALFD4, usize::MAX, mask, size, SFD_CLOEXEC_NONBLOCK).map_or(-1, |fd| fd as i32)
}

pub fn kill(process: usize, signal: usize) {
    let _ = sys!(nr::KILL, process, signal);
}

impl Supervisor<'_> {
    /// The container has ended and its output is read.
    fn is_done(&self) -> bool {
        self.end.is_some()
            && (self.failed || self.drained > LAST_OUTPUT || self.outputs == [-1, -1])
    }

    /// Waits for whatever comes next, and deals with it.
    fn turn(&mut self) {
        let hold_up = self.clients.hold_up(&self.ring);
        let now = milliseconds();
        let rests = self.terminal >= 0 && now < self.rests_until && self.end.is_none();
        let listens = hold_up.is_none() && !rests;
        let mut watches = self.watches(listens);
        let rest = rests.then(|| self.rests_until - now);
        let timeout = match (hold_up, rest) {
            _ if self.end.is_some() && listens => Some(0),
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        wait(&mut watches, timeout);
        let happened = |place: usize| watches.get(place).is_some_and(|watch| watch.happened != 0);
        if happened(place::NOTICES) {
            self.take_notices();
        }
        if happened(place::SIGNALS) {
            self.take_signals();
        }
        if happened(place::LISTENER) {
            self.accept();
        }
        if happened(place::INPUT) {
            self.input.flush();
        }
        if listens {
            self.take_output(0, to_client::STDOUT, happened(place::OUTPUT));
            self.take_output(1, to_client::STDERR, happened(place::ERROR));
        }
        for (index, watch) in watches.iter().skip(place::CLIENTS).enumerate() {
            if watch.happened != 0 {
                self.serve(index, watch.happened);
            }
        }
        self.clients.pump(&self.ring);
    }

    fn watches(&self, listens: bool) -> [Watch; place::CLIENTS + MAX_CLIENTS] {
        let watch = |fd: i32, events: i16| Watch { fd, events, happened: 0 };
        let when = |on: bool, fd: i32| if on { fd } else { -1 };
        let mut all = [watch(-1, 0); place::CLIENTS + MAX_CLIENTS];
        let (input, [output, error]) = (&self.input, self.outputs);
        let notices = self.notices.as_ref().map_or(-1, Control::socket);
        let fixed = [
            watch(self.signals, POLLIN),
            watch(notices, POLLIN),
            watch(when(self.clients.has_place(), self.config.listener), POLLIN),
            watch(when(input.waits(), input.fd), POLLOUT),
            watch(when(listens, output), POLLIN),
            watch(when(listens, error), POLLIN),
        ];
        let room = input.has_room();
        let clients = self.clients.all.iter().map(|client| {
            let reads = if room { POLLIN } else { 0 };
            let writes = if client.full_since.is_some() { POLLOUT } else { 0 };
            // Of one that hung up, what it sent before is read in its turn.
            watch(when(room || !client.hung_up, client.fd), reads | writes)
        });
        for (place, watch) in all.iter_mut().zip(fixed.into_iter().chain(clients)) {
            *place = watch;
        }
        all
    }

    /// What the child says of itself until its exec closes the socket.
    fn take_notices(&mut self) {
        while let Some(notices) = &self.notices {
            let (mut kind, mut value, mut fd) = (0, 0, -1);
            match notices.take_record(&mut kind, &mut value, &mut fd) {
                Ok(true) => {}
                Err(EAGAIN) => return,
                Ok(false) | Err(_) => {
                    notices.close();
                    self.notices = None;
                    return;
                }
            }
            match kind {
                record::FAILED => self.failed = true,
                record::FORKED => self.child = value as usize,
                record::TERMINAL if fd >= 0 => {
                    kernel::set_nonblocking(fd);
                    self.input.is_terminal(fd);
                    (self.terminal, self.outputs[0]) = (fd, fd);
                }
                _ => kernel::close(fd),
            }
        }
    }

    fn take_signals(&mut self) {
        /// `struct signalfd_siginfo`, which starts with the number.
        const SIZE: usize = 128;
        let mut information = [0u8; SIZE];
        while kernel::read(self.signals, &mut information) == Ok(SIZE) {
            match usize::from(information[0]) {
                SIGCHLD => self.reap(),
                signal if self.end.is_none() => kill(self.child, signal),
                _ => {}
            }
        }
    }

    /// Reaps everything that has ended, orphans of the container among it.
    fn reap(&mut self) {
        const WNOHANG: usize = 1;
        let mut status = 0i32;
        loop {
            let waited = sys!(nr::WAIT4, usize::MAX, &raw mut status, WNOHANG, 0);
            // It may have handed over to another before it ended.
            self.take_notices();
            let (over, next) = match waited {
                Ok(0) | Err(EINTR) => return,
                Ok(ended) => (ended == self.child, true),
                // Nobody is left.
                Err(_) => (true, false),
            };
            if over && self.end.is_none() {
                self.end = Some(End { status, at: Moment::now() });
            }
            if !next {
                return;
            }
        }
    }

    fn accept(&mut self) {
        let mut message = [0u8; 11];
        let terminal = if self.terminal >= 0 { welcome::TERMINAL } else { 0 };
        let input = if self.input.fd >= 0 { welcome::INPUT } else { 0 };
        let own = sys!(nr::GETPID).unwrap_or(0);
        let head = [to_client::WELCOME, VERSION, terminal | input];
        let numbers = [self.child as u32, own as u32].map(u32::to_le_bytes);
        let bytes = head.iter().chain(numbers.iter().flatten());
        for (to, from) in message.iter_mut().zip(bytes) {
            *to = *from;
        }
        if self.clients.accept(self.config.listener, &message).is_err() {
            // Out of descriptors perhaps: not at once again.
            sleep(10);
        }
    }

    /// Reads one chunk of a stream, if there is one.
    fn take_output(&mut self, index: usize, kind: u8, ready: bool) {
        let Some(fd) = self.outputs.get(index).copied().filter(|fd| *fd >= 0) else {
            return;
        };
        let mut buffer = [0u8; CHUNK];
        let read = if ready { kernel::read(fd, &mut buffer) } else { Err(EAGAIN) };
        match read {
            Ok(length) if length > 0 => {
                let output = buffer.get(..length).unwrap_or(&[]);
                self.log.write(kind, output);
                self.ring.push(kind, output);
                self.clients.pump(&self.ring);
                if self.end.is_some() {
                    self.drained += length;
                }
            }
            // After the end, what is not there will not come.
            Err(EAGAIN) if self.end.is_none() => {}
            _ if self.end.is_none() && fd == self.terminal => {
                self.rests_until = milliseconds() + TERMINAL_REST;
            }
            _ => {
                if fd != self.terminal {
                    kernel::close(fd);
                }
                if let Some(place) = self.outputs.get_mut(index) {
                    *place = -1;
                }
            }
        }
    }

    /// A client has said something, can be sent something, or has gone.
    fn serve(&mut self, index: usize, happened: i16) {
        let Some(client) = self.clients.all.get_mut(index) else {
            return;
        };
        if happened & POLLOUT != 0 {
            client.full_since = None;
            client.pump(&self.ring);
        }
        if happened & !(POLLIN | POLLOUT) != 0 {
            client.hung_up = true;
        }
        let mut buffer = [0u8; MAX_MESSAGE + 1];
        // So many at a time: others have their turn.
        for _ in 0..MAX_REQUESTS {
            if !self.input.has_room() {
                return;
            }
            let Some(request) = receive(client.fd, &mut buffer) else {
                return;
            };
            match request {
                Request::Hello(flags) => client.greet(flags, &self.ring),
                Request::Input(bytes) => self.input.add(bytes),
                Request::CloseInput => self.input.close(),
                Request::ReopenLog => self.log.reopen(),
                Request::Resize { rows, columns } => {
                    let size = [rows, columns, 0, 0];
                    let _ = sys!(nr::IOCTL, self.terminal, TIOCSWINSZ, size.as_ptr());
                }
                Request::Signal(signal) if self.end.is_none() && (1..=64).contains(&signal) => {
                    kill(self.child, usize::from(signal));
                }
                Request::Signal(_) => {}
                Request::Leave => return client.drop_it(),
            }
        }
    }

    /// Writes the end down, tells it to everybody, and ends.
    fn finish(&mut self) -> ! {
        match &self.end {
            Some(end) if !self.failed => {
                exit::record(self.config, self.child, end, self.log.lost);
                let status = end.status;
                self.say_farewell(status);
            }
            _ => exit::forget(self.config),
        }
        kernel::exit(0)
    }

    fn say_farewell(&mut self, status: i32) {
        let until = milliseconds() + FAREWELL;
        loop {
            let mut watches = [Watch { fd: -1, events: POLLOUT, happened: 0 }; MAX_CLIENTS];
            let mut left = false;
            for (client, watch) in self.clients.all.iter_mut().zip(&mut watches) {
                client.pump(&self.ring);
                client.inform(&self.ring, status);
                if client.fd >= 0 && !client.informed && !client.hung_up {
                    (watch.fd, left) = (client.fd, true);
                }
            }
            let now = milliseconds();
            if !left || now >= until {
                return;
            }
            wait(&mut watches, Some(until - now));
            for (client, watch) in self.clients.all.iter_mut().zip(&watches) {
                client.hung_up |= watch.happened & !POLLOUT != 0;
            }
        }
    }
}

fn wait(watches: &mut [Watch], timeout: Option<u64>) {
    let time = timeout.map(|wait| [wait / 1000, wait % 1000 * 1_000_000]);
    let time = time.as_ref().map_or(core::ptr::null(), |time| time.as_ptr());
    let count = watches.len();
    let waited = sys!(nr::PPOLL, watches.as_mut_ptr(), count, time, 0, 0);
    if waited.is_err() {
        for watch in watches {
            watch.happened = 0;
        }
        if waited != Err(EINTR) {
            // Never at full speed in a circle.
            sleep(10);
        }
    }
}

fn sleep(milliseconds: u64) {
    let time = [0, milliseconds * 1_000_000];
    let _ = sys!(nr::PPOLL, 0, 0, time.as_ptr(), 0, 0);
}
