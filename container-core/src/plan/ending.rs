//! The end of a plan: from the wait for the start to the exec.

use super::assemble::Assembly;
use super::compile::Scope;
use super::op::{Event, Op, Slot};
use super::{attributes, credentials, exec};
use crate::error::{Error, Result};

impl Scope<'_> {
    /// The created container waits: for its creator, or for anyone of the
    /// same user who connects to the start socket.
    fn add_wait(&self, assembly: &mut Assembly, exec: &Op) -> Result<()> {
        let description = self.description;
        if let (Some(_), Op::Exec { candidates, .. }) = (&description.start_socket, exec) {
            let why = "what can't be executed is told now, not at the start";
            assembly.push(Op::CheckExec(candidates.clone()), why);
        }
        if description.waits_for_start {
            assembly.push(Op::Report(Event::Created), "created: all is set up but the program");
        }
        match &description.start_socket {
            Some(listener) => {
                let slot = assembly.slot_of(listener).ok_or_else(|| {
                    Error::invalid("make plan", "start socket", "a descriptor without a slot")
                })?;
                let why = "the creator may end: whoever starts it connects here";
                assembly.push(Op::Accept(slot), why);
                credentials::add_deferred(assembly, description, &self.ids());
            }
            None if description.waits_for_start => {
                assembly.push(Op::WaitHost, "until it is started");
            }
            None => {}
        }
        Ok(())
    }

    /// From the wait for the start to the exec.
    pub(super) fn add_ending(&self, assembly: &mut Assembly, terminal: Option<Slot>) -> Result<()> {
        let description = self.description;
        let exec = exec::exec(description, self.user)?;
        self.add_wait(assembly, &exec)?;
        let mut late = credentials::late_filter(description);
        // Nobody would keep what it writes, nor its exit status.
        let supervised = description.supervision.as_ref().map(|_| libc::SIGKILL);
        let death = description.parent_death_signal.or(supervised).map(|signal| signal as u32);
        if description.init {
            if let Some(signal) = death {
                assembly.push(Op::ParentDeath(signal), "the init's, when the spawning thread ends");
            }
            if let Some(program) = late.take_if(|program| program.needs_listener()) {
                let why = "one filter with one listener, for the init and for the payload";
                assembly.push(credentials::install(program), why);
            }
            let (filter, flags) = late.map_or((Vec::new(), 0), |program| {
                (program.as_bytes().to_vec(), u64::from(program.flags()))
            });
            let why = "this process stays as PID 1 that reaps and forwards signals";
            assembly.push(Op::Init { filter, flags }, why);
        }
        if description.new_session || terminal.is_some() {
            assembly.push(Op::Setsid, "out of reach of the caller's terminal (TIOCSTI)");
        }
        if let Some(terminal) = terminal {
            assembly.push(Op::ControllingTty(terminal), "job control works on it");
        }
        if description.init {
            let why = "killed with the init: without a pid namespace the kernel would not";
            assembly.push(Op::ParentDeath(libc::SIGKILL as u32), why);
        } else if let Some(signal) = death {
            assembly.push(Op::ParentDeath(signal), "when the spawning thread ends");
        }
        attributes::add_late(assembly, description);
        let first = 3 + description.passed.len() as u32;
        assembly.push(Op::CloseFrom(first), "no other descriptor passes the exec");
        if let Some(program) = late {
            let why = "last, so that it need not allow set-up";
            assembly.push(credentials::install(program), why);
        }
        assembly
            .push(exec, "the payload; the control socket closes with it, which tells the parent");
        Ok(())
    }
}
