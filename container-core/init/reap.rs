//! PID 1 that does its duty: reaps every orphan, passes signals on to the
//! payload, and ends with the payload's status (the "single process model"
//! problem: an ordinary program as PID 1 does neither).

use crate::credentials;
use crate::kernel::{self, EINTR, Errno, SIGCHLD, sys};
use crate::machine::Machine;
use crate::raw::{nr, nr_all};
use crate::wire::Op;

/// Goes on in a child; this process stays as its init.
pub fn become_init(machine: &mut Machine, op: &Op) -> Result<(), Errno> {
    const PR_SET_CHILD_SUBREAPER: usize = 36;
    machine.detail = "prctl PR_SET_CHILD_SUBREAPER";
    sys!(nr::PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)?;
    machine.detail = "clone";
    let child = sys!(nr::CLONE, SIGCHLD, 0, 0, 0, 0)?;
    if child == 0 {
        sys!(nr::PRCTL, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)?;
        return Ok(());
    }
    machine.control.close();
    // The payload's standard streams stay open here as they are for the
    // payload's other descendants; nothing else does.
    let _ = sys!(nr_all::CLOSE_RANGE, 3, u32::MAX, 0);
    if credentials::install_filter(machine.bytes(op.s), op.x).is_err() {
        // The filter is known good (the payload installs the same one); an
        // unfiltered init must not stay.
        kernel::exit(kernel::EXIT_SETUP);
    }
    serve(child)
}

/// Signals are blocked since before the clone, so each one waits to be taken.
fn serve(payload: usize) -> ! {
    let all = u64::MAX;
    let mut information = [0u64; 16];
    loop {
        let taken = sys!(
            nr::RT_SIGTIMEDWAIT,
            &raw const all,
            information.as_mut_ptr(),
            0,
            size_of::<u64>(),
        );
        match taken {
            Ok(SIGCHLD) => reap(payload),
            Ok(signal) => {
                let _ = sys!(nr::KILL, payload, signal);
            }
            Err(EINTR) => {}
            Err(_) => kernel::exit(kernel::EXIT_SETUP),
        }
    }
}

fn reap(payload: usize) {
    const WNOHANG: usize = 1;
    let mut ended = None;
    let mut status = 0i32;
    while let Ok(child) = sys!(nr::WAIT4, usize::MAX, &raw mut status, WNOHANG, 0) {
        if child == 0 {
            break;
        }
        if child == payload {
            ended = Some(status);
        }
    }
    if let Some(status) = ended {
        let signal = status & 0x7f;
        kernel::exit(if signal == 0 { (status >> 8) & 0xff } else { 128 + signal });
    }
}
