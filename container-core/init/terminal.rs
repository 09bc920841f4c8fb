//! A pseudoterminal of the container's own devpts: the master goes to the
//! parent over the control socket, the slave becomes the payload's terminal
//! (pty(7), devpts).

use crate::kernel::{self, EINVAL, ENODEV, Errno, O_NOCTTY, O_NOFOLLOW, O_RDWR, sys};
use crate::machine::Machine;
use crate::raw::nr;
use crate::wire::{Op, code};

const TIOCSCTTY: usize = 0x540e;
pub const TIOCSWINSZ: usize = 0x5414;
const TIOCSPTLCK: usize = 0x4004_5431;
const TIOCGPTPEER: usize = 0x5441;

pub fn perform(machine: &mut Machine, index: u32, op: &Op) -> Result<(), Errno> {
    match op.code {
        code::OPEN_PTY => open_pty(machine, index, op),
        code::CONTROLLING_TTY => sys!(nr::IOCTL, machine.slot(op.a)?, TIOCSCTTY, 0).map(drop),
        _ => Err(EINVAL),
    }
}

fn open_pty(machine: &mut Machine, index: u32, op: &Op) -> Result<(), Errno> {
    machine.detail = "open";
    let master = kernel::open(machine.text(op.s), O_RDWR | O_NOCTTY | O_NOFOLLOW)?;
    machine.detail = "statx: not the pty multiplexer 5:2";
    if !kernel::stat(master)?.is_device(false, 5, 2) {
        return Err(ENODEV);
    }
    machine.detail = "ioctl TIOCSPTLCK";
    let unlocked = 0i32;
    sys!(nr::IOCTL, master, TIOCSPTLCK, &raw const unlocked)?;
    machine.detail = "ioctl TIOCGPTPEER";
    let flags = O_RDWR | O_NOCTTY | kernel::O_CLOEXEC;
    let slave = sys!(nr::IOCTL, master, TIOCGPTPEER, flags)? as i32;
    if op.a != 0 {
        machine.detail = "ioctl TIOCSWINSZ";
        // struct winsize: rows, columns, and the unused pixel sizes.
        let size = [(op.a >> 16) as u16, op.a as u16, 0, 0];
        sys!(nr::IOCTL, slave, TIOCSWINSZ, size.as_ptr())?;
    }
    machine.detail = "fchown";
    let owner = op.c as usize;
    let (uid, gid) = (owner, usize::MAX);
    sys!(nr::FCHOWNAT, slave, kernel::Text::EMPTY.0, uid, gid, kernel::AT_EMPTY_PATH)?;
    machine.detail = "sendmsg";
    machine.control.send_terminal(index, master)?;
    kernel::close(master);
    machine.fill(op.b, slave)
}
