//! The OCI runtime specification: containers described in JSON.
//!
//! A **spec** is the description of a container that container engines and
//! runtimes have agreed on ([runtime-spec], version 1.3): a root, mounts, a
//! process, namespaces, limits, hooks. A **bundle** is a directory with a spec
//! in its `config.json` and mostly the root file system. [`Bundle`] reads and
//! writes them; the spec's type is [`Spec`] of the `oci-spec` crate.
//!
//! [`ContainerBuilder::from_spec`](crate::ContainerBuilder::from_spec) makes a
//! builder of a spec: what the spec says, and nothing else.
//!
//! ```
//! use container_core::{ContainerBuilder, ErrorKind, oci};
//!
//! let spec = oci::default_spec();
//! let bundle = oci::Bundle::new("/srv/containers/hello", spec)?;
//! assert_eq!(bundle.rootfs().unwrap().to_str(), Some("/srv/containers/hello/rootfs"));
//!
//! // Each refusal names the field.
//! let text = br#"{"ociVersion": "1.3.0", "process": {"cwd": "/", "user": {"uid": -1}}}"#;
//! let error = oci::Bundle::parse("/", text).unwrap_err();
//! assert_eq!((error.kind(), error.object()), (ErrorKind::InvalidInput, "process.user.uid"));
//! # Ok::<(), container_core::Error>(())
//! ```
//!
//! # What is done with its fields
//!
//! | part of the spec | here | since |
//! |---|---|---|
//! | `root`, `mounts`, `linux.rootfsPropagation`, `mountLabel` | [`mount`](crate::mount) | id-mapped mounts Linux 5.12, `nosymfollow` 5.14 |
//! | `linux.devices`, `sysctl`, `netDevices` | [`mount::Device`](crate::mount::Device), [`net_device`](crate::net_device) | |
//! | `process` | [`ProcessBuilder`](crate::ProcessBuilder), [`scheduling`](crate::scheduling), [`lsm`](crate::lsm) | |
//! | `linux.namespaces`, id mappings, `timeOffsets` | [`namespace`](crate::namespace), [`idmap`](crate::idmap) | time namespaces Linux 5.6 |
//! | `linux.seccomp` | [`seccomp`](crate::seccomp) | |
//! | `linux.resources`, `cgroupsPath`, `intelRdt` | [`cgroup`](crate::cgroup), [`intel_rdt`](crate::intel_rdt) | |
//! | `linux.memoryPolicy`, `personality` | [`scheduling`](crate::scheduling) | `MPOL_PREFERRED_MANY` Linux 5.15, `MPOL_WEIGHTED_INTERLEAVE` 6.9 |
//! | `hooks`, `annotations` | [`hooks`](crate::hooks), [`runtime`](crate::runtime) | |
//! | `windows`, `solaris`, `vm`, `zos`, `freebsd` | refused: `Unsupported` | |
//! | what this version does not know | kept and ignored | |
//!
//! The table of every single field is `docs/oci-spec.md` of the repository.
//! Nothing is passed over in silence: where the specification wants a warning
//! and no failure, [`ContainerBuilder::ignored`](crate::ContainerBuilder::ignored)
//! has it.
//!
//! [runtime-spec]: https://github.com/opencontainers/runtime-spec/blob/main/spec.md

mod bundle;
mod defaults;
mod devices;
mod exec;
mod features;
mod field;
mod hooks;
mod linux;
mod mounts;
mod namespaces;
mod options;
mod process;
mod quirks;
mod scheduling;
mod to_spec;
mod version;

pub use bundle::{Bundle, parse_process};
pub use defaults::{default_rootless_spec, default_spec};
pub use exec::exec_process;
pub use features::features;
pub(crate) use linux::leave_class;
pub use oci_spec::runtime::{Features, Spec, State};
pub use process::process;
pub use version::SPEC_VERSION;
