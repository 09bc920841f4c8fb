//! Between created and started: whether the program can be executed, and the
//! wait for a starter that need not be the creator.

use crate::control::{self, GO};
use crate::kernel::{self, AT_EMPTY_PATH, ECONNABORTED, EINTR, ENOSYS, Errno, O_PATH, Text, sys};
use crate::machine::Machine;
use crate::raw::{nr, nr_all};
use crate::wire::{Op, Span, record};

/// Lets go of the creator and serves the listening socket in the slot until
/// someone of the creator's user id says go; that connection is the control
/// socket from here on, and is told so by a record.
pub fn accept(machine: &mut Machine, index: u32, op: &Op) -> Result<(), Errno> {
    const SOCK_CLOEXEC: usize = 0o200_0000;
    machine.detail = "getsockopt SO_PEERCRED";
    let creator = machine.control.maker()?;
    let listener = machine.slot(op.a)?;
    machine.detail = "accept4";
    machine.control.replace(-1);
    loop {
        let connection = match sys!(nr::ACCEPT4, listener, 0, 0, SOCK_CLOEXEC) {
            Ok(connection) => connection as i32,
            Err(EINTR | ECONNABORTED) => continue,
            Err(errno) => return Err(errno),
        };
        let order =
            if control::peer_uid(connection) == Ok(creator) { order(connection) } else { 0 };
        if order == END {
            kernel::exit(kernel::EXIT_SETUP);
        }
        if order == GO {
            machine.control.replace(connection);
            machine.release(op.a);
            machine.control.send(record::REACHED, index, 0, &[]);
            return Ok(());
        }
        kernel::close(connection);
    }
}

/// The order to end: of a container whose creator died before anyone else
/// knew its process.
const END: u8 = 2;

/// The byte that a starter sends; 0 if it sends none.
fn order(connection: i32) -> u8 {
    let mut byte = [0u8; 1];
    if kernel::read(connection, &mut byte) == Ok(1) { byte[0] } else { 0 }
}

/// Whether one of the candidates could be executed by this process as it is
/// now, judged as [`execve(2)`] and execvp(3) do.
pub fn check_exec(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    let mut refused = Err(kernel::ENOENT);
    for index in 0..op.s.len as usize {
        let at = machine.entry(op.s, index).unwrap_or(0);
        let path = machine.text(Span { at: at as u32, len: 0 });
        match check_program(path) {
            Ok(()) => return Ok(()),
            Err(kernel::ENOENT | kernel::ENOTDIR) => {}
            Err(errno) => refused = Err(errno),
        }
    }
    refused
}

fn check_program(path: Text) -> Result<(), Errno> {
    const X_OK: usize = 1;
    const AT_EACCESS: usize = 0x200;
    let file = kernel::open(path, O_PATH)?;
    let found = kernel::stat(file);
    let flags = AT_EACCESS | AT_EMPTY_PATH;
    let access = match sys!(nr_all::FACCESSAT2, file, Text::EMPTY.0, X_OK, flags) {
        // Before Linux 5.8: the exec will tell.
        Err(ENOSYS) => Ok(0),
        other => other,
    };
    kernel::close(file);
    match found {
        Ok(found) if found.is_directory() => Err(kernel::EISDIR),
        Ok(found) if !found.is_regular() => Err(kernel::EACCES),
        Ok(_) => access.map(drop),
        Err(errno) => Err(errno),
    }
}
