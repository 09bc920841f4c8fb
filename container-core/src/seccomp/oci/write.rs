//! Filter → specification.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};

use super::super::action::Action;
use super::super::architecture::Architecture;
use super::super::condition::{Compare, Condition};
use super::super::filter::{Filter, Precedence, Syscall};
use super::super::listener::SeccompListener;
use super::super::section::Try;
use super::super::table;
use super::super::target::Target;
use super::disjoint::disjoint;
use super::{ARCHITECTURES, STEP};
use crate::error::{Error, ErrorKind, Result};

impl Filter {
    /// The filter as an OCI specification has it, with the agent if there is
    /// one, so that any runtime means the same by it.
    ///
    /// The format knows no order of rules: where an earlier rule with
    /// conditions stands against a later one, the later is written with the
    /// opposite conditions. Nor does it say what happens to unlisted
    /// architectures (runtimes end the thread) or to newer calls (runtimes
    /// answer `ENOSYS` in place of a refusal).
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) naming what the format can't
    /// say: a number without a name, conditions whose opposite has no form, an
    /// action for unlisted architectures that isn't to kill.
    pub fn to_oci(&self, listener: Option<&SeccompListener>) -> Result<LinuxSeccomp> {
        if !matches!(self.unlisted, Action::KillThread | Action::KillProcess) {
            let reason = "the OCI format has no action for unlisted architectures";
            let object = format!("unlisted action {}", self.unlisted);
            return Err(Error::with(ErrorKind::Unsupported, STEP, object, reason));
        }
        let mut seccomp = LinuxSeccomp::default();
        let (action, value) = written(self.default);
        seccomp.set_default_action(action);
        seccomp.set_default_errno_ret(value);
        let architectures = self.listed();
        seccomp.set_architectures(Some(architectures).filter(|list| !list.is_empty()));
        seccomp.set_flags(Some(self.written_flags()).filter(|flags| !flags.is_empty()));
        let syscalls = match self.precedence {
            Precedence::Broadest => self.as_they_are()?,
            Precedence::First => self.without_order()?,
        };
        seccomp.set_syscalls(Some(syscalls).filter(|list| !list.is_empty()));
        if let Some(listener) = listener {
            seccomp.set_listener_path(Some(listener.get_path().to_owned()));
            seccomp.set_listener_metadata(listener.get_metadata().map(str::to_owned));
        }
        Ok(seccomp)
    }

    fn listed(&self) -> Vec<Arch> {
        let native = Architecture::native().filter(|_| self.precedence == Precedence::First);
        let native = native.filter(|own| !self.architectures.contains(own));
        let all = native.iter().chain(&self.architectures);
        let of = |own: &Architecture| ARCHITECTURES.iter().find(|(_, known)| known == own);
        all.filter_map(of).map(|(oci, _)| *oci).collect()
    }

    fn written_flags(&self) -> Vec<LinuxSeccompFilterFlag> {
        use LinuxSeccompFilterFlag as Oci;
        [
            (Self::LOG, Oci::SeccompFilterFlagLog),
            (Self::TSYNC, Oci::SeccompFilterFlagTsync),
            (Self::SPEC_ALLOW, Oci::SeccompFilterFlagSpecAllow),
            (Self::WAIT_KILLABLE_RECV, Oci::SeccompFilterFlagWaitKillableRecv),
        ]
        .into_iter()
        .filter(|(flag, _)| self.flags & flag != 0)
        .map(|(_, oci)| oci)
        .collect()
    }

    /// Through `socketcall` and `ipc` no condition on the first argument holds:
    /// there the first rule decides. So that it does without an order too, the
    /// rules with other actions get one more condition, which always holds.
    fn keep_first(&self, tries: &[Try], flat: &mut [Try]) -> Option<()> {
        let first = tries.first()?;
        if tries.iter().all(|one| one.action == first.action) {
            return Some(());
        }
        let only_first = first.conditions.iter().all(|condition| condition.argument == 0);
        if !only_first || first.action == self.default {
            return None;
        }
        for one in flat.iter_mut().filter(|one| one.action != first.action) {
            let used = |at: &u8| one.conditions.iter().any(|c| c.argument == *at);
            let free = (1..6).find(|at| !used(at))?;
            one.conditions.push(Condition::new(free, Compare::GreaterOrEqual(0)));
        }
        Some(())
    }

    fn as_they_are(&self) -> Result<Vec<LinuxSyscall>> {
        let rule = |rule: &super::Rule| {
            let names = rule.syscalls.iter().map(name_of).collect::<Result<_>>()?;
            entry(names, &rule.conditions, rule.action)
        };
        self.rules.iter().map(rule).collect()
    }

    /// The rules of each name apart, names with the same rules together.
    fn without_order(&self) -> Result<Vec<LinuxSyscall>> {
        let mut by_name: Vec<(String, Vec<Try>)> = Vec::new();
        for rule in &self.rules {
            for syscall in &rule.syscalls {
                let name = name_of(syscall)?;
                let one = Try { conditions: rule.conditions.clone(), action: rule.action };
                match by_name.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, tries)) => tries.push(one),
                    None => by_name.push((name, vec![one])),
                }
            }
        }
        let narrow = self.architectures.iter().filter_map(|a| Target::of(*a)).any(|t| t.narrow);
        let mut groups: Vec<(Vec<Try>, Vec<String>)> = Vec::new();
        for (name, mut tries) in by_name {
            if let Some(last) = tries.iter().position(|one| one.conditions.is_empty()) {
                tries.truncate(last + 1);
            }
            let refused = || {
                let reason = "the OCI format has no order of rules, and these need one";
                Error::with(ErrorKind::Unsupported, STEP, name.clone(), reason)
                    .hint("compare 32 bits (Condition::equal32), or by fewer conditions")
            };
            let mut flat = disjoint(&tries, narrow).ok_or_else(refused)?;
            let x86 = self.architectures.contains(&Architecture::X86);
            if x86 && table::multiplexed(Architecture::X86, &name).is_some() {
                self.keep_first(&tries, &mut flat).ok_or_else(refused)?;
            }
            match groups.iter_mut().find(|(other, _)| *other == flat) {
                Some((_, names)) => names.push(name),
                None => groups.push((flat, vec![name])),
            }
        }
        let entries = groups.iter().flat_map(|(tries, names)| {
            tries.iter().map(|one| entry(names.clone(), &one.conditions, one.action))
        });
        entries.collect()
    }
}

fn name_of(syscall: &Syscall) -> Result<String> {
    match syscall {
        Syscall::Name(name) => Ok(name.clone()),
        Syscall::Number(number) => Architecture::native()
            .and_then(|native| table::name(native, *number))
            .map(str::to_owned)
            .ok_or_else(|| {
                let reason = "the OCI format takes names, and this number has none";
                Error::with(ErrorKind::Unsupported, STEP, number.to_string(), reason)
            }),
    }
}

fn entry(names: Vec<String>, conditions: &[Condition], action: Action) -> Result<LinuxSyscall> {
    let (action, value) = written(action);
    let mut syscall = LinuxSyscall::default();
    syscall.set_names(names);
    syscall.set_action(action);
    syscall.set_errno_ret(value);
    let arguments: Vec<LinuxSeccompArg> = conditions.iter().map(argument).collect::<Result<_>>()?;
    syscall.set_args(Some(arguments).filter(|list| !list.is_empty()));
    Ok(syscall)
}

fn argument(condition: &Condition) -> Result<LinuxSeccompArg> {
    use LinuxSeccompOperator as Oci;
    let (op, value, second) = match condition.compare {
        Compare::Equal(value) => (Oci::ScmpCmpEq, value, None),
        Compare::NotEqual(value) => (Oci::ScmpCmpNe, value, None),
        Compare::Less(value) => (Oci::ScmpCmpLt, value, None),
        Compare::LessOrEqual(value) => (Oci::ScmpCmpLe, value, None),
        Compare::Greater(value) => (Oci::ScmpCmpGt, value, None),
        Compare::GreaterOrEqual(value) => (Oci::ScmpCmpGe, value, None),
        Compare::MaskedEqual { mask, value } => (Oci::ScmpCmpMaskedEq, mask, Some(value)),
    };
    let argument = LinuxSeccompArgBuilder::default().index(condition.argument).op(op).value(value);
    let argument = match second {
        Some(second) => argument.value_two(second),
        None => argument,
    };
    argument.build().map_err(|error| {
        Error::with(ErrorKind::InvalidInput, STEP, "syscalls[].args", error.to_string())
    })
}

fn written(action: Action) -> (LinuxSeccompAction, Option<u32>) {
    use LinuxSeccompAction as Oci;
    match action {
        Action::Allow => (Oci::ScmpActAllow, None),
        Action::Log => (Oci::ScmpActLog, None),
        Action::Errno(errno) => (Oci::ScmpActErrno, Some(errno.into())),
        Action::Trap => (Oci::ScmpActTrap, None),
        Action::Trace(value) => (Oci::ScmpActTrace, Some(value.into())),
        Action::Notify => (Oci::ScmpActNotify, None),
        Action::KillThread => (Oci::ScmpActKillThread, None),
        Action::KillProcess => (Oci::ScmpActKillProcess, None),
    }
}
