#!/usr/bin/env bash
# podman drives an OCI runtime: every case looks at the effect, not only at the exit code.
#
#   RUNTIME=/usr/sbin/runc tests/peers/podman.sh         as root, or as an ordinary user
#   ONLY=regex …                                         only the cases whose names match
#
# Everything is in a temporary directory of its own and under cgroups of its own; it all goes away
# at the end, also after a failure or an interrupt. podman-rootless.sh makes users for the rest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/peers/lib.sh
source "$here/lib.sh"
# shellcheck source=tests/peers/podman/setup.sh
source "$here/podman/setup.sh"
for file in "$here"/podman/cases-*.sh; do
    # shellcheck disable=SC1090
    source "$file"
done

if [[ ${1:-} == --case ]]; then
    one_case "$2"
    exit
fi
((ROOTLESS)) || with_private_run "$0" "$@"
trap tear_down EXIT
trap 'exit 130' INT TERM
set_up
run_cases "${BASH_SOURCE[0]}"
