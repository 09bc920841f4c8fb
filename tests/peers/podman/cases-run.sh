# What `podman run` gives back, and how the process in it is described.
# shellcheck shell=bash disable=SC2016,SC2046,SC2154

case_exit_codes() {
    code 0 run box true
    code 7 run box sh -c 'exit 7'
    code 126 run box /etc/passwd
    code 126 run box /tmp
    code 127 run box /no/such/program
    code 127 run box no-such-program
    code 143 run --init --init-path "$WORK/init" box sh -c 'kill -TERM $$'
    code 125 run --no-such-flag box true
    code 125 run no-such-image true
}

case_output_and_input() {
    eq stdout "one" "$(run box sh -c 'echo one; echo two >&2' 2>/dev/null)"
    eq stderr "two" "$(run box sh -c 'echo one; echo two >&2' 2>&1 >/dev/null)"
    eq stdin "LINE" "$(echo line | run -i box tr a-z A-Z)"
    eq "a megabyte" 1048576 "$(head -c 1048576 /dev/zero | run -i box cat | wc -c)"
}

case_terminal() {
    local text
    text=$(on_tty 33 111 "$PODMAN run --rm $(common) -it box sh -c 'sleep 0.3; tty; stty size; exit 5'") &&
        fail "exit code: wanted 5, got 0"
    has "a terminal" '/dev/pts/0|/dev/console' "$text"
    has "its size" '33 111' "$text"
    code 5 on_tty 24 80 "$PODMAN run --rm $(common) -t box sh -c 'exit 5'"
}

case_terminal_typed_into() {
    local text
    text=$( (
        sleep 1
        echo 'echo typed-$((20 + 2))'
        sleep 0.3
        echo exit 3
    ) | on_tty 24 80 "$PODMAN run --rm $(common) -it box sh; echo ended with \$?")
    has "what was typed" 'typed-22' "$text"
    has "exit code" 'ended with 3' "$text"
}

case_detached_logs() {
    background box sh -c 'echo to-stdout; echo to-stderr >&2'
    until_true "the container's end" exited
    eq stdout to-stdout "$(p logs "$CASE" 2>/dev/null)"
    eq stderr to-stderr "$(p logs "$CASE" 2>&1 >/dev/null)"
}

case_logs_followed() {
    background box sh -c 'for i in 1 2 3; do echo line $i; sleep 0.2; done'
    eq lines "line 1 line 2 line 3 " "$(p logs -f "$CASE" | tr '\n' ' ')"
}

case_environment() {
    has variable '(^|[[:space:]])GREETING=hello there' "$(run -e 'GREETING=hello there' box env)"
    has "PATH" 'PATH=/usr/local/sbin' "$(run box env)"
}

case_workdir() { eq workdir /srv "$(run --workdir /srv box pwd)"; }

case_entrypoint() { eq entrypoint "a b" "$(run --entrypoint /bin/echo box a b)"; }

case_hostname() {
    eq hostname box-host "$(run --hostname box-host box hostname)"
    eq "the host's" "$(hostname)" "$(run --uts host box hostname)"
}

case_annotation() {
    background --annotation org.example.note=kept box sleep 100
    eq annotation kept "$(inspect '{{index .Config.Annotations "org.example.note"}}')"
    # podman's own copy says little: ask the runtime.
    eq "in the runtime's state" kept "$("$RUNTIME" state "$(inspect '{{.Id}}')" |
        sed -nE 's/.*"org.example.note": *"([^"]*)".*/\1/p')"
}

case_init() {
    local text
    text=$(run --init --init-path "$WORK/init" box sh -c 'echo $$; tr "\0" " " </proc/1/cmdline')
    hasnt "PID of the command" '^1[[:space:]]' "$text"
    has "PID 1" 'init' "$text"
    code 9 run --init --init-path "$WORK/init" box sh -c 'exit 9'
}

case_pid_files() {
    p run -d --name "$CASE" --pidfile "$WORK/$CASE.pid" --cidfile "$WORK/$CASE.cid" \
        $(common) box sleep 100
    eq "pid file" "$(pid_of)" "$(cat "$WORK/$CASE.pid")"
    eq "what it runs" "sleep 100 " "$(tr '\0' ' ' <"/proc/$(pid_of)/cmdline")"
}

case_many_at_once() {
    local i pids=()
    for i in 1 2 3 4; do
        (code "$i" run box sh -c "exit $i") &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || fail "one of four failed"; done
}

case_preserved_descriptor() {
    eq "descriptor 3" "through" "$(run --preserve-fds 1 box cat /proc/self/fd/3 3<<<through)"
}

case_errors_as_json() {
    export CONTAINERS_CONF=$WORK/json.conf
    code 127 run box /no/such/program
    has "the cause" '/no/such/program' "$out"
    code 126 run box /etc/passwd
    code 0 run box true
}

case_no_cgroups() {
    lacks runc "no --cgroup-manager disabled"
    need_root "a cgroup namespace without a cgroup"
    local own
    own=$(cut -d : -f 3 /proc/self/cgroup | sort)
    eq "the caller's" "$own" "$(p run --rm --cgroups disabled --cgroupns host box \
        cut -d : -f 3 /proc/self/cgroup | sort)"
}
