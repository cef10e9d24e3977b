"""``loa-receiver --announce FILE``: a factory-fresh device tells the hub that it is there, until it is enrolled.

It makes its key if it has none, shows the key's fingerprint on its console, and publishes model, serial number, its own
address and the fingerprint of its SSH host key to the hub's publish-only listener. Nothing is heard there.

======= ==============================================================
hub     ``host:port`` of the listener for announcements
ca      PEM file with the root that the province's devices believe
key     PEM file of this device's key; made when there is none
every   seconds between announcements; 60 if not given
======= ==============================================================

The file comes with the factory's image; relative paths are relative to its folder.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import re
import socket
import ssl
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audio.receiver.config import Problem
from audio.receiver.files import write_atomic
from audio.receiver.identity import NO_CHECK_TIME

log = logging.getLogger(__name__)

TOPIC = "loa/1/enroll/"
EVERY = 60.0
PATIENCE = 20.0
"""Seconds for one announcement to be taken."""
KEYS = ("hub", "ca", "key")
LONGEST = 80
"""Characters of one word; the hub takes no longer ones."""


@dataclass(frozen=True, slots=True)
class Announcer:
    """``root``: where the machine's own files are."""

    host: str
    port: int
    ca: Path
    key: Path
    every: float = EVERY
    root: Path = Path("/")

    @property
    def enrolled(self) -> bool:
        """Whether the receiver's settings are beside the key by now."""
        return self.key.with_name("receiver.toml").exists()


def load(path: Path) -> Announcer | tuple[Problem, ...]:
    """The factory's settings, or what is wrong with them."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        return (Problem(str(path), "file", f"cannot be read ({error.strerror}); give an existing file"),)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return (Problem(str(path), "file", f"is not TOML: {error}"),)
    found = [Problem(str(path), key, text) for key, text in _problems(raw)]
    if found:
        return tuple(found)
    host, _, port = raw["hub"].rpartition(":")
    folder = path.parent
    return Announcer(host, int(port), folder / raw["ca"], folder / raw["key"], float(raw.get("every", EVERY)))


def _problems(raw: dict[str, Any]) -> list[tuple[str, str]]:
    found = [(key, "is missing; see the factory image's own file") for key in KEYS if key not in raw]
    found += [(key, f"is not a setting; the settings are {', '.join((*KEYS, 'every'))}") for key in _unknown(raw)]
    if not found and not all(isinstance(raw[key], str) and raw[key] for key in KEYS):
        found.append(("hub, ca, key", "must be texts"))
    if not found and re.fullmatch(r"\S+:\d{1,5}", raw["hub"]) is None:
        found.append(("hub", 'must be like "hub.example.vn:8884"'))
    every = raw.get("every", EVERY)
    if isinstance(every, bool) or not isinstance(every, int | float) or not every >= 1:
        found.append(("every", "must be a number of seconds, at least 1"))
    return found


def _unknown(raw: dict[str, Any]) -> list[str]:
    return [key for key in raw if key not in (*KEYS, "every")]


def device_key(path: Path) -> str:
    """Fingerprint (SHA-256 of the public key, hex) of the device's key, which is made if it is missing. Raises OSError,
    and ValueError where the file is no key."""
    if not path.exists() or not path.stat().st_size:
        made = ec.generate_private_key(ec.SECP256R1())
        form, guard = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, made.private_bytes(serialization.Encoding.PEM, form, guard), mode=0o600)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


def grouped(fingerprint: str) -> str:
    """As people compare it: in fours."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))


def announcement(announcer: Announcer) -> bytes:
    """What is said now. Raises OSError without a way to the hub or without a host key."""
    root = announcer.root
    said = {
        "model": _first(root, "proc/device-tree/model", "sys/class/dmi/id/product_name"),
        "serial": _first(root, "proc/device-tree/serial-number", "sys/class/dmi/id/product_serial"),
        "address": _address(announcer.host, announcer.port),
        "host_key": _host_key(root / "etc/ssh/ssh_host_ed25519_key.pub"),
    }
    return json.dumps(said, ensure_ascii=False).encode()


def _first(root: Path, *names: str) -> str:
    for name in names:
        try:
            text = (root / name).read_bytes().rstrip(b"\0").decode(errors="replace")
        except OSError:
            continue
        if shown := "".join(c for c in text.strip() if c.isprintable())[:LONGEST]:
            return shown
    return ""


def _address(host: str, port: int) -> str:
    """The address from which this machine reaches the hub; nothing is sent for it."""
    family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(where)
        return str(probe.getsockname()[0])


def _host_key(path: Path) -> str:
    """``SHA256:...`` as ssh-keygen prints it. Raises OSError."""
    words = path.read_text(errors="replace").split()
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error):
        raise OSError(f"{path} is no host key") from None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def tell(announcer: Announcer, fingerprint: str) -> None:
    """One announcement, acknowledged by the broker. Raises OSError (of the ssl module as well) or ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(announcer.ca)
    # a device without a battery for its clock does not know the time yet; the root is its own all the same
    context.verify_flags |= NO_CHECK_TIME
    versions: Any = getattr(mqtt, "CallbackAPIVersion", None)  # paho 1.6, which Debian 12 has, knows no such choice
    kind = {} if versions is None else {"callback_api_version": versions.VERSION2}
    client = mqtt.Client(**kind, protocol=mqtt.MQTTv5)
    client.tls_set_context(context)
    payload = announcement(announcer)
    client.connect(announcer.host, announcer.port, keepalive=30)
    client.loop_start()
    try:
        told = client.publish(TOPIC + fingerprint, payload, qos=1)
        told.wait_for_publish(PATIENCE)
        if not told.is_published():
            raise TimeoutError("the hub does not take it")
    except RuntimeError as error:  # paho's, when the connection ended meanwhile
        raise ConnectionError(str(error)) from error
    finally:
        client.disconnect()
        client.loop_stop()


def announce(announcer: Announcer, ending: threading.Event) -> None:
    """Announces until ``ending``, or until the device is enrolled. Raises OSError or ValueError without a key."""
    fingerprint = device_key(announcer.key)
    log.info("waiting to be enrolled; key fingerprint: %s", grouped(fingerprint))
    while not (announcer.enrolled or ending.is_set()):
        try:
            tell(announcer, fingerprint)
        except (OSError, ValueError) as error:
            log.warning("not announced: %s; next try in %.0f s", error, announcer.every)
        ending.wait(announcer.every)
