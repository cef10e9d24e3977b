"""Certificates and the authority's folder: who is certified as what, who is refused, what survives a crash."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import verification
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.diagnostics import Diagnostic
from inventory.model import (
    Device,
    DeviceId,
    DeviceKind,
    Hub,
    Network,
    Tier,
    Unit,
    UnitId,
    UnitType,
)
from nms.provision import acl, pki
from nms.provision.authority import MOST_A_DAY, ROOT_KEY, Authority, Given, init
from nms.provision.gate import Gate

NOW = datetime(2026, 11, 21, 5, 0, 0, tzinfo=UTC)
ON = date(2024, 10, 1)
PASSPHRASE = "mật khẩu dài"  # noqa: S105 - of a province that lives for one test
WARD = UnitId("23557")
NETWORK = Network(
    province=UnitId("64"),
    name="Gia Lai",
    as_of=ON,
    overlay="10",
    units={
        UnitId("64"): Unit(UnitId("64"), "64", "Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None),
        WARD: Unit(WARD, "23557", "Yên Đỗ", Tier.COMMUNE, UnitType.WARD, UnitId("64")),
    },
    hamlets={},
    stations={},
    devices={
        device.id: device
        for device in (
            Device(DeviceId("23557-L01"), DeviceKind.LOUDSPEAKER, WARD, None, "loa-receiver", ON, serial="SN1"),
            Device(DeviceId("23557-L02"), DeviceKind.LOUDSPEAKER, WARD, None, "loa-receiver", ON, date(2024, 10, 1)),
            Device(DeviceId("23557-B01"), DeviceKind.BOARD, WARD, None, "loa-board", ON),
        )
    },
    hub=Hub("hub.example", "hub.example:51820", "A" * 43 + "="),
)
DEVICE, BOARD = "23557-L01", "23557-B01"


def request(key: pki.Key | None = None, name: str = "whoever") -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key or pki.new_key(), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    assert init(tmp_path / "hub", tmp_path / "keys", PASSPHRASE, NETWORK, NOW) == ()
    return opened(tmp_path)


def opened(folder: Path) -> Authority:
    authority = Authority.open(folder / "hub")
    assert isinstance(authority, Authority), authority
    return authority


def granted(found: Given | Diagnostic) -> x509.Certificate:
    assert isinstance(found, Given), found
    return x509.load_pem_x509_certificate(found.chain)


def code(found: object) -> str:
    assert isinstance(found, Diagnostic), found
    return found.code


def revoked(authority: Authority) -> set[int]:
    listed = x509.load_pem_x509_crl((authority.broker / acl.REVOKED).read_bytes())
    return {entry.serial_number for entry in listed}


# -- certificates


def test_a_devices_certificate_leads_to_the_root_and_says_only_who_it_is(authority: Authority, tmp_path: Path) -> None:
    key = pki.new_key()
    found = authority.issue(NETWORK, ON, DEVICE, request(key, "hub"), NOW)
    leaf = granted(found)
    assert isinstance(found, Given)
    chain = x509.load_pem_x509_certificates(found.chain)
    root = x509.load_pem_x509_certificate((authority.folder / "root.pem").read_bytes())
    store = verification.Store([root])
    verified = verification.PolicyBuilder().store(store).time(NOW).build_client_verifier().verify(leaf, chain[1:])
    assert [c.subject for c in verified.chain[1:]] == [chain[1].subject, root.subject]
    assert pki.name_of(leaf) == DEVICE
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.UniformResourceIdentifier
    ) == [f"loa:device:{DEVICE}"]
    assert leaf.not_valid_after_utc - NOW == pki.DEVICE_LIFE
    assert leaf.public_key() == key.public_key()
    assert found.entry.key == pki.fingerprint(key.public_key())
    assert leaf.serial_number.bit_length() > 100


def test_a_certificate_is_due_in_its_last_third() -> None:
    issuer = pki.make_root("Gia Lai", NOW)
    leaf = pki.client(issuer, pki.new_key().public_key(), DEVICE, NOW)
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    last = leaf.not_valid_after_utc - life / 3
    assert not pki.due(leaf, last - timedelta(seconds=1))
    assert pki.due(leaf, last + timedelta(seconds=1))


def broken_requests() -> dict[str, bytes]:
    good = request()
    strong = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    foreign = ec.generate_private_key(ec.SECP384R1())
    lines = good.splitlines(keepends=True)
    forged = bytearray(x509.load_pem_x509_csr(good).public_bytes(serialization.Encoding.DER))
    forged[-1] ^= 1
    resealed = x509.load_der_x509_csr(bytes(forged)).public_bytes(serialization.Encoding.PEM)
    rsa_key = rsa.generate_private_key(65537, 2048)
    return {
        "nothing": b"",
        "text": b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "cut": b"".join(lines[:-2]),
        "forged": resealed,
        "other curve": strong.sign(foreign, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        "rsa": strong.sign(rsa_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        "long": good + b"\n" * pki.LARGEST_REQUEST,
        "a certificate": pki.pem(pki.make_root("x", NOW).certificate),
    }


@pytest.mark.parametrize("kind", broken_requests())
def test_a_request_that_proves_nothing_is_refused(authority: Authority, kind: str) -> None:
    assert code(authority.issue(NETWORK, ON, DEVICE, broken_requests()[kind], NOW)) == "ENV052"
    assert authority.entries() == ()


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_random_bytes_are_no_request(data: bytes) -> None:
    with pytest.raises(pki.BadRequest):
        pki.requested_key(data)


def test_only_devices_in_use_with_their_own_serial_are_certified(authority: Authority) -> None:
    assert code(authority.issue(NETWORK, ON, "23557-L09", request(), NOW)) == "ENV053"
    assert code(authority.issue(NETWORK, ON, "hub", request(), NOW)) == "ENV053"
    assert code(authority.issue(NETWORK, ON, "23557-L02", request(), NOW)) == "ENV053"
    assert code(authority.issue(NETWORK, ON, DEVICE, request(), NOW, serial="SN2")) == "ENV054"
    granted(authority.issue(NETWORK, ON, DEVICE, request(), NOW, serial="SN1"))
    granted(authority.issue(NETWORK, ON, BOARD, request(), NOW, serial="whatever is found there"))


def test_a_device_that_asks_without_end_is_told_so(authority: Authority) -> None:
    for _ in range(MOST_A_DAY):
        granted(authority.issue(NETWORK, ON, DEVICE, request(), NOW))
    assert code(authority.issue(NETWORK, ON, DEVICE, request(), NOW)) == "ENV055"
    granted(authority.issue(NETWORK, ON, BOARD, request(), NOW))
    granted(authority.issue(NETWORK, ON, DEVICE, request(), NOW + timedelta(days=1)))


# -- the hub's own


def test_the_hub_is_certified_under_its_names_and_again_in_time(authority: Authority) -> None:
    assert authority.hub_due(NETWORK, 10, NOW)
    assert code(authority.certify_hub(replace(NETWORK, hub=None), 10, NOW)) == "ENV057"
    assert authority.certify_hub(NETWORK, 10, NOW) is None
    server = x509.load_pem_x509_certificate((authority.broker / acl.SERVER_PEM).read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hub.example", "localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "127.0.0.1"]
    assert not authority.hub_due(NETWORK, 10, NOW + timedelta(days=240))
    assert authority.hub_due(NETWORK, 10, NOW + timedelta(days=245))
    renamed = replace(NETWORK, hub=replace(NETWORK.hub, name="new.example") if NETWORK.hub else None)
    assert authority.hub_due(renamed, 10, NOW)
    assert authority.hub_due(NETWORK, 11, NOW)
    assert [entry.name for entry in authority.entries()] == ["server", "hub"]


def test_private_files_are_private(authority: Authority, tmp_path: Path) -> None:
    assert authority.certify_hub(NETWORK, 10, NOW) is None
    modes = {p.name: p.stat().st_mode & 0o777 for p in authority.folder.iterdir()}
    assert modes == {"ca.pem": 0o600, "hub.pem": 0o600, "issued.jsonl": 0o600, "root.pem": 0o644}
    assert authority.folder.stat().st_mode & 0o777 == 0o700
    assert {p.name for p in authority.broker.iterdir() if p.stat().st_mode & 0o007} == set()
    root = tmp_path / "keys" / ROOT_KEY
    assert root.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in root.read_bytes()


# -- refusing


def test_revoking_a_device_finds_all_its_certificates(authority: Authority) -> None:
    first, second = (granted(authority.issue(NETWORK, ON, DEVICE, request(), NOW)) for _ in range(2))
    other = granted(authority.issue(NETWORK, ON, BOARD, request(), NOW))
    old = granted(authority.issue(NETWORK, ON, DEVICE, request(), NOW - pki.DEVICE_LIFE))
    gate = Gate(authority.broker / acl.REVOKED)
    assert gate.admit(der(first)) == DEVICE
    found = authority.revoke(DEVICE, NOW)
    assert not isinstance(found, Diagnostic)
    assert {int(e.serial, 16) for e in found} == {first.serial_number, second.serial_number} == revoked(authority)
    assert [gate.admit(der(c)) for c in (first, second, other, old)] == ["", "", BOARD, DEVICE]
    assert code(authority.revoke(DEVICE, NOW)) == "ENV056"
    single = authority.revoke(f"{other.serial_number:X}", NOW)
    assert not isinstance(single, Diagnostic)
    assert gate.admit(der(other)) == ""
    assert [e.revoked is not None for e in authority.entries()] == [True, True, True, False]


def test_each_list_is_newer_than_the_last_and_in_force(authority: Authority) -> None:
    seen = []
    for _ in range(3):
        granted(authority.issue(NETWORK, ON, DEVICE, request(), NOW))
        assert not isinstance(authority.revoke(DEVICE, NOW), Diagnostic)
        listed = x509.load_pem_x509_crl((authority.broker / acl.REVOKED).read_bytes())
        seen.append(listed.last_update_utc)
        assert listed.last_update_utc <= NOW
        assert listed.next_update_utc is not None
        assert listed.next_update_utc > NOW + timedelta(days=365 * 19)
    assert seen == sorted(set(seen))


def test_a_list_that_was_not_written_any_more_is_written_at_the_next_start(authority: Authority) -> None:
    leaf = granted(authority.issue(NETWORK, ON, DEVICE, request(), NOW))
    with (authority.folder / "issued.jsonl").open("a") as log:
        log.write(json.dumps({"revoked": f"{leaf.serial_number:x}", "at": NOW.isoformat()}) + "\n")
    assert revoked(authority) == set()
    assert authority.publish(NOW)
    assert revoked(authority) == {leaf.serial_number}
    assert not authority.publish(NOW)
    # who has ended by himself needs no longer be listed, which is no reason to write
    assert not authority.publish(NOW + 2 * pki.DEVICE_LIFE)


def test_a_line_that_was_cut_counts_as_never_written(authority: Authority) -> None:
    leaf = granted(authority.issue(NETWORK, ON, DEVICE, request(), NOW))
    log = authority.folder / "issued.jsonl"
    whole = log.read_bytes()
    for cut in range(1, len(whole), 37):
        log.write_bytes(whole + whole[:cut])
        assert len(authority.entries()) == 1
        granted(authority.issue(NETWORK, ON, BOARD, request(), NOW + timedelta(days=cut)))
        assert [e.name for e in authority.entries()] == [DEVICE, BOARD]
    assert authority.entries()[0].serial == f"{leaf.serial_number:x}"


def test_several_at_a_time_record_what_they_give(authority: Authority, tmp_path: Path) -> None:
    def ask(_: int) -> None:
        mine = opened(tmp_path)  # as another process has it
        for _ in range(3):
            granted(mine.issue(NETWORK, ON, BOARD, request(), NOW))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(ask, range(3)))
    assert len({entry.serial for entry in authority.entries()}) == 9


# -- the authority itself


def test_nothing_is_overwritten_and_mistakes_are_told(tmp_path: Path) -> None:
    state, keys = tmp_path / "hub", tmp_path / "keys"
    assert code(Authority.open(state)) == "ENV050"
    (short,) = init(state, keys, "ngắn", NETWORK, NOW)
    assert code(short) == "ENV024"
    assert not keys.exists()
    assert init(state, keys, PASSPHRASE, NETWORK, NOW) == ()
    (twice,) = init(state, keys, PASSPHRASE, NETWORK, NOW)
    assert code(twice) == "ENV020"
    (state / "pki").rename(state / "old")
    (wrong,) = init(state, keys, PASSPHRASE[::-1], NETWORK, NOW)
    assert code(wrong) == "ENV051"
    assert not (state / "pki").exists()
    (state / "pki").mkdir(mode=0o700)
    for name in ("ca.pem", "root.pem", "issued.jsonl"):
        (state / "pki" / name).write_bytes(b"")
    (state / "pki/ca.pem").chmod(0o600)
    assert code(Authority.open(state)) == "ENV051"
    (state / "pki/ca.pem").chmod(0o640)
    assert code(Authority.open(state)) == "ENV022"


def test_a_new_authority_keeps_the_root_and_admits_nobody_of_the_old_one(authority: Authority, tmp_path: Path) -> None:
    before = granted(authority.issue(NETWORK, ON, DEVICE, request(), NOW))
    root = (authority.folder / "root.pem").read_bytes()
    authority.folder.rename(tmp_path / "stolen")
    assert init(tmp_path / "hub", tmp_path / "keys", PASSPHRASE, NETWORK, NOW) == ()
    after = opened(tmp_path)
    assert (after.folder / "root.pem").read_bytes() == root
    leaf = granted(after.issue(NETWORK, ON, DEVICE, request(), NOW))
    gate = Gate(after.broker / acl.REVOKED)
    assert (gate.admit(der(before)), gate.admit(der(leaf))) == ("", DEVICE)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
