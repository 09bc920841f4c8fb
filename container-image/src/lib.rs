//! container-image
