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
