# From created to gone.
# shellcheck shell=bash disable=SC2016,SC2154

case_create_start_wait() {
    # shellcheck disable=SC2046
    p create --name "$CASE" $(common) box sh -c 'sleep 0.3; exit 11'
    eq status created "$(inspect '{{.State.Status}}')"
    p start "$CASE"
    eq "exit code" 11 "$(p wait "$CASE")"
    eq inspected 11 "$(inspect '{{.State.ExitCode}}')"
}

case_start_again() {
    # shellcheck disable=SC2046
    p create --name "$CASE" $(common) box sh -c 'echo run >>/srv/runs; cat /srv/runs'
    eq first "run " "$(p start -a "$CASE" | tr '\n' ' ')"
    eq second "run run " "$(p start -a "$CASE" | tr '\n' ' ')"
}

case_stop() {
    background box sh -c 'trap "echo told; exit 21" TERM; while :; do sleep 0.1; done'
    p stop -t 10 "$CASE"
    eq "exit code" 21 "$(inspect '{{.State.ExitCode}}')"
    has "its last word" told "$(p logs "$CASE")"
}

case_stop_after_timeout() {
    background box sh -c 'trap "" TERM; while :; do sleep 0.1; done'
    local began=$SECONDS
    p stop -t 1 "$CASE"
    ((SECONDS - began < 8)) || fail "took $((SECONDS - began)) s"
    eq "exit code" 137 "$(inspect '{{.State.ExitCode}}')"
}

case_stop_signal() {
    background --stop-signal USR1 box sh -c 'trap "exit 22" USR1; while :; do sleep 0.1; done'
    p stop -t 10 "$CASE"
    eq "exit code" 22 "$(inspect '{{.State.ExitCode}}')"
}

case_kill() {
    background box sh -c 'trap "echo hup" HUP; while :; do sleep 0.1; done'
    p kill --signal HUP "$CASE"
    until_true "the trap" bash -c "$PODMAN logs $CASE | grep -q hup"
    running || fail "not running after HUP"
    p kill "$CASE"
    until_true "its end" exited
    eq "exit code" 137 "$(inspect '{{.State.ExitCode}}')"
}

case_pause() {
    need_cgroups
    background box sh -c 'while :; do echo x >>/tmp/ticks; sleep 0.05; done'
    p pause "$CASE"
    eq status paused "$(inspect '{{.State.Status}}')"
    local file before
    file=/proc/$(pid_of)/root/tmp/ticks
    before=$(stat -c %s "$file" 2>/dev/null || true)
    sleep 0.4
    eq "nothing moves" "$before" "$(stat -c %s "$file" 2>/dev/null || true)"
    p unpause "$CASE"
    eq status running "$(inspect '{{.State.Status}}')"
    # shellcheck disable=SC2016
    until_true "it moves on" bash -c '[[ $(stat -c %s "$1") -gt ${2:-0} ]]' _ "$file" "$before"
}

case_remove_paused() {
    need_cgroups
    background box sleep 100
    p pause "$CASE"
    local pid
    pid=$(pid_of)
    p rm -f -t 0 "$CASE"
    [[ ! -d /proc/$pid ]] || fail "process $pid is still there"
}

case_remove_running() {
    background box sh -c 'sleep 100 & sleep 200'
    local pid children
    pid=$(pid_of)
    children=$(cat "/proc/$pid/task/$pid/children")
    p rm -f -t 0 "$CASE"
    for pid in $pid $children; do
        [[ ! -d /proc/$pid ]] || fail "process $pid is still there"
    done
    code 1 p container exists "$CASE"
}

case_top() {
    background box sh -c 'sleep 77 & sleep 78'
    has "podman's own" 'sleep 77.*sleep 78|sleep 78.*sleep 77' "$(p top "$CASE" pid args | tr '\n' ' ')"
    local pid
    pid=$(pid_of)
    has "host pids" "$pid" "$(p top "$CASE" hpid comm)"
}

case_stats() {
    need_cgroups
    background --memory 64m box sh -c 'while :; do :; done'
    local text
    until_true "some time used" bash -c "[[ \$($PODMAN stats --no-stream --format \
        '{{.CPUNano}}' $CASE) -gt 0 ]]"
    text=$(p stats --no-stream --format '{{.MemUsage}} {{.PIDS}}' "$CASE")
    has "memory and pids" '[0-9.]+[kM]B / 6[47][0-9.]*M[i]?B [1-9]' "$text"
}

case_copy() {
    background box sleep 100
    echo outward >"$WORK/$CASE.txt"
    p cp "$WORK/$CASE.txt" "$CASE:/tmp/in.txt"
    eq "into it" outward "$(p exec "$CASE" cat /tmp/in.txt)"
    p exec "$CASE" sh -c 'echo inward >/tmp/out.txt'
    p cp "$CASE:/tmp/out.txt" "$WORK/$CASE.out"
    eq "out of it" inward "$(cat "$WORK/$CASE.out")"
}

case_commit() {
    background box sh -c 'echo written >/srv/file; sleep 100'
    until_true "the file" p exec "$CASE" test -s /srv/file
    local pause=()
    ((!ROOTLESS)) || pause=(--pause=false)
    p commit -q "${pause[@]}" "$CASE" "made-by-$CASE"
    eq "in the new image" written "$(run "made-by-$CASE" cat /srv/file)"
    running || fail "not running after the commit"
}

case_healthcheck() {
    background --health-cmd 'test -e /tmp/healthy' --health-interval disable box sleep 100
    code 1 p healthcheck run "$CASE"
    p exec "$CASE" touch /tmp/healthy
    code 0 p healthcheck run "$CASE"
}

case_restart_on_failure() {
    background --restart on-failure:2 box sh -c 'echo run >>/srv/runs; exit 1'
    until_true "two restarts" bash -c "[[ \$($PODMAN inspect --format \
        '{{.RestartCount}} {{.State.Status}}' $CASE) == '2 exited' ]]"
    p cp "$CASE:/srv/runs" "$WORK/$CASE.runs"
    eq runs 3 "$(wc -l <"$WORK/$CASE.runs")"
}

case_restart() {
    background box sleep 100
    local first
    first=$(pid_of)
    p restart -t 0 "$CASE"
    running || fail "not running"
    [[ $(pid_of) != "$first" ]] || fail "the same process"
}

case_attach() {
    background -i box sh -c 'read -r line; echo got $line; exit 13'
    # Not every podman gives the exit code of what it was attached to.
    eq output "got words" "$(echo words | p attach "$CASE" || true)"
    until_true "its end" exited
    eq "exit code" 13 "$(inspect '{{.State.ExitCode}}')"
}

case_attach_terminal() {
    background -it box sh
    local text
    text=$( (
        sleep 1
        echo 'stty size; echo typed-$((20 + 4))'
        sleep 0.5
        echo exit 8
    ) | on_tty 29 83 "$PODMAN attach $CASE")
    has "what was typed" 'typed-24' "$text"
    has "the size of who attached" '29 83' "$text"
    until_true "its end" exited
    eq "exit code" 8 "$(inspect '{{.State.ExitCode}}')"
}

case_update() {
    need_cgroups
    p update --help 2>&1 | grep -q -- --memory || skip "this podman has no update"
    background --memory 64m box sleep 100
    p update --memory 96m "$CASE"
    eq memory $((96 << 20)) "$(cgroup memory memory.limit_in_bytes memory.max)"
}

case_checkpoint_says_why_not() {
    background box sleep 100
    local got=0 text
    text=$(p container checkpoint "$CASE" 2>&1) || got=$?
    if [[ $got -eq 0 ]]; then
        p container restore "$CASE"
        running || fail "not running after the restore"
    else
        has "a reason" '[Cc]heckpoint|criu|CRIU|root' "$text"
        running || fail "not running after a checkpoint that failed"
    fi
}

case_nothing_left_of_one() {
    need_root "looking at every mount"
    local id
    id=$(run -d --name "$CASE" box sh -c 'sleep 0.2')
    until_true "its end" bash -c "! $PODMAN container exists $CASE"
    hasnt "mounts" "$id" "$(cat /proc/self/mountinfo)"
    eq "cgroups" "" "$(find /sys/fs/cgroup -type d -name "*$id*")"
    hasnt "processes" "$id" "$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ')"
}
