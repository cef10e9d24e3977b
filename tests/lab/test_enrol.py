"""Fresh devices on the bench, put into service and exchanged: real hosts, hub, broker and tunnel."""

from __future__ import annotations

import difflib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nms.provision.bench import fingerprint_of
from tests.lab.enrol_kit import ENROLMENT, Province, papers, until
from tests.lab.host import Host
from tests.lab.lab import PUBLIC, Lab
from tests.lab.town import wheel

FIRST, SECOND = "23557-L01", "23557-L02"
ANNOUNCE = "env PYTHONPATH=/opt/loa/receiver.whl python3 -m audio.receiver --announce /etc/loa-receiver/announce.toml"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def province(lab_image: Path) -> Iterator[Province]:
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="loa-e-") as folder:
        made = Province(lab, Path(folder))
        try:
            made.prepare()
            made.start()
            yield made
        finally:
            made.close()


def fresh(province: Province, number: int, serial: str, model: str = "Lab receiver") -> Host:
    """A factory-fresh host on the bench: it has no address of the overlay."""
    host = province.lab.host(f"bench-{number}", address=f"198.18.5.{number}", serial=serial, model=model)
    host.wait()
    return host


def enrol(province: Province, device: str, host: Host, *more: str) -> str:
    answer = province.loa(
        "enroll", device, "--host", host.address, "--fingerprint", fingerprint_of(host.host_key), *more
    )
    assert answer.code == 0, answer.out + answer.err + (province.folder / "hub.log").read_text()[-3000:]
    return answer.err


def refused(province: Province, *arguments: str) -> str:
    answer = province.loa(*arguments)
    assert answer.code == 1, answer.out + answer.err
    return answer.err


@pytest.fixture(scope="module")
def speaker(province: Province) -> Host:
    return fresh(province, 1, "SN-A")


def test_who_is_not_the_device_that_is_meant_is_left_as_it_is(province: Province, speaker: Host) -> None:
    before = province.station.read_text()
    right, wrong = fingerprint_of(speaker.host_key), "SHA256:" + "A" * 43
    at = ["--host", speaker.address, "--fingerprint"]
    assert "PLN600" in refused(province, "enroll", FIRST, *at, wrong)
    assert "inventory" in refused(province, "enroll", "23557-L09", *at, right)
    province.station.write_text(before.replace("    volume: {day: 70}", "    serial: SN-Z\n    volume: {day: 70}"))
    said = refused(province, "enroll", FIRST, *at, right)
    assert "PLN604" in said
    assert "SN-Z" in said
    assert "SN-A" in said
    province.station.write_text(before)
    board = fresh(province, 9, "SN-B", model="Loa board 7")
    assert "PLN603" in refused(
        province, "enroll", FIRST, "--host", board.address, "--fingerprint", fingerprint_of(board.host_key)
    )
    for host in (speaker, board):
        assert host.exec(["ls", "/etc/loa-receiver", "/var/lib/loa"], check=False).stdout == ""
    assert province.station.read_text() == before


def test_a_fresh_device_is_put_into_service(province: Province, speaker: Host) -> None:
    before = province.station.read_text()
    said = enrol(province, FIRST, speaker)
    for step in ("contact", "device", "certificate", "tunnel", "settings", "SNMP", "MQTT"):
        assert f"✔ {step}:" in said
    changed = list(difflib.unified_diff(before.splitlines(), province.station.read_text().splitlines(), n=0))
    assert len([line for line in changed if line.startswith("@@")]) == 1
    assert [line for line in changed[3:] if line.startswith("-")] == []
    device = province.network().devices[FIRST]  # type: ignore[index]
    assert (device.serial, device.host_key) == ("SN-A", " ".join(speaker.host_key.split()[:2]))
    assert device.public_key in province.accepted()
    assert speaker.exec(["systemctl", "is-active", "loa-receiver"]).stdout == "active\n"
    (record,) = province.records(FIRST)
    assert record["kind"] == "enrolment"
    assert record["fields"]["serial"] == "SN-A"
    assert record["fields"]["tone"] in ("none", "silent", "heard")
    print(said, record["fields"]["tone"])
    province.reload()
    until(lambda: device.public_key in province.accepted(), "the tunnel follows the inventory")
    plan = province.loa("plan", f"device={FIRST}", "--json")
    assert plan.code == 0, plan.err
    found = plan.json()["plan"]
    assert (found["changed"], found["unreachable"]) == (0, []), "a device that was enrolled is as it should be"


def test_done_again_it_is_found_done(province: Province, speaker: Host) -> None:
    certificate = speaker.read("/etc/loa-receiver/certificate.pem")
    before = province.station.read_text()
    enrol(province, FIRST, speaker)
    assert speaker.read("/etc/loa-receiver/certificate.pem") == certificate
    assert province.station.read_text() == before


def test_it_is_no_other_device(province: Province, speaker: Host) -> None:
    key = fingerprint_of(speaker.host_key)
    address = "10.184.10.1"  # where it is by now; its bench is shut
    assert "PLN602" in refused(province, "enroll", SECOND, "--host", address, "--fingerprint", key)


def test_a_device_announces_itself_and_is_bound(province: Province) -> None:
    host = fresh(province, 2, "SN-C")
    (host.disk / "opt/loa").mkdir(parents=True, exist_ok=True)
    (host.disk / "opt/loa/receiver.whl").write_bytes(wheel())
    host.write("/etc/loa-receiver/ca.pem", (province.state / "pki" / "root.pem").read_text())
    host.write("/etc/hosts", f"127.0.0.1 localhost\n{PUBLIC} hub.example\n")
    settings = f'hub = "hub.example:{ENROLMENT}"\nca = "ca.pem"\nkey = "key.pem"\nevery = 1\n'
    host.write("/etc/loa-receiver/announce.toml", settings)
    host.exec(["systemd-run", "--quiet", "--unit=loa-announce", *ANNOUNCE.split()])

    def pending() -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(province.done("pending", "--json"))["pending"]
        return found

    (one,) = until(pending, "the announcement")
    assert (one["serial"], one["model"], one["address"]) == ("SN-C", "Lab receiver", host.address)
    assert one["host_key"] == fingerprint_of(host.host_key)
    console = host.exec(["journalctl", "--output=cat", "--unit=loa-announce"]).stdout
    shown = next(line for line in console.splitlines() if "fingerprint: " in line).rpartition("fingerprint: ")[2]
    assert shown.replace(" ", "") == one["fingerprint"]
    assert "PLN614" in refused(province, "bind", "f" * 64, SECOND)
    answer = province.loa("bind", shown, SECOND)
    assert answer.code == 0, answer.err
    assert pending() == [] or pending()[0]["fingerprint"] == one["fingerprint"]
    assert province.network().devices[SECOND].serial == "SN-C"  # type: ignore[index]


def test_a_spare_takes_the_place_and_the_old_unit_is_refused_everywhere(province: Province, speaker: Host) -> None:
    before = province.station.read_text()
    old, old_papers = province.network().devices[FIRST], papers(speaker, province.folder / "old")  # type: ignore[index]
    assert province.fetched(old_papers) == 200
    assert province.greeted(old_papers)
    assert speaker.exec(["ping", "-c1", "-W5", "10.0.0.1"]).returncode == 0
    spare = fresh(province, 3, "SN-D")
    answer = province.loa(
        "replace", FIRST, "--serial", "SN-D", "--host", spare.address, "--fingerprint", fingerprint_of(spare.host_key)
    )
    assert answer.code == 0, answer.out + answer.err
    lines = list(difflib.unified_diff(before.splitlines(), province.station.read_text().splitlines(), n=0))
    assert len([line for line in lines if line.startswith("@@")]) == 1
    assert "# the school is near" in province.station.read_text()
    new = province.network().devices[FIRST]  # type: ignore[index]
    assert new.serial == "SN-D"
    assert new.volume.day == 70
    assert new.public_key in province.accepted()
    assert old.public_key not in province.accepted()
    assert province.fetched(old_papers) == 403
    assert not province.greeted(old_papers)
    assert speaker.exec(["ping", "-c1", "-W2", "10.0.0.1"], check=False).returncode == 1
    assert [r["kind"] for r in province.records(FIRST)][:2] == ["enrolment", "replacement"]
    assert province.records(FIRST)[1]["fields"]["previous"] == "SN-A"
    assert len(province.records(FIRST)) >= 3
