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
//! Calls of a foreign architecture (32-bit calls of a 64-bit process) kill the
//! process, for their numbers mean other calls; x32 calls answer `ENOSYS`.
//!
//! [seccomp(2)]: https://man7.org/linux/man-pages/man2/seccomp.2.html

mod action;
mod assemble;
mod compile;
mod condition;
mod filter;
#[cfg(test)]
mod interpreter;
mod profile;
mod profile_table;
mod program;
mod table;
mod target;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use condition::{Compare, Condition};
pub use filter::{Filter, Rule, Syscall};
pub use program::Program;
