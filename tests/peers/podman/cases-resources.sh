# Limits, read back from the kernel.
# shellcheck shell=bash disable=SC2154

case_memory() {
    need_cgroups
    background --memory 48m --memory-reservation 24m box sleep 100
    eq limit $((48 << 20)) "$(cgroup memory memory.limit_in_bytes memory.max)"
    eq reservation $((24 << 20)) "$(cgroup memory memory.soft_limit_in_bytes memory.low)"
}

case_out_of_memory() {
    need_cgroups
    mkdir "$WORK/$CASE"
    cd "$WORK/$CASE" || exit
    # shellcheck disable=SC2046
    code 137 p run --name "$CASE" $(common) --memory 24m --memory-swap 24m box \
        sh -c 'sleep 0.3; exec tail /dev/zero'
    # conmon 2.1.6 saw it, and leaves its note in the working directory, where podman doesn't look.
    [[ -e oom ]] || eq reported true "$(inspect '{{.State.OOMKilled}}')"
}

case_cpus() {
    need_cgroups
    background --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 box sleep 100
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        eq quota "50000 100000" "$(cgroup cpu "" cpu.max)"
    else
        eq quota 50000 "$(cgroup cpu cpu.cfs_quota_us "")"
        eq period 100000 "$(cgroup cpu cpu.cfs_period_us "")"
        eq shares 512 "$(cgroup cpu cpu.shares "")"
    fi
    eq cpuset 0 "$(cgroup cpuset cpuset.cpus cpuset.cpus)"
    eq "as the kernel says" 0 "$(p exec "$CASE" sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status)"
}

case_pids_limit() {
    need_cgroups
    background --pids-limit 7 box sleep 100
    eq limit 7 "$(cgroup pids pids.max pids.max)"
    local text
    text=$(p exec "$CASE" sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait' 2>&1 || true)
    has "no more" "can't fork" "$text"
}

case_ulimit() {
    local text
    text=$(run --ulimit nofile=123:456 --ulimit core=0 --ulimit stack=1048576:2097152 \
        --ulimit nproc=100:200 box \
        cat /proc/self/limits)
    has nofile 'Max open files +123 +456' "$text"
    has nproc 'Max processes +100 +200' "$text"
    has core 'Max core file size +0 +0' "$text"
    has stack 'Max stack size +1048576 +2097152' "$text"
}

case_oom_score_adj() {
    eq score 321 "$(run --oom-score-adj 321 box cat /proc/self/oom_score_adj)"
}

case_shm_size() {
    has size 'size=8192k' "$(run --shm-size 8m box grep ' /dev/shm ' /proc/mounts)"
}

case_device() {
    [[ -c /dev/fuse ]] || skip "no /dev/fuse"
    local text
    text=$(run --device /dev/fuse box stat -c '%F %t:%T' /dev/fuse)
    eq "its kind and number" "character special file a:e5" "$text"
    # Opened, not only there: the cgroup allows it.
    code 0 run --device /dev/fuse box sh -c 'exec 3<>/dev/fuse'
    code 0 run --device /dev/fuse:/dev/other box test -c /dev/other
}

case_device_permissions() {
    need_cgroups
    [[ -c /dev/fuse ]] || skip "no /dev/fuse"
    code 0 run --device /dev/fuse:/dev/fuse:r box sh -c 'exec 3</dev/fuse'
    code 1 run --device /dev/fuse:/dev/fuse:r box sh -c 'exec 3>/dev/fuse'
    has "why" 'not permitted' "$out"
}

case_device_made_inside() {
    need_cgroups
    local rule=(--cap-add mknod --device-cgroup-rule 'c 10:229 rw')
    code 0 run --cap-add mknod box mknod /srv/fuse c 10 229
    code 1 run --cap-add mknod box sh -c 'mknod /srv/fuse c 10 229 && exec 3<>/srv/fuse'
    has "refused" 'not permitted' "$out"
    [[ -c /dev/fuse ]] || skip "no /dev/fuse"
    code 0 run "${rule[@]}" box sh -c 'mknod /srv/fuse c 10 229 && exec 3<>/srv/fuse'
}

case_block_io() {
    need_cgroups
    local device
    device=$(lsblk -dnro PATH,TYPE 2>/dev/null | awk '$2 == "disk" || $2 == "loop" {print $1; exit}')
    [[ -b $device ]] || skip "no block device"
    background --device-read-bps "$device:1mb" --device-write-iops "$device:100" box sleep 100
    has "bytes" '1048576' "$(cgroup blkio blkio.throttle.read_bps_device io.max)"
    has "operations" '100' "$(cgroup blkio blkio.throttle.write_iops_device io.max)"
}

case_stays_in_its_cgroup() {
    need_cgroups
    background box sleep 100
    local path
    path=$(inspect '{{.State.CgroupPath}}')
    has "under the parent asked for" "^$PARENT/" "$path"
    has "for the kernel too" ":$path" "$(cat "/proc/$(pid_of)/cgroup")"
    eq "every hierarchy" "" "$(grep -v "$path" "/proc/$(pid_of)/cgroup" || true)"
}
