"""Who may come in, by certificate: the check that a server makes beside TLS, at every request.

TLS has verified chain, purpose and dates when a connection began. A certificate that was revoked meanwhile, or that an
older authority gave, is refused here although its connection is still open.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from nms.provision.pki import name_of


class Gate:
    """Reads the list of the revoked again whenever it has been replaced; without one nobody comes in."""

    def __init__(self, revoked: Path) -> None:
        self._file = revoked
        self._seen: tuple[int, int] | None = None
        self._list: x509.CertificateRevocationList | None = None

    def admit(self, certificate: bytes) -> str:
        """The name in a verified certificate (DER); empty when it is refused."""
        revoked = self._current()
        if revoked is None:
            return ""
        parsed = x509.load_der_x509_certificate(certificate)
        if parsed.issuer != revoked.issuer:
            return ""
        if revoked.get_revoked_certificate_by_serial_number(parsed.serial_number) is not None:
            return ""
        return name_of(parsed)

    def _current(self) -> x509.CertificateRevocationList | None:
        try:
            now = self._file.stat()
            if (now.st_ino, now.st_mtime_ns) != self._seen:
                self._list = x509.load_pem_x509_crl(self._file.read_bytes())
                self._seen = now.st_ino, now.st_mtime_ns
        except (OSError, ValueError):
            self._list, self._seen = None, None
        return self._list
