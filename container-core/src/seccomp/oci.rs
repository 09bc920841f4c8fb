//! Filters from and to the `linux.seccomp` of an OCI runtime specification.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};

use super::action::Action;
use super::architecture::Architecture;
use super::condition::{Compare, Condition};
use super::filter::{Filter, Precedence, Rule};
use super::listener::SeccompListener;
use crate::error::{Error, Result};

mod disjoint;
mod write;

const STEP: &str = "linux.seccomp";

impl Filter {
    /// The filter that an OCI specification describes, with the meaning that
    /// runtimes give it by libseccomp:
    ///
    /// - rules have no order: of several on one call the one with fewer
    ///   conditions comes first, above all the one with none, and rules with
    ///   the default's own action don't count;
    /// - several conditions on *one* argument are alternatives, those on
    ///   different arguments all have to hold;
    /// - names that no listed architecture knows are ignored
    ///   ([`Program::ignored`](super::Program::ignored));
    /// - calls newer than any that is named answer `ENOSYS`, unless the default
    ///   is to allow, log or trace;
    /// - calls of an architecture that isn't listed end the thread.
    ///
    /// ```
    /// use container_core::seccomp::{Action, Architecture, Filter};
    ///
    /// let seccomp = serde_json::from_str(r#"{
    ///     "defaultAction": "SCMP_ACT_ALLOW",
    ///     "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    ///     "syscalls": [{ "names": ["getcwd", "chmod"], "action": "SCMP_ACT_ERRNO" }]
    /// }"#)?;
    /// let program = Filter::from_oci(&seccomp)?.compile()?;
    /// if Architecture::native() == Some(Architecture::X86_64) {
    ///     assert_eq!(program.decide(Architecture::X86, 183, [0; 6]), Action::Errno(libc::EPERM as u16));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field: an
    /// errno with an action that takes none or out of range, a rule without
    /// names, an argument index above 5, a default action that notifies.
    pub fn from_oci(seccomp: &LinuxSeccomp) -> Result<Self> {
        let default =
            action(seccomp.default_action(), seccomp.default_errno_ret(), "defaultErrnoRet")?;
        if default == Action::Notify {
            let reason = "SCMP_ACT_NOTIFY can't be the default action";
            return Err(Error::invalid(STEP, "defaultAction", reason));
        }
        let quiet = matches!(default, Action::Allow | Action::Log | Action::Trace(_));
        let mut filter = Self::new(default)
            .skip_unknown(true)
            .unlisted(Action::KillThread)
            .newer_unknown(!quiet)
            .architectures(
                seccomp.architectures().iter().flatten().filter_map(|a| architecture(*a)),
            );
        filter.precedence = Precedence::Broadest;
        for flag in seccomp.flags().iter().flatten() {
            filter = match flag {
                LinuxSeccompFilterFlag::SeccompFilterFlagLog => filter.log(true),
                LinuxSeccompFilterFlag::SeccompFilterFlagTsync => filter.tsync(true),
                LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => filter.spec_allow(true),
                LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
                    filter.wait_killable_recv(true)
                }
            };
        }
        for (index, syscall) in seccomp.syscalls().iter().flatten().enumerate() {
            for rule in rules(syscall, index)? {
                filter = filter.rule(rule);
            }
        }
        Ok(filter)
    }
}

impl SeccompListener {
    /// The agent that the specification names; `None` if no rule notifies, for
    /// `listenerPath` counts for nothing then.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for
    /// `listenerMetadata` or a rule that notifies without `listenerPath`.
    pub fn from_oci(seccomp: &LinuxSeccomp) -> Result<Option<Self>> {
        let notifies = seccomp
            .syscalls()
            .iter()
            .flatten()
            .any(|syscall| syscall.action() == LinuxSeccompAction::ScmpActNotify);
        let metadata = seccomp.listener_metadata().clone().unwrap_or_default();
        let path = seccomp.listener_path().clone().unwrap_or_default();
        if path.as_os_str().is_empty() {
            if !metadata.is_empty() {
                let reason = "it needs a listenerPath";
                return Err(Error::invalid(STEP, "listenerMetadata", reason));
            }
            if notifies {
                let reason = "SCMP_ACT_NOTIFY needs the path of an agent's socket";
                return Err(Error::invalid(STEP, "listenerPath", reason));
            }
        }
        if !notifies {
            return Ok(None);
        }
        let listener = Self::new(path);
        Ok(Some(if metadata.is_empty() { listener } else { listener.metadata(metadata) }))
    }
}

/// The action with its value; `EPERM` unless given.
fn action(action: LinuxSeccompAction, value: Option<u32>, field: &str) -> Result<Action> {
    use LinuxSeccompAction as Oci;
    let most = match action {
        Oci::ScmpActErrno => 4095,
        Oci::ScmpActTrace => u32::from(u16::MAX),
        _ => 0,
    };
    if let Some(value) = value.filter(|value| most == 0 || *value > most) {
        let reason = match most {
            0 => format!("{action} takes no errno"),
            _ => format!("{value} is above {most}, the most that {action} takes"),
        };
        return Err(Error::invalid(STEP, field, reason));
    }
    let value = value.map_or(libc::EPERM as u16, |value| value as u16);
    Ok(match action {
        Oci::ScmpActKill | Oci::ScmpActKillThread => Action::KillThread,
        Oci::ScmpActKillProcess => Action::KillProcess,
        Oci::ScmpActTrap => Action::Trap,
        Oci::ScmpActErrno => Action::Errno(value),
        Oci::ScmpActNotify => Action::Notify,
        Oci::ScmpActTrace => Action::Trace(value),
        Oci::ScmpActLog => Action::Log,
        Oci::ScmpActAllow => Action::Allow,
    })
}

/// The rules of one entry: one, or one for each condition where two are on
/// the same argument.
fn rules(syscall: &LinuxSyscall, index: usize) -> Result<Vec<Rule>> {
    let field = |name: &str| format!("syscalls[{index}].{name}");
    if syscall.names().is_empty() || syscall.names().iter().any(String::is_empty) {
        return Err(Error::invalid(STEP, field("names"), "each entry names at least one call"));
    }
    let action = action(syscall.action(), syscall.errno_ret(), &field("errnoRet"))?;
    let mut conditions = Vec::new();
    for (at, argument) in syscall.args().iter().flatten().enumerate() {
        conditions.push(condition(argument, || field(&format!("args[{at}].index")))?);
    }
    let rule = || Rule::new(syscall.names().iter().map(String::as_str), action);
    let mut arguments: Vec<u8> = conditions.iter().map(|condition| condition.argument).collect();
    arguments.sort_unstable();
    arguments.dedup();
    Ok(if arguments.len() < conditions.len() {
        conditions.into_iter().map(|condition| rule().when(condition)).collect()
    } else {
        vec![conditions.into_iter().fold(rule(), Rule::when)]
    })
}

fn condition(argument: &LinuxSeccompArg, field: impl Fn() -> String) -> Result<Condition> {
    use LinuxSeccompOperator as Oci;
    let index = u8::try_from(argument.index())
        .ok()
        .filter(|index| *index < 6)
        .ok_or_else(|| Error::invalid(STEP, field(), "a system call has the arguments 0 to 5"))?;
    let value = argument.value();
    let compare = match argument.op() {
        Oci::ScmpCmpNe => Compare::NotEqual(value),
        Oci::ScmpCmpLt => Compare::Less(value),
        Oci::ScmpCmpLe => Compare::LessOrEqual(value),
        Oci::ScmpCmpEq => Compare::Equal(value),
        Oci::ScmpCmpGe => Compare::GreaterOrEqual(value),
        Oci::ScmpCmpGt => Compare::Greater(value),
        // libseccomp applies the mask to both sides.
        Oci::ScmpCmpMaskedEq => Compare::MaskedEqual {
            mask: value,
            value: argument.value_two().unwrap_or_default() & value,
        },
    };
    Ok(Condition::new(index, compare))
}

const ARCHITECTURES: [(Arch, Architecture); 23] = [
    (Arch::ScmpArchX86, Architecture::X86),
    (Arch::ScmpArchX86_64, Architecture::X86_64),
    (Arch::ScmpArchX32, Architecture::X32),
    (Arch::ScmpArchArm, Architecture::Arm),
    (Arch::ScmpArchAarch64, Architecture::Aarch64),
    (Arch::ScmpArchMips, Architecture::Mips),
    (Arch::ScmpArchMips64, Architecture::Mips64),
    (Arch::ScmpArchMips64n32, Architecture::Mips64N32),
    (Arch::ScmpArchMipsel, Architecture::Mipsel),
    (Arch::ScmpArchMipsel64, Architecture::Mipsel64),
    (Arch::ScmpArchMipsel64n32, Architecture::Mipsel64N32),
    (Arch::ScmpArchPpc, Architecture::Ppc),
    (Arch::ScmpArchPpc64, Architecture::Ppc64),
    (Arch::ScmpArchPpc64le, Architecture::Ppc64Le),
    (Arch::ScmpArchS390, Architecture::S390),
    (Arch::ScmpArchS390x, Architecture::S390X),
    (Arch::ScmpArchParisc, Architecture::Parisc),
    (Arch::ScmpArchParisc64, Architecture::Parisc64),
    (Arch::ScmpArchRiscv64, Architecture::Riscv64),
    (Arch::ScmpArchLoongarch64, Architecture::Loongarch64),
    (Arch::ScmpArchM68k, Architecture::M68k),
    (Arch::ScmpArchSh, Architecture::Sh),
    (Arch::ScmpArchSheb, Architecture::Sheb),
];

/// `None` for "the native one", which every filter has.
fn architecture(of: Arch) -> Option<Architecture> {
    ARCHITECTURES.iter().find(|(oci, _)| *oci == of).map(|(_, own)| *own)
}

#[cfg(test)]
mod tests;
