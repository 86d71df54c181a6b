#!/bin/sh
# Boots systemd as PID 1 of namespaces of its own, over an overlay of this machine's /. tests/machine.py calls it as
#
#   machine_boot.sh STAGE CGROUP BOOT_ID [PATH...]
#
# STAGE: a directory on a tmpfs with upper/, work/ and root/. CGROUP: a cgroup2 directory for this machine alone.
# BOOT_ID: the kernel's own does not change when only a namespace boots. PATH: what must be visible although it lies on
# another file system than / or in /tmp. All mounts are made in a mount namespace that ends with the machine.
# MACHINE_EXTRA (environment): the words of a command that prepares more; it is called with "mount" and the machine's root
# when all other mounts are made.
set -eu
stage=$1 cgroup=$2 boot_id=$3
shift 3
root=$stage/root

# A cgroup namespace has the cgroup that its maker is in as its root, so it is made after the move.
if [ -z "${MACHINE_INSIDE:-}" ]; then
    echo $$ >"$cgroup/cgroup.procs"
    MACHINE_INSIDE=1 exec unshare --mount --propagation private --pid --fork --kill-child --net --uts --ipc --cgroup \
        "$0" "$stage" "$cgroup" "$boot_id" "$@"
fi

mount -t overlay -o "lowerdir=/,upperdir=$stage/upper,workdir=$stage/work" overlay "$root"

# The first boot: nothing that was enabled, mounted or logged on the host is part of this machine.
if [ ! -e "$stage/installed" ]; then
    for fresh in etc/systemd/system etc/nplconf var/lib/nplconf var/lib/systemd var/log/journal; do rm -rf "${root:?}/$fresh"; done
    # Otherwise dpkg indexes all manual pages after each package, which takes 2 s.
    rm -f "$root/var/lib/man-db/auto-update"
    mkdir -p "$root/etc/systemd/system" "$root/etc/systemd/system-generators" "$root/var/lib/systemd" "$root/var/log/journal"
    ln -s /dev/null "$root/etc/systemd/system-generators/systemd-sysv-generator"
    : >"$root/etc/fstab"
    echo machine >"$root/etc/hostname"
    : >"$stage/installed"
fi

mount -t proc proc "$root/proc"
echo "$boot_id" >"$stage/boot_id"
mount --bind "$stage/boot_id" "$root/proc/sys/kernel/random/boot_id"
# Only the network's sysctls are a namespace's own; the others would be the host's.
mount --rbind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
for path; do
    mkdir -p "$root$path"
    mount --bind "$path" "$root$path"
    mount -o remount,bind,ro "$root$path"
done

mount -t tmpfs -o mode=0755 dev "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done

# shellcheck disable=SC2086 # its words are words
[ -z "${MACHINE_EXTRA:-}" ] || $MACHINE_EXTRA mount "$root"

ip link set lo up
cd "$root"
mkdir -p .host
pivot_root . .host
umount -l .host
rmdir .host
# What a container manager takes away too: the clock, kernel modules and the kernel's log are the host's.
hosts=-sys_time,-sys_module,-sys_rawio,-syslog
exec setpriv --bounding-set "$hosts" --inh-caps "$hosts" \
    env -i container=namespaces PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --unit=multi-user.target
