# What containerd's shim asks of a runtime.
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154

case_exit_codes() {
    code 0 run true
    code 7 run sh -c 'exit 7'
    local got=0
    out=$(run no-such-program 2>&1) || got=$?
    ((got != 0)) || fail "a missing program ended with success"
    has "why" 'no-such-program' "$out"
    has "and that it is missing" '[Nn]o such file|not found' "$out"
}

case_no_program_twice() {
    # What a failed creation left would be in the way of the second one.
    refused_start
    refused_start
    code 0 run true
}
refused_start() {
    in_image --rm -- /no/such/program >/dev/null 2>&1 && fail "started"
    c container delete "$CASE" >/dev/null 2>&1 || true
    eq "its cgroups" "" "$(find /sys/fs/cgroup -path "*$PARENT/$CASE*")"
}

case_output_and_input() {
    eq stdout one "$(run sh -c 'echo one; echo two >&2' 2>/dev/null)"
    # To its end of file it can't be read: ctr 1.6 loses that if it comes early.
    eq stdin fed "$(echo fed | run head -n 1)"
}

case_detached_and_deleted() {
    background sleep 100
    running || fail "not running: $(status)"
    local pid
    pid=$(pid_of)
    eq "what it runs" "sleep 100 " "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
    c task kill --signal KILL "$CASE"
    until_true "stopped" stopped
    code 0 c task delete "$CASE"
    has "exit code" 'code 137' "$out"
    c container delete "$CASE"
    [[ ! -d /proc/$pid ]] || fail "process $pid is still there"
    eq "its cgroups" "" "$(find /sys/fs/cgroup -path "*$PARENT/$CASE*")"
    hasnt "its mounts" "/$CASE/rootfs" "$(cat /proc/self/mountinfo)"
}
stopped() { [[ $(status) == STOPPED ]]; }

case_deleted_by_force() {
    background sh -c 'sleep 100 & sleep 200'
    local pid children
    pid=$(pid_of)
    children=$(cat "/proc/$pid/task/$pid/children")
    c task delete --force "$CASE" || true
    for pid in $pid $children; do
        [[ ! -d /proc/$pid ]] || fail "process $pid is still there"
    done
}

# With an input that stays open: at its end ctr may lose what is still to be read.
case_terminal() {
    local text
    text=$(on_tty 35 101 "$CTR run --rm $(options) --tty box $CASE sh -c \
        'sleep 0.5; tty; stty size; exit 5'; echo ended with \$?" < <(sleep 5))
    has terminal '/dev/pts/0|/dev/console' "$text"
    has size '35 101' "$text"
    has "exit code" 'ended with 5' "$text"
}

case_terminal_typed_into() {
    local text
    text=$( (
        sleep 1.5
        echo 'echo typed-$((20 + 5))'
        sleep 0.3
        echo exit 3
    ) | on_tty 24 80 "$CTR run --rm $(options) --tty box $CASE sh; echo ended with \$?")
    has "what was typed" typed-25 "$text"
    has "exit code" 'ended with 3' "$text"
}

case_exec() {
    background --env=FIRST=1 sleep 100
    eq output inside "$(inside echo inside)"
    code 6 inside sh -c 'exit 6'
    has "its pid namespace" 'sleep 100' "$(inside ps)"
    eq stdin fed "$(echo fed | inside head -n 1)"
    eq cwd /srv "$(c task exec --exec-id "w$RANDOM" --cwd /srv "$CASE" pwd)"
    eq user 33:33 "$(c task exec --exec-id "u$RANDOM" --user 33:33 "$CASE" \
        sh -c 'echo $(id -u):$(id -g)')"
    local got=0
    out=$(inside_at_once no-such-program 2>&1) || got=$?
    ((got != 0)) || fail "a missing program ended with success"
    running || fail "not running after an exec that failed"
}

case_exec_terminal() {
    background sleep 100
    local text
    text=$(on_tty 28 91 "$CTR task exec --exec-id t1 --tty $CASE sh -c \
        'sleep 0.5; tty; stty size; exit 4'; echo ended with \$?" < <(sleep 5))
    has terminal '/dev/pts/' "$text"
    has size '28 91' "$text"
    has "exit code" 'ended with 4' "$text"
}

case_exec_detached() {
    background sleep 100
    c task exec --exec-id d1 --detach "$CASE" sh -c 'echo made >/tmp/made; sleep 100'
    until_true "its file" inside test -s /tmp/made
    has "both of them" 'd1' "$(c task ps "$CASE")"
}

case_exec_killed() {
    background sleep 100
    c task exec --exec-id k1 --detach "$CASE" sleep 200
    c task kill --exec-id k1 --signal KILL "$CASE"
    until_true "its end" bash -c "! $CTR task ps $CASE | grep -q k1"
    running || fail "the container ended too"
}

case_kill() {
    background sh -c 'trap "exit 21" USR1; touch /tmp/ready; while :; do sleep 0.1; done'
    until_true "its trap" inside test -e /tmp/ready
    c task kill --signal USR1 "$CASE"
    until_true "its end" stopped
    code 0 c task delete "$CASE"
    has "exit code" 'code 21' "$out"
}

case_kill_all() {
    background sh -c 'sleep 300 & sleep 301'
    local pid children
    pid=$(pid_of)
    until_true "its child" grep -q . "/proc/$pid/task/$pid/children"
    children=$(cat "/proc/$pid/task/$pid/children")
    c task kill --all --signal KILL "$CASE"
    until_true "its end" stopped
    for pid in $children; do
        [[ ! -d /proc/$pid ]] || fail "process $pid is still there"
    done
}

case_pause() {
    background sh -c 'while :; do echo x >>/tmp/ticks; sleep 0.05; done'
    c task pause "$CASE"
    eq status PAUSED "$(status)"
    local file before
    file=/proc/$(pid_of)/root/tmp/ticks
    before=$(stat -c %s "$file" 2>/dev/null || true)
    sleep 0.4
    eq "nothing moves" "$before" "$(stat -c %s "$file" 2>/dev/null || true)"
    c task resume "$CASE"
    running || fail "not running: $(status)"
    # shellcheck disable=SC2016
    until_true "it moves on" bash -c '[[ $(stat -c %s "$1") -gt ${2:-0} ]]' _ "$file" "$before"
}

case_ps() {
    background sh -c 'sleep 100 & sleep 200'
    local pid
    pid=$(pid_of)
    until_true "both" bash -c "[[ \$($CTR task ps $CASE | wc -l) -ge 3 ]]"
    has "its processes" "$pid" "$(c task ps "$CASE")"
}

case_metrics() {
    background --memory-limit=50331648 sh -c 'while :; do :; done'
    local text
    text=$(c task metrics "$CASE")
    has "processor time" 'cpu' "$text"
    has "memory" 'memory' "$text"
}

case_limits() {
    background --memory-limit=50331648 --cpus=0.5 sleep 100
    eq memory 50331648 "$(cgroup memory memory.limit_in_bytes memory.max)"
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        eq quota "50000 100000" "$(cgroup cpu "" cpu.max)"
    else
        eq quota 50000 "$(cgroup cpu cpu.cfs_quota_us "")"
    fi
    eq "every hierarchy" "" "$(grep -v ":$PARENT/$CASE\$" "/proc/$(pid_of)/cgroup" || true)"
}

case_out_of_memory() { code 137 run --memory-limit=25165824 tail /dev/zero; }

case_mounts() {
    mkdir -p "$WORK/host"
    echo from-host >"$WORK/host/file"
    eq bind from-host "$(run "--mount=type=bind,src=$WORK/host,dst=/mnt,options=rbind:ro" \
        cat /mnt/file)"
    code 1 run "--mount=type=bind,src=$WORK/host,dst=/mnt,options=rbind:ro" touch /mnt/new
    has "read-only" 'Read-only' "$out"
    has tmpfs 'size=2048k' "$(run --mount=type=tmpfs,src=none,dst=/scratch,options=size=2m:nosuid \
        cat /proc/mounts)"
}

# ctr takes options before the image only, each with its value in the same word or the next.
case_environment_and_cwd() {
    has env 'GREETING=hello' "$(run --env=GREETING=hello env)"
    eq cwd /srv "$(run --cwd=/srv pwd)"
}

case_capabilities() {
    ((16#$(effective --cap-add=CAP_SYS_TIME) & 1 << 25)) || fail "no CAP_SYS_TIME"
    ((!(16#$(effective --cap-drop=CAP_CHOWN) & 1))) || fail "CAP_CHOWN"
    ((16#$(effective --privileged) & 1 << 21)) || fail "no CAP_SYS_ADMIN"
}
effective() { run "$@" sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status; }

case_read_only() {
    code 1 run --read-only touch /srv/file
    has why Read-only "$out"
}

case_seccomp() {
    eq filter 2 "$(run --seccomp sed -n 's/^Seccomp:[[:space:]]*//p' /proc/self/status)"
    cat >"$WORK/$CASE.json" <<END
{ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
  "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 }] }
END
    code 1 run --seccomp --seccomp-profile="$WORK/$CASE.json" mkdir /srv/new
    has ENOSPC 'No space left' "$out"
}

case_no_new_privileges() {
    local field='s/^NoNewPrivs:[[:space:]]*//p'
    eq with 1 "$(run sed -n "$field" /proc/self/status)"
    eq without 0 "$(run --allow-new-privs sed -n "$field" /proc/self/status)"
}

case_host_network() {
    eq "the host's" "$(readlink /proc/self/ns/net)" "$(run --net-host readlink /proc/self/ns/net)"
    [[ $(run readlink /proc/self/ns/net) != "$(readlink /proc/self/ns/net)" ]] || fail "shared"
}

case_joined_namespace() {
    background sleep 100
    local path
    path=/proc/$(pid_of)/ns/uts
    eq uts "$(inside readlink /proc/self/ns/uts)" "$(CASE=$CASE-2 run "--with-ns=uts:$path" \
        readlink /proc/self/ns/uts)"
}

case_user_namespace() {
    # The snapshot's files belong to the ids that the container has.
    local text
    text=$(run --uidmap=0:400000:1000 --gidmap=0:400000:1000 \
        sh -c 'cat /proc/self/uid_map; id -u; stat -c %u /bin/busybox')
    has map '0 +400000 +1000' "$text"
    has "root, and owner of the files" $'\n0\n0' "$text"
}

case_pid_file() {
    background "--pid-file=$WORK/$CASE.pid" sleep 100
    eq "pid file" "$(pid_of)" "$(cat "$WORK/$CASE.pid")"
}

case_device() {
    [[ -c /dev/fuse ]] || skip "no /dev/fuse"
    code 0 run --device=/dev/fuse sh -c 'exec 3<>/dev/fuse'
    code 1 run sh -c 'test -c /dev/fuse'
}

case_custom_root() {
    make_rootfs "$WORK/$CASE"
    echo mine >"$WORK/$CASE/mine"
    # shellcheck disable=SC2046
    eq "a directory as root" mine "$(c run --rm $(options) --rootfs "$WORK/$CASE" "$CASE" /bin/cat /mine)"
}

case_no_pivot() { code 5 run --no-pivot sh -c 'exit 5'; }

case_many_at_once() {
    local i pids=()
    for i in 1 2 3 4; do
        (
            CASE=$CASE-$i
            code "$i" run sh -c "exit $i"
        ) &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || fail "one of four failed"; done
}

case_checkpoint_says_why_not() {
    background sleep 100
    local got=0
    out=$(c task checkpoint "$CASE" 2>&1) || got=$?
    if ((got != 0)); then has "a reason" 'criu|CRIU|checkpoint' "$out"; fi
    running || [[ $(status) == STOPPED ]] || fail "neither running nor stopped: $(status)"
}
