# What the container sees of the file systems of the host.
# shellcheck shell=bash disable=SC2016,SC2046,SC2154

# A directory of the host's, for this case alone.
host_dir() {
    mkdir -p "$WORK/host/$CASE"
    chmod 777 "$WORK/host/$CASE"
    printf '%s' "$WORK/host/$CASE"
}

# Options of the mount at $1, from a copy of /proc/mounts in $2.
options_of() { awk -v at="$1" '$2 == at {print $4}' <<<"$2"; }

case_tmpfs() {
    local text
    text=$(run --tmpfs /scratch:size=3m,mode=0710,noexec box sh -c \
        'grep " /scratch " /proc/mounts; stat -c %a /scratch')
    has size 'size=3072k' "$text"
    has noexec 'noexec' "$text"
    has mode $'\n710' "$text"
    # What the image has there comes along.
    has "copied up" 'passwd' "$(run --tmpfs /etc box ls /etc)"
}

case_bind() {
    local dir
    dir=$(host_dir)
    echo from-host >"$dir/file"
    eq read from-host "$(run -v "$dir:/mnt" box cat /mnt/file)"
    code 0 run -v "$dir:/mnt" box sh -c 'echo from-inside >/mnt/new'
    eq written from-inside "$(cat "$dir/new")"
    eq "a file" from-host "$(run -v "$dir/file:/etc/one-file" box cat /etc/one-file)"
    code 125 run -v "$dir/missing:/mnt" box true
}

case_bind_read_only() {
    local dir text
    dir=$(host_dir)
    code 1 run -v "$dir:/mnt:ro" box touch /mnt/file
    has why 'Read-only' "$out"
    text=$(run -v "$dir:/mnt:ro,noexec,nosuid,nodev" box cat /proc/mounts)
    for word in ro noexec nosuid nodev; do
        has "$word" "(^|,)$word(,|\$)" "$(options_of /mnt "$text")"
    done
}

case_bind_relabel() { code 0 run -v "$(host_dir):/mnt:Z" box touch /mnt/file; }

case_bind_recursive() {
    need_root "mounting on the host"
    local dir
    dir=$(host_dir)
    mkdir "$dir/below"
    mount -t tmpfs none "$dir/below"
    trap 'umount "$WORK/host/$CASE/below"' EXIT
    echo deep >"$dir/below/file"
    eq "what is mounted below" deep "$(run -v "$dir:/mnt" box cat /mnt/below/file)"
    eq "not without r" "" "$(run --mount "type=bind,src=$dir,dst=/mnt,bind-nonrecursive" box \
        ls /mnt/below)"
}

case_bind_id_mapped() {
    need_root "an id-mapped mount"
    lacks runc "1.1 has no id-mapped mounts"
    local dir
    dir=$(host_dir)
    chown 0:0 "$dir"
    # Inside, root of a user namespace; the file is root's on disk.
    code 0 run --uidmap 0:200000:1000 --gidmap 0:200000:1000 -v "$dir:/mnt:idmap" box touch /mnt/file
    eq "owner on disk" 0:0 "$(stat -c %u:%g "$dir/file")"
    eq "owner inside" 0:0 "$(run --uidmap 0:200000:1000 --gidmap 0:200000:1000 \
        -v "$dir:/mnt:idmap" box stat -c %u:%g /mnt/file)"
}

case_bind_propagated() {
    need_root "mounting on the host"
    local dir
    dir=$(host_dir)
    mount --bind "$dir" "$dir"
    mount --make-shared "$dir"
    trap 'umount -R "$WORK/host/$CASE"' EXIT
    mkdir "$dir/later" "$dir/inner"
    background --cap-add sys_admin --security-opt seccomp=unconfined -v "$dir:/mnt:rshared" box \
        sleep 100
    mount -t tmpfs seen "$dir/later"
    has "inward" ' /mnt/later ' "$(p exec "$CASE" cat /proc/mounts)"
    p exec --privileged "$CASE" mount -t tmpfs seen /mnt/inner
    has "outward" "$dir/inner" "$(cat /proc/self/mountinfo)"
    p rm -f -t 0 "$CASE"
}

case_bind_private() {
    need_root "mounting on the host"
    local dir
    dir=$(host_dir)
    mount --bind "$dir" "$dir"
    mount --make-shared "$dir"
    trap 'umount -R "$WORK/host/$CASE"' EXIT
    mkdir "$dir/later"
    background -v "$dir:/mnt:rprivate" box sleep 100
    background_slave=$(p run -d $(common) -v "$dir:/mnt:rslave" box sleep 100)
    mount -t tmpfs seen "$dir/later"
    hasnt "rprivate" ' /mnt/later ' "$(p exec "$CASE" cat /proc/mounts)"
    has "rslave" ' /mnt/later ' "$(p exec "$background_slave" cat /proc/mounts)"
    p rm -f -t 0 "$CASE" "$background_slave"
}

case_mount_flag() {
    local dir text
    dir=$(host_dir)
    echo there >"$dir/file"
    text=$(run --mount "type=bind,src=$dir,dst=/mnt,ro" \
        --mount type=tmpfs,dst=/scratch,tmpfs-size=1m,tmpfs-mode=0700 box \
        sh -c 'cat /mnt/file /proc/mounts; stat -c %a /scratch')
    has bind 'there' "$text"
    has "read-only" '(^|,)ro(,|$)' "$(options_of /mnt "$text")"
    has tmpfs 'size=1024k' "$(options_of /scratch "$text")"
    has mode $'\n700' "$text"
}

case_named_volume() {
    code 0 run -v "$CASE-volume:/data" box sh -c 'echo kept >/data/file'
    eq kept kept "$(run -v "$CASE-volume:/data" box cat /data/file)"
}

case_files_of_podman() {
    has hosts 'localhost' "$(run --network host box cat /etc/hosts)"
    has "its own name" 'named-here' "$(run --hostname named-here --network host box cat /etc/hostname)"
    has resolv 'nameserver' "$(run --network host --dns 192.0.2.1 box cat /etc/resolv.conf)"
    code 0 run box test -e /run/.containerenv
}

case_root_is_not_the_hosts() {
    local inside
    inside=$(run box sh -c 'cd /; cd ..; ls -d /* ../*')
    hasnt "the host's root" 'home|oldroot|pivot|lost.found' "$inside"
    code 1 run box ls "$WORK"
}
