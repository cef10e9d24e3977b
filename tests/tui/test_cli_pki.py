"""``loa pki`` as a technician meets it, and a hub that does not leave the machine without certificates."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from audio.receiver.renewal import make_request
from tests.tui.loa_command import Shell, program

PASSPHRASE = "sông Ba chảy về Phú Yên"  # noqa: S105 (of keys that live as long as a test)
HUB = '\nhub: {name: hub.example, endpoint: "hub.example:51820", public_key: "' + "A" * 43 + '="}\n'
DEVICE = "23557-L01"
STATION = f"""\
unit: "23557"
hamlets:
  - {{id: 23557-H01, name: "1", word: tổ dân phố}}
loudspeakers:
  - id: {DEVICE}
    hamlet: 23557-H01
    profile: loa-receiver
    in_service: 2024-01-01
    sim: {{number: "0000000002", iccid: "8984000000000000002"}}
    serial: SN1
"""


@pytest.fixture
def province(shell: Shell, tmp_path: Path) -> Path:
    """A new province with one device; its keys lie beside it."""
    folder = tmp_path / "tinh"
    made = shell.loa("init", "--code", "64", "--name", "Gia Lai", folder, LOA_ROOT_PASSPHRASE=PASSPHRASE)
    assert made.code == 0, made.err
    with (folder / "network.yaml").open("a") as file:
        file.write(HUB)
    with (folder / "units.yaml").open("a") as file:
        file.write('  - {id: "23557", code: "23557", name: Phường Yên Đỗ, type: ward, parent: "64"}\n')
    (folder / "stations" / "23557-yen-do.yaml").write_text(STATION)
    checked = shell.loa("--inventory", folder, "validate")
    assert checked.code == 0, checked.err
    return folder


def pki(shell: Shell, province: Path, *arguments: str | Path, passphrase: str = PASSPHRASE) -> tuple[int, str, str]:
    keys = str(province.with_name("tinh.keys"))
    answer = shell.loa("--inventory", province, "pki", *arguments, LOA_KEYS=keys, LOA_ROOT_PASSPHRASE=passphrase)
    assert "PRIVATE KEY" not in answer.out + answer.err
    assert PASSPHRASE not in answer.out + answer.err
    return answer.code, answer.out, answer.err


def test_from_nothing_to_a_certified_and_a_refused_device(shell: Shell, province: Path, tmp_path: Path) -> None:
    code, out, err = pki(shell, province, "init")
    assert (code, err) == (0, "")
    assert "ca-root.pem" in out
    code, out, err = pki(shell, province, "hub")
    assert (code, err) == (0, "")
    assert "hub.example" in out
    broker = shell.home / "state" / "broker"
    names = {"mosquitto.conf", "acl", "acl-enrolment", "ca.pem", "crl.pem", "server.pem"}
    assert {p.name for p in broker.iterdir()} == names
    assert "listener 8883\n" in (broker / "mosquitto.conf").read_text()
    assert f"user {DEVICE}\n" in (broker / "acl").read_text()

    key, request = make_request(DEVICE)
    (tmp_path / "device.csr").write_bytes(request)
    code, chain, err = pki(shell, province, "issue", DEVICE, "--csr", tmp_path / "device.csr")
    assert code == 0, err
    assert chain.count("BEGIN CERTIFICATE") == 2
    assert DEVICE in err
    code, out, _ = pki(shell, province, "list")
    assert [line.split()[0] for line in out.splitlines()] == ["server", "hub", DEVICE]

    code, out, err = pki(shell, province, "revoke", DEVICE)
    assert code == 0
    assert out.startswith(f"{DEVICE}  thu hồi ")
    assert "khởi động lại" in err
    answer = shell.loa("--inventory", province, "pki", "list", "--json").json()
    assert [(c["name"], c["valid"]) for c in answer["certificates"]][-1] == (DEVICE, False)
    assert answer["certificates"][-1]["revoked"]
    # all that anybody else could read is public
    readable = [p for p in (shell.home / "state").rglob("*") if p.is_file() and stat.S_IMODE(p.stat().st_mode) & 0o004]
    assert [p.name for p in readable] == ["root.pem"]
    assert key


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("hub",), "ENV050"),
        (("list",), "ENV050"),
        (("revoke", DEVICE), "ENV050"),
    ],
)
def test_before_there_is_an_authority(shell: Shell, province: Path, arguments: tuple[str, ...], code: str) -> None:
    ended, out, err = pki(shell, province, *arguments)
    assert (ended, out) == (1, "")
    assert f"lỗi[{code}]" in err
    assert "loa pki init" in err


def test_mistakes_are_told_and_change_nothing(shell: Shell, province: Path, tmp_path: Path) -> None:
    assert pki(shell, province, "init", passphrase=PASSPHRASE[:4])[0] == 1
    assert pki(shell, province, "init")[0] == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()}
    (tmp_path / "device.csr").write_bytes(make_request(DEVICE)[1])
    for arguments, code in (
        (("init",), "ENV020"),
        (("issue", "23557-L09", "--csr", tmp_path / "device.csr"), "ENV053"),
        (("issue", DEVICE, "--csr", province / "network.yaml"), "ENV052"),
        (("revoke", DEVICE), "ENV056"),
    ):
        ended, out, err = pki(shell, province, *arguments)
        assert (ended, out) == (1, "")
        assert f"lỗi[{code}]" in err
    for wrong in (("issue",), ("issue", DEVICE), ("revoke",), ("hub", DEVICE), ("list", "--csr", "x"), ("sign",)):
        assert pki(shell, province, *wrong)[0] == 2
    (tmp_path / "device.csr").unlink()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()} == before


def test_without_the_hubs_name_nothing_is_certified(shell: Shell, province: Path) -> None:
    network = province / "network.yaml"
    network.write_text(network.read_text().replace(HUB, ""))
    assert pki(shell, province, "init")[0] == 0
    ended, _, err = pki(shell, province, "hub")
    assert ended == 1
    assert "lỗi[ENV057]" in err


@pytest.mark.parametrize("setting", ["LOA_MQTT_HOST", "LOA_CONTENT_HOST"])
def test_without_certificates_the_hub_stays_on_its_machine(
    shell: Shell, province: Path, tmp_path: Path, setting: str
) -> None:
    keys = str(province.with_name("tinh.keys"))
    signed = shell.loa("--inventory", province, "policies", LOA_KEYS=keys, LOA_ROOT_PASSPHRASE=PASSPHRASE)
    assert signed.code == 0, signed.err
    elsewhere = {"LOA_KEYS": keys, setting: "192.0.2.7", "LOA_LANG": "vi"}
    answer = program(tmp_path, "--inventory", province, "serve", **elsewhere)
    assert answer.code == 1
    assert "lỗi[ENV059]" in answer.err
    assert "192.0.2.7" in answer.err
