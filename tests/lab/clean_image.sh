#!/bin/sh
# Takes what only the making of a tree ($1) needed, so that every host on it begins as itself; part of every recipe.
set -eu
root=$1

# No package index but the hub's, no name server, no identity.
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root/etc/resolv.conf" "$root/etc/hostname"
: >"$root/etc/resolv.conf"
: >"$root/etc/machine-id"
