//! Examples of the container crates: see the `examples` table of Cargo.toml.
