# What the processes may do.
# shellcheck shell=bash disable=SC2016,SC2046,SC2154

# status FIELD TEXT: the value of a line of /proc/PID/status.
status() { sed -nE "s/^$1:[[:space:]]*//p" <<<"$2"; }
own_status() { run "$@" box cat /proc/self/status; }

case_read_only() {
    code 1 run --read-only box touch /srv/file
    has "why" 'Read-only' "$out"
    code 0 run --read-only box touch /tmp/file
    code 1 run --read-only --read-only-tmpfs=false box touch /tmp/file
}

case_user() {
    need_subids
    eq "by name" "33 33" "$(run --user web box sh -c 'echo $(id -u) $(id -g)')"
    has "groups of /etc/group" '44' "$(run --user web box id -G)"
    eq "by number" "5 6" "$(run --user 5:6 box sh -c 'echo $(id -u) $(id -g)')"
    eq "no capability" 0000000000000000 "$(status CapEff "$(own_status --user 5:6)")"
    code 126 run --user nobody-knows-me box true
}

case_group_add() {
    need_subids
    has groups '(^| )55( |$)' "$(run --group-add 55 --user 5:6 box id -G)"
}

case_capabilities() {
    local text
    text=$(own_status --cap-drop all)
    eq "none" 0000000000000000 "$(status CapEff "$text")"
    eq "none bounding" 0000000000000000 "$(status CapBnd "$text")"
    text=$(own_status --cap-drop all --cap-add net_raw,sys_chroot)
    eq "two" 0000000000042000 "$(status CapEff "$text")"
    eq "two bounding" 0000000000042000 "$(status CapBnd "$text")"
    text=$(own_status --cap-add sys_nice)
    ((16#$(status CapEff "$text") & 1 << 23)) || fail "no CAP_SYS_NICE: $text"
    eq "nothing inheritable" 0000000000000000 "$(status CapInh "$text")"
    code 1 run --cap-drop chown box chown 1:1 /srv
    code 0 run --cap-drop all box true
}

case_ambient_for_users() {
    need_subids
    local text
    text=$(own_status --user 5:6 --cap-add net_bind_service --cap-drop all)
    eq "ambient" 0000000000000400 "$(status CapAmb "$text")"
    eq "effective" 0000000000000400 "$(status CapEff "$text")"
}

case_no_new_privileges() {
    eq with 1 "$(status NoNewPrivs "$(own_status --security-opt no-new-privileges)")"
    eq without 0 "$(status NoNewPrivs "$(own_status)")"
}

case_seccomp_profile() {
    cat >"$WORK/$CASE.json" <<END
{ "defaultAction": "SCMP_ACT_ALLOW",
  "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  "syscalls": [
    { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 },
    { "names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 },
    { "names": ["kill"], "action": "SCMP_ACT_ERRNO",
      "args": [{ "index": 1, "value": 12, "op": "SCMP_CMP_EQ" }] } ] }
END
    local options=(--security-opt "seccomp=$WORK/$CASE.json")
    eq filter 2 "$(status Seccomp "$(own_status "${options[@]}")")"
    code 1 run "${options[@]}" box mkdir /srv/new
    has "28 is ENOSPC" 'No space left' "$out"
    code 1 run "${options[@]}" box chmod 700 /srv
    has "13 is EACCES" 'Permission denied' "$out"
    code 1 run "${options[@]}" box sh -c 'kill -USR2 $$'
    has "EPERM, by argument" 'not permitted' "$out"
    code 0 run "${options[@]}" box sh -c 'trap : USR1; kill -USR1 $$'
}

case_seccomp_kill() {
    cat >"$WORK/$CASE.json" <<END
{ "defaultAction": "SCMP_ACT_ALLOW",
  "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS" }] }
END
    # SIGSYS.
    code 159 run --security-opt "seccomp=$WORK/$CASE.json" box mkdir /srv/new
}

case_seccomp_unconfined() {
    eq "no filter" 0 "$(status Seccomp "$(own_status --security-opt seccomp=unconfined)")"
    eq "a filter" 2 "$(status Seccomp "$(own_status)")"
}

case_seccomp_malformed() {
    echo '{ "defaultAction": "SCMP_ACT_NONSENSE" }' >"$WORK/$CASE.json"
    code 126 run --security-opt "seccomp=$WORK/$CASE.json" box true
    has "says so" 'seccomp|SCMP' "$out"
}

case_privileged() {
    local text
    text=$(own_status --privileged)
    ((16#$(status CapEff "$text") & 1 << 21)) || fail "no CAP_SYS_ADMIN: $text"
    eq "no filter" 0 "$(status Seccomp "$text")"
    code 0 run --privileged box sh -c 'mount -t tmpfs none /mnt && grep -q " /mnt tmpfs" /proc/mounts'
    hasnt "nothing masked" '/proc/kcore' "$(run --privileged box cat /proc/mounts)"
}

case_masked_and_read_only_paths() {
    code 1 run box sh -c 'echo 1 >/proc/sys/kernel/domainname'
    has "read-only" 'Read-only' "$out"
    eq "masked file" "" "$(run box cat /proc/keys)"
    eq "masked directory" 0 "$(run box sh -c 'ls -A /sys/firmware | wc -l')"
    has "masked" ' /proc/keys ' "$(run box cat /proc/mounts)"
    hasnt "unmasked" ' /proc/keys ' "$(run --security-opt unmask=/proc/keys box cat /proc/mounts)"
    code 1 run --security-opt mask=/srv box touch /srv/file
}

case_devices_by_default() {
    local text
    text=$(run box ls -la /dev)
    for device in null zero full random urandom tty; do
        has "$device" " $device"$'(\n|$)' "$text"
    done
    has "ptmx" 'ptmx -> ' "$text"
    has "fd" 'fd -> /proc/self/fd' "$text"
    code 0 run box sh -c 'echo x >/dev/null && head -c 4 /dev/urandom | wc -c | grep -q 4'
}

case_system_paths() {
    local mounts
    mounts=$(run box cat /proc/mounts)
    has "/proc" 'proc /proc proc rw,nosuid,nodev,noexec' "$mounts"
    has "/sys" 'sysfs /sys sysfs ro,nosuid,nodev,noexec' "$mounts"
    has "/dev/shm" ' /dev/shm tmpfs rw,.*nosuid,nodev,noexec' "$mounts"
    has "/dev/mqueue" 'mqueue /dev/mqueue mqueue' "$mounts"
    has "/dev/pts" 'devpts /dev/pts devpts' "$mounts"
    ((ROOTLESS)) || has "cgroups" ' /sys/fs/cgroup' "$mounts"
}
