use std::fmt;

use crate::error::Result;

use super::action::Action;
use super::architecture::Architecture;
use super::compile;
use super::condition::Condition;
use super::program::Program;

/// A system call by its name or by the number on this architecture.
///
/// A name is looked up for each architecture when the filter is compiled; a
/// number means the native architecture alone (on x86-64 x32's own numbers,
/// from `0x4000_0000` on, mean x32).
///
/// ```
/// use container_core::seccomp::Syscall;
///
/// assert_eq!(Syscall::from("openat"), Syscall::Name("openat".into()));
/// assert_eq!(Syscall::from(4242), Syscall::Number(4242));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Syscall {
    /// By name, such as `openat`.
    Name(String),
    /// By number.
    Number(u32),
}

impl From<&str> for Syscall {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Syscall {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<u32> for Syscall {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for Syscall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// An action for some system calls, if all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct Rule {
    pub(super) syscalls: Vec<Syscall>,
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
}

impl Rule {
    /// A rule for these calls, without a condition.
    pub fn new<S: Into<Syscall>>(syscalls: impl IntoIterator<Item = S>, action: Action) -> Self {
        let syscalls = syscalls.into_iter().map(Into::into).collect();
        Self { syscalls, conditions: Vec::new(), action }
    }

    /// One more condition that has to hold.
    pub fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }
}

/// Which of several rules on one call decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Precedence {
    /// The first whose conditions hold.
    First,
    /// As OCI runtimes have it by libseccomp: rules with the default's own
    /// action don't count, and of the others the one with fewer conditions
    /// comes first, above all the one with none.
    Broadest,
}

/// A seccomp filter: rules and a default.
///
/// For a system call the **first** rule that names it and whose conditions all
/// hold decides; without one the default action does. (A filter that was
/// converted from an OCI specification has that one's precedence instead.)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct Filter {
    pub(super) default: Action,
    pub(super) rules: Vec<Rule>,
    pub(super) architectures: Vec<Architecture>,
    pub(super) unlisted: Action,
    pub(super) newer_unknown: bool,
    pub(super) precedence: Precedence,
    pub(super) skip_unknown: bool,
    pub(super) flags: u32,
}

impl Filter {
    pub(super) const TSYNC: u32 = 1;
    pub(super) const LOG: u32 = 2;
    pub(super) const SPEC_ALLOW: u32 = 4;
    pub(super) const WAIT_KILLABLE_RECV: u32 = 32;

    /// A filter without rules: `default` happens to every call of the native
    /// architecture; [`Action::Notify`] can't be the default.
    pub const fn new(default: Action) -> Self {
        Self {
            default,
            rules: Vec::new(),
            architectures: Vec::new(),
            unlisted: Action::KillProcess,
            newer_unknown: false,
            precedence: Precedence::First,
            skip_unknown: false,
            flags: 0,
        }
    }

    /// Takes the rules for the calls of these architectures too; the native
    /// one is always among them. What no kernel of this build's architecture
    /// takes is passed over, see [`Program::passed_over`].
    ///
    /// ```
    /// use container_core::seccomp::{Action, Architecture, Filter};
    ///
    /// // 32-bit programs on a 64-bit kernel get the same filter.
    /// let filter = Filter::new(Action::Allow)
    ///     .architectures([Architecture::X86, Architecture::X32, Architecture::Arm])
    ///     .deny(["mount"], 1);
    /// # let _ = filter.compile()?;
    /// # Ok::<(), container_core::Error>(())
    /// ```
    pub fn architectures(mut self, list: impl IntoIterator<Item = Architecture>) -> Self {
        for architecture in list {
            if !self.architectures.contains(&architecture) {
                self.architectures.push(architecture);
            }
        }
        self
    }

    /// What happens to calls of an architecture that isn't listed: by default
    /// the process is killed, for their numbers mean other calls.
    pub const fn unlisted(mut self, action: Action) -> Self {
        self.unlisted = action;
        self
    }

    /// Answers `ENOSYS` to calls with a higher number than any that the rules
    /// name, architecture by architecture: the profile's author did not know
    /// them, and programs take that for an older kernel.
    pub const fn newer_unknown(mut self, on: bool) -> Self {
        self.newer_unknown = on;
        self
    }

    /// Adds a rule behind the others.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Allows these calls.
    pub fn allow<S: Into<Syscall>>(self, syscalls: impl IntoIterator<Item = S>) -> Self {
        self.rule(Rule::new(syscalls, Action::Allow))
    }

    /// Refuses these calls with an errno, at most 4095.
    pub fn deny<S: Into<Syscall>>(self, syscalls: impl IntoIterator<Item = S>, errno: u16) -> Self {
        self.rule(Rule::new(syscalls, Action::Errno(errno)))
    }

    /// Passes over names that none of the architectures knows, in place of an
    /// error; [`Program::ignored`] has them. It serves profiles written for
    /// other kernels; where the default is to allow, a misspelt name then
    /// denies nothing. A name that only some of the architectures know counts
    /// for these.
    pub const fn skip_unknown(mut self, skip: bool) -> Self {
        self.skip_unknown = skip;
        self
    }

    /// Writes all actions but "allow" to the audit log
    /// (`SECCOMP_FILTER_FLAG_LOG`, Linux 4.14).
    pub const fn log(self, on: bool) -> Self {
        self.flag(Self::LOG, on)
    }

    /// Installs the filter in all threads of the process
    /// (`SECCOMP_FILTER_FLAG_TSYNC`). A new process has only one.
    pub const fn tsync(self, on: bool) -> Self {
        self.flag(Self::TSYNC, on)
    }

    /// Leaves out the mitigation of speculative store bypass, which filters
    /// brought before Linux 5.16 (`SECCOMP_FILTER_FLAG_SPEC_ALLOW`, Linux 4.17).
    pub const fn spec_allow(self, on: bool) -> Self {
        self.flag(Self::SPEC_ALLOW, on)
    }

    /// Lets only fatal signals interrupt a call whose notification somebody has
    /// received (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, Linux 5.19). It
    /// counts where a rule notifies.
    pub const fn wait_killable_recv(self, on: bool) -> Self {
        self.flag(Self::WAIT_KILLABLE_RECV, on)
    }

    const fn flag(mut self, flag: u32, on: bool) -> Self {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
        self
    }

    /// The action for calls without a rule.
    #[must_use]
    pub const fn default_action(&self) -> Action {
        self.default
    }

    /// The rules in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Compiles the filter for this architecture and those that its kernel
    /// takes besides, as far as they are listed.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming an unknown
    /// system call, an argument above 5, an errno above 4095, a number of
    /// another calling convention, or a default action that notifies;
    /// [`LimitReached`](crate::ErrorKind::LimitReached) beyond
    /// [`Program::MAX_INSTRUCTIONS`];
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on an architecture
    /// whose number isn't known here.
    pub fn compile(&self) -> Result<Program> {
        compile::compile(self)
    }
}
