#!/bin/sh
# Makes room in a device's tree ($1) for a hub's packages; part of the hub's recipe.
set -eu

# A machine has one time daemon: the hub's serves others.
chroot "$1" dpkg --purge --force-depends systemd-timesyncd
