"""Records made on the spot: who may make them, what an acceptance lacks, what goes into the inventory and on paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from inventory.load import load
from inventory.model import Condition, Location, UnitId
from nms.monitor.snmp.outcome import Reading
from nms.settings import SAMPLE
from nms.store import Store
from tests.tui.alarm_desk import FIRST, MODEM, NOW, Desk
from tests.tui.loa_command import Shell
from tui.commands.amend import amend
from tui.hub import Refusal
from tui.site_methods import Accept, SiteRecord, Subject, SurveyStation
from tui.site_service import SiteService
from tui.views.site import label_svg, record_lines, record_page


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Store.open(f"sqlite:///{tmp_path}/loa.db") as store:
        yield Desk(store)


def sites(desk: Desk) -> SiteService:
    return SiteService(lambda: desk.places, lambda: desk.now, desk.snapshot, desk.store)


def placed(desk: Desk) -> None:
    device = replace(desk.places.devices[FIRST], serial="SN-7", location=Location(13.9, 108.0))
    desk.places.devices[FIRST] = device


async def refused(desk: Desk, name: str, params: Accept | SurveyStation) -> str:
    service, caller = sites(desk), desk.caller(name)
    asked = service.accept(caller, params) if isinstance(params, Accept) else service.survey(caller, params)
    with pytest.raises(Refusal) as refusal:
        await asked
    return refusal.value.problems[0].code


async def test_an_acceptance_is_complete_when_somebody_heard_it(desk: Desk) -> None:
    placed(desk)
    desk.outcomes = {MODEM: Reading({"rsrp_dbm": -97.0}, (), 0.1)}
    by_night = await sites(desk).accept(desk.caller("technician"), Accept(FIRST, 88.0, None, "silent"))
    assert by_night.fields["signal"] == "-97.0"  # of the modem that it hangs behind
    assert by_night.missing == ("tone",)
    desk.now += timedelta(hours=10)
    by_day = await sites(desk).accept(desk.caller("technician"), Accept(FIRST, 91.5, -80.0, "heard", "anh/7.jpg"))
    assert by_day.missing == ()
    assert (by_day.fields["serial"], by_day.fields["latitude"], by_day.fields["day"]) == ("SN-7", "13.9", "80")
    kept = await sites(desk).records(desk.caller("nobody"), Subject(FIRST))
    assert [r.fields["tone"] for r in kept.records] == ["heard", "silent"]
    assert desk.audited() == [f"technician site.acceptance {FIRST}"] * 2


async def test_what_nobody_measured_is_missing_and_not_zero(desk: Desk) -> None:
    record = await sites(desk).accept(desk.caller("technician"), Accept(FIRST, None, None, "none"))
    assert record.missing == ("serial", "place", "signal", "level", "tone")
    assert record.fields["level"] == ""


async def test_only_technicians_of_the_area_record_and_only_what_can_be(desk: Desk) -> None:
    good = Accept(FIRST, 88.0, -90.0, "heard")
    assert await refused(desk, "operator", good) == "PLN503"
    assert await refused(desk, "technician", replace(good, device="23617-L01")) == "PLN503"
    assert await refused(desk, "nobody", good) == "CFG104"
    assert await refused(desk, "technician", replace(good, device="99999-L01")) == "PLN501"
    assert await refused(desk, "technician", replace(good, tone="loud")) == "PLN504"
    assert await refused(desk, "technician", replace(good, level=880.0)) == "PLN505"
    assert await refused(desk, "technician", replace(good, signal=97.0)) == "PLN505"
    survey = SurveyStation("23557", "wired", "degraded", 12, 7)
    assert await refused(desk, "technician", replace(survey, unit="64")) == "PLN502"
    assert await refused(desk, "technician", replace(survey, working=13)) == "PLN505"
    assert desk.audited() == []


async def test_a_survey_is_kept_with_its_commune(desk: Desk) -> None:
    survey = SurveyStation("23557", "wired", "degraded", 12, 7, note="dây đứt ở cầu")
    record = await sites(desk).survey(desk.caller("technician"), survey)
    assert (record.name, record.fields["working"], record.by) == ("Phường Yên Đỗ", "7", "Technician")
    lines = list(record_lines(record, str))
    assert lines[0] == "Survey of a station  23557, Phường Yên Đỗ"
    assert "  Condition: worn" in lines


def test_the_station_s_own_file_tells_what_was_found(tmp_path: Path) -> None:
    folder = tmp_path / "province"
    shutil.copytree(SAMPLE, folder)
    network, _ = load(folder)
    assert network is not None
    station = network.stations[UnitId("23557")]
    path = folder / station.place.file
    path.chmod(0o640)
    before = path.read_text().splitlines()
    amend(folder, station.place, {"condition": "broken", "surveyed": "2024-10-01"})
    changed = [pair for pair in zip(before, path.read_text().splitlines(), strict=True) if pair[0] != pair[1]]
    assert [new.strip() for _, new in changed] == ["condition: broken", "surveyed: 2024-10-01"]
    assert path.stat().st_mode & 0o777 == 0o640
    again, problems = load(folder)
    assert not problems
    assert again is not None
    assert again.stations[UnitId("23557")].condition is Condition.BROKEN


def test_a_page_to_print_holds_what_people_wrote_as_text() -> None:
    fields = {"tone": "heard", "note": "<script>alert(1)</script>", "photo": ""}
    record = SiteRecord(
        "r", FIRST, "acceptance", int(NOW.timestamp() * 1000), "Lan", "Nhà rông", "Xã A", fields, ("level",)
    )
    page = record_page(record, str)
    assert "<script>" not in page
    assert "heard by a person there" in page
    assert "Still missing: sound level where people stand (db(a))" in page


def test_a_label_shows_the_device_and_prints_as_svg(shell: Shell, tmp_path: Path) -> None:
    done = shell.loa("label", "23557-L01")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("LOA 23557-L01")
    target = tmp_path / "nhan.svg"
    assert shell.loa("label", "23557-L01", "-o", target).code == 0
    assert fromstring(target.read_text()).get("width") == "50mm"  # noqa: S314
    assert "Trụ sở UBND" in target.read_text()
    assert shell.loa("label", "00000-L01").code == 1
    assert "&lt;" in label_svg("x", "d", "<b>")
