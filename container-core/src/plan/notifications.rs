//! What a filter that notifies must not touch: the calls that the init itself
//! makes between its installation and the exec.

use super::Plan;
use super::assemble::InitStep;
use super::op::Op;
use crate::error::{Error, Result};
use crate::process::Description;
use crate::seccomp::{Action, Program, SeccompListener};

const STEP: &str = "check seccomp";

/// What becomes of the listener of a filter that notifies.
#[derive(Debug, Clone)]
pub(crate) enum Handover {
    /// The process's handle keeps it.
    Keep,
    /// An agent gets it.
    Forward(SeccompListener),
}

/// The hand-over, if the filter notifies. Refused are filters that would stop
/// the init at a call that nobody can answer: the one that hands the listener
/// over, and, where the caller itself would answer, all up to the exec, for
/// the listener is his only then.
pub(super) fn check(description: &Description, steps: &[InitStep]) -> Result<Option<Handover>> {
    let Some(program) = description.seccomp.as_ref().filter(|program| program.needs_listener())
    else {
        return Ok(None);
    };
    if let Some(listener) = &description.seccomp_listener {
        listener.check()?;
    }
    let sends = program.answers("sendmsg");
    if !sends.iter().any(|answer| matches!(answer, Action::Allow | Action::Log)) {
        let reason = "the init hands the listener over by it, under the filter";
        return Err(Error::invalid(STEP, "sendmsg", reason)
            .hint("a filter that notifies has to allow sendmsg"));
    }
    let refused = |name: &'static str| program.answers(name).contains(&Action::Notify);
    if refused("sendmsg") {
        let reason = "the listener itself is handed over by it: nobody could answer";
        return Err(Error::invalid(STEP, "sendmsg", reason).hint("notify of other calls"));
    }
    let Some(listener) = &description.seccomp_listener else {
        let mut after =
            steps.iter().skip_while(|step| !matches!(step.op, Op::SeccompListen { .. }));
        if let Some(name) = after.find_map(|step| calls(&step.op).iter().find(|n| refused(n))) {
            let reason = "the init makes this call under the filter, and nobody would answer yet";
            return Err(Error::invalid(STEP, *name, reason).hint(
                "notify of other calls, give an agent by seccomp_listener, or set \
                 no_new_privileges, which puts the filter last",
            ));
        }
        return Ok(Some(Handover::Keep));
    };
    Ok(Some(Handover::Forward(listener.clone())))
}

impl Plan {
    /// Whether the init waits until its filter's listener is in its place.
    pub(crate) fn waits_for_hand_over(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.op, Op::SeccompListen { waits: true, .. }))
    }
}

/// Whether the filter lets the init wait, by `read`, until the listener is
/// where it belongs; a refusal with an errno is no wait, but does no harm.
pub(super) fn can_wait(program: &Program) -> bool {
    let harmless =
        |answer: &Action| matches!(answer, Action::Allow | Action::Log | Action::Errno(_));
    program.answers("read").iter().all(harmless)
}

/// The system calls that the init makes for an operation.
fn calls(op: &Op) -> &'static [&'static str] {
    match op {
        Op::SeccompListen { .. } => &["sendmsg"],
        Op::WaitHost => &["read"],
        Op::Report(_) => &["write"],
        Op::SetUid(_) => &["setresuid"],
        Op::SetGid(_) => &["setresgid"],
        Op::SetGroups { .. } => &["setgroups"],
        Op::CapSet { .. } => &["capset"],
        Op::CapBounding { .. }
        | Op::KeepCaps
        | Op::CapAmbient(_)
        | Op::NoNewPrivs
        | Op::Dumpable(_)
        | Op::ParentDeath(_) => &["prctl"],
        Op::Init { .. } => &["prctl", "clone", "close_range"],
        Op::Setsid => &["setsid"],
        Op::ControllingTty(_) => &["ioctl"],
        Op::CloseFrom(_) => &["close_range"],
        Op::Close(_) => &["close"],
        Op::Umask(_) => &["umask"],
        Op::Rlimit { .. } => &["prlimit64"],
        Op::Chdir(_) => &["chdir", "getcwd"],
        Op::Dup { .. } => &["dup3"],
        Op::WriteProc { .. } => &["openat", "fstatfs", "write", "close"],
        Op::Exec { .. } => &["rt_sigprocmask", "execve"],
        _ => &[],
    }
}
