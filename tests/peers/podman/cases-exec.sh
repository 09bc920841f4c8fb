# Processes beside the first one.
# shellcheck shell=bash disable=SC2016,SC2154

case_exec() {
    background box sleep 100
    eq output "inside" "$(p exec "$CASE" echo inside)"
    code 6 p exec "$CASE" sh -c 'exit 6'
    code 127 p exec "$CASE" no-such-program
    code 126 p exec "$CASE" /etc/passwd
    eq stdin "fed" "$(echo fed | p exec -i "$CASE" cat)"
    eq stderr "err" "$(p exec "$CASE" sh -c 'echo err >&2' 2>&1 >/dev/null)"
    has "its pid namespace" 'sleep 100' "$(p exec "$CASE" ps)"
    eq "the same cgroup" "$(p exec "$CASE" cat /proc/1/cgroup | sort)" \
        "$(p exec "$CASE" cat /proc/self/cgroup | sort)"
}

case_exec_terminal() {
    background box sleep 100
    local text
    text=$(on_tty 31 97 "$PODMAN exec -it $CASE sh -c 'sleep 0.3; tty; stty size; exit 4'; echo code \$?")
    has terminal '/dev/pts/' "$text"
    has size '31 97' "$text"
    has "exit code" 'code 4' "$text"
}

case_exec_terminal_typed_into() {
    background box sleep 100
    local text
    text=$( (
        sleep 1
        echo 'echo typed-$((20 + 3))'
        sleep 0.3
        echo exit 2
    ) | on_tty 24 80 "$PODMAN exec -it $CASE sh; echo ended with \$?")
    has "what was typed" 'typed-23' "$text"
    has "exit code" 'ended with 2' "$text"
}

case_exec_user_env_workdir() {
    background -e FIRST=1 box sleep 100
    has env 'SECOND=2' "$(p exec -e SECOND=2 "$CASE" env)"
    has "the container's env" 'FIRST=1' "$(p exec "$CASE" env)"
    eq workdir /srv "$(p exec --workdir /srv "$CASE" pwd)"
    need_subids
    eq user "33:33" "$(p exec --user web "$CASE" sh -c 'echo $(id -u):$(id -g)')"
    has "additional groups" '44' "$(p exec --user web "$CASE" id -G)"
    eq "numbers" "1:2" "$(p exec --user 1:2 "$CASE" sh -c 'echo $(id -u):$(id -g)')"
}

case_exec_privileged() {
    background box sleep 100
    local plain full
    plain=$(p exec "$CASE" grep CapEff /proc/self/status | awk '{print $2}')
    full=$(p exec --privileged "$CASE" grep CapEff /proc/self/status | awk '{print $2}')
    ((16#$full & 1 << 21)) || fail "no CAP_SYS_ADMIN with --privileged: $full"
    ((!(16#$plain & 1 << 21))) || fail "CAP_SYS_ADMIN without --privileged: $plain"
}

case_exec_detached() {
    background box sleep 100
    p exec -d "$CASE" sh -c 'echo done >/tmp/made; sleep 100'
    until_true "its file" p exec "$CASE" test -s /tmp/made
    has "still there" 'sleep 100.*sleep 100' "$(p exec "$CASE" ps | tr '\n' ' ')"
}

case_exec_preserved_descriptor() {
    background box sleep 100
    eq "descriptor 3" through "$(p exec --preserve-fds 1 "$CASE" cat /proc/self/fd/3 3<<<through)"
}

case_exec_security_is_the_containers() {
    background --security-opt no-new-privileges --cap-drop all box sleep 100
    local status
    status=$(p exec "$CASE" cat /proc/self/status)
    has "no_new_privs" 'NoNewPrivs:[[:space:]]1' "$status"
    has "capabilities" 'CapEff:[[:space:]]0000000000000000' "$status"
    has "seccomp" 'Seccomp:[[:space:]]2' "$status"
}

case_exec_after_the_end() {
    background box true
    until_true "the end" exited
    code 255 p exec "$CASE" true
}
