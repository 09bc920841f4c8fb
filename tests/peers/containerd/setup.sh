# The daemon, its image, and how its containers are made.
# shellcheck shell=bash

CTR="timeout --foreground --kill-after=3 30 ctr --address ${WORK:-}/sock"
# Cgroups of this run's own.
PARENT=/$(basename "${WORK:-none}")

# shellcheck disable=SC2086
c() { $CTR "$@"; }
options() { printf -- '--runtime io.containerd.runc.v2 --runc-binary %s --cgroup %s/%s' \
    "$RUNTIME" "$PARENT" "$CASE"; }
# In the foreground; gone when it ends. It begins late: what ends before ctr has opened its pipes
# is lost to ctr (its Delete cancels an opening that has not come to its end).
run() { LATE=1 in_image --rm -- "$@"; }
late() { printf '%s' 'sleep 0.3; exec "$@"'; }
# in_image [CTR-OPTION…] -- [MORE-OPTION…] COMMAND…: under this case's name.
in_image() {
    local before=()
    while [[ $1 != -- ]]; do
        before+=("$1")
        shift
    done
    shift
    while [[ ${1:-} == --* ]]; do
        before+=("$1")
        shift
    done
    if [[ -n ${LATE:-} && -n ${1:-} ]]; then set -- sh -c "$(late)" sh "$@"; fi
    # shellcheck disable=SC2046
    c run $(options) "${before[@]}" box "$CASE" "$@"
}
# A container that stays.
background() { in_image --detach -- "$@"; }
running() { [[ $(status) == RUNNING ]]; }
status() { c task ls | awk -v id="$CASE" '$1 == id {print $3}'; }
pid_of() { c task ls | awk -v id="$CASE" '$1 == id {print $2}'; }
# inside COMMAND…: by exec, with an id that is not used twice.
inside_at_once() { c task exec --exec-id "e$RANDOM$RANDOM" "$CASE" "$@"; }
inside() { inside_at_once sh -c "$(late)" sh "$@"; }

# cgroup CONTROLLER V1-FILE V2-FILE
cgroup() {
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        cat "/sys/fs/cgroup$PARENT/$CASE/$3"
    else
        cat "/sys/fs/cgroup/$1$PARENT/$CASE/$2"
    fi
}

# blob FILE: moves it to where its digest says, and prints the digest and the size.
blob() {
    local digest size
    digest=$(sha256sum "$1" | cut -d ' ' -f 1)
    size=$(stat -c %s "$1")
    mv "$1" "$WORK/oci/blobs/sha256/$digest"
    printf '"digest": "sha256:%s", "size": %d' "$digest" "$size"
}

# The root directory as an OCI archive.
make_image() {
    local type=application/vnd.oci.image diff layer config manifest
    mkdir -p "$WORK/oci/blobs/sha256"
    make_rootfs "$WORK/rootfs"
    tar -C "$WORK/rootfs" --owner 0 --group 0 -cf "$WORK/layer" .
    diff=$(sha256sum "$WORK/layer" | cut -d ' ' -f 1)
    layer=$(blob "$WORK/layer")
    cat >"$WORK/config" <<END
{ "architecture": "$(dpkg --print-architecture)", "os": "linux",
  "config": { "Cmd": ["/bin/sh"], "Env": ["PATH=/bin"] },
  "rootfs": { "type": "layers", "diff_ids": ["sha256:$diff"] } }
END
    config=$(blob "$WORK/config")
    cat >"$WORK/manifest" <<END
{ "schemaVersion": 2, "mediaType": "$type.manifest.v1+json",
  "config": { "mediaType": "$type.config.v1+json", $config },
  "layers": [{ "mediaType": "$type.layer.v1.tar", $layer }] }
END
    manifest=$(blob "$WORK/manifest")
    cat >"$WORK/oci/index.json" <<END
{ "schemaVersion": 2, "manifests": [{ "mediaType": "$type.manifest.v1+json", $manifest,
  "annotations": { "io.containerd.image.name": "box" } }] }
END
    echo '{ "imageLayoutVersion": "1.0.0" }' >"$WORK/oci/oci-layout"
    tar -C "$WORK/oci" -cf "$WORK/box.tar" .
}

set_up() {
    [[ $EUID -eq 0 ]] || { echo "containerd takes root" >&2; exit 2; }
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/container-peers-XXXXXX")
    export WORK
    chmod 755 "$WORK"
    # Now with the directory in it.
    source "$here/containerd/setup.sh"
    make_image
    cat >"$WORK/config.toml" <<END
version = 2
root = "$WORK/root"
state = "$WORK/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$WORK/sock"
[ttrpc]
  address = "$WORK/sock.ttrpc"
END
    containerd --config "$WORK/config.toml" >"$WORK/daemon.log" 2>&1 &
    DAEMON=$!
    local end=$((SECONDS + 20))
    until c version >/dev/null 2>&1; do
        ((SECONDS < end)) || { cat "$WORK/daemon.log"; exit 1; }
        sleep 0.1
    done
    c image import "$WORK/box.tar" >/dev/null
}

tear_down() {
    local id pid dir
    [[ -n ${WORK:-} ]] || return 0
    for id in $(c task ls -q 2>/dev/null); do
        c task delete --force "$id" >/dev/null 2>&1 || true
    done
    for id in $(c container ls -q 2>/dev/null); do
        c container delete "$id" >/dev/null 2>&1 || true
    done
    [[ -z ${DAEMON:-} ]] || { kill "$DAEMON" 2>/dev/null; wait "$DAEMON" 2>/dev/null; } || true
    # Shims, and what they could not end.
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        [[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
        if tr '\0' ' ' 2>/dev/null <"$dir/cmdline" | grep -qF "$WORK/" ||
            grep -qF ":$PARENT/" "$dir/cgroup" 2>/dev/null; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
    done
    sleep 0.1
    awk -v work="$WORK/" 'index($5, work) == 1 {print $5}' /proc/self/mountinfo | tac |
        while read -r dir; do umount -l "$dir"; done
    find /sys/fs/cgroup -depth -type d -path "*$PARENT*" -exec rmdir {} \; 2>/dev/null || true
    rm -rf "$WORK"
}
