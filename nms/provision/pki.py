"""The province's certificates, pure: who is certified as what, and what is asked of a request.

An offline root certifies the hub's own authority, which certifies the servers, the hub's MQTT client and each device.
Devices pin the root alone. Every key is ECDSA on P-256 with SHA-256: TLS 1.3 makes it mandatory (RFC 8446, 9.1), so
that OpenSSL 3, Python, mosquitto and whatever a modem brings agree on it; Ed25519 is optional there.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from inventory.diagnostics import N_

HUB = "hub"
"""The name in the certificate of the hub's MQTT client; no device id has this form."""
SERVER = "server"
AUTHORITY_LIFE = timedelta(days=20 * 365)
HUB_LIFE = timedelta(days=365)
DEVICE_LIFE = timedelta(days=90)
EARLIER = timedelta(hours=1)
"""Certificates begin this long before they are made: two machines' clocks need not agree better."""
LARGEST_REQUEST = 16 * 1024

Key = ec.EllipticCurvePrivateKey
Public = ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate that certifies others, with its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def name(self) -> x509.Name:
        return self.certificate.subject


class BadRequest(ValueError):
    """What came is no request that could be granted to anybody; the text says why."""


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key, passphrase: str = "") -> bytes:
    """PKCS 8, encrypted if there is a passphrase."""
    guard: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        guard = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, guard)


def pem(certificate: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint(public: Public) -> str:
    """SHA-256 (hex) of the public key (SubjectPublicKeyInfo, DER): what a technician compares, whoever certified it."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def make_root(province: str, now: datetime) -> Issuer:
    """A new province's root, which certifies authorities and nothing else."""
    key, name = new_key(), _authority_name(province, "Loa root")
    unsigned = _authority(_builder(name, key.public_key(), now, AUTHORITY_LIFE), 1)
    return Issuer(_signed(unsigned, name, key), key)


def make_authority(root: Issuer, province: str, now: datetime) -> Issuer:
    """A hub's authority. Its name is its own: what an older one certified is refused beside this one's list."""
    key, name = new_key(), _authority_name(province, f"Loa hub {secrets.token_hex(4)}")
    unsigned = _authority(_builder(name, key.public_key(), now, AUTHORITY_LIFE), 0)
    return Issuer(_signed(unsigned, root.name, root.key), key)


def server(issuer: Issuer, public: Public, names: Iterable[str], now: datetime) -> x509.Certificate:
    """A certificate for the hub's servers under these host names and addresses; it serves no client."""
    alternative = x509.SubjectAlternativeName([_general(name) for name in names])
    return _leaf(issuer, public, SERVER, alternative, ExtendedKeyUsageOID.SERVER_AUTH, now, HUB_LIFE)


def client(issuer: Issuer, public: Public, name: str, now: datetime, life: timedelta = DEVICE_LIFE) -> x509.Certificate:
    """A certificate for a client: ``HUB`` or a device id. It serves no server, so a stolen device is no false hub."""
    scheme = "loa:hub" if name == HUB else f"loa:device:{name}"
    alternative = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(scheme)])
    return _leaf(issuer, public, name, alternative, ExtendedKeyUsageOID.CLIENT_AUTH, now, life)


def requested_key(request: bytes) -> Public:
    """The key of a PEM request (PKCS 10) that its owner signed. Nothing else that the request says is believed.

    Raises BadRequest.
    """
    if len(request) > LARGEST_REQUEST:
        raise BadRequest(N_("longer than any request"))
    try:
        parsed = x509.load_pem_x509_csr(request)
        public, genuine = parsed.public_key(), parsed.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadRequest(N_("not a PEM certificate request")) from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise BadRequest(N_("its key is not an EC key on P-256"))
    if not genuine:
        raise BadRequest(N_("it is not signed with its own key"))
    return public


def revocations(
    issuer: Issuer, revoked: Mapping[int, datetime], number: int, begins: datetime
) -> x509.CertificateRevocationList:
    """The list of revoked serial numbers, in force from ``begins`` until a later one replaces it.

    It ends with its authority only: it lies beside the servers that read it, and a list that expired would shut out the
    whole fleet. Where a server has several lists it takes the one that begins last, counted in whole seconds.
    """
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=issuer.name, last_update=_whole(begins), next_update=issuer.certificate.not_valid_after_utc
    )
    for serial, at in revoked.items():
        entry = x509.RevokedCertificateBuilder(serial, _whole(at))
        builder = builder.add_revoked_certificate(entry.build())
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return builder.add_extension(key, critical=False).sign(issuer.key, hashes.SHA256())


def name_of(certificate: x509.Certificate) -> str:
    """Whom the certificate is for: a device id, ``HUB`` or ``SERVER``; empty when it names nobody, or several."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def served_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names and addresses that a server's certificate is for."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*found.get_values_for_type(x509.DNSName), *map(str, addresses))


def due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether less than a third of its life is left."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return ends - now < (ends - begins) / 3


def _whole(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _authority_name(province: str, name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, province[:64])
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, public: Public, now: datetime, life: timedelta) -> x509.CertificateBuilder:
    begins = _whole(now) - EARLIER
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + EARLIER + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _authority(builder: x509.CertificateBuilder, below: int) -> x509.CertificateBuilder:
    """May certify; ``below`` is the number of authorities that may stand between it and a leaf."""
    usage = _usage(key_cert_sign=True, crl_sign=True)
    return builder.add_extension(x509.BasicConstraints(True, below), critical=True).add_extension(usage, critical=True)


def _leaf(
    issuer: Issuer,
    public: Public,
    name: str,
    alternative: x509.SubjectAlternativeName,
    purpose: x509.ObjectIdentifier,
    now: datetime,
    life: timedelta,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, public, now, life)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(alternative, critical=False)
    )
    return _signed(builder, issuer.name, issuer.key)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, issuer: x509.Name, key: Key) -> x509.Certificate:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return builder.issuer_name(issuer).add_extension(identifier, critical=False).sign(key, hashes.SHA256())
