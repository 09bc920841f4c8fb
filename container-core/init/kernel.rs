//! The kernel's calls as the interpreter uses them: `Ok` value or `Err` errno.

use crate::raw::{self, nr, nr_all};

/// The init's own exit status when it could not set the container up; the
/// parent learns the cause from the record, not from this.
pub const EXIT_SETUP: i32 = 125;

pub const AT_FDCWD: i32 = -100;
pub const AT_EMPTY_PATH: usize = 0x1000;
pub const AT_RECURSIVE: usize = 0x8000;

pub const O_WRONLY: usize = 1;
pub const O_RDWR: usize = 2;
pub const O_CREAT: usize = 0o100;
pub const O_EXCL: usize = 0o200;
pub const O_NOCTTY: usize = 0o400;
#[cfg(target_arch = "x86_64")]
pub const O_DIRECTORY: usize = 0o20_0000;
#[cfg(target_arch = "x86_64")]
pub const O_NOFOLLOW: usize = 0o40_0000;
#[cfg(target_arch = "aarch64")]
pub const O_DIRECTORY: usize = 0o4_0000;
#[cfg(target_arch = "aarch64")]
pub const O_NOFOLLOW: usize = 0o10_0000;
pub const O_CLOEXEC: usize = 0o200_0000;
pub const O_PATH: usize = 0o1000_0000;
pub const EPERM: i32 = 1;
pub const ENOENT: i32 = 2;
pub const EINTR: i32 = 4;
pub const EBADF: i32 = 9;
pub const EAGAIN: i32 = 11;
pub const EACCES: i32 = 13;
pub const EEXIST: i32 = 17;
pub const ENODEV: i32 = 19;
pub const ENOTDIR: i32 = 20;
pub const EISDIR: i32 = 21;
pub const EINVAL: i32 = 22;
pub const ENAMETOOLONG: i32 = 36;
pub const ELOOP: i32 = 40;
pub const EXDEV: i32 = 18;
pub const ENOSYS: i32 = 38;
pub const ECONNABORTED: i32 = 103;

pub const SIGCHLD: usize = 17;

pub type Errno = i32;

/// Issues a system call with up to six arguments.
///
/// # Safety
///
/// As [`raw::syscall`].
pub unsafe fn call(number: usize, args: &[usize]) -> Result<usize, Errno> {
    let mut six = [0usize; 6];
    for (to, from) in six.iter_mut().zip(args) {
        *to = *from;
    }
    // SAFETY: the caller's contract.
    let result = unsafe { raw::syscall(number, six) };
    if (-4095..0).contains(&result) { Err(-result as i32) } else { Ok(result as usize) }
}

/// A system call whose arguments are numbers only, or pointers to memory that
/// outlives it.
macro_rules! sys {
    ($number:expr $(, $arg:expr)* $(,)?) => {
        // SAFETY: every pointer passed stands for a live object of the size
        // that the call reads or writes; each caller passes nothing else.
        unsafe { $crate::kernel::call($number, &[$($arg as usize),*]) }
    };
}
pub(crate) use sys;

/// A NUL-terminated string of the plan.
#[derive(Clone, Copy)]
pub struct Text(pub *const u8);

impl Text {
    pub const EMPTY: Self = Self(c"".as_ptr().cast());

    pub fn bytes(self) -> &'static [u8] {
        // SAFETY: a Text is made of validated plan strings and literals only;
        // both end in NUL and live as long as the process.
        unsafe { core::ffi::CStr::from_ptr(self.0.cast()).to_bytes() }
    }
}

pub fn exit(code: i32) -> ! {
    loop {
        let _ = sys!(nr::EXIT_GROUP, code);
    }
}

pub fn close(fd: i32) {
    let _ = sys!(nr::CLOSE, fd);
}

pub fn read(fd: i32, into: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match sys!(nr::READ, fd, into.as_mut_ptr(), into.len()) {
            Err(EINTR) => {}
            other => return other,
        }
    }
}

pub fn write_all(fd: i32, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match sys!(nr::WRITE, fd, bytes.as_ptr(), bytes.len()) {
            Err(EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(n) => bytes = bytes.get(n..).unwrap_or(&[]),
        }
    }
    Ok(())
}

pub fn open(path: Text, flags: usize) -> Result<i32, Errno> {
    sys!(nr::OPENAT, AT_FDCWD, path.0, flags | O_CLOEXEC, 0).map(|fd| fd as i32)
}

/// `struct open_how` of openat2(2).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

pub const RESOLVE_NO_XDEV: u64 = 1;
pub const RESOLVE_BENEATH: u64 = 8;
pub const RESOLVE_NO_MAGICLINKS: u64 = 2;
pub const RESOLVE_NO_SYMLINKS: u64 = 4;
pub const RESOLVE_IN_ROOT: u64 = 0x10;

/// How often a path is resolved while others rename and mount.
const MOST_TRIES: u32 = 1024;

/// Opens `path` inside directory `root`: neither `..` nor a symlink leads out.
pub fn open_in(root: i32, path: Text, flags: usize, resolve: u64) -> Result<i32, Errno> {
    let how = OpenHow {
        flags: (flags | O_CLOEXEC) as u64,
        mode: 0,
        resolve: resolve | RESOLVE_NO_MAGICLINKS,
    };
    // With `..` on the way the kernel asks to try again when anything was
    // renamed or mounted anywhere meanwhile.
    for _ in 0..MOST_TRIES {
        let opened = sys!(nr_all::OPENAT2, root, path.0, &raw const how, size_of::<OpenHow>());
        if !matches!(opened, Err(EAGAIN | EINTR)) {
            return opened.map(|fd| fd as i32);
        }
    }
    Err(EAGAIN)
}

/// What statx(2) tells, as far as the init asks.
pub struct Stat {
    pub mode: u16,
    pub size: u64,
    pub uid: u32,
    pub gid: u32,
    pub major: u32,
    pub minor: u32,
    /// Of the last access and of the last change: seconds, nanoseconds.
    pub times: [[u64; 2]; 2],
}

impl Stat {
    pub fn is_regular(&self) -> bool {
        self.mode & 0o17_0000 == 0o10_0000
    }

    pub fn is_directory(&self) -> bool {
        self.mode & 0o17_0000 == 0o4_0000
    }

    /// The file type bits of the mode.
    pub fn kind(&self) -> u16 {
        self.mode & 0o17_0000
    }

    pub fn is_device(&self, block: bool, major: u32, minor: u32) -> bool {
        let kind = if block { 0o6_0000 } else { 0o2_0000 };
        self.kind() == kind && self.major == major && self.minor == minor
    }

    /// The device number as mknod(2) takes it.
    pub fn device(&self) -> u64 {
        let (major, minor) = (u64::from(self.major), u64::from(self.minor));
        (major & 0xfff) << 8 | (major & !0xfff) << 32 | minor & 0xff | (minor & !0xff) << 12
    }
}

#[repr(C)]
struct StatxBuffer {
    head: [u32; 7],
    mode: u16,
    spare: u16,
    middle: [u64; 12],
    rdev_major: u32,
    rdev_minor: u32,
    rest: [u64; 15],
}

pub fn stat(fd: i32) -> Result<Stat, Errno> {
    let mut buffer = StatxBuffer {
        head: [0; 7],
        mode: 0,
        spare: 0,
        middle: [0; 12],
        rdev_major: 0,
        rdev_minor: 0,
        rest: [0; 15],
    };
    const STATX_BASIC_STATS: usize = 0x7ff;
    sys!(nr::STATX, fd, Text::EMPTY.0, AT_EMPTY_PATH, STATX_BASIC_STATS, &raw mut buffer)?;
    let [_, size, _, _, access, access_nanoseconds, _, _, _, _, change, change_nanoseconds] =
        buffer.middle;
    let [.., uid, gid] = buffer.head;
    // A time's upper half is padding.
    let half = |value: u64| value & 0xffff_ffff;
    Ok(Stat {
        mode: buffer.mode,
        size,
        uid,
        gid,
        major: buffer.rdev_major,
        minor: buffer.rdev_minor,
        times: [[access, half(access_nanoseconds)], [change, half(change_nanoseconds)]],
    })
}

/// Bytes of a file.
pub fn file_size(fd: i32) -> Result<u64, Errno> {
    stat(fd).map(|found| found.size)
}

/// The file system's magic number (statfs(2)).
pub fn file_system(fd: i32) -> Result<u64, Errno> {
    let mut buffer = [0u64; 32];
    sys!(nr::FSTATFS, fd, buffer.as_mut_ptr())?;
    Ok(buffer[0])
}

/// Two connected sockets that keep messages apart (unix(7)).
pub fn packet_pair() -> Result<(i32, i32), Errno> {
    const AF_UNIX: usize = 1;
    const SOCK_SEQPACKET_CLOEXEC: usize = 5 | 0o200_0000;
    let mut pair = [-1i32; 2];
    sys!(nr::SOCKETPAIR, AF_UNIX, SOCK_SEQPACKET_CLOEXEC, 0, pair.as_mut_ptr())?;
    Ok((pair[0], pair[1]))
}

/// Of a descriptor that nobody else has the open file of.
pub fn set_nonblocking(fd: i32) {
    const F_GETFL: usize = 3;
    const F_SETFL: usize = 4;
    const O_NONBLOCK: usize = 0o4000;
    if let Ok(flags) = sys!(nr::FCNTL, fd, F_GETFL, 0) {
        let _ = sys!(nr::FCNTL, fd, F_SETFL, flags | O_NONBLOCK);
    }
}

/// A decimal number from a NUL-terminated string.
pub fn parse_number(text: *const u8) -> Option<i32> {
    if text.is_null() {
        return None;
    }
    let mut value: i32 = 0;
    let bytes = Text(text).bytes();
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i32::from(digit))?;
    }
    if bytes.is_empty() { None } else { Some(value) }
}
