//! Seccomp: which system calls a process may make.
//!
//! A *seccomp filter* is a small program of classic BPF that the kernel runs
//! before each system call of a process ([seccomp(2)]). It sees the call's
//! number, the architecture's number and the six argument registers, never the
//! memory that they point to, and answers with an [`Action`]. A filter passes on
//! to children, and can't be removed.
//!
//! A [`Filter`] is the description: rules that are tried in order, and what
//! happens to calls without a rule. [`Filter::compile`] turns it into a
//! [`Program`], in the parent and without a C library, so that the process in
//! the container only has to hand the bytes to the kernel.
//!
//! ```
//! use container_core::seccomp::{Action, Condition, Filter, Rule};
//!
//! let filter = Filter::new(Action::Errno(libc::ENOSYS as u16))
//!     .allow(["read", "write", "exit_group"])
//!     // Only sockets of the Unix domain; the kernel looks at 32 bits.
//!     .rule(Rule::new(["socket"], Action::Allow).when(Condition::equal32(0, 1)))
//!     .deny(["socket"], libc::EPERM as u16);
//! let program = filter.compile()?;
//! println!("{program}"); // the listing, one instruction per line
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! [`Filter::container_default`] is the profile for containers whose content
//! isn't trusted.
//!
//! # Shape of the program
//!
//! A chain of comparisons costs each call as many steps as there are rules
//! before its own. The numbers are instead cut into runs that share one
//! outcome, and a **balanced binary search** over their bounds finds the run:
//! some seven comparisons for the default profile, whichever call it is. Where
//! the outcome is "allow" without a look at arguments, kernels from 5.11 on
//! don't run the filter at all.
//!
//! # Several architectures
//!
//! One kernel takes system calls by several conventions: a process on x86-64
//! may at any moment make a 32-bit call (`int 0x80`), whose numbers mean other
//! calls. The program therefore looks at the [`Architecture`] first, and has a
//! search of its own for each that [the filter lists](Filter::architectures),
//! by the same names; on 32-bit ones only the lower half of each argument and
//! value counts. Calls of an architecture that isn't listed
//! [kill the process](Filter::unlisted).
//!
//! [seccomp(2)]: https://man7.org/linux/man-pages/man2/seccomp.2.html

mod action;
mod architecture;
mod assemble;
mod compile;
mod condition;
mod decide;
mod filter;
pub mod listener;
#[cfg(test)]
mod model;
mod notify_calls;
mod oci;
mod profile;
mod profile_table;
mod program;
mod section;
mod table;
mod target;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use architecture::Architecture;
pub use condition::{Compare, Condition};
pub use filter::{Filter, Rule, Syscall};
pub use listener::{Listener, Notification, Response, SeccompListener};
pub use program::Program;
