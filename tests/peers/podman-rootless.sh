#!/usr/bin/env bash
# podman.sh as ordinary users made for it: one with subordinate ids, one without.
#
#   RUNTIME=/usr/sbin/runc tests/peers/podman-rootless.sh     as root, which makes the users
#
# They see copies of the runtime and of these scripts, as a checkout may be where they can't go.
# shellcheck disable=SC2317
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/peers/lib.sh
source "$here/lib.sh"
[[ $EUID -eq 0 ]] || { echo "podman-rootless.sh makes users: start it as root" >&2; exit 2; }
with_private_run "$0" "$@"

shared=$(mktemp -d /tmp/container-peers-shared-XXXXXX)
users=()
tear_down() {
    local user uid
    for user in "${users[@]}"; do
        uid=$(id -u "$user") || continue
        # All that still runs as this user, made a moment ago, is of this run.
        for dir in /proc/[0-9]*; do
            [[ $(stat -c %u "$dir" 2>/dev/null) == "$uid" ]] && kill -KILL "${dir#/proc/}" 2>/dev/null
        done
        sleep 0.1
        userdel --remove "$user" 2>/dev/null
    done
    rm -rf "$shared"
}
trap tear_down EXIT
trap 'exit 130' INT TERM

chmod 755 "$shared"
cp -r "$here" "$shared/peers"
install -m 755 "$RUNTIME" "$shared/$(basename "$RUNTIME")"

# make_user NAME yes|no: with or without subordinate ids.
make_user() {
    useradd --create-home --shell /bin/bash "$1"
    users+=("$1")
    sed -i "/^$1:/d" /etc/subuid /etc/subgid
    [[ $2 == no ]] || usermod --add-subuids 2000000-2065535 --add-subgids 2000000-2065535 "$1"
    install -d -m 700 -o "$1" -g "$1" "/run/user/$(id -u "$1")"
}

# as USER SUMMARY: all cases, with an environment of the user's own.
as() {
    local uid storage=$2
    uid=$(id -u "$1")
    printf -- '--- %s\n' "$3"
    (cd / && setpriv --reuid "$uid" --regid "$(id -g "$1")" --init-groups --inh-caps=-all env -i \
        PATH=/usr/local/bin:/usr/bin:/bin HOME="/home/$1" USER="$1" LOGNAME="$1" \
        PEERS_PRIVATE_RUN=1 XDG_RUNTIME_DIR="/run/user/$uid" RUNTIME="$shared/$(basename "$RUNTIME")" \
        STORAGE="$storage" ONLY="${ONLY:-}" JOBS="${JOBS:-$(($(nproc) + 1))}" \
        bash "$shared/peers/podman.sh")
}

# Names that a run beside this one does not have.
with=peers$$s without=peers$$n
make_user "$with" yes
make_user "$without" no
result=0
as "$with" overlay "an ordinary user with subordinate ids" || result=1
as "$without" vfs "an ordinary user without" || result=1
exit $result
