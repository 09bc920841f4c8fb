//! Loading a device program and attaching it to a v2 cgroup: [bpf(2)].
//!
//! [bpf(2)]: https://man7.org/linux/man-pages/man2/bpf.2.html
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::DeviceRule;
use super::program::{Instruction, compile};

const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;
const PROG_GET_FD_BY_ID: i32 = 13;
const PROG_QUERY: i32 = 16;

const TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;
const REPLACE: u32 = 4;

/// How many programs of others a cgroup may have: the kernel's own bound.
const PROGRAMS_MAX: usize = 64;

/// A loaded program, which decides nothing until it is attached.
#[derive(Debug)]
pub(in crate::cgroup) struct Program(OwnedFd);

/// `union bpf_attr` for `BPF_PROG_LOAD`, up to the fields used.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
    reserved: u32,
}

/// Only for the attribute structures above: plain numbers, without padding.
trait Attributes {}
impl Attributes for Load {}
impl Attributes for Attach {}
impl Attributes for Query {}
impl Attributes for ById {}

fn bpf(command: i32, attributes: &mut impl Attributes) -> io::Result<i32> {
    let size = size_of_val(attributes);
    // SAFETY: the structure is writable and as long as said; the addresses that it holds are of
    // buffers that the callers keep alive, of the lengths that it gives.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn new_descriptor(command: i32, attributes: &mut impl Attributes) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: the two commands used return a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

impl Program {
    /// Compiles the rules and has the kernel verify the program.
    pub(in crate::cgroup) fn load(rules: &[DeviceRule]) -> io::Result<Self> {
        let instructions: Vec<Instruction> = compile(rules);
        let mut load = Load {
            prog_type: TYPE_CGROUP_DEVICE,
            insn_cnt: instructions.len() as u32,
            insns: instructions.as_ptr() as u64,
            license: c"Dual MIT/GPL".as_ptr() as u64,
            ..Load::default()
        };
        new_descriptor(PROG_LOAD, &mut load).map(Self)
    }
}

/// Makes the program the one that decides for the cgroup, in place of those attached to it before.
///
/// Programs of the cgroups above keep deciding too: all have to agree.
pub(in crate::cgroup) fn attach(cgroup: BorrowedFd<'_>, program: &Program) -> io::Result<()> {
    let old = attached(cgroup)?;
    let mut request = Attach {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program.0.as_fd()),
        attach_type: CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI,
        ..Attach::default()
    };
    if let [only] = old.as_slice() {
        // In one step, so that no moment is without rules; Linux 5.6.
        request.attach_flags |= REPLACE;
        request.replace_bpf_fd = number(only.as_fd());
        match bpf(PROG_ATTACH, &mut request) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
            other => return other.map(|_| ()),
        }
        request.attach_flags = ALLOW_MULTI;
        request.replace_bpf_fd = 0;
    }
    bpf(PROG_ATTACH, &mut request)?;
    for program in &old {
        let mut request = Attach {
            target_fd: number(cgroup),
            attach_bpf_fd: number(program.as_fd()),
            attach_type: CGROUP_DEVICE,
            ..Attach::default()
        };
        bpf(PROG_DETACH, &mut request)?;
    }
    Ok(())
}

/// The device programs attached to this very cgroup.
fn attached(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; PROGRAMS_MAX];
    let mut query = Query {
        target_fd: number(cgroup),
        attach_type: CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: PROGRAMS_MAX as u32,
        ..Query::default()
    };
    bpf(PROG_QUERY, &mut query)?;
    let count = query.prog_cnt as usize;
    let mut programs = Vec::with_capacity(count);
    for id in ids.iter().take(count) {
        let mut by_id = ById { prog_id: *id, ..ById::default() };
        match new_descriptor(PROG_GET_FD_BY_ID, &mut by_id) {
            Ok(program) => programs.push(program),
            // Detached meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(programs)
}
