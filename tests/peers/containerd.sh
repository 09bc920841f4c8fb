#!/usr/bin/env bash
# containerd's runc shim drives an OCI runtime, by `ctr`: every case looks at the effect.
#
#   RUNTIME=/usr/sbin/runc tests/peers/containerd.sh     as root
#   ONLY=regex …                                         only the cases whose names match
#
# The daemon is this script's own: its root, state and socket are in a temporary directory, and its
# containers under cgroups of their own; all of it goes away at the end.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/peers/lib.sh
source "$here/lib.sh"
# shellcheck source=tests/peers/containerd/setup.sh
source "$here/containerd/setup.sh"
# shellcheck source=tests/peers/containerd/cases.sh
source "$here/containerd/cases.sh"

if [[ ${1:-} == --case ]]; then
    one_case "$2"
    exit
fi
with_private_run "$0" "$@"
trap tear_down EXIT
trap 'exit 130' INT TERM
set_up
run_cases "${BASH_SOURCE[0]}"
