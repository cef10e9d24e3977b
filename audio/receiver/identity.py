"""Who this device is on the network: its certificate, and whom it takes for the hub.

Enrolment leaves a certificate and its key; renewals lie in one file of the state folder, so that after a power cut both
are the old or both the new. Of the two the younger counts, if it is this device's and from the pinned authority.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio.receiver.files import write_atomic

RENEWED = "identity.pem"
NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for."""


class IdentityRefused(ValueError):
    """A certificate and key that this device cannot use; the text says why."""


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files: the pinned authority, a certificate with its chain, the certificate's key."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says. Unix seconds; ``serial`` in hexadecimal."""

    device: str
    serial: str
    begins: float
    ends: float

    def due(self, now: float) -> bool:
        """Whether less than a third of its life is left."""
        return self.ends - now < (self.ends - self.begins) / 3


def examine(files: Files) -> Certificate:
    """What OpenSSL finds in the certificate when it verifies it as a broker would, whatever the time is.

    Raises IdentityRefused when the authority did not give it, the key is another's, or a file cannot be read.
    """
    try:
        accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        accepting.load_cert_chain(files.certificate, files.key)
        accepting.load_verify_locations(files.ca)
        accepting.verify_mode = ssl.CERT_REQUIRED
        accepting.verify_flags |= NO_CHECK_TIME
        found = _shake_hands(accepting, files)
    except OSError as error:  # of the ssl module as well
        raise IdentityRefused(str(error)) from error
    names = [value for ((key, value),) in found["subject"] if key == "commonName"]
    begins, ends = ssl.cert_time_to_seconds(found["notBefore"]), ssl.cert_time_to_seconds(found["notAfter"])
    return Certificate(names[0] if names else "", found["serialNumber"].lower().lstrip("0"), begins, ends)


def _shake_hands(accepting: ssl.SSLContext, files: Files) -> dict[str, Any]:
    """The certificate as the accepting side sees it, after a handshake in memory. Raises ssl.SSLError."""
    offering = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    offering.check_hostname = False
    offering.verify_mode = ssl.CERT_NONE  # the other side is this very function
    offering.load_cert_chain(files.certificate, files.key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = offering.wrap_bio(back, there)
    server = accepting.wrap_bio(there, back, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    server.do_handshake()
    return server.getpeercert() or {}


class _Judging(ssl.SSLContext):
    """Asks at each connection whether dates count: without a clock to believe, emergencies must still come through."""

    believed: Callable[[], bool]

    def wrap_socket(self, *given: Any, **more: Any) -> ssl.SSLSocket:
        self._judge()
        return super().wrap_socket(*given, **more)

    def wrap_bio(self, *given: Any, **more: Any) -> ssl.SSLObject:
        self._judge()
        return super().wrap_bio(*given, **more)

    def _judge(self) -> None:
        dates = self.verify_flags & ~NO_CHECK_TIME
        self.verify_flags = dates if self.believed() else dates | NO_CHECK_TIME


class Identity:
    """The certificate in use. ``believed`` tells whether the device's clock may judge the hub's certificate."""

    def __init__(self, device: str, enrolled: Files, state: Path, believed: Callable[[], bool]) -> None:
        """Raises IdentityRefused when no certificate can be used."""
        self._device = device
        self._ca = enrolled.ca
        self._renewed = Files(enrolled.ca, state / RENEWED, state / RENEWED)
        self._believed = believed
        self._files, self.certificate = self._choose(enrolled)

    def _choose(self, enrolled: Files) -> tuple[Files, Certificate]:
        first = enrolled, self._examine(enrolled)
        try:
            second = self._renewed, self._examine(self._renewed)
        except IdentityRefused:
            return first
        return max(first, second, key=lambda known: known[1].begins)

    def _examine(self, files: Files) -> Certificate:
        certificate = examine(files)
        if certificate.device != self._device:
            raise IdentityRefused(f"it is the certificate of {certificate.device!r}")
        return certificate

    @property
    def client_id(self) -> str:
        """The name of this device's session. Nobody else knows the serial number, so nobody else can take it over."""
        return f"{self._device}-{self.certificate.serial}"

    def context(self) -> ssl.SSLContext:
        """What a new connection needs: the pinned authority, this certificate, TLS 1.3."""
        context = _Judging(ssl.PROTOCOL_TLS_CLIENT)
        context.believed = self._believed
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self._ca)
        context.load_cert_chain(self._files.certificate, self._files.key)
        return context

    def take(self, key: bytes, chain: bytes) -> None:
        """Uses a renewed certificate from the next connection on; it is on the disk when this returns.

        Raises IdentityRefused, and the old one stays in use, when it is not this device's or does not fit the key.
        """
        tried = self._renewed.certificate.with_name(RENEWED + ".tried")
        write_atomic(tried, key + chain, mode=0o600)
        try:
            certificate = self._examine(Files(self._ca, tried, tried))
        finally:
            tried.unlink()
        write_atomic(self._renewed.certificate, key + chain, mode=0o600)
        self._files, self.certificate = self._renewed, certificate
