# Shared, joined and own namespaces.
# shellcheck shell=bash disable=SC2016,SC2046,SC2154

ns() { p exec "${2:-$CASE}" readlink "/proc/self/ns/$1"; }
host_ns() { readlink "/proc/self/ns/$1"; }

case_own_namespaces() {
    background box sleep 100
    local kind
    for kind in mnt pid ipc uts net; do
        [[ $(ns "$kind") != "$(host_ns "$kind")" ]] || fail "$kind is the host's"
    done
    if ((ROOTLESS)); then
        [[ $(ns user) != "$(host_ns user)" ]] || fail "user is the host's"
    fi
    has "only itself" '^[^:]*1 .*sleep 100' "$(p exec "$CASE" ps | sed 1d)"
}

case_host_namespaces() {
    # Rootless, these belong to podman's own user namespace or to the host.
    local option kind
    for option in uts:uts ipc:ipc pid:pid network:net; do
        kind=${option#*:}
        # podman then binds the host's message queues.
        [[ $kind != ipc || -d /dev/mqueue ]] || continue
        eq "--${option%:*} host" "$(host_ns "$kind")" \
            "$(run "--${option%:*}" host box readlink "/proc/self/ns/$kind")"
    done
}

case_joined_namespaces() {
    background --ipc shareable box sleep 100
    local option kind
    for option in uts:uts ipc:ipc pid:pid network:net; do
        kind=${option#*:}
        [[ $option != uts:uts ]] || continue
        eq "--${option%:*} container:" "$(ns "$kind")" \
            "$(run "--${option%:*}" "container:$CASE" box readlink "/proc/self/ns/$kind")"
    done
    has "its processes" 'sleep 100' "$(run --pid "container:$CASE" box ps)"
}

case_namespace_by_path() {
    background box sleep 100
    eq uts "$(ns uts)" "$(run --uts "ns:/proc/$(pid_of)/ns/uts" box readlink /proc/self/ns/uts)"
}

case_cgroup_namespace() {
    need_cgroups
    eq "a private one" "/" "$(run --cgroupns private box cat /proc/self/cgroup | cut -d: -f3 | sort -u)"
    has "the host's" "$PARENT" "$(run --cgroupns host box cat /proc/self/cgroup)"
}

case_joined_pid_outlives_a_stop() {
    background box sleep 100
    p run -d --name "$CASE-joined" --pid "container:$CASE" $(common) box sleep 200
    p stop -t 0 "$CASE-joined"
    running || fail "the owner of the namespace stopped too"
    p rm -f -t 0 "$CASE-joined"
}

case_sysctl() {
    eq net 7 "$(run --sysctl net.ipv4.ip_default_ttl=7 box cat /proc/sys/net/ipv4/ip_default_ttl)"
    eq shm 33 "$(run --sysctl kernel.shmmni=33 box cat /proc/sys/kernel/shmmni)"
    eq mqueue 12 "$(run --sysctl fs.mqueue.msg_max=12 box cat /proc/sys/fs/mqueue/msg_max)"
    refused run --sysctl net.no_such_thing=1 box true
    refused run --sysctl vm.swappiness=1 box true
}

# podman looks for ids that no other container has.
case_user_namespace_mapped() {
    need_subids
    alone
    local map="0:0:1" text
    ((ROOTLESS)) || map="0:300000:1000"
    text=$(run --uidmap "$map" --gidmap "$map" box sh -c 'cat /proc/self/uid_map; id -u; id -g')
    if ((!ROOTLESS)); then has map '0 +300000 +1000' "$text"; fi
    has "root inside" $'\n0\n0' "$text"
    ((!ROOTLESS)) || return 0
    background --uidmap "$map" --gidmap "$map" box sleep 100
    eq "who it is outside" 300000 "$(stat -c %u "/proc/$(pid_of)")"
    eq exec 0 "$(p exec "$CASE" id -u)"
    [[ $(ns user) != "$(host_ns user)" ]] || fail "the host's user namespace"
    p rm -f -t 0 "$CASE"
}

case_user_namespace_kept_id() {
    ((ROOTLESS)) || skip "keep-id is for ordinary users"
    need_subids
    alone
    eq "the same id" "$(id -u):$(id -g)" "$(run --userns keep-id box sh -c 'echo $(id -u):$(id -g)')"
}

case_user_namespace_auto() {
    [[ -s /etc/subuid ]] || skip "nobody has subordinate ids"
    need_subids
    alone
    local text
    text=$(run --userns auto:size=1000 box cat /proc/self/uid_map)
    has "a map of its own" '0 +[1-9][0-9]* +1000' "$text"
}

case_network_with_user_mode_stack() {
    [[ -c /dev/net/tun ]] && command -v slirp4netns >/dev/null || skip "no slirp4netns or no tun"
    has "its device" 'tap0' "$(run --network slirp4netns box ip link)"
}

case_network_none() {
    eq "only loopback" lo "$(run --network none box ls /sys/class/net)"
    has "which is up" 'LOOPBACK,UP' "$(run --network none box ip link)"
}

pod() {
    local parent=()
    ((ROOTLESS)) || parent=(--cgroup-parent "$PARENT")
    p pod create --name "$CASE" --infra-image localhost/infra --infra-command /bin/pause \
        "${parent[@]}" "$@"
}

case_pod_shares_namespaces() {
    pod --share net,ipc,uts --hostname in-pod
    p run -d --name "$CASE-a" --pod "$CASE" box sleep 100
    p run -d --name "$CASE-b" --pod "$CASE" box sleep 200
    local kind
    for kind in net ipc uts; do
        eq "$kind" "$(ns $kind "$CASE-a")" "$(ns $kind "$CASE-b")"
    done
    [[ $(ns pid "$CASE-a") != "$(ns pid "$CASE-b")" ]] || fail "pid namespaces shared"
    eq hostname in-pod "$(p exec "$CASE-a" hostname)"
    p pod stop -t 0 "$CASE"
    has "all stopped" '^(Exited|Stopped)' "$(p pod inspect --format '{{.State}}' "$CASE")"
    p pod start "$CASE"
    eq "and started" running "$(inspect '{{.State.Status}}' "$CASE-a")"
    p pod rm -f -t 0 "$CASE"
}

case_pod_shares_processes() {
    pod --share pid,net
    p run -d --name "$CASE-a" --pod "$CASE" box sleep 123
    has "the other's process" 'sleep 123' "$(p run --rm --pod "$CASE" box ps)"
    p pod rm -f -t 0 "$CASE"
}
