//! The memory functions that the compiler may call, for want of a libc,
//! and the one buffer.
//!
//! `#![no_builtins]` keeps the compiler from turning these loops into calls
//! of themselves.

use core::cell::UnsafeCell;

/// Bytes of launch message that need no mapping of their own.
pub const SMALL: usize = 64 << 10;

#[repr(C, align(64))]
struct Buffer(UnsafeCell<[u8; SMALL]>);

// SAFETY: the init has one thread.
unsafe impl Sync for Buffer {}

static BUFFER: Buffer = Buffer(UnsafeCell::new([0; SMALL]));

/// The static buffer, 64-byte aligned; its pages cost nothing until touched.
///
/// # Safety
///
/// To be called once: the caller then owns the buffer for good.
pub unsafe fn small_buffer() -> &'static mut [u8] {
    // SAFETY: one thread, one caller, as the contract says.
    unsafe { &mut *BUFFER.0.get() }
}

/// # Safety
///
/// As C's `memcpy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    let mut i = 0;
    while i < n {
        // SAFETY: both regions are valid for `n` bytes by contract.
        unsafe { *to.add(i) = *from.add(i) };
        i += 1;
    }
    to
}

/// # Safety
///
/// As C's `memmove`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize) <= (from as usize) {
        // SAFETY: copying upwards never overwrites what is still to be read.
        return unsafe { memcpy(to, from, n) };
    }
    let mut i = n;
    while i > 0 {
        i -= 1;
        // SAFETY: both regions are valid for `n` bytes by contract.
        unsafe { *to.add(i) = *from.add(i) };
    }
    to
}

/// # Safety
///
/// As C's `memset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    let mut i = 0;
    while i < n {
        // SAFETY: the region is valid for `n` bytes by contract.
        unsafe { *to.add(i) = byte as u8 };
        i += 1;
    }
    to
}

/// # Safety
///
/// As C's `memcmp`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    let mut i = 0;
    while i < n {
        // SAFETY: both regions are valid for `n` bytes by contract.
        let (x, y) = unsafe { (*a.add(i), *b.add(i)) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
        i += 1;
    }
    0
}

/// # Safety
///
/// As C's `bcmp`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: same contract.
    unsafe { memcmp(a, b, n) }
}

/// # Safety
///
/// As C's `strlen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the text ends in NUL by contract.
    while unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    length
}
