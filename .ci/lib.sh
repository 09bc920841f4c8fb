# Shared by the scripts of .ci: where things are, running tests, what the world looks like.
# shellcheck shell=bash disable=SC2034

export HOME=${HOME:-/root} CI=${CI:-true} LC_ALL=C.UTF-8
export PATH="$HOME/.cargo/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=${RUST_BACKTRACE:-1}

ROOT=$PWD
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
LOGS=$TARGET/ci/logs
TEST_USER=container-ci
VENV=$ROOT/.venv-vng
# One line per test binary: package directory, tab, executable.
TEST_LIST=$TARGET/ci/tests.tsv

# What a log says of tests: "  N tests, N of them skipped".
tests_in() {
    local ran skipped
    ran=$(awk '/^test result:/ {sum += $4} END {print sum + 0}' "$1")
    skipped=$(skipped_in "$1" | wc -l)
    if ((ran > 0)); then printf '  %d tests, %d of them skipped' "$ran" "$skipped"; fi
}

# Names of the tests that a log reports as skipped (testkit's gates print the lines).
skipped_in() {
    { grep -oE 'SKIP [^ ]+: needs' "$1" || true; } | awk '{sub(":$", "", $2); print $2}' | sort -u
}

# What containers could leave on this machine, one object per line.
world() {
    awk '{print "mount", $5}' /proc/self/mountinfo
    awk -F: 'NR > 2 {gsub(" ", "", $1); print "link", $1}' /proc/net/dev
    # Whoever started us may make and remove cgroups beside ours.
    find /sys/fs/cgroup -type d -printf 'cgroup %p\n' 2>/dev/null | grep -vF "$(beside_ours)" || true
    find /tmp /var/tmp /dev/shm /run -maxdepth 1 -printf 'file %p\n' |
        grep -E '/(testkit|container|quickstart)[^/]*$' | without_users || true
    nft list tables 2>/dev/null | sed 's/^/nft /' || true
    find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/*' -printf 'namespace %l\n' 2>/dev/null || true
    sysctl -e net.ipv4.ip_forward net.ipv4.conf.all.forwarding net.ipv6.conf.all.forwarding
}

# Of `file …/testkit-PID-…` lines, those whose process has ended; all other lines.
without_users() {
    local line pid
    while read -r line; do
        pid=$(sed -nE 's|.*/testkit-([0-9]+)-[^/]*$|\1|p' <<<"$line")
        [[ -n $pid && -d /proc/$pid ]] || printf '%s\n' "$line"
    done
}

# The directories, below the hierarchies' roots, that our own cgroups are in; never empty.
beside_ours() {
    echo /no/such/cgroup
    awk -F: '{sub("/[^/]*$", "", $3)} $3 != "" {print $3 "/"}' /proc/self/cgroup
}

# Runs a command as the test user, with an environment of its own.
#
# The checkout may be where that user can't go (a clone in /root). Then the command sees it in a
# mount namespace in which the closed directory above it is an open, empty one.
as_user() {
    local uid gid closed
    uid=$(id -u "$TEST_USER") gid=$(id -g "$TEST_USER")
    closed=$(closed_ancestor "$ROOT")
    # shellcheck disable=SC2016
    unshare --mount --propagation private bash -euo pipefail -c '
        closed=$1 root=$2 uid=$3 gid=$4 user=$5; shift 5
        here=$PWD
        if [[ -n $closed ]]; then
            mount -t tmpfs -o mode=755 none /mnt
            mkdir /mnt/checkout
            mount --bind "$root" /mnt/checkout
            mount -t tmpfs -o mode=755 none "$closed"
            mkdir -p "$root"
            mount --bind /mnt/checkout "$root"
        fi
        install -d -m 700 -o "$uid" -g "$gid" "/run/user/$uid"
        cd "$here"
        exec setpriv --reuid "$uid" --regid "$gid" --init-groups --inh-caps=-all env -i \
            PATH=/usr/local/bin:/usr/bin:/bin HOME="/home/$user" USER="$user" LOGNAME="$user" \
            LC_ALL=C.UTF-8 XDG_RUNTIME_DIR="/run/user/$uid" RUST_BACKTRACE=1 "$@"
    ' as_user "$closed" "$ROOT" "$uid" "$gid" "$TEST_USER" "$@"
}

# The highest directory on the way to $1 that others may not enter; nothing if all are open.
closed_ancestor() {
    local dir=$1 closed=
    while [[ $dir != / ]]; do
        dir=$(dirname "$dir")
        (($(stat -c '0%a' "$dir") & 01)) || closed=$dir
    done
    printf '%s' "$closed"
}

# Runs the test binaries of the list in $1, each in its package's directory, through the command
# prefix in the remaining arguments, and with the arguments in TEST_ARGS. All run; fails if one
# failed.
TEST_ARGS=()
run_tests() {
    local list=$1 dir binary bad=0
    shift
    while IFS=$'\t' read -r dir binary; do
        printf '\n     Running %s\n' "$(basename "$binary")"
        (cd "$dir" && "$@" env CARGO_MANIFEST_DIR="$dir" "$binary" "${TEST_ARGS[@]}") </dev/null || {
            printf 'FAILED: %s\n' "$binary"
            bad=1
        }
    done <"$list"
    return $bad
}
