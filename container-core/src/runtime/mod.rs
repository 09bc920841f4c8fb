//! Containers that outlive the process which made them: the OCI lifecycle on disk.
//!
//! A [`Container`](crate::Container) belongs to the process that holds it. Engines work otherwise:
//! one short-lived program *creates* a container, a second *starts* it, a third executes a command
//! inside, a fourth deletes it ([runtime.md]). What these share is a **state directory**: one
//! directory below the runtime's root for each container, with
//!
//! | file | holds |
//! |---|---|
//! | `state.json` | who it is: process and start time, cgroup, bundle; replaced at once or not at all |
//! | `config.json` | the spec it was created from, unknown fields included |
//! | `start.sock` | the socket on which the created container waits; gone once started |
//! | `lock` | locked by whoever changes something |
//!
//! A container's **status** is never stored. It follows from the kernel's objects: whether the
//! process lives (by number *and* start time, so that a number used again is nobody's container),
//! whether it still waits on its socket, whether its cgroup is frozen.
//!
//! ```text
//! creating ──► created ──start──► running ◄──pause, resume──► paused
//!                 │                  │                           │
//!                 └──────kill────────┴────► stopped ──delete──► (gone)
//! ```
//!
//! ```no_run
//! use container_core::oci::Bundle;
//! use container_core::runtime::{CreateOptions, Runtime};
//!
//! # fn main() -> Result<(), container_core::Error> {
//! let runtime = Runtime::open(Runtime::default_root()?)?;
//! let bundle = Bundle::load("/srv/bundles/web")?;
//! runtime.create("web", &bundle, &CreateOptions::new())?;
//!
//! // In any other process of the same user:
//! let web = runtime.load("web")?;
//! web.start()?;
//! println!("{:?}", web.state()?.status);
//! web.kill(15)?;
//! web.wait()?;
//! web.delete(false)?;
//! # Ok(())
//! # }
//! ```
//!
//! [runtime.md]: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md

mod cgroups;
mod checkpoint;
mod create;
mod criu;
mod directory;
mod enter;
mod events;
mod exec;
mod id;
mod identity;
mod inspect;
mod lifecycle;
mod record;
mod restore;
mod root;
mod state;
mod stored;
mod wait;

pub use checkpoint::CheckpointOptions;
pub use create::CreateOptions;
pub use criu::{CriuOptions, ManageCgroups};
pub use events::{ContainerEvent, Events};
pub use exec::ExecOptions;
pub use id::MAX_ID;
pub use restore::RestoreOptions;
pub use root::{Entry, Runtime};
pub use state::{State, Status};
pub use stored::StoredContainer;
