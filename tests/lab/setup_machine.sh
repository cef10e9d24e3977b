#!/bin/sh
# Before the packages come into the tree ($1): what its kernel boots from and which sound card it has; part of the recipe.
set -eu
root=$1

# The initial file system holds the few modules that reach the root, and nothing for hardware that is not there.
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/etc/initramfs-tools/scripts" "$root/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\nBUSYBOX=n\nCOMPRESS=gzip\n' >"$root/etc/initramfs-tools/conf.d/lab"
printf '%s\n' virtio_pci 9pnet_virtio 9p overlay >"$root/usr/share/initramfs-tools/modules.d/lab"

# boot=lab: the disk that the machine is given below, what it writes above, in its own memory.
cat >"$root/etc/initramfs-tools/scripts/lab" <<'BOOT'
mountroot()
{
	modprobe -a virtio_pci 9pnet_virtio 9p overlay
	mkdir -p /run/disk/lower /run/disk/own
	mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 disk /run/disk/lower
	mount -t tmpfs -o mode=755 own /run/disk/own
	mkdir /run/disk/own/upper /run/disk/own/work
	mount -t overlay -o lowerdir=/run/disk/lower,upperdir=/run/disk/own/upper,workdir=/run/disk/own/work disk "${rootmnt}"
}
BOOT

# Both ends of a card: what is played on Loopback,0 is recorded from Loopback,1.
mkdir -p "$root/etc/modules-load.d"
echo snd-aloop >"$root/etc/modules-load.d/card.conf"

# The machine's firmware tells model and serial number, as a board's does.
mkdir -p "$root/etc/systemd/system/hardware.service.d"
printf '[Unit]\nConditionVirtualization=container\n' >"$root/etc/systemd/system/hardware.service.d/machine.conf"
