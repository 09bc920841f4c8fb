//! The tiny init: a static program of a few kilobytes that turns a plan into
//! a container.
//!
//! The parent clones, and the clone executes this program from a sealed memfd
//! at once; none of the host's code, memory or descriptors is left. The init
//! reads the plan from its control socket, checks all of it, interprets it
//! operation by operation with raw system calls, and ends in the payload's
//! `execve`. It has no libc, no allocator, no lock and no panic path.
//!
//! ```text
//! argv[1] = the control socket's number
//! parent -> init   Launch, slot numbers, plan, then one byte per WAIT_HOST
//! init -> parent   Records; end of file on exec (the socket is close-on-exec)
//! ```

#![no_std]
#![no_main]
#![no_builtins]

mod attach;
mod attributes;
mod control;
mod copy_up;
mod credentials;
mod device;
mod interpret;
mod kernel;
mod machine;
mod memory;
mod mount;
mod raw;
mod reap;
mod start;
mod supervise;
mod target;
mod terminal;
mod wire;

use control::Control;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym main,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "bl {main}",
    "brk #0",
    main = sym main,
);

/// The first Rust code: `stack` is what the kernel put there, argc first.
///
/// # Safety
///
/// Called once by `_start` with the initial stack pointer.
unsafe extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel's initial stack holds argc, then argc pointers to
    // NUL-terminated strings, then a null pointer.
    let argument =
        unsafe { if *stack < 2 { core::ptr::null() } else { *stack.add(2) as *const u8 } };
    let Some(socket) = kernel::parse_number(argument) else {
        kernel::exit(kernel::EXIT_SETUP);
    };
    let mut control = Control::new(socket);
    match control.receive() {
        Ok((slots, plan)) => interpret::run(control, slots, plan),
        Err(refusal) => {
            control.send(wire::record::REFUSED, 0, refusal as i32, &[]);
            kernel::exit(kernel::EXIT_SETUP);
        }
    }
}

/// Never reached: the code has no panicking operation, which the build proves
/// where `CONTAINER_CORE_PROVE_INIT` is set (the symbol below exists nowhere,
/// so a reachable panic fails to link).
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(prove_no_panic)]
    {
        unsafe extern "C" {
            fn the_init_has_a_reachable_panic() -> !;
        }
        // SAFETY: never linked, so never called.
        unsafe { the_init_has_a_reachable_panic() }
    }
    #[cfg(not(prove_no_panic))]
    kernel::exit(kernel::EXIT_SETUP)
}
