//! Containers: a process, its isolation and its cgroup, as one value with a
//! life.
//!
//! A container is **created** (everything is set up, the program waits), then
//! **running**, then **stopped**; each state is a type, so that what makes no
//! sense does not compile. It has safe defaults, see [`ContainerBuilder`].
//!
//! ```no_run
//! use container_core::{Container, Stdio};
//! use container_core::cgroup::Resources;
//!
//! # fn main() -> Result<(), container_core::Error> {
//! let mut container = Container::builder("/srv/rootfs")
//!     .command("/bin/sh")
//!     .args(["-c", "echo hello; sleep 10"])
//!     .stdout(Stdio::Pipe)
//!     .resources(Resources::new().memory_max(64 << 20).pids_max(100))
//!     .start()?;
//! let listing = container.exec("/bin/ps")?.output()?;
//! container.pause()?;
//! container.resume()?;
//! let stopped = container.stop(std::time::Duration::from_secs(1))?;
//! println!("{}", stopped.exit_status());
//! stopped.delete()?;
//! # let _ = listing;
//! # Ok(())
//! # }
//! ```

mod builder;
mod defaults;
mod described;
mod lifecycle;
mod parts;

pub use builder::ContainerBuilder;
pub use defaults::{MASKED_PATHS, READ_ONLY_PATHS};
pub use lifecycle::{Container, Created, Running, Stopped};
