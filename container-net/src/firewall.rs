//! Firewall rules: masquerade, published ports and isolation.
//!
//! One table of our own holds a *fixed* set of rules; what varies (bridges, subnets, published
//! ports) are elements of its sets and maps. So a packet costs the same with one endpoint or a
//! thousand, an endpoint is one transaction of one element per port, and nobody else's rules are
//! read or changed. `nft list table inet container-net` shows all of it.

pub(crate) mod nft;
