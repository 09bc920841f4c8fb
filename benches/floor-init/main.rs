//! The minimal init of the floor: the straight line of `src/floor/steps.rs` and nothing else.
//!
//! argv: name, rootfs, hostname, flags (`n` loopback up, `u` ids are mapped: wait for a byte on the
//! descriptor whose number stands in the next argument), descriptor, program, its arguments.

#![no_std]
#![no_main]
// So that the loops below aren't turned into calls of themselves.
#![no_builtins]

use core::ffi::{CStr, c_char};

#[path = "../src/floor/sys.rs"]
#[allow(dead_code)]
mod sys;

#[path = "../src/floor/steps.rs"]
mod steps;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {start}", start = sym start);

/// # Safety
///
/// `stack` is the initial stack pointer: argc, then argv.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the kernel puts argc there.
    if unsafe { *stack } < 6 {
        sys::exit(126);
    }
    // SAFETY: argv follows argc and has at least six entries, NULL-terminated.
    unsafe {
        let argv = stack.add(1).cast::<*const c_char>();
        let text = |index: usize| CStr::from_ptr(*argv.add(index));
        let flags = text(3).to_bytes();
        let digits = text(4).to_bytes();
        let socket = digits.iter().fold(0i32, |n, digit| {
            n.wrapping_mul(10).wrapping_add((digit.wrapping_sub(b'0')) as i32)
        });
        steps::run(&steps::Setup {
            rootfs: text(1),
            hostname: text(2),
            program: text(5),
            argv: argv.add(5),
            net: flags.contains(&b'n'),
            mapped: flags.contains(&b'u').then_some(socket),
        })
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(127)
}

/// Named by the precompiled `core`, never called: panics abort.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: the text ends in NUL.
    while unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    length
}

/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    for index in 0..length {
        // SAFETY: both are valid for `length` bytes.
        unsafe { *to.add(index) = *from.add(index) };
    }
    to
}

/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    for index in 0..length {
        // SAFETY: valid for `length` bytes.
        unsafe { *to.add(index) = byte as u8 };
    }
    to
}
