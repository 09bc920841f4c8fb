# `just` lists the recipes; each one is a plain command that works without just.

_default:
    @just --list --unsorted

# The main job: a real container, image to commit, timed step by step
quickstart *ARGS:
    cargo run --release --example quickstart -- {{ARGS}}

# All tests; as root more of them run
test *ARGS:
    cargo test --workspace {{ARGS}}

# All tests, and none may skip: root, with the peers of docs/testing.md installed
test-all *ARGS:
    REQUIRE_ROOT=1 REQUIRE_PEERS=1 REQUIRE_USERNS=1 cargo test --workspace {{ARGS}}

# Spawn time beside the floors and the peers, in one run
bench *ARGS='spawn':
    cargo run --release -p container-benches --bin versus -- {{ARGS}}

# The documentation, warnings denied
doc *ARGS:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps {{ARGS}}

# Formats the sources
fmt:
    cargo fmt --all

# Formatting, clippy, and shellcheck where it is installed
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    if command -v shellcheck >/dev/null; then shellcheck -x .ci/run .ci/stage .ci/second-lane .ci/guest; fi

# The tests on a pure cgroup v2 kernel, emulated (root)
second-lane:
    .ci/run setup build quickstart-root second-lane

# Everything, as the build machine does it (root)
ci *STAGES:
    .ci/run {{STAGES}}
