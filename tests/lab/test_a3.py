"""Scenario A3, across the broken ford: buôn Chư Tê, xã Ia Rsai, 10–11/11/2025.

A new access point for six modems, of which one cannot register on it; a loudspeaker whose mains fail during its change;
a burnt unit whose place a spare takes at 21:40, when nothing may be heard, and which is heard at 07:30.
"""

from __future__ import annotations

import difflib
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from audio.receiver.renewal import make_request
from inventory.coverage import HamletCoverage, hamlet_coverage
from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision.authority import Authority
from nms.provision.bench import fingerprint_of
from tests.lab.enrol_kit import FILES, Province, until
from tests.lab.host import Host
from tests.lab.hub_kit import enrol, following, fresh, log, restart, rollout, running, tell_the_hour
from tests.lab.link import WEAK_4G
from tests.lab.modem_kit import LabFleet

OLD, NEW = "v-internet", "m-wap"
MODEMS: Final = [DeviceId(f"24112-M0{n}") for n in range(1, 7)]
OFFICE, GOOD, DEAF, *UNTOUCHED = MODEMS
BURNT, DARK = DeviceId("24112-L01"), DeviceId("24112-L02")
STATION: Final = "stations/24112-ia-rsai.yaml"
BURNT_KEY: Final = "Y" * 42 + "A="
HEAD: Final = """\
province: "64"
name: Gia Lai
overlay: 10
profiles: [loa-receiver, openwrt]
hub: {name: hub.example, endpoint: "%s:%d", public_key: "%s"}
rollout: {canary: 1, waves: [4], limit: 0, confirm: 45s}
quiet_hours:
  - {unit: "64", start: "21:00", end: "05:00"}
"""
UNITS: Final = """\
units:
  - {id: "64", code: "64", name: Tỉnh Gia Lai, type: province}
  - {id: "637", code: "637", name: Huyện Krông Pa, type: district, parent: "64"}
  - {id: "24112", code: "24112", name: Xã Ia Rsai, type: commune, parent: "637", aliases: [Ia Rsai]}
"""
CLUSTERS: Final = """\
unit: "24112"
station:
  technologies: [{technology: ip, from: 2024-01-01}]
hamlets:
  - {id: 24112-H01, name: Ơi Kia, word: buôn, languages: [jra, vi], population: 640}
  - {id: 24112-H02, name: Chư Tê, word: buôn, languages: [jra, vi], population: 410}
loudspeakers:
  # beyond the ford; its unit burnt in the storm of 06/11
  - id: 24112-L01
    profile: loa-receiver
    hamlet: 24112-H01
    location: {lat: 13.2301, lon: 108.6102}
    sim: {number: "0849000001", iccid: "898400000000000001"}
    volume: {day: 75, early: 55, emergency: 95}  # the clinic is next door
    sound: none
    in_service: 2024-01-01
    serial: SN-CHAY
    public_key: YYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYA=
  - id: 24112-L02
    profile: loa-receiver
    hamlet: 24112-H02
    sim: {number: "0849000002", iccid: "898400000000000002"}
    in_service: 2024-01-01
    sound: none
modems:
"""
MODEM: Final = """\
  - {{id: {id}, profile: openwrt, sim: {{number: "08491000{n}", iccid: "8985{n}", apn: {apn}}}, in_service: 2024-01-01,
     host_key: "{key}"}}
"""
TOUCHED: Final = (
    "/etc/sysctl.d/90-loa.conf",
    "/etc/systemd/timesyncd.conf.d/loa.conf",
    "/etc/systemd/journald.conf.d/loa.conf",
    "/etc/loa-receiver/policy.b64",
)
NIGHT: Final = date(2025, 11, 10)
EVENING, MORNING = "2025-11-10T21:35:00+07:00", "2025-11-11T07:30:00+07:00"

pytestmark = pytest.mark.slow


@dataclass
class Commune:
    """``fleet``: the modems; ``dark``: the host whose mains fail; ``burnt``: papers of the burnt unit."""

    province: Province
    fleet: LabFleet
    dark: Host
    burnt: Path

    @property
    def station(self) -> Path:
        return self.province.inventory / STATION

    def use(self, apn: str) -> None:
        text = self.station.read_text()
        self.station.write_text(re.sub(r"apn: \S+?}", f"apn: {apn}}}", text))


def hour(shown: str) -> str:
    """From now on it is that hour."""
    return f"{shown}@{time.time()!r}"


@pytest.fixture(scope="module")
def commune(lab_image: Path) -> Iterator[Commune]:
    files = {name: text for name, text in FILES.items() if not name.startswith("stations/")}
    files |= {"units.yaml": UNITS, STATION: CLUSTERS.replace("modems:\n", "")}
    with ExitStack() as stack:
        province = stack.enter_context(running(files=files, head=HEAD, more={"LOA_CLOCK": hour(EVENING)}))
        fleet = stack.enter_context(
            LabFleet(province.lab, province.folder / "modems", MODEMS, apns=frozenset({OLD, NEW}), link=WEAK_4G)
        )
        fleet.let_in((province.state / "ssh" / "hub.pub").read_text())
        fleet[DEAF].apns = {OLD}
        dark = fresh(province, 1, "SN-TOI")
        tell_the_hour(dark, province.more["LOA_CLOCK"])
        made = Commune(province, fleet, dark, papers_of_burnt(province))
        lines = [MODEM.format(id=d, n=d[-1], apn=OLD, key=fleet[d].host_key.strip()) for d in MODEMS]
        made.station.write_text(f"{CLUSTERS}{''.join(lines)}")
        enrol(province, DARK, dark)
        yield made


def papers_of_burnt(province: Province) -> Path:
    """What the burnt unit had to show, from the day it was enrolled."""
    authority = Authority.open(province.state)
    assert isinstance(authority, Authority)
    key, request = make_request("whoever")
    given = authority.issue(province.network(), NIGHT, BURNT, request, datetime.now(UTC), "")
    assert not isinstance(given, Diagnostic), given
    folder = province.folder / "burnt"
    folder.mkdir()
    (folder / "certificate.pem").write_bytes(given.chain)
    (folder / "key.pem").write_bytes(key)
    return folder


def test_the_new_access_point_stops_at_the_modem_that_cannot_register(commune: Commune) -> None:
    province, fleet = commune.province, commune.fleet
    old = by_hand(commune.dark)
    commune.use(NEW)
    province.done("policies")
    plan = province.folder / "apn.plan"
    seen = province.loa("--lang", "vi", "plan", "commune=24112", "-o", str(plan), "--refresh")
    assert seen.code == 4, seen.out + seen.err
    assert f"-{OLD}" in seen.out
    assert f"+{NEW}" in seen.out
    assert BURNT in seen.out  # nobody has reached it, and the plan says so
    before = {d: fleet.bytes(d) for d in MODEMS}
    client = following(province, "--lang", "vi", "apply", str(plan))
    mains_fail(commune.dark)
    out, _ = client.communicate(timeout=300)
    assert client.returncode == 1, out
    print(out)
    found = {one["device"]: one for one in rollout(province)["devices"]}
    assert found[OFFICE]["wave"] == 1
    assert {d: found[d]["outcome"] for d in MODEMS} == {
        OFFICE: "applied",
        GOOD: "applied",
        DEAF: "restored",
        **dict.fromkeys(UNTOUCHED, "untouched"),
    }
    assert found[BURNT]["outcome"] == "untouched"  # deferred, until the roll-out stopped
    apns = {d: fleet[d].box.apn() for d in MODEMS}
    assert apns == {OFFICE: NEW, GOOD: NEW, **dict.fromkeys([DEAF, *UNTOUCHED], OLD)}  # nobody crosses the ford
    line = next(line for line in out.splitlines() if DEAF in line and "khôi phục" in line)
    assert "PLN311" in line
    assert any(all(d in line for d in UNTOUCHED) for line in out.splitlines() if line.startswith("Chưa"))
    same = {commune.dark.read(name) == text for name, text in old.items()}
    assert len(same) == 1  # old or new, never between
    assert found[DARK]["outcome"] == ("restored" if same == {True} else "applied")
    print(f"{DARK}, whose mains failed during its change: {found[DARK]['outcome']}")
    for device in MODEMS:
        link = [now - then for now, then in zip(fleet.bytes(device), before[device], strict=True)]
        print(f"{device}: {found[device]['sent']} B sent, {found[device]['received']} B received; link {link}")


def by_hand(host: Host) -> dict[str, str]:
    """Somebody has changed several files there, which the change is to mend: what they are like."""
    for name in TOUCHED:
        host.exec(["sh", "-c", f"echo '# by hand' >>{name}"])
    return {name: host.read(name) for name in TOUCHED}


def mains_fail(host: Host) -> None:
    """As soon as its change has begun; they are back after a while."""
    state = host.disk / "var/lib/loa/state"
    until(lambda: any((state / moment).is_dir() for moment in ("preparing", "committed", "active")), "a change", 300)
    host.cut()
    time.sleep(2)
    host.power_on()
    host.wait()
    host.exec(["systemctl", "is-system-running", "--wait"], check=False)


@pytest.fixture(scope="module")
def spare(commune: Commune) -> Host:
    """At 21:40, in the dark, in place of the burnt one."""
    province = commune.province
    host = fresh(province, 2, "SN-DU")
    tell_the_hour(host, province.more["LOA_CLOCK"])
    assert province.fetched(commune.burnt) == 200
    assert province.greeted(commune.burnt)
    assert BURNT_KEY in province.accepted()
    return host


def test_the_spare_takes_the_place_of_the_burnt_one(commune: Commune, spare: Host) -> None:
    province = commune.province
    before, old, covered = commune.station.read_text(), province.network().devices[BURNT], coverage(province)
    known = fingerprint_of(spare.host_key)
    done = province.loa("replace", BURNT, "--serial", "SN-DU", "--host", spare.address, "--fingerprint", known)
    assert done.code == 0, done.out + done.err + log(province)[-3000:]
    province.reload()
    lines = list(difflib.unified_diff(before.splitlines(), commune.station.read_text().splitlines(), n=0))
    assert len([line for line in lines if line.startswith("@@")]) == 1
    assert [line for line in before.splitlines() if "#" in line] == [
        line for line in commune.station.read_text().splitlines() if "#" in line
    ]
    new = province.network().devices[BURNT]
    assert (new.serial, new.volume, new.hamlet, new.in_service) == ("SN-DU", old.volume, old.hamlet, old.in_service)
    assert coverage(province) == covered
    assert [one["kind"] for one in province.records(BURNT)] == ["enrolment", "replacement"]
    assert province.records(BURNT)[1]["fields"]["previous"] == "SN-CHAY"
    assert province.fetched(commune.burnt) == 403
    until(lambda: not province.greeted(commune.burnt), "the broker refuses the burnt one")
    assert BURNT_KEY not in province.accepted()
    assert new.public_key in province.accepted()


def coverage(province: Province) -> HamletCoverage:
    return hamlet_coverage(province.network(), NIGHT, NIGHT)


def test_at_night_nothing_is_heard_and_in_the_morning_the_tone_is(commune: Commune, spare: Host) -> None:
    province = commune.province
    assert province.records(BURNT)[0]["fields"]["tone"] == "silent"
    assert tone(province) == (1, "refused", "quiet hours")
    assert tone(province, "--silent")[:2] == (0, "checked")
    accepted = accept(province, "silent")
    assert accepted["missing"] == ["tone"]
    assert not heard(spare)
    province.more["LOA_CLOCK"] = hour(MORNING)
    restart(province)
    tell_the_hour(spare, province.more["LOA_CLOCK"])
    spare.exec(["systemctl", "restart", "loa-receiver"])
    until(lambda: tone(province)[:2] == (0, "played"), "the tone", 180)
    assert heard(spare)
    accepted = accept(province, "heard")
    assert accepted["missing"] == []
    fields = accepted["fields"]
    assert (fields["serial"], fields["signal"], fields["level"]) == ("SN-DU", "-97.0", "91.0")
    assert (fields["latitude"], fields["longitude"], fields["day"]) == ("13.2301", "108.6102", "75")
    assert [one["kind"] for one in province.records(BURNT)][:2] == ["acceptance", "acceptance"]


def tone(province: Province, *more: str) -> tuple[int, str, str]:
    answer = province.loa("tone", BURNT, "--json", *more)
    found = answer.json() if answer.out else {"result": answer.err, "reason": ""}
    return answer.code, found["result"], found["reason"]


def accept(province: Province, how: str) -> dict[str, Any]:
    told = ("--signal", "-97", "--level", "91", "--tone", how, "--photo", "anh/24112-L01.jpg")
    (record,) = json.loads(province.done("accept", BURNT, *told, "--json"))["records"]
    return dict(record)


def heard(host: Host) -> bool:
    """Whether any sample that left the receiver was more than silence."""
    script = "tr -d '\\000' </var/lib/loa-receiver/sound | head -c 64 | wc -c"
    return int(host.exec(["sh", "-c", script]).stdout) > 0
