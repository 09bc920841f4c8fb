//! The control socket: the launch message in, records out.

use crate::kernel::{self, Errno, sys};
use crate::memory;
use crate::raw::nr;
use crate::wire::{self, Launch, MAX_PLAN, MAX_SLOTS, MAX_TEXT, Record, Refusal, record};

/// The byte that lets a waiting init go on; any other tells it to end.
pub const GO: u8 = 1;

pub struct Control {
    socket: i32,
    /// Of a supervised process: where its supervisor learns what it must know.
    notices: i32,
    /// What came in one read with the plan: bytes for the coming waits.
    early: &'static [u8],
}

/// The registers: descriptors by slot number, -1 where empty.
pub type Slots = [i32; MAX_SLOTS];

impl Control {
    pub const fn new(socket: i32) -> Self {
        Self { socket, notices: -1, early: &[] }
    }

    /// Receives the launch message: the slots' descriptors and the plan.
    pub fn receive(&mut self) -> Result<(Slots, &'static mut [u8]), Refusal> {
        // SAFETY: receive is called once.
        let buffer = unsafe { memory::small_buffer() };
        let mut have = 0;
        while have < size_of::<Launch>() {
            have += self.more(buffer, have).ok_or(Refusal::Size)?;
        }
        let launch = launch_of(buffer)?;
        self.receive_rest(buffer, have, &launch).ok_or(Refusal::Size)
    }

    fn receive_rest(
        &mut self,
        mut buffer: &'static mut [u8],
        mut have: usize,
        launch: &Launch,
    ) -> Option<(Slots, &'static mut [u8])> {
        let slot_bytes = (launch.slots as usize * 4).next_multiple_of(8);
        let head = size_of::<Launch>() + slot_bytes;
        let whole = head + launch.plan as usize;
        if whole > buffer.len() {
            let bigger = map(whole)?;
            bigger.get_mut(..have)?.copy_from_slice(buffer.get(..have)?);
            buffer = bigger;
        }
        while have < whole {
            have += self.more(buffer.get_mut(..whole)?, have)?;
        }
        let mut slots = [-1; MAX_SLOTS];
        for (index, slot) in slots.iter_mut().enumerate().take(launch.slots as usize) {
            *slot = word(buffer, size_of::<Launch>() + index * 4)? as i32;
        }
        let (message, early) = buffer.split_at_mut_checked(whole)?;
        self.early = early.get(..have - whole)?;
        Some((slots, message.get_mut(head..)?))
    }

    fn more(&self, buffer: &mut [u8], have: usize) -> Option<usize> {
        match kernel::read(self.socket, buffer.get_mut(have..)?) {
            Ok(0) | Err(_) => None,
            Ok(n) => Some(n),
        }
    }

    /// Waits for the parent's go-ahead; ends the process when the parent has
    /// died (end of file) or says so.
    pub fn wait(&mut self) {
        if self.next_byte() != Ok(Some(GO)) {
            self.give_up();
        }
    }

    /// Likewise under a filter, which may refuse the wait itself: then there is
    /// none.
    pub fn wait_unless_refused(&mut self) {
        if matches!(self.next_byte(), Ok(byte) if byte != Some(GO)) {
            self.give_up();
        }
    }

    fn next_byte(&mut self) -> Result<Option<u8>, Errno> {
        if let Some((first, rest)) = self.early.split_first() {
            self.early = rest;
            return Ok(Some(*first));
        }
        let mut byte = [0u8; 1];
        let read = kernel::read(self.socket, &mut byte)?;
        Ok(if read == 1 { Some(byte[0]) } else { None })
    }

    /// Ends the process before it is what it should become.
    pub fn give_up(&self) -> ! {
        self.tell(record::FAILED, 0, 0);
        kernel::exit(kernel::EXIT_SETUP)
    }

    /// From here on a supervisor listens at the other end of `socket`.
    pub fn notify(&mut self, socket: i32) {
        self.notices = socket;
    }

    /// Tells the supervisor, if there is one.
    pub fn tell(&self, kind: u16, op: u32, value: i32) {
        if self.notices >= 0 {
            Self::new(self.notices).send(kind, op, value, &[]);
        }
    }

    /// Sends a terminal's master to whoever keeps the streams.
    pub fn send_terminal(&self, op: u32, master: i32) -> Result<(), Errno> {
        if self.notices >= 0 {
            return Self::new(self.notices).send_descriptor(record::TERMINAL, op, master);
        }
        self.send_descriptor(record::TERMINAL, op, master)
    }

    pub fn socket(&self) -> i32 {
        self.socket
    }

    /// Takes one record without waiting; false at the end.
    pub fn take_record(
        &self,
        kind: &mut u16,
        value: &mut i32,
        fd: &mut i32,
    ) -> Result<bool, Errno> {
        const FLAGS: usize = 0x4000_0040; // MSG_CMSG_CLOEXEC | MSG_DONTWAIT
        let mut record = Record::default();
        let mut rights = Rights { len: 0, level: 0, kind: 0, fd: -1, pad: 0 };
        let part =
            [IoSlice { base: (&raw mut record).cast_const().cast(), len: size_of::<Record>() }];
        let mut message = Message::plain(&part);
        message.control = &raw mut rights;
        message.control_len = size_of::<Rights>();
        let length = sys!(nr::RECVMSG, self.socket, &raw mut message, FLAGS)?;
        (*kind, *value) = (record.kind, record.value);
        if message.control_len == size_of::<Rights>() {
            *fd = rights.fd;
        }
        Ok(length > 0)
    }

    pub fn send(&self, kind: u16, op: u32, value: i32, text: &[u8]) {
        let mut message = [0u8; size_of::<Record>() + MAX_TEXT];
        let length = text.len().min(MAX_TEXT);
        let record = Record { magic: wire::RECORD_MAGIC, kind, text: length as u16, op, value };
        let fields = [
            record.magic,
            u32::from(record.kind) | (u32::from(record.text) << 16),
            record.op,
            record.value as u32,
        ];
        for (chunk, field) in message.chunks_exact_mut(4).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        for (to, from) in message.iter_mut().skip(size_of::<Record>()).zip(text.iter().take(length))
        {
            *to = *from;
        }
        let bytes = message.get(..size_of::<Record>() + length).unwrap_or(&[]);
        let _ = kernel::write_all(self.socket, bytes);
    }

    /// Sends a record with a descriptor (unix(7), `SCM_RIGHTS`).
    pub fn send_descriptor(&self, kind: u16, op: u32, fd: i32) -> Result<(), Errno> {
        let record = Record { magic: wire::RECORD_MAGIC, kind, text: 0, op, value: 0 };
        let part = [IoSlice { base: (&raw const record).cast(), len: size_of::<Record>() }];
        let mut rights = Rights { len: 20, level: 1, kind: 1, fd, pad: 0 };
        let mut message = Message::plain(&part);
        message.control = &raw mut rights;
        message.control_len = size_of::<Rights>();
        const MSG_NOSIGNAL: usize = 0x4000;
        sys!(nr::SENDMSG, self.socket, &raw const message, MSG_NOSIGNAL).map(drop)
    }

    pub fn close(&self) {
        kernel::close(self.socket);
    }

    /// Closes the socket and goes on with another; -1 for none, which makes
    /// every record go nowhere.
    pub fn replace(&mut self, socket: i32) {
        self.close();
        (self.socket, self.early) = (socket, &[]);
    }

    /// The user id of the other end's maker, as this user namespace sees it.
    pub fn maker(&self) -> Result<u32, Errno> {
        peer_uid(self.socket)
    }
}

/// The user id of who connected or made this socket (unix(7), `SO_PEERCRED`),
/// as this user namespace sees it.
pub fn peer_uid(socket: i32) -> Result<u32, Errno> {
    const SOL_SOCKET: usize = 1;
    const SO_PEERCRED: usize = 17;
    // struct ucred: process, user, group.
    let mut credentials = [0u32; 3];
    let mut length = size_of::<[u32; 3]>() as u32;
    let (to, length) = (credentials.as_mut_ptr(), &raw mut length);
    sys!(nr::GETSOCKOPT, socket, SOL_SOCKET, SO_PEERCRED, to, length)?;
    Ok(credentials[1])
}

#[repr(C)]
pub struct IoSlice {
    pub base: *const u8,
    pub len: usize,
}

/// `struct cmsghdr` with one descriptor.
#[repr(C)]
pub struct Rights {
    len: usize,
    level: i32,
    kind: i32,
    fd: i32,
    pad: i32,
}

/// `struct msghdr`.
#[repr(C)]
pub struct Message {
    name: *const u8,
    name_len: u32,
    parts: *const IoSlice,
    part_count: usize,
    control: *mut Rights,
    control_len: usize,
    flags: i32,
}

impl Message {
    /// One without a descriptor.
    pub fn plain(parts: &[IoSlice]) -> Self {
        Self {
            name: core::ptr::null(),
            name_len: 0,
            parts: parts.as_ptr(),
            part_count: parts.len(),
            control: core::ptr::null_mut(),
            control_len: 0,
            flags: 0,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let mut four = [0u8; 4];
    four.copy_from_slice(bytes.get(at..at.checked_add(4)?)?);
    Some(u32::from_le_bytes(four))
}

fn launch_of(bytes: &[u8]) -> Result<Launch, Refusal> {
    let field = |at: usize| word(bytes, at).ok_or(Refusal::Size);
    let launch =
        Launch { magic: field(0)?, slots: field(4)?, plan: field(8)?, reserved: field(12)? };
    if launch.magic != wire::LAUNCH_MAGIC || launch.reserved != 0 {
        return Err(Refusal::Magic);
    }
    if launch.slots as usize > MAX_SLOTS || launch.plan as usize > MAX_PLAN {
        return Err(Refusal::Size);
    }
    Ok(launch)
}

fn map(length: usize) -> Option<&'static mut [u8]> {
    const PROT_READ_WRITE: usize = 3;
    const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
    let address =
        sys!(nr::MMAP, 0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, usize::MAX, 0).ok()?;
    // SAFETY: a fresh private mapping of `length` bytes that is never unmapped
    // and known to nobody else.
    Some(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, length) })
}
