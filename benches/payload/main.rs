//! The payload of every row: exits with 0. With an argument it waits for a signal instead, for
//! tests to look at the container from outside.

#![no_std]
#![no_main]

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "cmp qword ptr [rsp], 1",
    "ja 2f",
    "xor edi, edi",
    "mov eax, 231", // exit_group
    "syscall",
    "2:",
    "mov eax, 34", // pause
    "syscall",
    "jmp 2b",
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "ldr x0, [sp]",
    "cmp x0, 1",
    "b.hi 2f",
    "mov x0, 0",
    "mov x8, 94", // exit_group
    "svc 0",
    "2:",
    "mov x0, 0",
    "mov x1, 0",
    "mov x2, 0",
    "mov x3, 0",
    "mov x4, 0",
    "mov x8, 73", // ppoll
    "svc 0",
    "b 2b",
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
