#!/bin/sh
# Makes a bare Debian tree ($1) what a factory leaves on a device; part of the image's recipe.
set -eu
root=$1

# What a container cannot have, and timers that would wake fifty hosts at once.
for unit in console-getty.service getty@.service systemd-pstore.service e2scrub_reap.service apt-daily.timer \
  apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer logrotate.timer; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
for unit in snmpd frr nftables systemd-timesyncd; do
  if [ -e "$root/lib/systemd/system/$unit.service" ]; then chroot "$root" systemctl --quiet disable "$unit.service"; fi
done
mkdir -p "$root/etc/systemd/journald.conf.d" "$root/etc/systemd/system/systemd-timesyncd.service.d"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=4M\n' >"$root/etc/systemd/journald.conf.d/factory.conf"
# Debian starts time synchronisation in no container; without a clock to set it runs all the same.
printf '[Unit]\nConditionVirtualization=\nConditionCapability=\n' \
  >"$root/etc/systemd/system/systemd-timesyncd.service.d/container.conf"

# Boards tell their model and serial number in /sys; a container has none there, so it gets what /usr/lib/hardware holds.
cat >"$root/etc/systemd/system/hardware.service" <<'UNIT'
[Unit]
Description=Model and serial number of the board
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/mount -t overlay hardware -o lowerdir=/usr/lib/hardware:/sys/class /sys/class
[Install]
WantedBy=sysinit.target
UNIT
chroot "$root" systemctl --quiet enable hardware.service

# One administrator, keys only; every host gets its own keys.
chroot "$root" useradd --create-home --shell /bin/bash loa
printf 'loa ALL=(ALL) NOPASSWD: ALL\n' >"$root/etc/sudoers.d/loa"
chmod 440 "$root/etc/sudoers.d/loa"
printf '%s\n' 'PasswordAuthentication no' 'KbdInteractiveAuthentication no' 'PermitRootLogin prohibit-password' \
  'UseDNS no' 'MaxStartups 50:30:200' 'HostKey /etc/ssh/ssh_host_ed25519_key' >"$root/etc/ssh/sshd_config.d/factory.conf"
rm -f "$root"/etc/ssh/ssh_host_*

# The second command line: an account whose login shell is the router's.
chroot "$root" useradd --create-home --shell /usr/bin/vtysh --groups frr,frrvty router
sed -i 's/^#*vtysh_enable=.*/vtysh_enable=yes/' "$root/etc/frr/daemons"
printf 'service integrated-vtysh-config\n' >"$root/etc/frr/vtysh.conf"
: >"$root/etc/frr/frr.conf"
chroot "$root" sh -c 'chown frr:frrvty /etc/frr/vtysh.conf /etc/frr && chown frr:frr /etc/frr/frr.conf; chmod 660 /etc/frr/*.conf; chmod 2775 /etc/frr'

# No community that everybody knows.
printf '# not configured\nagentAddress udp:127.0.0.1:161\n' >"$root/etc/snmp/snmpd.conf"
