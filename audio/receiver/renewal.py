"""A new certificate before the old one ends: a new key made here, certified by the hub that knows the old one."""

from __future__ import annotations

import http.client
import logging
import random
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from audio.receiver.identity import Identity, IdentityRefused

log = logging.getLogger(__name__)

LOOK = 3600.0
"""Seconds between looks at the certificate's end, jittered: a fleet enrolled together must not ask together."""
FIRST_PAUSE = 60.0
TIMEOUT = 15.0
LARGEST = 64 * 1024


class RenewalError(Exception):
    """The hub gave no certificate this time."""


def make_request(device: str) -> tuple[bytes, bytes]:
    """A new private key and a request (PKCS 10) to certify it, both PEM; the key has not left this process."""
    from cryptography import x509  # here: 4 MB that are needed once in two months
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, device)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    form, guard = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, form, guard)
    return private, request.public_bytes(serialization.Encoding.PEM)


def renew(identity: Identity, base: str) -> None:
    """Replaces the identity's certificate by one from ``<base>/renew``.

    Raises RenewalError, IdentityRefused, OSError or HTTPException; then the old one stays in use.
    """
    key, request = make_request(identity.certificate.device)
    identity.take(key, _ask(identity, base, request))


def _ask(identity: Identity, base: str, request: bytes) -> bytes:
    url = urlsplit(base)
    connection = http.client.HTTPSConnection(url.netloc, timeout=TIMEOUT, context=identity.context())
    try:
        connection.request("POST", f"{url.path}/renew", request, {"Content-Type": "application/x-pem-file"})
        response = connection.getresponse()
        chain = response.read(LARGEST)
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise RenewalError(f"HTTP {response.status}: {chain[:200].decode(errors='replace')}")
    return chain


class Renewal:
    """Looks at the certificate from time to time on a thread of its own; ``renewed`` is called there."""

    def __init__(self, identity: Identity, base: str, renewed: Callable[[], None]) -> None:
        self._identity = identity
        self._base = base
        self._renewed = renewed
        self._closing = threading.Event()
        threading.Thread(target=self._work, name="renewal", daemon=True).start()

    def close(self) -> None:
        """Asks no more; an answer under way is left behind, and asked for again after the next start."""
        self._closing.set()

    def _work(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            # the certificate's dates are the world's, also where a test shifts the programme's clock
            if not self._identity.certificate.due(time.time()):
                pause = _jittered(LOOK)
                continue
            try:
                renew(self._identity, self._base)
            except (RenewalError, IdentityRefused, OSError, http.client.HTTPException) as error:
                pause = _jittered(min(LOOK, max(FIRST_PAUSE, 2 * pause)))
                log.warning("certificate not renewed: %s; next try in %.0f s", error, pause)
                continue
            log.info("certificate renewed until %s", time.strftime("%F", time.gmtime(self._identity.certificate.ends)))
            self._renewed()
            pause = _jittered(LOOK)


def _jittered(pause: float) -> float:
    return pause * random.uniform(0.5, 1)  # noqa: S311 - spreads load
