//! Those who are attached. Each reads the ring at its own pace; one that does
//! not read is waited for a while, then passed over.

use super::ring::{FRAME, Ring};
use super::text::milliseconds;
use crate::attach::{KEPT, MAX_CLIENTS, MAX_MESSAGE, PATIENCE, hello, to_client, to_supervisor};
use crate::control::{IoSlice, Message};
use crate::kernel::{self, EAGAIN, EINTR, Errno, sys};
use crate::raw::nr;

/// How often, in milliseconds, a client that holds others up is looked at.
const LOOK_AGAIN: u64 = 10;
const MSG_DONTWAIT: usize = 0x40;
const MSG_NOSIGNAL: usize = 0x4000;

#[derive(Clone, Copy)]
pub struct Client {
    /// -1: nobody.
    pub fd: i32,
    /// It wants output.
    listens: bool,
    /// It has sent all that it will: nothing can be sent to it either.
    pub hung_up: bool,
    /// Its queue was full when it was last sent something, since then (in
    /// milliseconds).
    pub full_since: Option<u64>,
    passed_over: bool,
    position: u64,
    /// Bytes of output before its position.
    told: u64,
    /// It knows how the program ended.
    pub informed: bool,
}

impl Client {
    const NOBODY: Self = Self {
        fd: -1,
        listens: false,
        hung_up: false,
        full_since: None,
        passed_over: false,
        position: 0,
        told: 0,
        informed: false,
    };

    fn is_behind(&self, ring: &Ring) -> bool {
        self.fd >= 0 && self.listens && !self.hung_up && self.position < ring.head
    }

    /// The next chunks would push out what it has not been sent.
    fn needs_room(&self, ring: &Ring) -> bool {
        self.is_behind(ring) && ring.head - self.position + 2 * FRAME > KEPT as u64
    }

    /// Sends one message; false if there is no room for it now.
    fn send(&mut self, parts: &[&[u8]; 2]) -> bool {
        match send(self.fd, parts) {
            Ok(()) => {
                self.full_since = None;
                true
            }
            Err(EAGAIN) => {
                self.full_since.get_or_insert_with(milliseconds);
                false
            }
            Err(_) => {
                self.hung_up = true;
                false
            }
        }
    }

    /// Sends what it has not been sent, as far as it takes it.
    pub fn pump(&mut self, ring: &Ring) {
        while self.is_behind(ring) {
            if self.position < ring.oldest {
                let mut lost = [0u8; 9];
                lost[0] = to_client::LOST;
                for (to, from) in lost.iter_mut().skip(1).zip((ring.gone - self.told).to_le_bytes())
                {
                    *to = from;
                }
                if !self.send(&[&lost, &[]]) {
                    return;
                }
                (self.position, self.told) = (ring.oldest, ring.gone);
            }
            let Some(message) = ring.message(self.position) else {
                return;
            };
            if !self.send(&message.parts) {
                return;
            }
            self.position = message.next;
            self.told += message.output;
        }
        self.passed_over = false;
    }

    /// Says how the program ended, once it has all output.
    pub fn inform(&mut self, ring: &Ring, status: i32) {
        if self.fd < 0 || self.informed || self.hung_up || self.is_behind(ring) {
            return;
        }
        let [a, b, c, d] = status.to_le_bytes();
        self.informed = self.send(&[&[to_client::EXIT, a, b, c, d], &[]]);
    }

    pub fn drop_it(&mut self) {
        kernel::close(self.fd);
        *self = Self::NOBODY;
    }

    /// To start where it asks for.
    pub fn greet(&mut self, flags: u8, ring: &Ring) {
        self.listens = flags & hello::OUTPUT != 0;
        let tail = flags & hello::TAIL != 0;
        (self.position, self.told) =
            if tail { (ring.oldest, ring.gone) } else { (ring.head, ring.told) };
        self.pump(ring);
    }
}

pub struct Clients {
    pub all: [Client; MAX_CLIENTS],
}

impl Clients {
    pub const NONE: Self = Self { all: [Client::NOBODY; MAX_CLIENTS] };

    pub fn pump(&mut self, ring: &Ring) {
        for client in self.all.iter_mut().filter(|client| client.full_since.is_none()) {
            client.pump(ring);
        }
    }

    /// Nothing if a chunk from each stream can come without pushing out what a
    /// client is waited for; else when to look again, in milliseconds.
    pub fn hold_up(&mut self, ring: &Ring) -> Option<u64> {
        let now = milliseconds();
        let mut wait = None;
        for client in &mut self.all {
            if client.passed_over || !client.needs_room(ring) {
                continue;
            }
            // Its queue is told to have room only when most of it is read.
            client.pump(ring);
            if !client.needs_room(ring) {
                continue;
            }
            let waited = client.full_since.map_or(0, |since| now.saturating_sub(since));
            client.passed_over = waited >= PATIENCE;
            if !client.passed_over {
                wait = Some(LOOK_AGAIN);
            }
        }
        wait
    }

    pub fn has_place(&self) -> bool {
        self.all.iter().any(|client| client.fd < 0)
    }

    /// Takes one more in, and greets it; there is a place.
    pub fn accept(&mut self, listener: i32, welcome: &[u8]) -> Result<(), Errno> {
        const FLAGS: usize = 0o200_4000; // SOCK_CLOEXEC | SOCK_NONBLOCK
        let fd = sys!(nr::ACCEPT4, listener, 0, 0, FLAGS)? as i32;
        match self.all.iter_mut().find(|client| client.fd < 0) {
            Some(place) if send(fd, &[welcome, &[]]).is_ok() => {
                *place = Client { fd, ..Client::NOBODY };
            }
            _ => kernel::close(fd),
        }
        Ok(())
    }
}

/// What a client asks for.
pub enum Request<'a> {
    Hello(u8),
    Input(&'a [u8]),
    Resize {
        rows: u16,
        columns: u16,
    },
    CloseInput,
    ReopenLog,
    Signal(u8),
    /// It is gone, or says what nobody understands.
    Leave,
}

/// Reads one message; `None` if there is none now.
pub fn receive(fd: i32, buffer: &mut [u8; MAX_MESSAGE + 1]) -> Option<Request<'_>> {
    let received = loop {
        match sys!(nr::RECVFROM, fd, buffer.as_mut_ptr(), buffer.len(), MSG_DONTWAIT, 0, 0) {
            Err(EINTR) => {}
            other => break other,
        }
    };
    let length = match received {
        Err(EAGAIN) => return None,
        Ok(length) if (1..=MAX_MESSAGE).contains(&length) => length,
        _ => return Some(Request::Leave),
    };
    let message = buffer.get(..length).unwrap_or(&[]);
    Some(match message {
        [to_supervisor::HELLO, flags] => Request::Hello(*flags),
        [to_supervisor::INPUT, bytes @ ..] => Request::Input(bytes),
        [to_supervisor::RESIZE, a, b, c, d] => Request::Resize {
            rows: u16::from_le_bytes([*a, *b]),
            columns: u16::from_le_bytes([*c, *d]),
        },
        [to_supervisor::CLOSE_INPUT] => Request::CloseInput,
        [to_supervisor::REOPEN_LOG] => Request::ReopenLog,
        [to_supervisor::SIGNAL, signal] => Request::Signal(*signal),
        _ => Request::Leave,
    })
}

fn send(fd: i32, parts: &[&[u8]; 2]) -> Result<(), Errno> {
    let parts = parts.map(|part| IoSlice { base: part.as_ptr(), len: part.len() });
    let message = Message::plain(&parts);
    loop {
        match sys!(nr::SENDMSG, fd, &raw const message, MSG_DONTWAIT | MSG_NOSIGNAL) {
            Err(EINTR) => {}
            other => return other.map(drop),
        }
    }
}
