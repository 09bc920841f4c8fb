//! container-fs
