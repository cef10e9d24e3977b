"""Human and JSON output of one answer, and words for everything that the hub may name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

import pytest

from audio.bulletin import State as BulletinState
from audio.documents import BulletinClass, NowKind, Result
from audio.receipts import Heard
from inventory.coverage import Coverage, DistrictRow, HamletCoverage, IndicatorCoverage, Share
from inventory.model import DeviceKind, Figure, Hamlet, HamletId, Tier, UnitId
from nms.i18n import translator
from nms.journal import EventKind
from nms.monitor.health import CauseKind, State
from nms.monitor.profiles import load_profiles
from tests.tui.gateway_fake import CAUSES, NOW, UNITS, bulletin, overview, unit
from tui import methods as m
from tui.views import bulletins, coverage, status, times, words

VI, EN = translator("vi"), translator("en")
AUDIO = Path(__file__).resolve().parents[2] / "audio"
RECEIVER = tuple(
    AUDIO / name
    for name in ("receiver/agent.py", "receiver/cache.py", "receiver/stage.py", "timetable.py", "trials.py")
)
TABLES: Mapping[str, tuple[type[StrEnum], Mapping[str, str]]] = {
    "states of devices": (State, words.STATES),
    "signs of states": (State, words.SIGNS),
    "causes": (CauseKind, words.CAUSES),
    "classes": (BulletinClass, words.CLASSES),
    "tiers": (Tier, words.TIERS),
    "kinds of devices": (DeviceKind, words.KINDS),
    "states of bulletins": (BulletinState, words.BULLETIN_STATES),
    "what was heard": (Heard, words.RESULTS),
    "what was played": (Result, words.PLAYED),
    "events": (EventKind, words.EVENTS),
}


@pytest.mark.parametrize("table", TABLES)
def test_there_is_a_word_for_everything_and_for_nothing_else(table: str) -> None:
    kinds, found = TABLES[table]
    assert set(found) == {str(kind) for kind in kinds}
    assert len(set(found.values())) == len(found), "two things must not look the same"


@pytest.mark.parametrize("table", [t for t in TABLES if t != "signs of states"])
def test_vietnamese_tells_apart_what_english_does(table: str) -> None:
    _, found = TABLES[table]
    translated = [VI(word) for word in found.values()]
    assert len(set(translated)) == len(translated)
    assert [re.findall(r"{\w+}", word) for word in found.values()] == [re.findall(r"{\w+}", w) for w in translated]


def test_signs_are_one_cell_wide() -> None:
    from rich.cells import cell_len

    assert {cell_len(sign) for sign in words.SIGNS.values()} == {1}


def test_times_are_vietnams() -> None:
    assert times.clock(NOW) == "17:00:00"
    assert times.shown(NOW) == "17:00 01/10/2024"
    assert times.rfc3339(NOW + 250) == "2024-10-01T17:00:00.250+07:00"
    assert times.rfc3339(0) is None
    assert times.moment(NOW) == datetime(2024, 10, 1, 10, tzinfo=UTC)
    assert times.milliseconds(times.moment(NOW + 1)) == NOW + 1


def test_a_hamlets_word_is_said_once() -> None:
    def hamlet(name: str, word: str) -> str:
        return words.hamlet_name(Hamlet(HamletId("h"), name, word, ()))

    assert hamlet("Tổ dân phố 1", "tổ dân phố") == "Tổ dân phố 1"
    assert hamlet("Mơ Năng 2", "làng") == "làng Mơ Năng 2"
    assert hamlet("2", "thôn") == "thôn 2"


def test_the_overview_names_counts_causes_and_districts_that_miss_something() -> None:
    lines = list(status.overview_lines(overview(), EN))
    assert lines[0].startswith("1.837 devices: ")
    assert "✖ lost 3" in lines[0]
    assert lines[1] == "last sweep 16:59:55: 1.810 of 1.837 answered in 0,52 s"
    causes = [line for line in lines if line.startswith("✖")]
    assert len(causes) == 3
    assert causes[0].endswith("4G modem 23560-M01 lost since 16:59:00: 2 devices lost because of it")
    assert causes[2] == "✖ 23557-L01 lost since 16:59:50"
    assert lines[-2:] == ["  Huyện Đăk Đoa: 9 of 409 lost", "  Thành phố Pleiku: 18 of 1428 lost"]


def test_the_overview_says_what_it_does_not_know() -> None:
    lines = list(status.overview_lines(overview(units=(), causes=(), sweep=None, broker=False), EN))
    assert "not polled yet" in lines
    assert any("no connection to the broker" in line for line in lines)


def test_the_overview_says_what_is_wrong_with_the_hub() -> None:
    ill = overview(hub=("self_disk:critical, 1%", "self_poller:", "self_broker:"), broker=False)
    lines = [line for line in status.overview_lines(ill, EN) if "hub" in line]
    assert lines == ["✖ the hub's disk is nearly full (critical, 1%)", "✖ the hub polls late"]
    told = status.overview_json(ill)["hub"]
    assert told[:2] == [{"problem": "self_disk", "detail": "critical, 1%"}, {"problem": "self_poller", "detail": ""}]
    assert any("đĩa" in line.casefold() or "nguy cấp" in line for line in status.overview_lines(ill, VI))


def test_every_kind_of_cause_makes_a_line() -> None:
    for kind in CauseKind:
        line = status.cause_line(replace(CAUSES[0], kind=str(kind), cause=f"{kind}:X1"), VI)
        assert "X1" in line
        assert "{" not in line


def test_a_device_on_one_line() -> None:
    row = m.DeviceRow("23557-L01", "loudspeaker", "", "Yên Đỗ", "Pleiku", "Tổ 1", "", "unreachable", "M01", NOW, "", {})
    assert status.device_line(row, EN) == (
        "⊘ 23557-L01   loudspeaker cluster Yên Đỗ · Tổ 1  lost because of a common cause (M01)"
    )
    columns = {status.device_line(replace(row, kind=kind), VI).index("Yên Đỗ") for kind in DeviceKind}
    assert len(columns) == 1, "columns fit in the language that is shown"
    assert status.device_line(replace(row, state="new", kind="siren"), EN).startswith("? 23557-L01   siren")


def test_an_event_on_one_line() -> None:
    row = m.EventRow("e", NOW, "23557-L01", "device.state", "up", "down", "")
    head = "17:00 01/10/2024  23557-L01      "
    assert " ".join(status.event_line(row, EN).split()) == "17:00 01/10/2024 23557-L01 device connected → lost"
    assert status.event_line(row, EN).startswith(head + "device ")
    lost = replace(row, after="unreachable", cause="power:A7")
    assert status.event_line(lost, VI).endswith("→ mất kết nối do nguyên nhân chung (mất điện khu vực A7)")
    bulletin = replace(row, kind="bulletin.state", before="aired", after="failed", cause="late receipt")
    assert status.event_line(bulletin, EN).endswith("  aired → failed to air (a receipt came late)")
    new = replace(row, kind="new.kind", before="", after="", cause="nobody knows")
    assert status.event_line(new, EN).endswith("(nobody knows)")


def test_every_cause_of_a_device_is_said_in_words() -> None:
    for profile in load_profiles()[0].values():
        for metric in profile.limits:
            assert words.cause_text(metric, EN) != metric
    assert words.cause_text("23557-M01", EN) == "4G modem 23557-M01 lost"
    assert words.cause_text("rsrp_dbm, refused: noSuchName", EN) == "weak 4G signal, SNMP question refused"
    assert words.cause_text("cell:452-01:7", EN) == "cell 452-01:7 lost"
    assert words.cause_text("Lê Thị Em", EN) == "Lê Thị Em"


def test_every_reason_that_a_device_may_give_has_words() -> None:
    """The literals of the receiver and the timetable are the vocabulary."""
    said = " ".join(path.read_text(encoding="utf-8") for path in RECEIVER)
    for reason in words.REASONS:
        assert f'"{reason}"' in said or f'"{reason} hold"' in said or reason in list(NowKind), reason


def test_what_stands_inside_sentences_is_vietnamese_too() -> None:
    tables = (BulletinClass, BulletinState, Tier, DeviceKind)
    for value in [str(v) for table in tables for v in table]:
        assert VI(value) != value


def test_json_is_the_same_in_every_language_and_complete() -> None:
    document = json.loads(json.dumps(status.overview_json(overview())))
    assert document["states"] == {"up": 1810, "down": 3, "unreachable": 24}
    assert [u["unit"] for u in document["units"]] == [u.unit for u in UNITS]
    assert document["causes"][0] == {
        "cause": "modem:23560-M01",
        "kind": "modem",
        "since": "2024-10-01T16:59:00.000+07:00",
        "devices": ["23560-L01", "23560-L02"],
    }
    assert json.loads(json.dumps(status.overview_json(overview(sweep=None))))["sweep"] is None


def test_totals_are_the_provinces() -> None:
    assert status.totals(overview()) == {"up": 1810, "down": 3, "unreachable": 24}
    assert status.totals(overview(units=(unit("622", "Pleiku", "district", up=1),))) == {}


def report(*rows: m.ReportRow, **changed: int | None) -> m.Report:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.result] = counts.get(row.result, 0) + 1
    base = m.Report(bulletin(heard=counts.get("heard", 0), expected=len(rows)), counts, 250, 1250, rows)
    return replace(base, **changed)  # type: ignore[arg-type]


def row(number: int, result: str, **changed: object) -> m.ReportRow:
    base = m.ReportRow(f"23557-L{number:02}", "Yên Đỗ", "Tổ 1", result, "", 0, None, "Lê 0905")
    return replace(base, **changed)  # type: ignore[arg-type]


def test_a_report_says_who_did_not_hear_why_and_whom_to_call() -> None:
    rows = (
        row(1, "heard", started=NOW),
        row(2, "partial", started=NOW, reason="interrupted"),
        row(3, "waiting", contact=""),
    )
    lines = list(bulletins.report_lines(report(*rows), EN))
    assert lines[1].startswith("heard by 1 of 3 clusters: ")
    assert lines[2] == "start latency: median 0,250 s, 99 % within 1,250 s"
    assert lines[3:] == [
        "  23557-L02 Yên Đỗ · Tổ 1: partly heard (interrupted) 17:00:00 – call Lê 0905",
        "  23557-L03 Yên Đỗ · Tổ 1: no receipt yet",
    ]


def test_a_report_before_anybody_started_and_with_many_silent() -> None:
    lines = list(bulletins.report_lines(report(*(row(n, "missed") for n in range(50)), latency_p50=None), EN))
    assert not any("latency" in line for line in lines)
    assert lines[-1] == "  and 30 more"


@pytest.mark.parametrize("heard", Heard)
@pytest.mark.parametrize("state", BulletinState)
def test_every_result_and_state_can_be_reported(heard: Heard, state: BulletinState) -> None:
    full = replace(report(row(1, str(heard))), row=bulletin(state=str(state)))
    assert all(isinstance(line, str) for line in bulletins.report_lines(full, VI))
    json.dumps(bulletins.report_json(full))
    assert VI(words.BULLETIN_STATES[state]) in bulletins.bulletin_line(bulletin(state=str(state)), VI)


def test_a_bulletin_as_json() -> None:
    document = bulletins.bulletin_json(bulletin())
    assert document["class"] == "normal"
    assert document["seconds"] == 12.5
    assert document["created"] == "2024-10-01T16:50:00.000+07:00"
    assert {"id", "title", "tier", "origin", "author", "state", "audience", "heard", "expected"} < document.keys()


def test_a_receipt_on_one_line_and_as_json() -> None:
    receipt = m.AsRun("r", "23557-L01", "b1", "a1", 0, "sha", NOW, NOW + 5000, 2000, "partial", "stopped", None)
    assert bulletins.as_run_line(receipt, EN) == "17:00:00–17:00:05  23557-L01   b1  played in part (stopped)"
    assert bulletins.as_run_json(receipt)["offset_ms"] == 2000


def covered(printed: Figure | None, share: Share) -> Coverage:
    district = DistrictRow(UnitId("622"), "Pleiku", Share(2, 12), None)
    indicator = IndicatorCoverage("ward_board", "Bảng tin phường", share, printed, 38, (district,))
    return Coverage(2024, "KH 1055", date(2024, 12, 31), date(2024, 5, 6), (indicator,), HamletCoverage(0, 0, 0))


def test_coverage_puts_the_printed_figure_beside_the_recomputed_one() -> None:
    lines = list(coverage.lines(covered(Figure(2024, 19, "50%"), Share(19, 38, 21)), EN, districts=True))
    assert lines == [
        "Indicators of 2024 as of 31/12/2024 (KH 1055)",
        "  Bảng tin phường",
        "    19/38 = 50,0% (21 boards); printed: 19 (50%): agrees",
        "      Pleiku: 2/12 · blank",
    ]
    assert "differs" in "".join(coverage.lines(covered(Figure(2024, 20), Share(19, 38)), EN, districts=False))


@pytest.mark.parametrize("printed", [None, Figure(2024, None, None)])
def test_a_blank_cell_is_not_zero(printed: Figure | None) -> None:
    text = "\n".join(coverage.lines(covered(printed, Share(0, 38)), EN, districts=False))
    assert "a blank cell), which is not 0" in text
    assert "agrees" not in text
    document = coverage.document(covered(printed, Share(0, 38)), EN)
    assert document["indicators"][0]["agrees"] is None


def test_nothing_to_divide_by_is_no_percentage() -> None:
    assert coverage.percent(Share(0, 0)) == ""
    assert coverage.percent(Share(1, 3)) == "33,3%"
    assert Share(1, 3).percent == Fraction(100, 3)
    document = coverage.document(covered(Figure(2024, 0), Share(0, 0)), EN)
    assert document["indicators"][0]["percent"] is None


TUESDAY = datetime(2024, 10, 1, 10, tzinfo=UTC)
"""17:00 in Vietnam."""


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("18:00", "2024-10-01T18:00:00+07:00"),
        ("17:00", "2024-10-02T17:00:00+07:00"),
        ("7:30", "2024-10-02T07:30:00+07:00"),
        ("05/10", "2024-10-05T23:59:59.999000+07:00"),
        ("01/10", "2024-10-01T23:59:59.999000+07:00"),
        ("30/9", "2025-09-30T23:59:59.999000+07:00"),
        ("05/12/2025", "2025-12-05T23:59:59.999000+07:00"),
        ("2024-12-05", "2024-12-05T23:59:59.999000+07:00"),
        (" 17:30  05/12 ", "2024-12-05T17:30:00+07:00"),
        ("17:30 05/12/2025", "2025-12-05T17:30:00+07:00"),
        ("2024-10-01T20:00", "2024-10-01T20:00:00+07:00"),
        ("2024-10-01T20:00Z", "2024-10-01T20:00:00+00:00"),
        ("29/02", ""),
        ("31/11", ""),
        ("24:00", ""),
        ("mai", ""),
        ("", ""),
    ],
)
def test_people_write_ends_as_they_write_dates(text: str, end: str) -> None:
    found = times.read_end(text, TUESDAY)
    assert (found.isoformat() if found else "") == end
