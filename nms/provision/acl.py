"""The broker's own files, pure: how mosquitto listens, and who may read and write which topic there.

A certificate's name is the user. Topics with the device's id in them are patterns; units and groups, which the
inventory knows, are listed for each device. mosquitto reads the ACL files again on SIGHUP.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from inventory.model import Device, DeviceKind, Network
from nms.provision.pki import HUB

AUTHORITIES, REVOKED, SERVER_PEM = "ca.pem", "crl.pem", "server.pem"
ACL, ENROLMENT_ACL, CONFIGURATION = "acl", "acl-enrolment", "mosquitto.conf"
TOPICS = "loa/1"
ENROLLING = 50
"""New devices that may be connected at a time: nobody knows them yet."""
LARGEST_PACKET = 300 * 1024
"""Bytes; a frame has at most 256 KiB."""
LISTENERS = (DeviceKind.LOUDSPEAKER, DeviceKind.BOARD)


def configuration(folder: Path, port: int, enrolment_port: int, persistence: Path | None = None) -> str:
    """``mosquitto.conf`` for the files in ``folder``; retained documents survive a restart in ``persistence``.

    Devices and hub come to ``port`` with certificates; ``enrolment_port`` takes announcements from anybody.
    """
    kept = f"persistence true\npersistence_location {persistence}/\n" if persistence else "persistence false\n"
    return f"""\
# Written by loa. TLS 1.3 only; who is who, the certificates say.
per_listener_settings true
{kept}\
max_queued_messages 100000
max_inflight_messages 1000
max_packet_size {LARGEST_PACKET}
set_tcp_nodelay true
log_type error
log_type warning
log_type notice

listener {port}
allow_anonymous false
require_certificate true
use_identity_as_username true
crlfile {folder / REVOKED}
acl_file {folder / ACL}
{_tls(folder)}
# Devices that nobody knows yet announce themselves here; they can read nothing.
listener {enrolment_port}
allow_anonymous true
max_connections {ENROLLING}
acl_file {folder / ENROLMENT_ACL}
{_tls(folder)}"""


def _tls(folder: Path) -> str:
    # certificate and key lie in one file, so that they are never those of two
    server = folder / SERVER_PEM
    return f"cafile {folder / AUTHORITIES}\ncertfile {server}\nkeyfile {server}\ntls_version tlsv1.3\n"


def enrolment_acl() -> str:
    """What may be said without a certificate: one announcement per key, and nothing is heard."""
    return f"topic write {TOPICS}/enroll/+\n"


def acl(network: Network, on: date) -> str:
    """Who may read and write what on that date. A device that is not in use is told its own documents, and no more."""
    listeners = (d for d in network.devices_on(on) if d.kind in LISTENERS)
    return "\n".join((*_everybody(), *_hub(), *(line for d in listeners for line in _device(network, d, on)), ""))


def _everybody() -> Iterator[str]:
    yield "# Every device, %u being its id."
    for topic in ("policy/%u", "set/%u", "ack/%u", "now/d/%u/+"):
        yield f"pattern read {TOPICS}/{topic}"
    yield f"pattern write {TOPICS}/dev/%u/#"


def _hub() -> Iterator[str]:
    yield from ("", f"user {HUB}", f"topic readwrite {TOPICS}/#")


def _device(network: Network, device: Device, on: date) -> Iterator[str]:
    # what all hear is said to each: in a pattern without %u mosquitto suspects a mistake, and warns at each reading
    yield from ("", f"user {device.id}", f"topic read {TOPICS}/time", f"topic read {TOPICS}/live/#")
    for unit in network.device_chain(device, on):
        yield f"topic read {TOPICS}/prog/{unit}"
        yield f"topic read {TOPICS}/now/u/{unit}/+"
    for group in network.groups_of(device):
        yield f"topic read {TOPICS}/now/g/{group}/+"
