"""Whether this machine lets anybody make a lab, found out by trying."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.lab import cgroups

COMMANDS: Final = ("unshare", "nsenter", "systemd-nspawn", "mmdebstrap", "ip", "nft", "wg", "wireguard-go", "ssh")
_TRY: Final = """
set -e
mount -t tmpfs lab /mnt
mkdir -p /mnt/upper /mnt/work /mnt/merged /run/netns
mount -t overlay lab -o lowerdir=/usr,upperdir=/mnt/upper,workdir=/mnt/work /mnt/merged
mount -t tmpfs lab /run/netns
ip netns add one
ip link add bridge0 type bridge
ip link add port0 type veth peer name host0 netns one
ip tuntap add name tap0 mode tap
ip netns exec one nft add table ip nat
ip netns exec one nft 'add chain ip nat out { type nat hook postrouting priority srcnat; }'
ip netns exec one nft 'add rule ip nat out oifname host0 masquerade'
"""
"""In namespaces of its own, which go with the shell that ran it."""


def unavailable() -> str | None:
    """Why there can be no lab here, in words; None if only the image may be missing."""
    if os.geteuid():
        return "needs root: hosts live in namespaces of their own"
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)}: run scripts/bootstrap as root"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", _TRY], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        return f"this machine refuses namespaces, overlays or packet filters: {done.stderr.strip()}"
    return _no_groups()


def _no_groups() -> str | None:
    name = f"loa-lab-probe-{os.getpid()}"
    try:
        cgroups.make(name)
        cgroups.remove(name)
    except OSError as error:
        return f"this machine refuses control groups: {error}"
    return None
