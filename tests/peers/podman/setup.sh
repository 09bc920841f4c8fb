# How podman is called here, and what its cases share.
# shellcheck shell=bash

# In the foreground, so that it may read from a terminal.
PODMAN="timeout --foreground --kill-after=3 ${PODMAN_SECONDS:-40} podman --root ${WORK:-}/s --runroot ${WORK:-}/r \
--tmpdir ${WORK:-}/t --storage-driver ${STORAGE:-overlay} --runtime $RUNTIME"
# Cgroups of this run's own.
PARENT=/$(basename "${WORK:-none}")
export CONTAINERS_CONF=${WORK:-}/containers.conf
ROOTLESS=$((EUID != 0))

p() {
    # shellcheck disable=SC2086
    $PODMAN "$@"
}

# The options every container is made with.
common() { ((ROOTLESS)) || printf -- '--cgroup-parent %s' "$PARENT"; }
# shellcheck disable=SC2046
run() { p run --rm $(common) "$@"; }
# A container that stays, under this case's name.
# shellcheck disable=SC2046
background() { p run -d --name "$CASE" $(common) "$@" >/dev/null; }

inspect() { p inspect --format "$1" "${2:-$CASE}"; }
# The first process of the container, as the host sees it.
pid_of() { inspect '{{.State.Pid}}' "$@"; }
running() { [[ $(inspect '{{.State.Status}}' "$@") == running ]]; }
exited() { [[ $(inspect '{{.State.Status}}' "$@") == exited ]]; }

# cgroup CONTROLLER V1-FILE V2-FILE [CONTAINER]: what the file of the container's cgroup says.
cgroup() {
    local path
    path=$(inspect '{{.State.CgroupPath}}' "${4:-$CASE}")
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        cat "/sys/fs/cgroup$path/$3"
    else
        cat "/sys/fs/cgroup/$1$path/$2"
    fi
}

need_root() { ((!ROOTLESS)) || skip "$* takes root"; }
need_cgroups() { ((!ROOTLESS)) || skip "an ordinary user has no cgroup here"; }
need_subids() {
    ((!ROOTLESS)) || grep -q "^$(id -un):" /etc/subuid || skip "this user has no subordinate ids"
}
# containers.conf has no network for containers; one id alone can't have a file of another.
ids_beside_0() { ((!ROOTLESS)) || grep -q "^$(id -un):" /etc/subuid; }

set_up() {
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/container-peers-XXXXXX")
    export WORK
    chmod 755 "$WORK"
    # Now with the directory in it.
    source "$here/podman/setup.sh"
    # The limits are what a runtime without CAP_SYS_RESOURCE may set.
    cat >"$CONTAINERS_CONF" <<END
[containers]
netns = "none"
default_ulimits = ["nofile=20000:20000", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
# Which of them know \`--cgroup-manager disabled\`.
runtime_supports_nocgroup = ["crun", "ocirun"]
END
    # Where errors come as JSON; else they are read from the standard error stream.
    (cat "$CONTAINERS_CONF"; echo "runtime_supports_json = [\"$RUNTIME_NAME\"]") >"$WORK/json.conf"
    export CONTAINERS_STORAGE_CONF=$WORK/storage.conf
    printf '[storage]\ndriver = "%s"\nrunroot = "%s/r"\ngraphroot = "%s/s"\n' \
        "${STORAGE:-overlay}" "$WORK" "$WORK" >"$CONTAINERS_STORAGE_CONF"
    # Whose subordinate ids --userns auto takes as root.
    ((ROOTLESS)) || [[ ! -s /etc/subuid ]] || printf '[storage.options]\n%s = "%s"\n' \
        root-auto-userns-user "$(head -n 1 /etc/subuid | cut -d : -f 1)" >>"$CONTAINERS_STORAGE_CONF"
    ids_beside_0 || printf '[storage.options.%s]\nignore_chown_errors = "true"\n' \
        "${STORAGE:-overlay}" >>"$CONTAINERS_STORAGE_CONF"
    make_rootfs "$WORK/rootfs"
    tar -C "$WORK/rootfs" --owner 0 --group 0 -cf "$WORK/rootfs.tar" .
    p import -q -c 'CMD ["/bin/sh"]' "$WORK/rootfs.tar" box
    p import -q -c 'CMD ["/bin/pause"]' "$WORK/rootfs.tar" infra
    # What --init bind-mounts: called as `init -- COMMAND…`, it stays PID 1.
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/sh' '[ "$1" = -- ] && shift' '"$@"' 'exit $?' >"$WORK/init"
    chmod 755 "$WORK/init"
}

tear_down() {
    local dir pid
    [[ -n ${WORK:-} ]] || return 0
    p pod rm -af -t 0 >/dev/null 2>&1 || true
    p rm -af -t 0 >/dev/null 2>&1 || true
    # Whatever podman could not end: monitors and containers that name this directory.
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        [[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
        if tr '\0' ' ' 2>/dev/null <"$dir/cmdline" | grep -qF "$WORK/"; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
    done
    sleep 0.1
    if ((ROOTLESS)); then
        # The process that holds podman's user namespace, and files of mapped ids.
        podman unshare rm -rf "$WORK/s" "$WORK/r" 2>/dev/null || true
        pid=$(cat "$WORK/t/pause.pid" 2>/dev/null) && kill "$pid" 2>/dev/null || true
    else
        awk -v work="$WORK/" 'index($5, work) == 1 {print $5}' /proc/self/mountinfo | tac |
            while read -r dir; do umount -l "$dir"; done
        find /sys/fs/cgroup -depth -type d -path "*$PARENT*" -exec rmdir {} \; 2>/dev/null || true
    fi
    rm -rf "$WORK"
}
