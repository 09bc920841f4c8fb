//! container-net
