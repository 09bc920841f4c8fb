//! The ioctls of a seccomp listener, each behind a safe function.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct RawNotification {
    pub(super) id: u64,
    pub(super) pid: u32,
    flags: u32,
    pub(super) number: i32,
    pub(super) arch: u32,
    pub(super) instruction_pointer: u64,
    pub(super) arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct RawResponse {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
struct RawAdd {
    id: u64,
    flags: u32,
    source: u32,
    number: u32,
    mode: u32,
}

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
pub(super) const CONTINUE: u32 = 1;
/// `SECCOMP_ADDFD_FLAG_SEND`.
pub(super) const ADD_AND_SEND: u32 = 2;

/// `_IOC` of `asm-generic/ioctl.h` with the type `!`.
const fn request(direction: u32, number: u32, size: usize) -> libc::Ioctl {
    (direction << 30 | (size as u32) << 16 | 0x21 << 8 | number) as libc::Ioctl
}

const WRITE: u32 = 1;
const READ_WRITE: u32 = 3;
const RECEIVE: libc::Ioctl = request(READ_WRITE, 0, size_of::<RawNotification>());
const SEND: libc::Ioctl = request(READ_WRITE, 1, size_of::<RawResponse>());
const ID_VALID: libc::Ioctl = request(WRITE, 2, size_of::<u64>());
const ADD: libc::Ioctl = request(WRITE, 3, size_of::<RawAdd>());
const _: () = assert!(size_of::<RawNotification>() == 80 && size_of::<RawResponse>() == 24);

pub(super) fn receive(listener: BorrowedFd<'_>) -> io::Result<RawNotification> {
    let mut notification = RawNotification::default();
    // SAFETY: the request's number carries the struct's size, which the kernel
    // reads and writes.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut notification) };
    answer(result).map(|_| notification)
}

pub(super) fn send(
    listener: BorrowedFd<'_>,
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
) -> io::Result<()> {
    let mut response = RawResponse { id, value, error, flags };
    // SAFETY: the request's number carries the struct's size.
    answer(unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw mut response) }).map(drop)
}

pub(super) fn is_valid(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    // SAFETY: the request reads eight bytes.
    answer(unsafe { libc::ioctl(listener.as_raw_fd(), ID_VALID, &raw const id) }).map(drop)
}

pub(super) fn add(
    listener: BorrowedFd<'_>,
    id: u64,
    source: u32,
    flags: u32,
    mode: u32,
) -> io::Result<i32> {
    let add = RawAdd { id, flags, source, number: 0, mode };
    // SAFETY: the request's number carries the struct's size, which is read.
    answer(unsafe { libc::ioctl(listener.as_raw_fd(), ADD, &raw const add) })
}

fn answer(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
