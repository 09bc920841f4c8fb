//! What the process may do: user, capabilities, limits, filters.

use super::ProcessBuilder;
use crate::capability::Capabilities;
use crate::rlimit::Rlimit;
use crate::seccomp::{Program, SeccompListener};
use crate::user::UserSpec;

impl ProcessBuilder {
    /// The user to run as; names are those of the root's `/etc/passwd` and
    /// `/etc/group`. Supplementary groups are set to the user's own, and `HOME`
    /// to the home directory of one looked up there, unless it is given.
    pub fn user(mut self, user: impl Into<UserSpec>) -> Self {
        self.description.user = Some(user.into());
        self
    }

    /// The five capability sets ([capabilities(7)]).
    ///
    /// [capabilities(7)]: https://man7.org/linux/man-pages/man7/capabilities.7.html
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.description.capabilities = Some(capabilities);
        self
    }

    /// Sets a resource limit ([getrlimit(2)]), in place of one set before.
    ///
    /// [getrlimit(2)]: https://man7.org/linux/man-pages/man2/getrlimit.2.html
    pub fn rlimit(mut self, limit: Rlimit) -> Self {
        self.description.rlimits.retain(|other| other.resource() != limit.resource());
        self.description.rlimits.push(limit);
        self
    }

    /// No program run from here on gains privileges by set-user-id bits or
    /// file capabilities ([no_new_privs](https://docs.kernel.org/userspace-api/no_new_privs.html)).
    pub fn no_new_privileges(mut self, on: bool) -> Self {
        self.description.no_new_privileges = on;
        self
    }

    /// The system call filter ([seccomp(2)]). Without
    /// [`no_new_privileges`](Self::no_new_privileges) it needs `CAP_SYS_ADMIN`
    /// and is installed before the privileges go.
    ///
    /// [seccomp(2)]: https://man7.org/linux/man-pages/man2/seccomp.2.html
    pub fn seccomp(mut self, program: Program) -> Self {
        self.description.seccomp = Some(program);
        self
    }

    /// Who answers where the filter [notifies](crate::seccomp::Action::Notify):
    /// an agent at a Unix socket gets the listener. Without,
    /// [`Process::take_seccomp_listener`](crate::Process::take_seccomp_listener)
    /// has it. With a filter that does not notify, it counts for nothing.
    pub fn seccomp_listener(mut self, listener: SeccompListener) -> Self {
        self.description.seccomp_listener = Some(listener);
        self
    }

    /// Takes the filter away again.
    pub fn without_seccomp(mut self) -> Self {
        self.description.seccomp = None;
        self.description.seccomp_listener = None;
        self
    }

    /// The signal sent when the *thread* that spawned it ends: a trap in
    /// threaded programs ([prctl(2)], `PR_SET_PDEATHSIG`).
    ///
    /// [prctl(2)]: https://man7.org/linux/man-pages/man2/prctl.2.html
    pub fn parent_death_signal(mut self, signal: i32) -> Self {
        self.description.parent_death_signal = Some(signal);
        self
    }
}
