//! Examples of the container crates, each a program: `cargo run --example NAME`.
//!
//! | name | what it shows |
//! |---|---|
//! | `hello` | the README's ten lines: a command in a container on any directory |
//! | `run` | any command there, with its exit status |
//! | `supervise` | a container that outlives its creator: attach, logs, wait, resize, kill |
//! | `quickstart` | the whole way: image, layers, overlay, network, cgroup, container, commit |
//! | `ocirun` | an OCI runtime on runc's command line, for podman and containerd |
//! | `probe` | what this machine can do, and how to get what it can't |
