# Shared by the scripts of tests/peers: running cases, in parallel, and saying how they went.
# shellcheck shell=bash
#
# A case is a function `case_NAME`. It runs in a process of its own, under a time limit, with
# CASE=NAME, and ends with success, or with one of
#
#   fail REASON          the effect asked for did not come about
#   skip REASON          this machine, user or runtime can't do it; why
#   lacks RUNTIME WHY    skips if this is the runtime

: "${RUNTIME:?the OCI runtime to be driven, an absolute path}"
export RUNTIME
RUNTIME_NAME=$(basename "$RUNTIME")
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# Seconds that one case may take, and cases at the same time.
CASE_SECONDS=${CASE_SECONDS:-60}
JOBS=${JOBS:-$(($(nproc) + 1))}

# Starts the script again in a mount namespace of its own with an empty /run: what clients leave
# mounted or in /run is gone with it.
with_private_run() {
    [[ -z ${PEERS_PRIVATE_RUN:-} ]] || return 0
    # shellcheck disable=SC2016
    PEERS_PRIVATE_RUN=1 exec unshare --mount --propagation private bash -c \
        'mount -t tmpfs -o mode=755 none /run && exec bash "$@"' _ "$@"
}

# The end of a case, with the place that called.
verdict() {
    local code=$1 frame=2
    shift
    # The helpers of this file are not where the test is.
    while [[ ${FUNCNAME[frame]:-} =~ ^(eq|has|hasnt|code|refused|until_true|lacks|need_.*)$ ]]; do
        frame=$((frame + 1))
    done
    printf '%s\n' "$*${FUNCNAME[frame]:+ (line ${BASH_LINENO[frame - 1]})}" >"$WORK/reason/$CASE"
    trap - ERR
    exit "$code"
}
fail() { verdict 1 "$@"; }
skip() { verdict 77 "$@"; }

lacks() {
    local runtime=$1
    shift
    if [[ $RUNTIME_NAME == "$runtime" ]]; then skip "$runtime: $*"; fi
}

# eq WHAT WANTED GOT
eq() { [[ "$3" == "$2" ]] || fail "$1: wanted '$2', got '$3'"; }
# has WHAT REGEX TEXT
has() { [[ "$3" =~ $2 ]] || fail "$1: wanted /$2/ in '$3'"; }
hasnt() { [[ ! "$3" =~ $2 ]] || fail "$1: found /$2/ in '$3'"; }

# code NUMBER COMMAND…: it ends with this exit code; its output stays in $out.
code() {
    local wanted=$1 got=0
    shift
    out=$("$@" 2>&1) || got=$?
    out=${out//$'\r'/}
    printf '%s\n' "+ $*" "$out"
    [[ $got -eq $wanted ]] || fail "exit code: wanted $wanted, got $got of: $* ($out)"
}

# refused COMMAND…: podman or the runtime says no, before anything runs.
refused() {
    local got=0
    out=$("$@" 2>&1) || got=$?
    printf '%s\n' "+ $*" "$out"
    ((got >= 125 && got <= 127)) || fail "wanted a refusal, got $got of: $* ($out)"
}

# until_true WHAT COMMAND…: within ten seconds.
until_true() {
    local what=$1 end=$((SECONDS + 10))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "not within ten seconds: $what"
        sleep 0.05
    done
}

# Until the end of this case no other one that says so runs.
alone() {
    until mkdir "$WORK/alone" 2>/dev/null; do sleep 0.2; done
    trap 'rmdir "$WORK/alone"' EXIT
}

# on_tty ROWS COLUMNS COMMAND: in a terminal of this size, with this standard input.
on_tty() { script -qefc "stty rows $1 cols $2; $3" /dev/null; }

# A root directory with busybox and two users; $1 does not exist yet.
make_rootfs() {
    local applet busybox
    busybox=$(command -v busybox)
    mkdir -p "$1"/{bin,dev,etc,mnt,proc,root,srv,sys,tmp,var/run}
    chmod 1777 "$1/tmp"
    cp "$busybox" "$1/bin/busybox"
    for applet in $("$busybox" --list); do
        [[ $applet == busybox ]] || ln -s busybox "$1/bin/$applet"
    done
    printf '%s\n' root:x:0:0:root:/root:/bin/sh web:x:33:33:web:/srv:/bin/sh >"$1/etc/passwd"
    printf '%s\n' root:x:0: web:x:33: extra:x:44:web >"$1/etc/group"
    # What the first process of a pod or of --init does: wait, reap, end when asked.
    printf '%s\n' '#!/bin/sh' 'trap "exit 0" TERM INT' 'while :; do sleep 1000 & wait $!; done' \
        >"$1/bin/pause"
    chmod 755 "$1/bin/pause"
}

# In the process made for it: one case; `NAME-again` is the second try of NAME.
one_case() {
    CASE=$1
    set -eEuo pipefail
    trap 'verdict 1 "failed: $BASH_COMMAND"' ERR
    "case_${CASE%-again}"
}

# try SCRIPT NAME: runs one case under the time limit, and prints its line.
try() {
    local code=0 reason
    timeout --kill-after=5 "$CASE_SECONDS" bash "$1" --case "$2" >"$WORK/log/$2" 2>&1 </dev/null ||
        code=$?
    reason=$(cat "$WORK/reason/$2" 2>/dev/null || true)
    case $code in
        0) echo "ok $2" ;;
        77) echo "skip $2: $reason" ;;
        124 | 137) echo "FAIL $2: not done in $CASE_SECONDS seconds" ;;
        *) echo "FAIL $2: ${reason:-exit code $code}" ;;
    esac | tee "$WORK/result/$2"
}

# How many results begin with this word.
count() { cat "$WORK"/result/* | grep -c "^$1 " || true; }

# All cases of the files sourced, or those whose names match the regex in ONLY. The clients race
# with themselves now and then, so what fails beside others is tried a second time, alone; both
# lines stand in the output.
run_cases() {
    local script=$1 names name began=$SECONDS
    mkdir -p "$WORK"/{log,reason,result}
    names=$(declare -F | sed -nE 's/^declare -f case_(.*)/\1/p' | grep -E "${ONLY:-.}")
    export WORK CASE_SECONDS
    export -f try
    # shellcheck disable=SC2016
    xargs -P "$JOBS" -I{} bash -c 'try "$1" "$2"' _ "$script" {} <<<"$names"
    for name in $(cd "$WORK/result" && grep -l '^FAIL ' -- * || true); do
        printf -- '--- %s\n' "$name"
        tail -n "${LOG_LINES:-12}" "$WORK/log/$name"
        rm "$WORK/result/$name"
        try "$script" "$name-again"
        [[ ! -s $WORK/reason/$name-again ]] || tail -n "${LOG_LINES:-12}" "$WORK/log/$name-again"
    done
    local passed failed
    passed=$(count ok) failed=$(count FAIL)
    printf '%s with %s: %d ok, %d failed, %d skipped, in %d s\n' "$(basename "$script")" \
        "$RUNTIME_NAME" "$passed" "$failed" "$(count skip)" $((SECONDS - began))
    [[ $failed -eq 0 && $passed -gt 0 ]]
}
