"""A modem on the bench by the verbs: who may, what is compared, what goes into the file, how it is exchanged."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from audio.desk import Refusals
from audio.documents import Result, TrialKind
from audio.trials import Tried
from inventory.model import Device, DeviceId, DeviceKind, Person, PersonId, Role, UnitId
from nms.provision import pending
from nms.provision.pending import Announcement
from nms.provision.site import Tone
from tests.tui.enrol_town import MODEM, Town, now, town
from tests.tui.loa_command import Shell
from tui.enrolling import sound

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("wg") is None, reason="no wg here")]
KEY = "5e" * 32


@pytest.fixture
def ford(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path) as running:
        yield running


def shown(ford: Town) -> str:
    from nms.provision.bench import fingerprint_of

    return fingerprint_of(ford.modem.host_key)


def enroll(ford: Town, *more: str) -> tuple[str, ...]:
    return ("enroll", MODEM, "--host", ford.modem.address, "--fingerprint", shown(ford), *more)


def test_a_modem_comes_into_service(ford: Town, shell: Shell) -> None:
    before = ford.station.read_text()
    answer = ford.loa(shell, *enroll(ford))
    assert answer.code == 0, answer.err
    assert [line.split(":")[0] for line in answer.err.splitlines() if line.startswith("✔")] == [
        "✔ contact",
        "✔ device",
        "✔ tunnel",
        "✔ settings",
        "✔ SNMP",
    ]
    device = ford.network().devices[MODEM]
    assert device.serial == "1122334455"
    assert device.host_key == ford.modem.host_key
    assert device.public_key in ford.peers
    hunks = list(difflib.unified_diff(before.splitlines(), ford.station.read_text().splitlines(), n=0))
    assert [line[0] for line in hunks[2:]] == ["@", "+", "+", "+"]
    assert ford.modem.box.apn() == "m-wap"
    assert "SFsxSGqx" not in answer.err + answer.out + ford.station.read_text()  # the private half stays there
    assert answer.out.splitlines()[-1].startswith(f"LOA {MODEM}")
    (record,) = ford.loa(shell, "records", MODEM, "--json").json()["records"]
    assert (record["kind"], record["fields"]["serial"]) == ("enrolment", "1122334455")
    again = ford.loa(shell, *enroll(ford), "--json")
    assert again.json()["enrolled"]["serial"] == "1122334455"
    assert ford.network().devices[MODEM].public_key == device.public_key


def test_a_device_that_does_not_answer_afterwards_is_said_to_be(ford: Town, shell: Shell) -> None:
    answer = ford.loa(shell, "enroll", MODEM, "--host", "127.0.0.9", "--fingerprint", shown(ford))
    assert (answer.code, "PLN607" in answer.err) == (1, True)
    wrong = "SHA256:" + "B" * 43
    answer = ford.loa(shell, "enroll", MODEM, "--host", ford.modem.address, "--fingerprint", wrong)
    assert (answer.code, "PLN600" in answer.err) == (1, True)
    assert ford.modem.logins == 0


def test_who_is_no_technician_there_touches_nothing(ford: Town, shell: Shell) -> None:
    for who, code in (("nga", "PLN231"), ("nobody-here", "CFG104")):
        answer = ford.loa(shell, *enroll(ford), who=who)
        assert (answer.code, code in answer.err) == (1, True)
        answer = ford.loa(shell, "replace", MODEM, "--serial", "SN-2", who=who)
        assert (answer.code, code in answer.err) == (1, True)
    assert ford.modem.logins == 0


def test_nobody_is_asked_where_nobody_can_answer(ford: Town, shell: Shell) -> None:
    answer = ford.loa(shell, "enroll", MODEM, "--host", ford.modem.address)
    assert answer.code == 2
    assert shown(ford) in answer.err
    assert ford.modem.logins == 0


def test_the_factory_s_password_opens_once(ford: Town, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    ford.modem.authorized, hub = "", ford.modem.authorized
    ford.modem.password = "mật khẩu xuất xưởng"  # noqa: S105 (it is nobody's)
    monkeypatch.setattr("sys.stdin", io.StringIO("sai\n"))
    answer = ford.loa(shell, *enroll(ford), "--password")
    assert answer.code == 1
    assert "sai" not in answer.err.split("PLN")[-1].split()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ford.modem.password}\n"))
    ford.loa(shell, *enroll(ford), "--password")
    kept = ford.home / "modems" / MODEM / "etc" / "dropbear" / "authorized_keys"
    assert kept.read_text().split()[:2] == hub.split()[:2]
    assert ford.modem.password not in "".join(p.read_text(errors="replace") for p in ford.home.rglob("*.yaml"))


def test_a_spare_takes_the_place(ford: Town, shell: Shell) -> None:
    assert ford.loa(shell, *enroll(ford)).code == 0
    old, before = ford.network().devices[MODEM], ford.station.read_text()
    for serial, code in (("1122334455", "PLN616"), ("SN-OTHER", "PLN617"), ("SN 3", "PLN619")):
        answer = ford.loa(shell, "replace", MODEM, "--serial", serial)
        assert code in answer.err
    answer = ford.loa(shell, "replace", MODEM, "--serial", "SN-2", "--json")
    assert answer.json()["replaced"] == {"device": MODEM, "previous": "1122334455", "serial": "SN-2", "revoked": 0}
    device = ford.network().devices[MODEM]
    assert (device.serial, device.public_key, device.host_key) == ("SN-2", "", "")
    assert old.public_key not in ford.peers
    changed = [x for x in difflib.unified_diff(before.splitlines(), ford.station.read_text().splitlines(), n=0)]
    assert len([line for line in changed if line.startswith("@@")]) == 1
    assert "# across the ford" in ford.station.read_text()
    # the old unit, plugged in again
    answer = ford.loa(shell, *enroll(ford))
    assert (answer.code, "PLN605" in answer.err) == (1, True)
    kinds = [r["kind"] for r in ford.loa(shell, "records", MODEM, "--json").json()["records"]]
    assert kinds == ["replacement", "enrolment"]


def test_who_announced_himself_is_listed_and_bound_by_his_key(ford: Town, shell: Shell) -> None:
    assert ford.loa(shell, "pending").out == "no device waits\n"
    said = Announcement(KEY, "GL-X750", "1122334455", ford.modem.address, "SHA256:" + "C" * 43)
    ford.store.write_sync(lambda s: pending.keep(s, said, now()))
    (one,) = ford.loa(shell, "pending", "--json").json()["pending"]
    assert (one["fingerprint"], one["address"]) == (KEY, ford.modem.address)
    assert "5e5e 5e5e" in ford.loa(shell, "pending").out
    for fingerprint, code in (("6f" * 32, "PLN614"), (KEY[:8], "PLN615"), (KEY, "PLN600")):
        answer = ford.loa(shell, "bind", fingerprint, MODEM)
        assert (answer.code, code in answer.err) == (1, True), answer.err
    assert ford.modem.logins == 0


@dataclass
class Orders:
    """A hub's orders of trials, answered as devices answer them: by day, in quiet hours, without a clock."""

    answers: dict[bool, Tried | Refusals]
    asked: list[bool] = field(default_factory=list)

    async def test_tone(self, person: Person, device: str, silent: bool) -> Tried | Refusals:
        self.asked.append(silent)
        return self.answers[silent]


def tried(kind: TrialKind, result: Result) -> Tried:
    return Tried("23557-L01", kind, result, "")


@pytest.mark.parametrize(
    ("tone", "check", "proven", "asked"),
    [
        (Result.PLAYED, Result.CHECKED, Tone.HEARD, [False]),
        (Result.REFUSED, Result.CHECKED, Tone.SILENT, [False, True]),
        (Result.REFUSED, Result.REFUSED, Tone.NONE, [False, True]),
        (Result.MISSED, Result.CHECKED, Tone.NONE, [False]),
    ],
)
async def test_in_quiet_hours_the_sound_is_checked_in_silence(
    tone: Result, check: Result, proven: Tone, asked: list[bool]
) -> None:
    device = Device(DeviceId("23557-L01"), DeviceKind.LOUDSPEAKER, UnitId("23557"), None, "loa-receiver", now().date())
    person = Person(PersonId("lan"), "Lan", "lan", (Role.TECHNICIAN,), UnitId("64"))
    orders = Orders({False: tried(TrialKind.TONE, tone), True: tried(TrialKind.CHECK, check)})
    assert await sound(orders)(device, person) is proven
    assert orders.asked == asked
    nobody = Orders({False: ()})
    assert await sound(nobody)(device, person) is Tone.NONE
