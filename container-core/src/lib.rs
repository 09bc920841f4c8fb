//! container-core
