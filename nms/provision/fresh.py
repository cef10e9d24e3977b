"""What a fresh device says of itself, and what it is told: whether it is the kind that is meant, scripts for ``sh``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Final

from cryptography import x509

from inventory.model import Device, DeviceKind
from inventory.overlay import encodable
from nms.provision.values import Facts

RECEIVER: Final = "file:/etc/loa-receiver/receiver.toml"
NAMES: Final = ("option:system.@system[0].hostname", "option:/system identity name")
"""Where a modem's name is, in each language."""

_NAMED: Final = re.compile(r"\bloa[ -](receiver|board)\b", re.IGNORECASE)
_KINDS: Final = {"receiver": DeviceKind.LOUDSPEAKER, "board": DeviceKind.BOARD}
_FITS: Final[Mapping[str, tuple[str, str]]] = {
    "loa-receiver": ("os", "debian"),
    "loa-board": ("os", "debian"),
    "openwrt": ("os", "openwrt"),
    "rutos": ("model", r"\b(?:rut|trb)"),
    "rutos-flat": ("model", r"\b(?:rut|trb)"),
    "routeros": ("os", r"routeros|\b\d+\.\d+"),
}
"""By profile: which of a device's own words must hold what. What it does not say at all counts for nothing."""


def misfit(device: Device, host: Mapping[str, str]) -> str:
    """What the device says of itself where that does not fit its profile; empty where it does."""
    name, pattern = _FITS.get(device.profile, ("model", ""))
    words = host.get(name, "")
    if words and re.search(pattern, words, re.IGNORECASE) is None:
        return words
    model = host.get("model", "")
    named = _NAMED.search(model)
    return model if named is not None and _KINDS[named[1].lower()] is not device.kind else ""


def carried(facts: Facts) -> str:
    """The id that a device has already: what a receiver plays as, or a modem's name; empty for a fresh one."""
    texts = {key: one.text or "" for key, one in facts.found.items() if key in (RECEIVER, *NAMES)}
    try:
        plays = str(tomllib.loads(texts.pop(RECEIVER, "")).get("device", ""))
    except tomllib.TOMLDecodeError:
        plays = ""
    return plays or next((name for name in texts.values() if encodable(name)), "")


# --- scripts for a device ---------------------------------------------------------------------------------------------

REQUEST: Final = """\
set -eu
umask 022
dir=/etc/loa-receiver
mkdir -p $dir
umask 077
if ! [ -s $dir/key.pem ]; then
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $dir/key.pem.born
    sync $dir/key.pem.born
    mv $dir/key.pem.born $dir/key.pem
    sync $dir
fi
[ ! -s $dir/certificate.pem ] || cat $dir/certificate.pem
openssl req -new -key $dir/key.pem -subj "/CN={device}/serialNumber={nonce}"
"""
"""The key is made once and stays; the request is signed with it now."""
MODEM_KEY: Final = """\
key=$(uci -q get network.loa.private_key || :)
if [ -z "$key" ]; then
    key=$(umask 077 && wg genkey)
    uci batch <<END
set network.loa=interface
set network.loa.proto=wireguard
set network.loa.private_key='$key'
commit network
END
    sync
fi
printf '%s\n' "$key" | wg pubkey
"""
"""The key is in no process list: ``printf`` and here-documents are the shell's own."""
INSTALL: Final = """\
set -eu
umask 077
dir=/etc/loa-receiver
cat >$dir/certificate.pem.new <<'END'
{chain}END
sync $dir/certificate.pem.new
mv $dir/certificate.pem.new $dir/certificate.pem
sync $dir
systemctl --quiet try-restart loa-receiver.service 2>/dev/null || :
"""


def request(said: str) -> bytes:
    """The certificate request in what ``REQUEST`` printed."""
    return _pem(said, "CERTIFICATE REQUEST").encode()


def certificate(said: str) -> x509.Certificate | None:
    """The certificate that the device has already; None without a readable one."""
    text = _pem(said, "CERTIFICATE")
    try:
        return x509.load_pem_x509_certificate(text.encode()) if text else None
    except ValueError:
        return None


def _pem(said: str, what: str) -> str:
    """The first block of that kind; empty without one."""
    found = re.search(rf"-----BEGIN {what}-----\n[A-Za-z0-9+/=\n]+-----END {what}-----\n", said)
    return found[0] if found else ""
