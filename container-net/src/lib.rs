//! Container networks as values.

pub mod endpoint;
pub mod error;
mod firewall;
pub mod ipam;
mod link;
mod name;
mod netlink;
pub mod netns;
pub mod network;
pub mod port;
pub mod probe;
mod sys;
mod sysctl;
pub mod task;

pub use endpoint::{Endpoint, EndpointOptions};
pub use error::{Error, ErrorKind, Result};
pub use ipam::Subnet;
pub use netns::NetNs;
pub use network::{Forwarding, Network, NetworkBuilder};
pub use port::{Port, Protocol};
pub use probe::{Facility, Limitation, limitation, probe};
pub use task::Task;
