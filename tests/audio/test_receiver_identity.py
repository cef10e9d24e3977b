"""What a device takes for its own certificate, and whom it takes for the hub."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from audio.receiver.identity import Files, Identity, IdentityRefused, examine
from audio.receiver.renewal import make_request
from inventory.diagnostics import Diagnostic
from nms.provision import pki
from tests.audio.province import ON
from tests.audio.tls_kit import Papers, now

DEVICE, OTHER = "23557-L01", "23557-L02"


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers.make(tmp_path_factory.mktemp("province"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers.make(tmp_path_factory.mktemp("stranger"))


def identity(files: Files, state: Path, *, believed: bool = True) -> Identity:
    return Identity(DEVICE, files, state, lambda: believed)


def chain(papers: Papers, request: bytes, device: str = DEVICE) -> bytes:
    given = papers.authority.issue(papers.network, ON, device, request, now())
    assert not isinstance(given, Diagnostic)
    return given.chain


def test_a_certificate_says_whose_it_is_and_how_long(papers: Papers, tmp_path: Path) -> None:
    found = examine(papers.aged(DEVICE, timedelta(days=29), tmp_path))
    assert found.device == DEVICE
    assert found.serial == papers.authority.entries()[-1].serial
    assert found.due(now().timestamp())
    assert not found.due((now() - timedelta(days=2)).timestamp())


def test_an_ended_certificate_is_still_this_devices(papers: Papers, tmp_path: Path) -> None:
    found = identity(papers.aged(DEVICE, timedelta(days=-5), tmp_path), tmp_path)
    assert found.certificate.ends < now().timestamp()


def test_what_is_not_this_devices_is_refused(papers: Papers, stranger: Papers, tmp_path: Path) -> None:
    mine, others = papers.enrol(DEVICE, tmp_path / "a"), papers.enrol(OTHER, tmp_path / "b")
    wrong = {
        "23557-L02": others,
        "mismatch": replace(mine, key=others.key),
        "unable to get": replace(mine, ca=stranger.root),
        "No such file": replace(mine, key=tmp_path / "none"),
    }
    for reason, files in wrong.items():
        with pytest.raises(IdentityRefused, match=reason):
            identity(files, tmp_path)


def test_a_server_may_not_pose_as_a_device(papers: Papers, tmp_path: Path) -> None:
    key = pki.new_key()
    made = papers.authority._record(pki.server(papers.authority._issuer, key.public_key(), [DEVICE], now()))
    with pytest.raises(IdentityRefused, match="unsuitable certificate purpose"):
        examine(papers.write(DEVICE, pki.key_pem(key), made.chain, tmp_path))


def test_a_renewed_certificate_lasts_over_a_restart(papers: Papers, tmp_path: Path) -> None:
    files = papers.aged(DEVICE, timedelta(days=5), tmp_path)
    before = identity(files, tmp_path)
    old, key = before.certificate, make_request(DEVICE)
    before.take(key[0], chain(papers, key[1]))
    after = identity(files, tmp_path)
    assert after.certificate == before.certificate != old
    assert after.client_id == f"{DEVICE}-{papers.authority.entries()[-1].serial}"
    assert not after.certificate.due(now().timestamp())
    stored = tmp_path / "identity.pem"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir() if "identity" in p.name) == [stored.name]
    # enrolled again, later: the new enrolment counts
    again = papers.aged(DEVICE, timedelta(days=91), tmp_path)
    assert identity(again, tmp_path).certificate == examine(again)


def test_a_file_cut_at_any_byte_leaves_the_old_certificate_in_use(papers: Papers, tmp_path: Path) -> None:
    files = papers.aged(DEVICE, timedelta(days=5), tmp_path)
    old = examine(files)
    key, request = make_request(DEVICE)
    whole = key + chain(papers, request)
    leaf = whole.index(b"-----END CERTIFICATE-----") + 25
    for cut in [*range(0, leaf, 101), leaf - 1]:
        (tmp_path / "identity.pem").write_bytes(whole[:cut])
        assert identity(files, tmp_path).certificate == old
    (tmp_path / "identity.pem").write_bytes(whole)
    assert identity(files, tmp_path).certificate != old


def test_an_answer_that_is_not_for_this_device_changes_nothing(
    papers: Papers, stranger: Papers, tmp_path: Path
) -> None:
    mine = identity(papers.enrol(DEVICE, tmp_path), tmp_path)
    before = mine.certificate
    key, request = make_request(DEVICE)
    for answer in (
        chain(papers, request, OTHER),
        chain(stranger, request),
        chain(papers, make_request(DEVICE)[1]),
        b"",
        b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
    ):
        with pytest.raises(IdentityRefused):
            mine.take(key, answer)
        assert mine.certificate == before
    assert not (tmp_path / "identity.pem").exists()


@pytest.mark.parametrize("believed", [True, False])
def test_dates_count_only_while_the_clock_is_believed(papers: Papers, tmp_path: Path, believed: bool) -> None:
    key = pki.new_key()
    issuer = papers.authority._issuer
    ended = pki.server(issuer, key.public_key(), ["127.0.0.1"], now() - 2 * pki.HUB_LIFE)
    server = papers.write("server", pki.key_pem(key), pki.pem(ended) + pki.pem(issuer.certificate), tmp_path / "s")
    mine = identity(papers.enrol(DEVICE, tmp_path), tmp_path, believed=believed)
    if believed:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            meet(mine, server, "127.0.0.1")
    else:
        meet(mine, server, "127.0.0.1")
    # who it is counts always
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        meet(mine, server, "127.0.0.2")


def meet(mine: Identity, server: Files, name: str) -> None:
    """A handshake in memory."""
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.load_cert_chain(server.certificate, server.key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = mine.context().wrap_bio(back, there, server_hostname=name), accepting.wrap_bio(there, back, True)
    for side in (*sides, sides[0]):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
